ALTER TABLE commands DROP COLUMN trace_context;
