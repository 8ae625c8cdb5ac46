ALTER TABLE delivery_queue DROP COLUMN single;
