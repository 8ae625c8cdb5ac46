-- position orders the feed of events: it is the number of the transaction that stored the event, so a reader knows which positions
-- are settled. Events that exist already have that of this migration and are ordered by id.
ALTER TABLE events ADD COLUMN position bigint NOT NULL DEFAULT (pg_current_xact_id()::text::bigint);
CREATE INDEX events_feed ON events (position, id);
CREATE INDEX events_company_feed ON events (company_id, position, id);

-- dropped_through is the highest position of an event that retention has removed.
CREATE TABLE event_feed (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  dropped_through bigint NOT NULL DEFAULT 0
);
INSERT INTO event_feed DEFAULT VALUES;
