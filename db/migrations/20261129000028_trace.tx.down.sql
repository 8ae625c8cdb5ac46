ALTER TABLE events DROP COLUMN request_id, DROP COLUMN trace_context;
