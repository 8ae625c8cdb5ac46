DROP INDEX webhooks_platform;
INSERT INTO delivery_queue (webhook_id, delivery_id)
  SELECT d.webhook_id, d.id FROM delivery_batches b JOIN deliveries d ON d.id = ANY (b.deliveries)
  WHERE d.status = 'pending' ON CONFLICT DO NOTHING;
DROP TABLE delivery_batches;
ALTER TABLE delivery_queue DROP CONSTRAINT delivery_queue_pkey, ADD PRIMARY KEY (webhook_id, delivery_id), DROP COLUMN company_id;
