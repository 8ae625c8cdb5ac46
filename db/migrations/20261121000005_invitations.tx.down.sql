ALTER TABLE generations DROP COLUMN questions;
ALTER TABLE interviews DROP COLUMN invite_mail_error;
DROP INDEX candidates_email;
