DROP TABLE request_windows;
ALTER TABLE deliveries DROP COLUMN turn_at;
DROP TABLE webhook_rates;
