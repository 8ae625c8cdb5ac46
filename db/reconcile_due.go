package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Due is a row that may need its workflow to be told, or started.
type Due struct {
	ID uuid.UUID
	// Overdue: what its workflow should have done is not done. Otherwise the row only has to have a workflow that runs, if Needed.
	Overdue, Needed bool
	// SinceMS is for how many milliseconds the row has been overdue: the longer, the later it is looked at again.
	SinceMS int64 `bun:"since_ms"`
}

// Reconciled is a kind of rows that the reconciler looks at.
type Reconciled struct {
	Kind string
	// Works: the workflow of a row that is overdue may be at work on it, so only one that is missing is a fault.
	Works bool
	table string
	// look is a statement that finds what is due, the longest first: ?0 the grace in ms, ?1 rows at most.
	look string
}

// The kinds. Deliveries are SweepDeliveries'.
var (
	// ReconciledInterviews: their limits have passed, or an analysis or an invitation is to be asked for.
	ReconciledInterviews = Reconciled{Kind: "interview", table: "interviews", look: interviewsDueSQL}
	// ReconciledCircuits: open ones, which need a workflow that probes or waits for a reset.
	ReconciledCircuits = Reconciled{Kind: "circuit", table: "webhooks", look: openCircuitsSQL}
	// ReconciledReleases: webhooks with paused deliveries that are to be released, or canceled.
	ReconciledReleases = Reconciled{Kind: "release", Works: true, table: "webhooks", look: releasesDueSQL}
	// ReconciledReplays: running ones that did not move.
	ReconciledReplays = Reconciled{Kind: "replay", table: "replays", look: replaysDueSQL}
	// ReconciledGenerations: pending ones.
	ReconciledGenerations = Reconciled{Kind: "generation", table: "generations", look: generationsDueSQL}
)

// LookForDue returns rows of a kind that have been due for longer than grace, at most limit.
func LookForDue(ctx context.Context, db bun.IDB, r Reconciled, grace time.Duration, limit int) (due []Due, err error) {
	err = InTx(ctx, db, func(ctx context.Context, tx bun.Tx) error {
		if err := planByIndex(ctx, tx); err != nil {
			return err
		}
		return tx.NewRaw(r.look, grace.Milliseconds(), limit).Scan(ctx, &due)
	})
	if err != nil {
		return nil, fmt.Errorf("look for %ss that are due: %w", r.Kind, err)
	}
	return due, nil
}

// The first look after a row was told comes after lookLeast, the later ones after half of the time it has been due by then.
const (
	lookLeast = 30 * time.Second
	lookMost  = 10 * time.Minute
)

// NoteLooked notes on rows when to look at them again. One that somebody else has locked is looked at again at once.
func NoteLooked(ctx context.Context, db bun.IDB, r Reconciled, looked []Due) error {
	if len(looked) == 0 {
		return nil
	}
	ids, waits := make([]uuid.UUID, len(looked)), make([]int64, len(looked))
	for i, d := range looked {
		ids[i] = d.ID
		waits[i] = min(max(d.SinceMS/2, lookLeast.Milliseconds()), lookMost.Milliseconds())
	}
	err := InTx(ctx, db, func(ctx context.Context, tx bun.Tx) error {
		_, err := direct(tx).ExecContext(ctx, `WITH locked AS MATERIALIZED (
			SELECT r.id, l.wait FROM unnest($1::uuid[], $2::bigint[]) AS l (id, wait) JOIN `+r.table+` r ON r.id = l.id
			FOR NO KEY UPDATE OF r SKIP LOCKED
		) UPDATE `+r.table+` r SET reconcile_at = now() + locked.wait * interval '1 ms' FROM locked WHERE r.id = locked.id`, ids, waits)
		return err
	})
	if err != nil {
		return fmt.Errorf("note %ss that were looked at: %w", r.Kind, err)
	}
	return nil
}

