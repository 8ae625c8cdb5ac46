-- The queue is taken in turn, by endpoint and company: at an endpoint that many companies share, one company's backlog waits
-- behind itself. Events of no company have the zero id.
ALTER TABLE delivery_queue ADD COLUMN company_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000';
UPDATE delivery_queue q SET company_id = d.company_id FROM deliveries d WHERE d.id = q.delivery_id AND d.company_id IS NOT NULL;
ALTER TABLE delivery_queue DROP CONSTRAINT delivery_queue_pkey, ADD PRIMARY KEY (webhook_id, company_id, delivery_id);

-- Batches that a DeliverBatch workflow has, or is about to have: a row is written with the taking of its deliveries, before
-- the workflow is started, and deleted when all of them are recorded. One that stays is started again.
CREATE TABLE delivery_batches (
  id uuid PRIMARY KEY,
  deliveries uuid[] NOT NULL,
  checked_at timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000);

-- Those of the platform are looked for with every event.
CREATE INDEX webhooks_platform ON webhooks (id) WHERE deleted_at IS NULL AND company_id IS NULL AND owner_company_id IS NULL;
