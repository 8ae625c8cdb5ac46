-- An erasure reads the requests of a company in pages.
CREATE INDEX service_runs_company ON service_runs (company_id, id);
-- Counts a company's requests that services work on.
CREATE INDEX service_runs_in_progress ON service_runs (company_id) WHERE status = 'processing';
