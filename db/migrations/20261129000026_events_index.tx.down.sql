CREATE INDEX events_company ON events (company_id, id);
