ALTER TABLE webhooks DROP COLUMN failed_first, DROP COLUMN circuit_closed_at, DROP COLUMN gone_at;
