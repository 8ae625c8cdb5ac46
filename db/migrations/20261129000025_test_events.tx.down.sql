ALTER TABLE events DROP COLUMN is_test;
