-- When the first of the consecutive failures was recorded.
ALTER TABLE webhooks ADD COLUMN failing_since timestamptz;
