DROP TABLE audit_log;
ALTER TABLE staff DROP COLUMN held_by_platform;
ALTER TABLE webhooks DROP COLUMN held_by_platform;
DROP INDEX api_keys_ancestors;
ALTER TABLE api_keys
  DROP COLUMN ancestors,
  DROP COLUMN suspended_by_platform,
  DROP COLUMN suspended_by_company_too;
