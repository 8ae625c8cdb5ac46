-- Ids are UUIDv7: time-ordered, so "newest first" is an id order and a day is a range of ids.
CREATE FUNCTION uuid_v7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
  SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
           PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
           FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid
$$;

-- The smallest UUIDv7 of an instant: the bound of a day's partition.
CREATE FUNCTION uuid_v7_floor(at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '00000000000000000000')::uuid
$$;

CREATE TABLE companies (
  id uuid PRIMARY KEY,
  number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  name text NOT NULL,
  description text,
  metadata jsonb NOT NULL DEFAULT '{}',
  owner_email text,
  website text,
  industry text,
  size text,
  location text,
  settings jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  deleted_at timestamptz
);

-- A key without a company is a platform key: it acts for many companies.
CREATE TABLE api_keys (
  id uuid PRIMARY KEY,
  company_id uuid REFERENCES companies,
  name text NOT NULL,
  prefix text NOT NULL,
  hash bytea NOT NULL UNIQUE,
  scopes text[] NOT NULL,
  allowed_ips text[] NOT NULL DEFAULT '{}',
  rate_per_minute int NOT NULL DEFAULT 60,
  rate_per_hour int NOT NULL DEFAULT 2000,
  expires_at timestamptz,
  suspended_at timestamptz,
  suspended_reason text,
  revoked_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX api_keys_company ON api_keys (company_id, id);

CREATE TABLE api_key_audit (
  id uuid PRIMARY KEY,
  api_key_id uuid NOT NULL REFERENCES api_keys,
  action text NOT NULL,
  actor text NOT NULL,
  at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX api_key_audit_key ON api_key_audit (api_key_id, id);

CREATE TABLE jobs (
  id uuid PRIMARY KEY,
  number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  company_id uuid NOT NULL REFERENCES companies,
  title text NOT NULL,
  description text,
  job_url text,
  benefits text,
  required_skills text[] NOT NULL DEFAULT '{}',
  nice_to_have_skills text[] NOT NULL DEFAULT '{}',
  language_requirements jsonb NOT NULL DEFAULT '[]',
  education text[] NOT NULL DEFAULT '{}',
  experience text,
  contract_type text,
  status text NOT NULL DEFAULT 'OPEN',
  location jsonb,
  salary jsonb,
  metadata jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  deleted_at timestamptz
);
CREATE INDEX jobs_company ON jobs (company_id, id) WHERE deleted_at IS NULL;

CREATE TABLE candidates (
  id uuid PRIMARY KEY,
  number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  company_id uuid NOT NULL REFERENCES companies,
  first_name text NOT NULL,
  last_name text NOT NULL,
  email text,
  phone_number text,
  status text NOT NULL DEFAULT 'APPLIED',
  gdpr_expiry_date date,
  overall_rating double precision,
  metadata jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  deleted_at timestamptz
);
CREATE INDEX candidates_company ON candidates (company_id, id) WHERE deleted_at IS NULL;

CREATE TABLE candidate_jobs (
  candidate_id uuid NOT NULL REFERENCES candidates,
  job_id uuid NOT NULL REFERENCES jobs,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (candidate_id, job_id)
);
CREATE INDEX candidate_jobs_job ON candidate_jobs (job_id, candidate_id);

CREATE TABLE agents (
  id uuid PRIMARY KEY,
  number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  company_id uuid NOT NULL REFERENCES companies,
  name text NOT NULL,
  type text NOT NULL CHECK (type IN ('ONLINE', 'PHONE')),
  focus text NOT NULL DEFAULT 'SCREENING',
  language text NOT NULL DEFAULT 'EN',
  duration_minutes int NOT NULL DEFAULT 15,
  questions jsonb NOT NULL DEFAULT '[]',
  instructions text,
  voice_id text,
  company_phone_number_id text,
  cefr_level text,
  metadata jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  deleted_at timestamptz
);
CREATE INDEX agents_company ON agents (company_id, id) WHERE deleted_at IS NULL;

-- The row is the arbiter of an interview's life: each transition is one guarded UPDATE of it.
CREATE TABLE interviews (
  id uuid PRIMARY KEY,
  number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  company_id uuid NOT NULL REFERENCES companies,
  candidate_id uuid NOT NULL REFERENCES candidates,
  job_id uuid REFERENCES jobs,
  agent_id uuid NOT NULL REFERENCES agents,
  type text NOT NULL CHECK (type IN ('ONLINE', 'PHONE')),
  status text NOT NULL DEFAULT 'SCHEDULED'
    CHECK (status IN ('SCHEDULED', 'IN_PROGRESS', 'COMPLETED', 'FAILED', 'CANCELED')),
  status_reason text,
  scheduled_at timestamptz NOT NULL,
  deadline_at timestamptz,
  max_minutes int NOT NULL,
  started_at timestamptz,
  finished_at timestamptz,
  answers jsonb NOT NULL DEFAULT '[]',
  transcript jsonb NOT NULL DEFAULT '[]',
  analysis_status text CHECK (analysis_status IN ('PENDING', 'COMPLETED', 'FAILED')),
  analysis_due_at timestamptz,
  metadata jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  deleted_at timestamptz
);
CREATE INDEX interviews_company ON interviews (company_id, id) WHERE deleted_at IS NULL;
CREATE INDEX interviews_candidate ON interviews (candidate_id, id) WHERE deleted_at IS NULL;
CREATE INDEX interviews_job ON interviews (job_id, id) WHERE deleted_at IS NULL;

CREATE TABLE call_attempts (
  id uuid PRIMARY KEY,
  interview_id uuid NOT NULL REFERENCES interviews,
  direction text NOT NULL DEFAULT 'OUTBOUND',
  status text NOT NULL DEFAULT 'SCHEDULED'
    CHECK (status IN ('SCHEDULED', 'IN_PROGRESS', 'COMPLETED', 'FAILED', 'CANCELLED')),
  reason_code text,
  notes text,
  retry_number int NOT NULL DEFAULT 0,
  recording_url text,
  duration_seconds int,
  scheduled_at timestamptz NOT NULL,
  placed_at timestamptz,
  called_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX call_attempts_interview ON call_attempts (interview_id, id);
-- One call at a time: a second pending attempt replaces the first, it never runs beside it.
CREATE UNIQUE INDEX call_attempts_one_open ON call_attempts (interview_id)
  WHERE status IN ('SCHEDULED', 'IN_PROGRESS');

CREATE TABLE analyses (
  id uuid PRIMARY KEY,
  interview_id uuid NOT NULL UNIQUE REFERENCES interviews,
  company_id uuid NOT NULL REFERENCES companies,
  candidate_id uuid NOT NULL REFERENCES candidates,
  status text NOT NULL CHECK (status IN ('COMPLETED', 'FAILED')),
  general jsonb,
  specific jsonb,
  error text,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX analyses_company ON analyses (company_id, id);
CREATE INDEX analyses_candidate ON analyses (candidate_id, id);

-- company_id NULL is a global webhook: it gets the events of every company its owner can reach
-- (owner_company_id, or all of them when that is NULL too: a platform key's webhook).
-- events holds domain event types; the profile's own names are made from them at the edges.
CREATE TABLE webhooks (
  id uuid PRIMARY KEY,
  number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  company_id uuid REFERENCES companies,
  owner_company_id uuid REFERENCES companies,
  api_key_id uuid REFERENCES api_keys,
  profile text NOT NULL,
  url text NOT NULL,
  name text NOT NULL DEFAULT '',
  description text NOT NULL DEFAULT '',
  headers jsonb NOT NULL DEFAULT '[]',
  events text[] NOT NULL,
  is_active boolean NOT NULL DEFAULT true,
  disabled_reason text,
  max_retries int NOT NULL,
  timeout_ms int NOT NULL,
  rate_limit int NOT NULL DEFAULT 0,
  secret bytea NOT NULL,
  consecutive_failures int NOT NULL DEFAULT 0,
  circuit_opened_at timestamptz,
  circuit_recovery text CHECK (circuit_recovery IN ('manual', 'probe')),
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  deleted_at timestamptz
) WITH (fillfactor = 70);
CREATE INDEX webhooks_company ON webhooks (company_id) WHERE deleted_at IS NULL;
CREATE INDEX webhooks_owner ON webhooks (owner_company_id) WHERE deleted_at IS NULL;

-- data is text, not jsonb: what was accepted is what is signed and sent, byte for byte.
CREATE TABLE events (
  id uuid PRIMARY KEY,
  company_id uuid,
  type text NOT NULL,
  data text NOT NULL,
  occurred_at timestamptz NOT NULL
) PARTITION BY RANGE (id);
CREATE INDEX events_company ON events (company_id, id);
CREATE TABLE events_default PARTITION OF events DEFAULT;

CREATE TABLE deliveries (
  id uuid PRIMARY KEY,
  event_id uuid NOT NULL,
  webhook_id uuid NOT NULL,
  company_id uuid,
  event_type text NOT NULL,
  status text NOT NULL DEFAULT 'pending'
    CHECK (status IN ('pending', 'retrying', 'paused', 'succeeded', 'failed', 'canceled')),
  is_test boolean NOT NULL DEFAULT false,
  generation int NOT NULL DEFAULT 0,
  attempts int NOT NULL DEFAULT 0,
  body bytea,
  workflow_id text,
  next_attempt_at timestamptz,
  last_status_code int,
  last_error text,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL
) PARTITION BY RANGE (id);
CREATE INDEX deliveries_company ON deliveries (company_id, id);
CREATE INDEX deliveries_webhook ON deliveries (webhook_id, id);
-- Only deliveries that still have something to do: release, cancel and the sweep read this and it stays small.
CREATE INDEX deliveries_live ON deliveries (webhook_id, id) WHERE status IN ('pending', 'retrying', 'paused');
CREATE TABLE deliveries_default PARTITION OF deliveries DEFAULT;

-- Partitioned by the delivery's id, so that a delivery and its attempts live and are dropped together.
-- The key is why a worker that dies after the POST does not send again once the row was written.
CREATE TABLE attempts (
  delivery_id uuid NOT NULL,
  run_id uuid NOT NULL,
  attempt int NOT NULL,
  generation int NOT NULL DEFAULT 0,
  workflow_id text NOT NULL,
  started_at timestamptz NOT NULL,
  duration_ms int NOT NULL,
  outcome text NOT NULL CHECK (outcome IN ('succeeded', 'retry', 'failed', 'gone')),
  next_attempt_at timestamptz,
  status_code int,
  error_kind text,
  error text,
  response text,
  PRIMARY KEY (delivery_id, run_id, attempt)
) PARTITION BY RANGE (delivery_id);
CREATE TABLE attempts_default PARTITION OF attempts DEFAULT;

-- Deliveries that no workflow has yet. A row is deleted in the transaction that started the workflow.
CREATE TABLE delivery_queue (
  webhook_id uuid NOT NULL,
  delivery_id uuid NOT NULL,
  attempt int NOT NULL DEFAULT 1,
  probe boolean NOT NULL DEFAULT false,
  redo boolean NOT NULL DEFAULT false,
  PRIMARY KEY (webhook_id, delivery_id)
) WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000, fillfactor = 90);

-- What a workflow must be told. A row is deleted in the transaction that told it.
CREATE TABLE commands (
  id uuid PRIMARY KEY,
  kind text NOT NULL,
  subject_id uuid NOT NULL,
  args jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000);

CREATE TABLE replays (
  id uuid PRIMARY KEY,
  webhook_id uuid NOT NULL REFERENCES webhooks,
  company_id uuid,
  since timestamptz NOT NULL,
  until timestamptz NOT NULL,
  statuses text[] NOT NULL,
  events text[] NOT NULL DEFAULT '{}',
  state text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'paused', 'completed', 'canceled')),
  replayed bigint NOT NULL DEFAULT 0,
  cursor uuid,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX replays_webhook ON replays (webhook_id, id);

CREATE TABLE idempotency_keys (
  api_key_id uuid NOT NULL,
  key text NOT NULL,
  request_hash bytea NOT NULL,
  status_code int NOT NULL,
  response text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (api_key_id, key)
);
CREATE INDEX idempotency_keys_created ON idempotency_keys (created_at);
