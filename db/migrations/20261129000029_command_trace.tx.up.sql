-- The trace of the change that a command announces, when it is sampled.
ALTER TABLE commands ADD COLUMN trace_context text;
