-- Lists of a webhook's deliveries that failed for good or were canceled, like deliveries_company_failed.
CREATE INDEX deliveries_webhook_failed ON deliveries (webhook_id, id) WHERE status IN ('failed', 'canceled');
