CREATE TABLE erasures (
  id uuid PRIMARY KEY,
  company_id uuid NOT NULL REFERENCES companies,
  candidate_id uuid NOT NULL UNIQUE REFERENCES candidates,
  reason text NOT NULL CHECK (reason IN ('requested', 'expired')),
  step text NOT NULL DEFAULT 'deliveries' CHECK (step IN ('deliveries', 'events', 'recheck', 'answers', 'files', 'notify', 'done')),
  cursor text NOT NULL DEFAULT '',
  -- What the person is found by: ids, and until the erasure is done e-mail address and phone number.
  needles text[] NOT NULL,
  files text[] NOT NULL,
  removed jsonb NOT NULL DEFAULT '{}',
  not_before timestamptz NOT NULL DEFAULT now(),
  event_id uuid,
  requested_at timestamptz NOT NULL DEFAULT now(),
  done_at timestamptz
);
CREATE INDEX erasures_open ON erasures (not_before) WHERE done_at IS NULL;

CREATE TABLE erasure_webhooks (
  erasure_id uuid NOT NULL REFERENCES erasures,
  webhook_id uuid NOT NULL,
  delivery_id uuid,
  PRIMARY KEY (erasure_id, webhook_id)
);

ALTER TABLE deliveries ADD COLUMN erased_at timestamptz;
CREATE INDEX candidates_expiry ON candidates (gdpr_expiry_date) WHERE gdpr_expiry_date IS NOT NULL;
