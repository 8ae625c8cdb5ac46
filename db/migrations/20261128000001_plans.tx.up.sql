-- The index of live deliveries had their status in its condition, so the planner could choose it wherever a statement asks for
-- one delivery by id and status, and did when its statistics said that none was live; then each look-up walked the whole index.
-- Now it is on an expression: only a statement that names live_webhook can use it.
CREATE FUNCTION live_webhook(status text, webhook_id uuid) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN status IN ('pending', 'retrying', 'paused') THEN webhook_id END
$$;
DROP INDEX deliveries_live;
CREATE INDEX deliveries_live ON deliveries (live_webhook(status, webhook_id), status, id) WHERE live_webhook(status, webhook_id) IS NOT NULL;
