-- The request that caused an event, and its trace when that is sampled (a traceparent, and its tracestate after a space).
ALTER TABLE events ADD COLUMN request_id text, ADD COLUMN trace_context text;
