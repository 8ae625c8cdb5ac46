-- Batches of streams are left to the reconciler of the older version, which starts a workflow for each.
ALTER TABLE delivery_batches DROP COLUMN stream_id;
DROP TABLE delivery_streams;
