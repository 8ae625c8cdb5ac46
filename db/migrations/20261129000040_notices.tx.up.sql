-- Changes of webhooks as mail: an address of a webhook, or else of its company. A change is a notice until it is part of a letter,
-- which is stored with its content before it is sent.
ALTER TABLE webhooks ADD COLUMN notify_email text;
ALTER TABLE companies ADD COLUMN notify_email text;
CREATE INDEX webhooks_notify_email ON webhooks (notify_email) WHERE notify_email IS NOT NULL;
CREATE INDEX companies_notify_email ON companies (notify_email) WHERE notify_email IS NOT NULL;

CREATE TABLE notices (
  event_id uuid PRIMARY KEY,
  webhook_id uuid NOT NULL,
  type text NOT NULL,
  data text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX notices_webhook ON notices (webhook_id, event_id);

-- next_at is when the letter is tried (again); null: it has ended, sent or with an error.
CREATE TABLE notice_letters (
  id uuid PRIMARY KEY,
  company_id uuid,
  email text NOT NULL,
  content text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  next_at timestamptz DEFAULT now(),
  attempts int NOT NULL DEFAULT 0,
  sent_at timestamptz,
  error text
);
CREATE INDEX notice_letters_address ON notice_letters (email, created_at);
CREATE INDEX notice_letters_due ON notice_letters (next_at) WHERE next_at IS NOT NULL;
