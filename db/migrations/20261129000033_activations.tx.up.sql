-- Staff users without a password are mailed a link to set one: invite_mail says that it is wanted, invite_mailed_at when it was
-- sent, invite_mail_error why it cannot be. The expression of the index is that of the reconciler.
ALTER TABLE staff
  ADD COLUMN invite_mail boolean NOT NULL DEFAULT false,
  ADD COLUMN invite_mailed_at timestamptz,
  ADD COLUMN invite_mail_error text,
  ADD COLUMN reconcile_at timestamptz;
CREATE INDEX staff_due ON staff (
  (CASE WHEN invite_mail AND invite_mailed_at IS NULL AND invite_mail_error IS NULL AND is_active AND password_hash IS NULL
    AND deleted_at IS NULL THEN GREATEST(reconcile_at, created_at) END))
  WHERE (CASE WHEN invite_mail AND invite_mailed_at IS NULL AND invite_mail_error IS NULL AND is_active AND password_hash IS NULL
    AND deleted_at IS NULL THEN GREATEST(reconcile_at, created_at) END) IS NOT NULL;
