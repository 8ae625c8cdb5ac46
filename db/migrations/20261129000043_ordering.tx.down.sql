-- Deliveries that wait in lines are sent without order.
INSERT INTO delivery_queue (webhook_id, company_id, delivery_id) SELECT webhook_id, company_id, delivery_id FROM line_waiting
ON CONFLICT DO NOTHING;
DROP TRIGGER leave_line ON deliveries;
DROP FUNCTION leave_line;
DROP TABLE line_changes, line_heads, line_waiting;
ALTER TABLE deliveries DROP COLUMN sequence, DROP COLUMN subject;
ALTER TABLE webhooks DROP COLUMN ordering_blocks, DROP COLUMN ordering;
ALTER TABLE events DROP COLUMN sequence, DROP COLUMN subject;
DROP SEQUENCE event_sequence;
