-- What the other products' surfaces need beside what is there. A job is a position, a project and an AI interview.

-- context: what the event was about, as it was then (catalog.Context); events that were published have none.
ALTER TABLE events ADD COLUMN context text;

-- identifier is the company's name in addresses and log-ins.
ALTER TABLE companies ADD COLUMN identifier text NOT NULL DEFAULT uuid_v7()::text, ADD COLUMN suite jsonb NOT NULL DEFAULT '{}', ADD COLUMN invites_left int;
UPDATE companies SET identifier = 'company-' || number;
ALTER TABLE companies ADD CONSTRAINT companies_identifier UNIQUE (identifier);

-- Where AI interviews of a company report to: the settings, and the two webhooks that are made from them. A set is shared by
-- all jobs that have the same settings: those that were made while it was the company's, or were given it.
CREATE TABLE webhook_sets (
  id uuid PRIMARY KEY,
  company_id uuid NOT NULL REFERENCES companies,
  start_status boolean,
  start_url text,
  submission_status boolean,
  submission_url text,
  auth_type text CHECK (auth_type IN ('basic', 'apikey')),
  auth_status boolean NOT NULL DEFAULT true,
  basic_username text,
  basic_password bytea,
  apikey_header text,
  apikey_value bytea,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX webhook_sets_company ON webhook_sets (company_id, id);

-- A webhook with a set gets the events of the set's jobs alone.
ALTER TABLE webhooks ADD COLUMN set_id uuid REFERENCES webhook_sets;
CREATE INDEX webhooks_set ON webhooks (set_id) WHERE set_id IS NOT NULL;
-- What a new job is given, and what a job has.
ALTER TABLE companies ADD COLUMN webhook_set_id uuid REFERENCES webhook_sets, ADD COLUMN ai_general jsonb;
-- agent_id: who interviews for this job when a surface names no agent. suite: fields that only the interview suite has.
ALTER TABLE jobs ADD COLUMN webhook_set_id uuid REFERENCES webhook_sets, ADD COLUMN ai_general jsonb,
  ADD COLUMN agent_id uuid REFERENCES agents, ADD COLUMN suite jsonb NOT NULL DEFAULT '{}';
CREATE INDEX jobs_webhook_set ON jobs (webhook_set_id) WHERE webhook_set_id IS NOT NULL;
ALTER TABLE candidates ADD COLUMN suite jsonb NOT NULL DEFAULT '{}';

-- custom_field is the client's own id of an interview. invite_mail: the invitation is to be sent to the candidate.
ALTER TABLE interviews ADD COLUMN custom_field text, ADD COLUMN invite_mail boolean NOT NULL DEFAULT false,
  ADD COLUMN invite_mailed_at timestamptz;
CREATE INDEX interviews_custom_field ON interviews (company_id, custom_field) WHERE custom_field IS NOT NULL;

-- AI interviews that are to be made from a role and its description.
CREATE TABLE generations (
  id uuid PRIMARY KEY,
  company_id uuid NOT NULL REFERENCES companies,
  job_role text NOT NULL,
  job_description text NOT NULL,
  notification_url text,
  status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'completed', 'failed')),
  job_id uuid REFERENCES jobs,
  error text,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);

-- Staff users of a company: who rate and write notes. A token of theirs is an API key that dies after idle_days without use.
CREATE TABLE staff (
  id uuid PRIMARY KEY,
  number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  company_id uuid NOT NULL REFERENCES companies,
  username text NOT NULL,
  email text,
  first_name text NOT NULL DEFAULT '',
  last_name text NOT NULL DEFAULT '',
  account_type text NOT NULL DEFAULT 'recruiter' CHECK (account_type IN ('hiring-manager', 'recruiter', 'admin', 'owner')),
  is_active boolean NOT NULL DEFAULT true,
  password_hash text,
  suite jsonb NOT NULL DEFAULT '{}',
  created_by uuid REFERENCES staff,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  deleted_at timestamptz
);
CREATE UNIQUE INDEX staff_username ON staff (company_id, lower(username)) WHERE deleted_at IS NULL;
ALTER TABLE api_keys ADD COLUMN staff_id uuid REFERENCES staff, ADD COLUMN idle_days int;

CREATE TABLE questions (
  id uuid PRIMARY KEY,
  number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  company_id uuid NOT NULL REFERENCES companies,
  job_id uuid NOT NULL REFERENCES jobs,
  position int NOT NULL,
  text text NOT NULL,
  suite jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  deleted_at timestamptz
);
CREATE INDEX questions_job ON questions (job_id, position) WHERE deleted_at IS NULL;

-- file is the name under which the store of media keeps the video.
CREATE TABLE answer_videos (
  id uuid PRIMARY KEY,
  number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  company_id uuid NOT NULL REFERENCES companies,
  job_id uuid NOT NULL REFERENCES jobs,
  candidate_id uuid NOT NULL REFERENCES candidates,
  question_id uuid NOT NULL REFERENCES questions,
  interview_id uuid REFERENCES interviews,
  file text NOT NULL,
  content_type text NOT NULL,
  size bigint NOT NULL,
  duration_seconds int,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  deleted_at timestamptz
);
CREATE UNIQUE INDEX answer_videos_one ON answer_videos (job_id, candidate_id, question_id) WHERE deleted_at IS NULL;
CREATE INDEX answer_videos_interview ON answer_videos (interview_id, id) WHERE deleted_at IS NULL;

CREATE TABLE ratings (
  id uuid PRIMARY KEY,
  number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  company_id uuid NOT NULL REFERENCES companies,
  job_id uuid NOT NULL REFERENCES jobs,
  candidate_id uuid NOT NULL REFERENCES candidates,
  staff_id uuid REFERENCES staff,
  question_id uuid REFERENCES questions,
  answer_video_id uuid REFERENCES answer_videos,
  criterion text,
  value double precision NOT NULL,
  ignored boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  deleted_at timestamptz
);
CREATE INDEX ratings_candidate ON ratings (candidate_id, job_id, id) WHERE deleted_at IS NULL;

CREATE TABLE notes (
  id uuid PRIMARY KEY,
  number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  company_id uuid NOT NULL REFERENCES companies,
  job_id uuid NOT NULL REFERENCES jobs,
  candidate_id uuid NOT NULL REFERENCES candidates,
  staff_id uuid REFERENCES staff,
  answer_video_id uuid REFERENCES answer_videos,
  text text NOT NULL,
  shared boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  deleted_at timestamptz
);
CREATE INDEX notes_candidate ON notes (candidate_id, job_id, id) WHERE deleted_at IS NULL;

-- Event types that a company registered, with the schema that a published body must fit. Older versions are kept: what was
-- published then fitted them.
CREATE TABLE event_types (
  id uuid PRIMARY KEY,
  company_id uuid NOT NULL REFERENCES companies,
  name text NOT NULL,
  description text NOT NULL DEFAULT '',
  schema text NOT NULL,
  version int NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  deleted_at timestamptz
);
CREATE UNIQUE INDEX event_types_name ON event_types (company_id, name) WHERE deleted_at IS NULL;
CREATE TABLE event_type_versions (
  event_type_id uuid NOT NULL REFERENCES event_types,
  version int NOT NULL,
  schema text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (event_type_id, version)
);
