ALTER TABLE delivery_batches DROP COLUMN lease;
