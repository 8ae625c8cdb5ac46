package delivery

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// PauseQueued takes up to limit first attempts of a blocked webhook from the queue and pauses them. It cancels all
// deliveries of a deleted one. paused counts both. Of a webhook that is not blocked, or is locked, it takes none.
func PauseQueued(ctx context.Context, tx bun.Tx, webhook uuid.UUID, limit int) (paused int, err error) {
	rows, err := takeBlockedRows(ctx, tx, webhook, limit)
	if err == nil {
		err = readTaken(ctx, tx, rows)
	}
	if err != nil {
		return 0, fmt.Errorf("take deliveries of a blocked webhook: %w", err)
	}
	var held []QueuedDelivery
	for i := range rows {
		if rows[i].needsWorkflow() {
			held = append(held, rows[i].QueuedDelivery)
		}
	}
	requeued, err := pauseOrCancel(ctx, tx, held, skipLocked)
	return len(rows) - requeued, err
}

func takeBlockedRows(ctx context.Context, tx bun.Tx, webhook uuid.UUID, limit int) (taken []queuedRow, err error) {
	rows, err := pg.Direct(tx).QueryContext(ctx, takeBlockedSQL, webhook, limit)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err reports its error
	for rows.Next() {
		r := queuedRow{QueuedDelivery: QueuedDelivery{WebhookID: webhook}}
		err := rows.Scan(&r.DeliveryID, &r.CompanyID, &r.Attempt, &r.Probe, &r.EnsureWorkflow, &r.Single)
		if err != nil {
			return nil, err
		}
		taken = append(taken, r)
	}
	return taken, rows.Err()
}

// takeBlockedSQL takes what TakeDeliveries would pause or cancel: $2 queue rows of the webhook $1. It locks the webhook
// so that it stays blocked.
const takeBlockedSQL = `
WITH hook AS MATERIALIZED (
  SELECT id, deleted_at IS NOT NULL AS deleted FROM webhooks
  WHERE id = $1 AND (circuit_opened_at IS NOT NULL OR NOT is_active OR deleted_at IS NOT NULL)
  FOR SHARE SKIP LOCKED
), picked AS (
  SELECT q.row FROM hook CROSS JOIN LATERAL (
    SELECT q.ctid AS row FROM delivery_queue q
    WHERE q.webhook_id = $1 AND q.webhook_id = hook.id AND (hook.deleted OR q.attempt <= 1 AND NOT q.probe)
    ORDER BY q.webhook_id, q.company_id, q.delivery_id LIMIT $2 FOR UPDATE SKIP LOCKED
  ) q
)
DELETE FROM delivery_queue WHERE ctid = ANY (ARRAY(SELECT row FROM picked))
RETURNING delivery_id, NULLIF(company_id, '00000000-0000-0000-0000-000000000000'), attempt, probe, redo, single`

// pauseOrCancel pauses the deliveries of blocked webhooks and cancels those of deleted webhooks. It takes share locks
// on the webhooks, as PauseDelivery does. A delivery goes back to the queue when its webhook is no longer blocked, or
// when its row or its webhook's is locked and skipped. requeued counts these.
func pauseOrCancel(
	ctx context.Context,
	tx bun.Tx,
	held []QueuedDelivery,
	locked lockedRows,
) (requeued int, err error) {
	if len(held) == 0 {
		return 0, nil
	}
	hooks, err := lockWebhooks(ctx, tx, held, locked)
	if err != nil {
		return 0, fmt.Errorf("lock webhooks: %w", err)
	}
	var paused, canceled, unstarted []uuid.UUID
	for i := range held {
		q := &held[i]
		status := hooks[q.WebhookID]
		if status == Paused {
			paused = append(paused, q.DeliveryID)
		}
		if status == Canceled {
			canceled = append(canceled, q.DeliveryID)
			if q.Attempt > 1 {
				unstarted = append(unstarted, q.DeliveryID)
			}
		}
	}
	done := map[uuid.UUID]bool{}
	if err := collectIDs(ctx, tx, done, pauseSQL, paused); err != nil {
		return 0, fmt.Errorf("pause deliveries: %w", err)
	}
	if err := collectIDs(ctx, tx, done, cancelHeldSQL, canceled, unstarted); err != nil {
		return 0, fmt.Errorf("cancel deliveries: %w", err)
	}
	rest := slices.DeleteFunc(slices.Clone(held), func(q QueuedDelivery) bool { return done[q.DeliveryID] })
	return len(rest), PutBackDeliveries(ctx, tx, rest)
}

