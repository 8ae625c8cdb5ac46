-- Who does what only one process may do at a time. The row outlives its holder: it is free once it has expired.
CREATE TABLE leases (
  name text PRIMARY KEY,
  holder uuid NOT NULL,
  expires_at timestamptz NOT NULL
);

-- reconcile_at is when the reconciler looks at a row again that it has looked at; NULL: it never had to. The expressions of the
-- indexes below are those of db/reconcile.go. They are written so that no other statement's condition implies them: a planner
-- that believes a partial index to be empty uses it for a look-up by key, and reads all of it each time.
ALTER TABLE deliveries ADD COLUMN reconcile_at timestamptz;
CREATE INDEX deliveries_due ON deliveries (
  (CASE WHEN status IN ('pending', 'retrying') THEN GREATEST(reconcile_at, COALESCE(next_attempt_at, updated_at)) END), id)
  WHERE (CASE WHEN status IN ('pending', 'retrying') THEN GREATEST(reconcile_at, COALESCE(next_attempt_at, updated_at)) END) IS NOT NULL;
CREATE INDEX deliveries_paused ON deliveries ((CASE WHEN status = 'paused' THEN webhook_id END))
  WHERE (CASE WHEN status = 'paused' THEN webhook_id END) IS NOT NULL;

ALTER TABLE webhooks ADD COLUMN reconcile_at timestamptz;
CREATE INDEX webhooks_open ON webhooks (
  (CASE WHEN circuit_opened_at IS NOT NULL AND deleted_at IS NULL THEN GREATEST(reconcile_at, circuit_opened_at) END))
  WHERE (CASE WHEN circuit_opened_at IS NOT NULL AND deleted_at IS NULL THEN GREATEST(reconcile_at, circuit_opened_at) END) IS NOT NULL;

ALTER TABLE replays ADD COLUMN reconcile_at timestamptz;
CREATE INDEX replays_running ON replays ((CASE WHEN state = 'running' THEN GREATEST(reconcile_at, updated_at) END))
  WHERE (CASE WHEN state = 'running' THEN GREATEST(reconcile_at, updated_at) END) IS NOT NULL;

ALTER TABLE generations ADD COLUMN reconcile_at timestamptz;
CREATE INDEX generations_pending ON generations ((CASE WHEN status = 'pending' THEN GREATEST(reconcile_at, updated_at) END))
  WHERE (CASE WHEN status = 'pending' THEN GREATEST(reconcile_at, updated_at) END) IS NOT NULL;

-- The earliest moment at which something may be due of an interview; its call, or how long it may take, can make it later.
ALTER TABLE interviews ADD COLUMN reconcile_at timestamptz;
CREATE INDEX interviews_due ON interviews (
  (CASE
    WHEN status = 'SCHEDULED' AND invite_mail AND invite_mailed_at IS NULL AND invite_mail_error IS NULL AND deleted_at IS NULL
      THEN GREATEST(reconcile_at, created_at)
    WHEN status = 'SCHEDULED' AND type = 'PHONE' THEN GREATEST(reconcile_at, scheduled_at)
    WHEN status = 'SCHEDULED' AND deadline_at IS NOT NULL THEN GREATEST(reconcile_at, deadline_at)
    WHEN status = 'IN_PROGRESS' THEN GREATEST(reconcile_at, started_at)
    WHEN status = 'COMPLETED' AND analysis_status = 'PENDING' AND deleted_at IS NULL THEN GREATEST(reconcile_at, finished_at)
  END))
  WHERE (CASE
    WHEN status = 'SCHEDULED' AND invite_mail AND invite_mailed_at IS NULL AND invite_mail_error IS NULL AND deleted_at IS NULL
      THEN GREATEST(reconcile_at, created_at)
    WHEN status = 'SCHEDULED' AND type = 'PHONE' THEN GREATEST(reconcile_at, scheduled_at)
    WHEN status = 'SCHEDULED' AND deadline_at IS NOT NULL THEN GREATEST(reconcile_at, deadline_at)
    WHEN status = 'IN_PROGRESS' THEN GREATEST(reconcile_at, started_at)
    WHEN status = 'COMPLETED' AND analysis_status = 'PENDING' AND deleted_at IS NULL THEN GREATEST(reconcile_at, finished_at)
  END) IS NOT NULL;

-- A batch that makes no progress is known by its age.
ALTER TABLE delivery_batches ADD COLUMN created_at timestamptz NOT NULL DEFAULT now();

-- Commands that a workflow's server refuses wait before they are tried again, and are parked ('infinity') after some tries.
ALTER TABLE commands ADD COLUMN attempts int NOT NULL DEFAULT 0, ADD COLUMN not_before timestamptz NOT NULL DEFAULT now(),
  ADD COLUMN reason text;
CREATE INDEX commands_due ON commands (not_before, id);

-- The same for files that cannot be deleted. due_at stays what it is: it says that no row may count on the file any more.
ALTER TABLE stray_files ADD COLUMN attempts int NOT NULL DEFAULT 0, ADD COLUMN not_before timestamptz NOT NULL DEFAULT '-infinity',
  ADD COLUMN reason text;
DROP INDEX stray_files_due;
CREATE INDEX stray_files_due ON stray_files (GREATEST(due_at, not_before));
