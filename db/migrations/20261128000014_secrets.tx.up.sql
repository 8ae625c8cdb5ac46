-- Earlier signing secrets of a webhook that sign beside the current one until they expire: [{sealed, createdAt, expiresAt}], the newest first.
ALTER TABLE webhooks
  ADD COLUMN retired_secrets jsonb NOT NULL DEFAULT '[]',
  ADD COLUMN secret_created_at timestamptz;
