UPDATE webhooks
SET events = ARRAY(
    SELECT t FROM unnest(events) WITH ORDINALITY AS e (t, n)
    WHERE t NOT IN ('interview.started', 'interview.failed', 'interview.canceled') ORDER BY n)
WHERE profile = 'interview-suite' AND 'interview.finished' = ANY (events);
