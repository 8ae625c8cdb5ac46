UPDATE erasures SET step = 'recheck', cursor = '' WHERE step IN ('late events', 'late deliveries');
ALTER TABLE erasures DROP CONSTRAINT erasures_step_check, ADD CONSTRAINT erasures_step_check CHECK (step IN
  ('deliveries', 'events', 'recheck', 'answers', 'files', 'notify', 'done'));
