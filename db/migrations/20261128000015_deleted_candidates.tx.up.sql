-- The interviews of a deleted candidate that have ended are deleted with it. This deletes those of candidates that an
-- older version deleted.
UPDATE interviews i SET deleted_at = c.deleted_at, updated_at = clock_timestamp()
FROM candidates c
WHERE c.id = i.candidate_id AND c.deleted_at IS NOT NULL AND i.deleted_at IS NULL AND i.status IN ('COMPLETED', 'FAILED');
