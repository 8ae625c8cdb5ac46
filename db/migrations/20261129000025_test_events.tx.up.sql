-- An event that was stored for the test of one webhook: no other webhook has missed it.
ALTER TABLE events ADD COLUMN is_test boolean NOT NULL DEFAULT false;
