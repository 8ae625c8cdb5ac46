DROP INDEX candidates_expiry;
ALTER TABLE deliveries DROP COLUMN erased_at;
DROP TABLE erasure_webhooks;
DROP TABLE erasures;
