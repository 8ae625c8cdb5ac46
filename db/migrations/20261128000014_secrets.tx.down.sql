ALTER TABLE webhooks DROP COLUMN retired_secrets, DROP COLUMN secret_created_at;
