-- A stream is a standing workflow whose activity makes first attempts as deliveries arrive. The worker that has the lease renews
-- seen_at; another worker takes the stream over only after it was not renewed. The row is kept as long as deliveries are, because
-- it bounds the ids of the deliveries that the stream attempted: a Reset of its workflow sends these again.
CREATE TABLE delivery_streams (
  id uuid PRIMARY KEY,
  lease int NOT NULL DEFAULT 1,
  seen_at timestamptz NOT NULL DEFAULT now(),
  ended_at timestamptz,
  first_delivery uuid,
  last_delivery uuid
) WITH (fillfactor = 50);
-- The stream that attempts the batch; NULL: the batch has a workflow of its own.
ALTER TABLE delivery_batches ADD COLUMN stream_id uuid;
CREATE INDEX delivery_batches_stream ON delivery_batches (stream_id) WHERE stream_id IS NOT NULL;
