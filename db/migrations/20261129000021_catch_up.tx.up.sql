-- A replay that is a catch-up makes the deliveries that a webhook missed. It reads the feed of events from position and cursor on,
-- before until_position.
ALTER TABLE replays
  ADD COLUMN missed boolean NOT NULL DEFAULT false,
  ADD COLUMN position bigint NOT NULL DEFAULT 0,
  ADD COLUMN until_position bigint NOT NULL DEFAULT 0;
