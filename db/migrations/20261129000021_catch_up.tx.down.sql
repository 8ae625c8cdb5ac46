UPDATE replays SET state = 'canceled' WHERE missed AND state IN ('running', 'paused');
ALTER TABLE replays DROP COLUMN missed, DROP COLUMN position, DROP COLUMN until_position;
