-- A candidate is found by e-mail address, whatever its case, when a client invites one that may be known.
CREATE INDEX candidates_email ON candidates (company_id, lower(email)) WHERE deleted_at IS NULL AND email IS NOT NULL;

-- invite_mail_error is why the invitation could not be sent for good, in the mail server's words.
ALTER TABLE interviews ADD COLUMN invite_mail_error text;

-- questions is how many a generator gave; null: none was asked.
ALTER TABLE generations ADD COLUMN questions int;