// lockedRows says how to treat webhooks that another transaction has locked.
type lockedRows string

// The dispatcher uses skipLocked: waiting for one webhook would stop the deliveries to all. A batch uses waitForLocks.
const (
	skipLocked   lockedRows = " SKIP LOCKED"
	waitForLocks lockedRows = ""
)

// lockWebhooks takes share locks on the deliveries' webhooks. It returns, by webhook, the status that its deliveries
// must get: paused, canceled, or "" when the webhook is not blocked.
func lockWebhooks(
	ctx context.Context,
	tx bun.Tx,
	qs []QueuedDelivery,
	locked lockedRows,
) (map[uuid.UUID]Status, error) {
	ids := make([]uuid.UUID, len(qs))
	for i := range qs {
		ids[i] = qs[i].WebhookID
	}
	rows, err := pg.Direct(tx).QueryContext(ctx, `SELECT id, CASE WHEN deleted_at IS NOT NULL THEN 'canceled'
			WHEN circuit_opened_at IS NOT NULL OR NOT is_active THEN 'paused' ELSE '' END
		FROM webhooks WHERE id = ANY ($1) ORDER BY id FOR SHARE`+string(locked), ids)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err reports its error
	statuses := map[uuid.UUID]Status{}
	for rows.Next() {
		var id uuid.UUID
		var status Status
		if err := rows.Scan(&id, &status); err != nil {
			return nil, err
		}
		statuses[id] = status
	}
	return statuses, rows.Err()
}

const pauseSQL = `
WITH free AS (
  SELECT id FROM deliveries WHERE id = ANY ($1::uuid[]) AND status IN ('pending', 'retrying')
  ORDER BY id FOR UPDATE SKIP LOCKED
)
UPDATE deliveries d SET status = 'paused', updated_at = now() FROM free
WHERE d.id = free.id AND d.id = ANY ($1) RETURNING d.id`

// cancelHeldSQL: $1 are the deliveries, $2 those of them whose next workflow was not started: workflow_id becomes the
// one of the last attempt. A delivery that failed for good stays failed.
const cancelHeldSQL = `
WITH free AS (
  SELECT id FROM deliveries WHERE id = ANY ($1::uuid[]) AND status IN ('pending', 'retrying', 'failed')
  ORDER BY id FOR UPDATE SKIP LOCKED
)
UPDATE deliveries d SET updated_at = now(), next_attempt_at = NULL,
  status = CASE d.status WHEN 'failed' THEN 'failed' ELSE 'canceled' END,
  workflow_id = CASE WHEN d.id = ANY ($2::uuid[]) THEN (
    SELECT a.workflow_id FROM attempts a WHERE a.delivery_id = d.id AND a.delivery_id = ANY ($2)
    ORDER BY a.started_at DESC LIMIT 1
  ) ELSE d.workflow_id END
FROM free WHERE d.id = free.id AND d.id = ANY ($1) RETURNING d.id`

// collectIDs runs a statement about deliveries, unless there are none, and adds the ids that it returns to a set.
func collectIDs(ctx context.Context, tx bun.Tx, into map[uuid.UUID]bool, query string, args ...any) error {
	ids, err := queryIDs(ctx, tx, query, args...)
	for _, id := range ids {
		into[id] = true
	}
	return err
}

// PutBackDeliveries returns deliveries to the queue as they are: they were taken in this transaction but not started.
func PutBackDeliveries(ctx context.Context, tx bun.Tx, qs []QueuedDelivery) error {
	if len(qs) == 0 {
		return nil
	}
	var hooks, companies, ids []uuid.UUID
	var attempts []int
	var probes, redos, singles []bool
	for i := range qs {
		l := qs[i].Flow()
		hooks = append(hooks, l.Webhook)
		companies = append(companies, l.Company)
		ids = append(ids, qs[i].DeliveryID)
		attempts = append(attempts, qs[i].Attempt)
		probes = append(probes, qs[i].Probe)
		redos = append(redos, qs[i].EnsureWorkflow)
		singles = append(singles, qs[i].Single)
	}
	_, err := pg.Direct(tx).
		ExecContext(ctx, `INSERT INTO delivery_queue (webhook_id, company_id, delivery_id, attempt, probe, redo, single)
		SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::int[], $5::bool[], $6::bool[], $7::bool[])
		ON CONFLICT DO NOTHING`, hooks, companies, ids, attempts, probes, redos, singles)
	if err != nil {
		return fmt.Errorf("put deliveries back: %w", err)
	}
	return nil
}
