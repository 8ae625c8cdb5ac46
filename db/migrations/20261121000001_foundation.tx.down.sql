DROP TABLE idempotency_keys, replays, commands, delivery_queue, attempts, deliveries, events, webhooks, analyses,
  call_attempts, interviews, agents, candidate_jobs, candidates, jobs, api_key_audit, api_keys, companies;
DROP FUNCTION uuid_v7_floor(timestamptz);
DROP FUNCTION uuid_v7();
