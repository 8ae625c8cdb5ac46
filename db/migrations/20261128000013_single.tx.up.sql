-- A delivery that takes a workflow of its own, while others share theirs, is started beside the rounds that take the others: single.
ALTER TABLE delivery_queue ADD COLUMN single boolean NOT NULL DEFAULT false;
CREATE INDEX delivery_queue_single ON delivery_queue (delivery_id) WHERE single;
