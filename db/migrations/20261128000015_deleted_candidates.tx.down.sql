-- Which interviews the migration deleted is not known, so they stay deleted.
SELECT 1;
