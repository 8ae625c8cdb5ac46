-- A delivery blocks its subject only while it can be sent again, and its webhook has ordering. Otherwise as before.
CREATE OR REPLACE FUNCTION leave_line() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off AS $$
BEGIN
  DELETE FROM line_waiting WHERE delivery_id = NEW.id;
  IF NOT FOUND THEN
    IF NEW.status = 'failed' AND NEW.erased_at IS NULL
      AND EXISTS (SELECT FROM webhooks w
        WHERE w.id = NEW.webhook_id AND w.ordering IS NOT NULL AND w.ordering_blocks AND w.deleted_at IS NULL) THEN
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

WITH h AS (
  DELETE FROM line_heads h WHERE blocked AND (
    EXISTS (SELECT FROM webhooks w WHERE w.id = h.webhook_id AND w.ordering IS NULL)
    OR EXISTS (SELECT FROM deliveries d WHERE d.id = h.delivery_id AND d.erased_at IS NOT NULL))
  RETURNING webhook_id, subject
)
INSERT INTO line_changes (webhook_id, subject) SELECT webhook_id, subject FROM h;
