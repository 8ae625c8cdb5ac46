-- Vetos of the interview suite: staff users who object to a candidate of a project, each once.
CREATE TABLE vetos (
  id uuid PRIMARY KEY,
  number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  company_id uuid NOT NULL REFERENCES companies,
  job_id uuid NOT NULL REFERENCES jobs,
  candidate_id uuid NOT NULL REFERENCES candidates,
  staff_id uuid REFERENCES staff,
  comment text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  deleted_at timestamptz
);
CREATE UNIQUE INDEX vetos_one ON vetos (candidate_id, job_id, staff_id) NULLS NOT DISTINCT WHERE deleted_at IS NULL;
