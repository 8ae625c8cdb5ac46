-- Credentials that a webhook's requests carry in Authorization: {type, user, tokenUrl, scopes, sealed}; NULL for none.
ALTER TABLE webhooks ADD COLUMN auth jsonb;
