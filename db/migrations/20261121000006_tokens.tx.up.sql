-- A user's tokens end with the user, and are counted at each log-in.
CREATE INDEX api_keys_staff ON api_keys (staff_id) WHERE staff_id IS NOT NULL;
