DROP TABLE event_feed;
DROP INDEX events_company_feed;
DROP INDEX events_feed;
ALTER TABLE events DROP COLUMN position;