// interviewDue is the expression of the index interviews_due.
const interviewDue = `(CASE
    WHEN i.status = 'SCHEDULED' AND i.invite_mail AND i.invite_mailed_at IS NULL AND i.invite_mail_error IS NULL AND i.deleted_at IS NULL
      THEN GREATEST(i.reconcile_at, i.created_at)
    WHEN i.status = 'SCHEDULED' AND i.type = 'PHONE' THEN GREATEST(i.reconcile_at, i.scheduled_at)
    WHEN i.status = 'SCHEDULED' AND i.deadline_at IS NOT NULL THEN GREATEST(i.reconcile_at, i.deadline_at)
    WHEN i.status = 'IN_PROGRESS' THEN GREATEST(i.reconcile_at, i.started_at)
    WHEN i.status = 'COMPLETED' AND i.analysis_status = 'PENDING' AND i.deleted_at IS NULL THEN GREATEST(i.reconcile_at, i.finished_at)
  END)`

// interviewsDueSQL knows what the Interview workflow waits for in each state (workflows/interview_decide.go). A call that has no
// limit, and a limit that is still to come, make a row one that needs nothing now.
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

// openCircuitsSQL: each needs its workflow at any time, so none is looked at less often than the others.
const openCircuitsSQL = `
SELECT w.id, true AS needed, false AS overdue, 0 AS since_ms
FROM webhooks w
WHERE ` + openDue + ` < now() - ?0 * interval '1 ms' ORDER BY ` + openDue + ` LIMIT ?1`

const openDue = "(CASE WHEN w.circuit_opened_at IS NOT NULL AND w.deleted_at IS NULL THEN GREATEST(w.reconcile_at, w.circuit_opened_at) END)"

// releasesDueSQL walks the distinct webhooks that have paused deliveries (a loose index scan over deliveries_paused). Those that
// are open or inactive keep them; of the others a release should be under way.
const releasesDueSQL = `
WITH RECURSIVE hooks AS (
  (SELECT ` + pausedHook + ` AS id FROM deliveries d WHERE ` + pausedHook + ` IS NOT NULL ORDER BY 1 LIMIT 1)
  UNION ALL
  SELECT (SELECT ` + pausedHook + ` FROM deliveries d WHERE ` + pausedHook + ` > hooks.id ORDER BY 1 LIMIT 1) FROM hooks WHERE hooks.id IS NOT NULL
)
SELECT w.id, false AS needed, true AS overdue, (extract(epoch FROM now() - COALESCE(w.deleted_at, w.updated_at)) * 1000)::bigint AS since_ms
FROM hooks JOIN webhooks w ON w.id = hooks.id
WHERE (w.circuit_opened_at IS NULL AND w.is_active OR w.deleted_at IS NOT NULL)
  AND GREATEST(w.reconcile_at, w.updated_at, w.deleted_at) < now() - ?0 * interval '1 ms'
LIMIT ?1`

const pausedHook = "(CASE WHEN d.status = 'paused' THEN d.webhook_id END)"

const replaysDueSQL = `
SELECT r.id, false AS needed, true AS overdue, (extract(epoch FROM now() - r.updated_at) * 1000)::bigint AS since_ms
FROM replays r WHERE ` + replayDue + ` < now() - ?0 * interval '1 ms' ORDER BY ` + replayDue + ` LIMIT ?1`

const replayDue = "(CASE WHEN r.state = 'running' THEN GREATEST(r.reconcile_at, r.updated_at) END)"

const generationsDueSQL = `
SELECT g.id, true AS needed, false AS overdue, 0 AS since_ms
FROM generations g WHERE ` + generationDue + ` < now() - ?0 * interval '1 ms' ORDER BY ` + generationDue + ` LIMIT ?1`

const generationDue = "(CASE WHEN g.status = 'pending' THEN GREATEST(g.reconcile_at, g.updated_at) END)"
