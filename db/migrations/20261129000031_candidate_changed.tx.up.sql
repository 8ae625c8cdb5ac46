-- candidate_changed of the interview suite also stands for the begin, the failure and the cancellation of an interview.
-- interview.finished is of that event alone: a webhook that has it is subscribed to it.
UPDATE webhooks
SET events = events || ARRAY(
    SELECT t FROM unnest(ARRAY['interview.started', 'interview.failed', 'interview.canceled']) AS t WHERE t <> ALL (events)),
  updated_at = now()
WHERE profile = 'interview-suite' AND 'interview.finished' = ANY (events) AND deleted_at IS NULL;
