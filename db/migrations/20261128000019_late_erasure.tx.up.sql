-- An erasure looks a second time, for what was made while it worked.
ALTER TABLE erasures DROP CONSTRAINT erasures_step_check, ADD CONSTRAINT erasures_step_check CHECK (step IN
  ('deliveries', 'events', 'late events', 'late deliveries', 'recheck', 'answers', 'files', 'notify', 'done'));
