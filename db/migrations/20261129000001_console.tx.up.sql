-- One-time links that sign in to the console. id is the SHA-256 of the link's token, key_hash the API key that it signs in with.
CREATE TABLE console_links (
  id bytea PRIMARY KEY,
  key_hash bytea NOT NULL,
  expires_at timestamptz NOT NULL
);
