-- Rate limits of webhooks (GCRA), shared by all workers. A row is created when a delivery of a limited webhook first needs a
-- token. It has no foreign key: checking one would wait for a locked webhook.
CREATE TABLE webhook_rates (
  webhook_id uuid PRIMARY KEY,
  -- The limit that last_turn was computed for.
  rate int NOT NULL DEFAULT 0,
  -- Theoretical arrival time: when the tokens that were taken are used up at exactly the rate.
  tat timestamptz NOT NULL DEFAULT 'epoch',
  -- The latest turn that an attempt waits for; NULL: none.
  last_turn timestamptz,
  -- The dispatcher that takes tokens for queued deliveries, when it last asked, and when it last got one.
  dealer uuid,
  asked_at timestamptz,
  dealt_at timestamptz NOT NULL DEFAULT 'epoch',
  -- Tokens are dealt to the companies in turn: the company after which to continue; NULL: from the first.
  after_company uuid
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000);

-- When the attempt's turn under the rate limit of its webhook comes; NULL: it has not asked for one.
ALTER TABLE deliveries ADD COLUMN turn_at timestamptz;

-- Requests of an API key in its current minute and hour. All API processes claim from it. It is unlogged because losing it in a
-- crash only begins new windows.
CREATE UNLOGGED TABLE request_windows (
  api_key_id uuid NOT NULL,
  name text NOT NULL,
  ends_at timestamptz NOT NULL,
  used bigint NOT NULL,
  PRIMARY KEY (api_key_id, name)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000);
