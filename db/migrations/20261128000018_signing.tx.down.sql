ALTER TABLE api_keys DROP COLUMN secret_id;
ALTER TABLE webhooks DROP COLUMN signing_key, DROP COLUMN key_derived_at;
