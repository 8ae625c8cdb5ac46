-- key_derived_at: equals secret_created_at if the key in a header of the profile is derived from the signing secret.
-- signing_key: the sealed private Ed25519 key of v1a signatures. Earlier ones are in retired_secrets as signingKey.
-- secret_id: names the value of the setting secret under which an API key is hashed; null: unknown.
ALTER TABLE webhooks
  ADD COLUMN key_derived_at timestamptz,
  ADD COLUMN signing_key bytea;
ALTER TABLE api_keys ADD COLUMN secret_id bytea;
