-- Lists of deliveries that failed for good or were canceled, which are few: an index of these alone costs the others nothing.
CREATE INDEX deliveries_failed ON deliveries (id) WHERE status IN ('failed', 'canceled');
CREATE INDEX deliveries_company_failed ON deliveries (company_id, id) WHERE status IN ('failed', 'canceled');
