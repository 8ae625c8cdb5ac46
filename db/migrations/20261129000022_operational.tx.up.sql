-- failed_first counts first attempts that failed since the last success. The statement that records an attempt sets the times to
-- its own and so knows what it changed: the circuit closed after a probe, and the webhook was disabled by a 410.
ALTER TABLE webhooks
  ADD COLUMN failed_first int NOT NULL DEFAULT 0,
  ADD COLUMN circuit_closed_at timestamptz,
  ADD COLUMN gone_at timestamptz;
