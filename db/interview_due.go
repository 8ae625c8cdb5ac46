package db

import (
	"greenroom/db/delivery"
)

var (
	// ReconciledInterviews have passed a limit, or need an analysis or invitation to be requested.
	ReconciledInterviews = delivery.Reconciled{Kind: "interview", Table: "interviews", Look: interviewsDueSQL}
	// ReconciledGenerations are the pending ones.
	ReconciledGenerations = delivery.Reconciled{Kind: "generation", Table: "generations", Look: generationsDueSQL}
)

// Command kinds of the platform. The subject is the id of the interview or generation.
const (
	// InterviewChanged: the interview's row changed; start its workflow unless it runs.
	InterviewChanged delivery.CommandKind = "interview.changed"
	// GenerationRequested: start the generation's workflow.
	GenerationRequested delivery.CommandKind = "generation.requested"
)

// interviewDue is the expression of the index interviews_due.
const interviewDue = `(CASE
    WHEN i.status = 'SCHEDULED' AND i.invite_mail AND i.invite_mailed_at IS NULL AND i.invite_mail_error IS NULL AND i.deleted_at IS NULL
      THEN GREATEST(i.reconcile_at, i.created_at)
    WHEN i.status = 'SCHEDULED' AND i.type = 'PHONE' THEN GREATEST(i.reconcile_at, i.scheduled_at)
    WHEN i.status = 'SCHEDULED' AND i.deadline_at IS NOT NULL THEN GREATEST(i.reconcile_at, i.deadline_at)
    WHEN i.status = 'IN_PROGRESS' THEN GREATEST(i.reconcile_at, i.started_at)
    WHEN i.status = 'COMPLETED' AND i.analysis_status = 'PENDING' AND i.deleted_at IS NULL THEN GREATEST(i.reconcile_at, i.finished_at)
  END)`

// interviewsDueSQL repeats what the Interview workflow waits for in each state (workflows/interview_decide.go). A row
// is not due while a call has no limit, or while its limit is still ahead.
const interviewsDueSQL = `
WITH page AS MATERIALIZED (
  SELECT i.* FROM interviews i WHERE ` + interviewDue + ` < now() - ?0 * interval '1 ms' ORDER BY ` + interviewDue + ` LIMIT ?1
), limits AS (
  SELECT p.id, p.status = 'SCHEDULED' AND p.invite_mail AND p.invite_mailed_at IS NULL AND p.invite_mail_error IS NULL AND p.deleted_at IS NULL
      OR p.status = 'COMPLETED' AS needed,
    CASE
      WHEN p.status = 'COMPLETED' THEN p.analysis_due_at
      WHEN p.status = 'IN_PROGRESS' THEN p.started_at + p.max_minutes * interval '1 minute'
      WHEN p.type <> 'PHONE' THEN p.deadline_at
      WHEN c.status = 'SCHEDULED' AND c.placed_at IS NULL THEN c.scheduled_at
      WHEN c.status = 'SCHEDULED' THEN c.placed_at + p.max_minutes * interval '1 minute'
      WHEN c.status = 'FAILED' AND c.reason_code = 'NO_ANSWER' THEN c.updated_at
    END AS until
  FROM page p LEFT JOIN LATERAL (
    SELECT c.* FROM call_attempts c WHERE c.interview_id = p.id ORDER BY c.id DESC LIMIT 1
  ) c ON true
)
SELECT id, needed, COALESCE(until < now() - ?0 * interval '1 ms', false) AS overdue,
  (extract(epoch FROM now() - CASE
    WHEN until < now() - ?0 * interval '1 ms' THEN until
    WHEN needed THEN now()
    WHEN until IS NULL THEN now() - interval '1 hour'
    ELSE now() END) * 1000)::bigint AS since_ms
FROM limits`

const generationsDueSQL = `
SELECT g.id, true AS needed, false AS overdue, 0 AS since_ms
FROM generations g WHERE ` + generationDue + ` < now() - ?0 * interval '1 ms' ORDER BY ` + generationDue + ` LIMIT ?1`

const generationDue = "(CASE WHEN g.status = 'pending' THEN GREATEST(g.reconcile_at, g.updated_at) END)"
