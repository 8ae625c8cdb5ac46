DROP INDEX candidates_email_identity;
ALTER TABLE candidates DROP COLUMN email_identity;
