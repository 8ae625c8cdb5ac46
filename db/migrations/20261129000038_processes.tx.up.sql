-- What a live process is, for operators: NULL for one of an earlier version, and for an elected leader.
ALTER TABLE leases ADD COLUMN version text, ADD COLUMN host text, ADD COLUMN since timestamptz;
