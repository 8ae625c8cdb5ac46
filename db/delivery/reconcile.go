package delivery

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// The reconciler finds rows that need a workflow and seem to have none. Each check reads only due rows, by an index on
// the due time, and stores on the row when to check it again, so a row without progress never hides another one.

// SweepCursor is the position in a sweep of overdue deliveries. Zero is the beginning.
type SweepCursor struct {
	Due time.Time
	ID  uuid.UUID
}

// SweepPage is the result of one page of a sweep.
type SweepPage struct {
	// Looked counts the overdue deliveries that were read, Requeued those that went back into the queue.
	Looked, Requeued int
	// Next is where the next page begins.
	Next SweepCursor
}

// SweepDeliveries reads the next overdue deliveries, the longest overdue first. It requeues those that are not queued,
// not in a batch and not waiting in a line, and overdue by more than grace plus their webhook's timeout: their workflow
// was lost, or is older than the row. The queue entry asks for a redo, which wakes the workflow if it exists. Queued
// deliveries are only read, so a long backlog costs no writes.
func SweepDeliveries(
	ctx context.Context,
	db bun.IDB,
	after SweepCursor,
	grace time.Duration,
	limit int,
) (p SweepPage, err error) {
	err = pg.InTx(ctx, db, func(ctx context.Context, tx bun.Tx) error {
		if err := planByIndex(ctx, tx); err != nil {
			return err
		}
		p.Next = after
		err := tx.NewRaw(sweepSQL, pg.Args{
			"after_due": after.Due, "after_id": after.ID, "grace_ms": grace.Milliseconds(), "limit": limit,
			"no_company": uuid.Nil,
		}).Scan(ctx, &p.Looked, &p.Requeued, &p.Next.Due, &p.Next.ID)
		if err != nil || p.Requeued == 0 {
			return err
		}
		notify(tx)
		return nil
	})
	if err != nil {
		return SweepPage{}, fmt.Errorf("sweep deliveries: %w", err)
	}
	return p, nil
}

// planByIndex makes the statements of one transaction use the indexes made for them. The planner decides by statistics,
// which may date from a moment when no row was due, or millions were. It must not compile them either: that is decided
// by the estimated cost, which such settings raise, and takes seconds.
func planByIndex(ctx context.Context, tx bun.Tx) error {
	_, err := tx.ExecContext(
		ctx,
		`SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off;
		SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL jit = off`,
	)
	if err != nil {
		return fmt.Errorf("set up the planner: %w", err)
	}
	return nil
}

// deliveryDue is the expression of the index deliveries_due.
const deliveryDue = "(CASE WHEN d.status IN ('pending', 'retrying') " +
	"THEN GREATEST(d.reconcile_at, COALESCE(d.next_attempt_at, d.updated_at)) END)"

// sweepSQL requeues a delivery again, if it is still overdue, after half of the time for which it has been overdue, at
// most after ten minutes.
const sweepSQL = `
WITH page AS MATERIALIZED (
  SELECT d.id, d.webhook_id, COALESCE(d.company_id, ?no_company) AS company_id,
    COALESCE(d.next_attempt_at, d.updated_at) AS since, ` + deliveryDue + ` AS due
  FROM deliveries d
  WHERE ` + deliveryDue + ` < now() - ?grace_ms * interval '1 ms'
    AND (` + deliveryDue + `, d.id) > (?after_due, ?after_id)
  ORDER BY ` + deliveryDue + `, d.id LIMIT ?limit
), lost AS MATERIALIZED (
  SELECT p.id, p.since FROM page p JOIN webhooks w ON w.id = p.webhook_id
  WHERE p.due < now() - (?grace_ms + w.timeout_ms) * interval '1 ms'
    AND NOT EXISTS (SELECT FROM delivery_queue q
      WHERE q.webhook_id = p.webhook_id AND q.company_id = p.company_id AND q.delivery_id = p.id)
    AND p.id NOT IN (SELECT unnest(b.deliveries) FROM delivery_batches b)
    AND NOT EXISTS (SELECT FROM line_waiting l WHERE l.delivery_id = p.id)
), locked AS MATERIALIZED (
  SELECT d.id, lost.since FROM lost JOIN deliveries d ON d.id = lost.id FOR UPDATE OF d SKIP LOCKED
), noted AS (
  UPDATE deliveries d SET reconcile_at = now() + LEAST((now() - locked.since) / 2, interval '10 minutes')
  FROM locked WHERE d.id = locked.id
  RETURNING d.id, d.webhook_id, d.company_id, d.generation, d.status
), queued AS (
  INSERT INTO delivery_queue (webhook_id, company_id, delivery_id, attempt, redo)
  SELECT n.webhook_id, COALESCE(n.company_id, ?no_company), n.id, ` + nextAttempt + `, true FROM noted n
  WHERE n.status IN ('pending', 'retrying')
  ON CONFLICT DO NOTHING RETURNING 1
)
SELECT (SELECT count(*) FROM page), (SELECT count(*) FROM queued),
  COALESCE((SELECT max(due) FROM page), ?after_due),
  COALESCE((SELECT id FROM page WHERE due = (SELECT max(due) FROM page) ORDER BY id DESC LIMIT 1), ?after_id)`

