-- The keys through which a key was made, nearest first. A key is bound by all of them, and ends with them.
ALTER TABLE api_keys
  ADD COLUMN ancestors uuid[] NOT NULL DEFAULT '{}',
  -- Of a suspended key: who suspended it. Without the first, its company did.
  ADD COLUMN suspended_by_platform boolean NOT NULL DEFAULT false,
  ADD COLUMN suspended_by_company_too boolean NOT NULL DEFAULT false;
CREATE INDEX api_keys_ancestors ON api_keys USING gin (ancestors) WHERE ancestors <> '{}';

-- Keys that operators suspended so far.
UPDATE api_keys k SET suspended_by_platform = true
WHERE k.suspended_at IS NOT NULL AND 'cli' = (SELECT a.actor FROM api_key_audit a
  WHERE a.api_key_id = k.id AND a.action = 'suspended' ORDER BY a.id DESC LIMIT 1);

-- A webhook or a user that a platform key deactivated, which only the platform activates again.
ALTER TABLE webhooks ADD COLUMN held_by_platform boolean NOT NULL DEFAULT false;
ALTER TABLE staff ADD COLUMN held_by_platform boolean NOT NULL DEFAULT false;

-- Who changed what. company_id is null for what belongs to no company.
CREATE TABLE audit_log (
  id uuid PRIMARY KEY,
  company_id uuid,
  actor text NOT NULL,
  action text NOT NULL,
  target_type text NOT NULL,
  target_id text NOT NULL,
  before jsonb NOT NULL DEFAULT '{}',
  after jsonb NOT NULL DEFAULT '{}',
  at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX audit_log_company ON audit_log (company_id, id);

INSERT INTO audit_log (id, company_id, actor, action, target_type, target_id, at)
SELECT a.id, k.company_id, a.actor, a.action, 'api_key', a.api_key_id::text, a.at
FROM api_key_audit a JOIN api_keys k ON k.id = a.api_key_id;
