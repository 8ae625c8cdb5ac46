-- An answer that holds a secret is kept sealed, in place of response.
ALTER TABLE idempotency_keys ADD COLUMN sealed bytea;