// nextAttempt is the number of the next attempt of a delivery n. It follows the highest one: a workflow that was
// reset makes attempts of the same number again.
const nextAttempt = "(SELECT 1 + COALESCE(max(a.attempt), 0) FROM attempts a " +
	"WHERE a.delivery_id = n.id AND a.generation = n.generation)"

// RequeueLost requeues a delivery whose workflow no longer exists, if it waits for an attempt, which is then due at
// once. With probe that attempt is made although the circuit is open.
func RequeueLost(ctx context.Context, tx bun.Tx, delivery uuid.UUID, probe bool) (bool, error) {
	res, err := tx.ExecContext(ctx, `WITH n AS (
		UPDATE deliveries SET next_attempt_at = NULL, updated_at = now() WHERE id = ?0 AND `+isLive+`
		RETURNING id, webhook_id, company_id, generation
	) INSERT INTO delivery_queue AS q (webhook_id, company_id, delivery_id, attempt, probe, redo)
		SELECT n.webhook_id, COALESCE(n.company_id, ?1), n.id, `+nextAttempt+`, ?2, true FROM n
		ON CONFLICT (webhook_id, company_id, delivery_id) DO UPDATE SET probe = q.probe OR EXCLUDED.probe, redo = true`,
		delivery, uuid.Nil, probe)
	if err != nil {
		return false, fmt.Errorf("requeue delivery: %w", err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// isLive is true for a delivery that waits for an attempt. Its expression matches no partial index on purpose: a row
// must be found by its id, not in the index of all live deliveries.
const isLive = "COALESCE(status, '') IN ('pending', 'retrying')"

// releaseProbe requeues one paused delivery of a webhook although the circuit is open, unless the webhook is inactive.
// Of the 100 newest it picks the one with the fewest attempts: a long outage must not use up the attempts of one
// delivery.
func releaseProbe(ctx context.Context, tx bun.Tx, webhook uuid.UUID) (n int, err error) {
	err = tx.NewRaw(`WITH newest AS MATERIALIZED (
		SELECT d.id, d.attempts FROM deliveries d
		WHERE (live_webhook(d.status, d.webhook_id), d.status, d.id) >= (?0, 'paused', ?1)
			AND (live_webhook(d.status, d.webhook_id), d.status, d.id) <= (?0, 'paused', ?2)
			AND live_webhook(d.status, d.webhook_id) <= ?0
			AND EXISTS (SELECT FROM webhooks w WHERE w.id = ?0 AND w.is_active AND w.deleted_at IS NULL)
		ORDER BY live_webhook(d.status, d.webhook_id) DESC, d.status DESC, d.id DESC LIMIT 100
	), picked AS MATERIALIZED (
		SELECT d.id FROM (SELECT id FROM newest ORDER BY attempts, id DESC LIMIT 1) p JOIN deliveries d ON d.id = p.id
		WHERE COALESCE(d.status, '') = 'paused' FOR UPDATE OF d SKIP LOCKED
	), n AS (
		UPDATE deliveries d SET status = CASE WHEN d.workflow_id IS NULL THEN 'pending' ELSE 'retrying' END,
			next_attempt_at = CASE WHEN d.workflow_id IS NOT NULL THEN now() END, updated_at = now()
		FROM picked WHERE d.id = picked.id
		RETURNING d.id, d.company_id, d.generation
	), q AS (
		INSERT INTO delivery_queue (webhook_id, company_id, delivery_id, attempt, probe, redo)
		SELECT ?0, COALESCE(n.company_id, ?1), n.id, `+nextAttempt+`, true, true FROM n
		ON CONFLICT (webhook_id, company_id, delivery_id) DO UPDATE SET probe = true, redo = true
	) SELECT count(*) FROM n`, webhook, uuid.Nil, uuid.Max).Scan(ctx, &n)
	if err != nil {
		return 0, fmt.Errorf("release a probe: %w", err)
	}
	return n, nil
}
