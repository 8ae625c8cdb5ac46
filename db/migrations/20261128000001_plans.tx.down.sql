DROP INDEX deliveries_live;
CREATE INDEX deliveries_live ON deliveries (webhook_id, id) WHERE status IN ('pending', 'retrying', 'paused');
DROP FUNCTION live_webhook(text, uuid);
