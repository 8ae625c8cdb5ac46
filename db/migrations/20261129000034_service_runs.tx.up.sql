-- Requests to the services that find candidates, complete their profiles and read job postings. request is what was asked, result
-- what the service answered besides profiles. pass counts the runs of one sourcing request; due_at is when the current one fails.
CREATE TABLE service_runs (
  id uuid PRIMARY KEY,
  company_id uuid NOT NULL REFERENCES companies,
  kind text NOT NULL CHECK (kind IN ('sourcing', 'enrichment', 'job_import')),
  status text NOT NULL DEFAULT 'processing' CHECK (status IN ('processing', 'completed', 'failed')),
  pass int NOT NULL DEFAULT 1,
  webhook_id uuid,
  request jsonb NOT NULL,
  result jsonb NOT NULL DEFAULT '{}',
  error_code text,
  error_message text,
  due_at timestamptz NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  completed_at timestamptz,
  reconcile_at timestamptz
);
CREATE INDEX service_runs_processing ON service_runs ((CASE WHEN status = 'processing' THEN GREATEST(reconcile_at, updated_at) END))
  WHERE (CASE WHEN status = 'processing' THEN GREATEST(reconcile_at, updated_at) END) IS NOT NULL;
CREATE INDEX service_runs_age ON service_runs (updated_at);

-- Persons that a sourcing service found, as it described them; data is NULL where an enrichment failed.
CREATE TABLE sourced_profiles (
  company_id uuid NOT NULL,
  id uuid NOT NULL,
  run_id uuid NOT NULL REFERENCES service_runs ON DELETE CASCADE,
  profile_id text NOT NULL,
  pass int NOT NULL,
  data jsonb,
  error_code text,
  error_message text,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (company_id, id), -- an erasure reads a company's, page by page
  UNIQUE (run_id, profile_id)
);
CREATE INDEX sourced_profiles_newest ON sourced_profiles (company_id, profile_id, id DESC);
