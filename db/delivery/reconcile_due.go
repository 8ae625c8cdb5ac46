package delivery

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// Due is a row whose workflow may have to be woken or started.
type Due struct {
	ID uuid.UUID
	// Overdue: the workflow has not done what was due. Needed: the row must have a running workflow at any time.
	Overdue, Needed bool
	// SinceMS is the time since the row was due, in milliseconds. The longer it is, the later the next check.
	SinceMS int64 `bun:"since_ms"`
}

// Reconciled is a kind of rows that the reconciler checks.
type Reconciled struct {
	Kind string
	// Works: the workflow of an overdue row may still be working on it. Only a missing workflow is a fault.
	Works bool
	Table string
	// Look is the statement that finds due rows, the longest overdue first. ?0 is the grace in ms, ?1 the limit.
	Look string
}

// The engine's kinds, except deliveries: see SweepDeliveries.
var (
	// ReconciledCircuits are open circuits, which need a workflow that probes or waits for a reset.
	ReconciledCircuits = Reconciled{Kind: "circuit", Table: "webhooks", Look: openCircuitsSQL}
	// ReconciledReleases are webhooks whose paused deliveries must be released or canceled.
	ReconciledReleases = Reconciled{Kind: "release", Works: true, Table: "webhooks", Look: releasesDueSQL}
	// ReconciledReplays are running replays without progress.
	ReconciledReplays = Reconciled{Kind: "replay", Table: "replays", Look: replaysDueSQL}
)

// LookForDue returns up to limit rows of a kind that have been due for longer than grace.
func LookForDue(ctx context.Context, db bun.IDB, r Reconciled, grace time.Duration, limit int) (due []Due, err error) {
	err = pg.InTx(ctx, db, func(ctx context.Context, tx bun.Tx) error {
		if err := planByIndex(ctx, tx); err != nil {
			return err
		}
		return tx.NewRaw(r.Look, grace.Milliseconds(), limit).Scan(ctx, &due)
	})
	if err != nil {
		return nil, fmt.Errorf("look for %ss that are due: %w", r.Kind, err)
	}
	return due, nil
}

// A row is checked again after half of the time for which it has been due, within these limits.
const (
	minRecheck = 30 * time.Second
	maxRecheck = 10 * time.Minute
)

// recheckAfter is the time until the next check of the row.
func (d Due) recheckAfter() time.Duration {
	return min(max(time.Duration(d.SinceMS)*time.Millisecond/2, minRecheck), maxRecheck)
}

// NoteLooked stores on each row when to check it again. A row that another transaction has locked is skipped, so the
// next round checks it.
func NoteLooked(ctx context.Context, db bun.IDB, r Reconciled, looked []Due) error {
	if len(looked) == 0 {
		return nil
	}
	ids, waits := make([]uuid.UUID, len(looked)), make([]int64, len(looked))
	for i, d := range looked {
		ids[i] = d.ID
		waits[i] = d.recheckAfter().Milliseconds()
	}
	err := pg.InTx(ctx, db, func(ctx context.Context, tx bun.Tx) error {
		_, err := pg.Direct(tx).ExecContext(ctx, `WITH locked AS MATERIALIZED (
			SELECT r.id, l.wait FROM unnest($1::uuid[], $2::bigint[]) AS l (id, wait) JOIN `+r.Table+` r ON r.id = l.id
			FOR NO KEY UPDATE OF r SKIP LOCKED
		) UPDATE `+r.Table+` r SET reconcile_at = now() + locked.wait * interval '1 ms'
		FROM locked WHERE r.id = locked.id`, ids, waits)
		return err
	})
	if err != nil {
		return fmt.Errorf("note %ss that were looked at: %w", r.Kind, err)
	}
	return nil
}

// openCircuitsSQL: each needs its workflow at any time, so none is looked at less often than the others.
const openCircuitsSQL = `
SELECT w.id, true AS needed, false AS overdue, 0 AS since_ms
FROM webhooks w
WHERE ` + openDue + ` < now() - ?0 * interval '1 ms' ORDER BY ` + openDue + ` LIMIT ?1`

const openDue = "(CASE WHEN w.circuit_opened_at IS NOT NULL AND w.deleted_at IS NULL " +
	"THEN GREATEST(w.reconcile_at, w.circuit_opened_at) END)"

// releasesDueSQL walks the distinct webhooks that have paused deliveries (a loose index scan over deliveries_paused).
// Those that are open or inactive keep them; of the others a release should be under way.
const releasesDueSQL = `
WITH RECURSIVE hooks AS (
  (SELECT ` + pausedHook + ` AS id FROM deliveries d WHERE ` + pausedHook + ` IS NOT NULL ORDER BY 1 LIMIT 1)
  UNION ALL
  SELECT (SELECT ` + pausedHook + ` FROM deliveries d WHERE ` + pausedHook + ` > hooks.id ORDER BY 1 LIMIT 1)
  FROM hooks WHERE hooks.id IS NOT NULL
)
SELECT w.id, false AS needed, true AS overdue,
  (extract(epoch FROM now() - COALESCE(w.deleted_at, w.updated_at)) * 1000)::bigint AS since_ms
FROM hooks JOIN webhooks w ON w.id = hooks.id
WHERE (w.circuit_opened_at IS NULL AND w.is_active OR w.deleted_at IS NOT NULL)
  AND GREATEST(w.reconcile_at, w.updated_at, w.deleted_at) < now() - ?0 * interval '1 ms'
LIMIT ?1`

const pausedHook = "(CASE WHEN d.status = 'paused' THEN d.webhook_id END)"

const replaysDueSQL = `
SELECT r.id, false AS needed, true AS overdue, (extract(epoch FROM now() - r.updated_at) * 1000)::bigint AS since_ms
FROM replays r WHERE ` + replayDue + ` < now() - ?0 * interval '1 ms' ORDER BY ` + replayDue + ` LIMIT ?1`

const replayDue = "(CASE WHEN r.state = 'running' THEN GREATEST(r.reconcile_at, r.updated_at) END)"
