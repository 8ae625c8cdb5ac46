-- What each company used on each day (UTC), by kind. GET /billing/usage reads these rows instead of counting interviews.
CREATE TABLE usage_days (
  company_id uuid NOT NULL REFERENCES companies,
  day date NOT NULL,
  cost_key text NOT NULL,
  events bigint NOT NULL,
  seconds numeric NOT NULL DEFAULT 0,
  PRIMARY KEY (company_id, day, cost_key)
);

-- An interview counts on the day of its end if it began. A trigger counts it, so that a worker of an older version does too.
CREATE FUNCTION count_interview() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO usage_days AS u (company_id, day, cost_key, events, seconds)
  VALUES (NEW.company_id, (NEW.finished_at AT TIME ZONE 'UTC')::date, 'interview_minutes', 1,
    GREATEST(extract(epoch FROM NEW.finished_at - NEW.started_at), 0))
  ON CONFLICT (company_id, day, cost_key) DO UPDATE SET events = u.events + 1, seconds = u.seconds + EXCLUDED.seconds;
  RETURN NULL;
END $$;
CREATE TRIGGER interviews_counted AFTER UPDATE OF finished_at ON interviews FOR EACH ROW
  WHEN (OLD.finished_at IS NULL AND NEW.finished_at IS NOT NULL AND NEW.started_at IS NOT NULL)
  EXECUTE FUNCTION count_interview();

INSERT INTO usage_days (company_id, day, cost_key, events, seconds)
SELECT company_id, (finished_at AT TIME ZONE 'UTC')::date, 'interview_minutes', count(*),
  sum(GREATEST(extract(epoch FROM finished_at - started_at), 0))
FROM interviews WHERE finished_at IS NOT NULL AND started_at IS NOT NULL GROUP BY 1, 2;
