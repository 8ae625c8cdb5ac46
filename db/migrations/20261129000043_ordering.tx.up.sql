-- A subject is what events are about: an interview, a candidate, whatever a publisher names. Its events have growing numbers.
CREATE SEQUENCE event_sequence;
ALTER TABLE events ADD COLUMN subject text, ADD COLUMN sequence bigint;

-- A webhook with ordering gets the events of a subject one after the other: deliveries.subject and
-- deliveries.sequence are set for it.
ALTER TABLE webhooks ADD COLUMN ordering text CHECK (ordering = 'subject'),
  ADD COLUMN ordering_blocks boolean NOT NULL DEFAULT false;
ALTER TABLE deliveries ADD COLUMN subject text, ADD COLUMN sequence bigint;

-- A line is what waits for one subject at one webhook. Deliveries of ordered webhooks wait here instead of in
-- delivery_queue, but for the head of each line, which is on its way.
CREATE TABLE line_waiting (
  delivery_id uuid PRIMARY KEY,
  webhook_id uuid NOT NULL,
  subject text NOT NULL,
  sequence bigint NOT NULL,
  company_id uuid NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000, fillfactor = 90);
CREATE INDEX line_waiting_order ON line_waiting (webhook_id, subject, sequence);

CREATE TABLE line_heads (
  webhook_id uuid NOT NULL,
  subject text NOT NULL,
  delivery_id uuid NOT NULL,
  blocked boolean NOT NULL DEFAULT false, -- it failed, and the line waits for it even so
  PRIMARY KEY (webhook_id, subject)
) WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000, fillfactor = 90);
CREATE INDEX line_heads_blocked ON line_heads (webhook_id) WHERE blocked;

-- Lines that a delivery has joined or left, which may be able to move.
CREATE TABLE line_changes (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  webhook_id uuid NOT NULL,
  subject text NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000, fillfactor = 90);

-- Every statement that ends a delivery makes it leave its line. It looks among the waiting first: that waits for a
-- transaction that is making the delivery the head, and then finds it there. A delivery that failed stays the head of a
-- line that it blocks.
-- Its plans are kept: made while the tables are empty, they must do for many rows.
CREATE FUNCTION leave_line() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off AS $$
BEGIN
  DELETE FROM line_waiting WHERE delivery_id = NEW.id;
  IF NOT FOUND THEN
    IF NEW.status = 'failed'
      AND EXISTS (SELECT FROM webhooks w WHERE w.id = NEW.webhook_id AND w.ordering_blocks AND w.deleted_at IS NULL) THEN
      UPDATE line_heads SET blocked = true
      WHERE webhook_id = NEW.webhook_id AND subject = OLD.subject AND delivery_id = NEW.id;
      RETURN NULL;
    END IF;
    DELETE FROM line_heads WHERE webhook_id = NEW.webhook_id AND subject = OLD.subject AND delivery_id = NEW.id;
  END IF;
  IF FOUND THEN
    INSERT INTO line_changes (webhook_id, subject) VALUES (NEW.webhook_id, OLD.subject);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER leave_line AFTER UPDATE OF status ON deliveries FOR EACH ROW
  WHEN (OLD.subject IS NOT NULL AND NEW.status IN ('succeeded', 'failed', 'canceled'))
  EXECUTE FUNCTION leave_line();
