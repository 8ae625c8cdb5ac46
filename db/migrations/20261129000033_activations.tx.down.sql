DROP INDEX staff_due;
ALTER TABLE staff DROP COLUMN invite_mail, DROP COLUMN invite_mailed_at, DROP COLUMN invite_mail_error, DROP COLUMN reconcile_at;
