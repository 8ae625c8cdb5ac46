package delivery

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// hold pauses the deliveries of blocked webhooks and cancels those of deleted ones. It shares the webhooks' row
// locks, as PauseDelivery does. A delivery that cannot be held now goes back to the queue, and hold returns how many
// did: its webhook is no longer blocked, or a row is locked and passed over.
func hold(ctx context.Context, tx bun.Tx, held []QueuedDelivery, locked lockedRows) (back int, err error) {
	if len(held) == 0 {
		return 0, nil
	}
	hooks, err := lockWebhooks(ctx, tx, held, locked)
	if err != nil {
		return 0, fmt.Errorf("hold deliveries: %w", err)
	}
	var paused, canceled, unstarted []uuid.UUID
	for i := range held {
		q := &held[i]
		becomes := hooks[q.WebhookID]
		if becomes == Paused {
			paused = append(paused, q.DeliveryID)
		}
		if becomes == Canceled {
			canceled = append(canceled, q.DeliveryID)
			if q.Attempt > 1 {
				unstarted = append(unstarted, q.DeliveryID)
			}
		}
	}
	done := map[uuid.UUID]bool{}
	if err := collect(ctx, tx, done, pauseSQL, paused); err != nil {
		return 0, fmt.Errorf("pause deliveries: %w", err)
	}
	if err := collect(ctx, tx, done, cancelHeldSQL, canceled, unstarted); err != nil {
		return 0, fmt.Errorf("cancel deliveries: %w", err)
	}
	rest := slices.DeleteFunc(slices.Clone(held), func(q QueuedDelivery) bool { return done[q.DeliveryID] })
	return len(rest), PutBackDeliveries(ctx, tx, rest)
}

// lockedRows says what becomes of webhooks whose rows another transaction has locked.
type lockedRows string

// passOver is for the one loop that dispatches: waiting for the row of one webhook would stop the deliveries to all.
// waitFor is for one batch.
const (
	passOver lockedRows = " SKIP LOCKED"
	waitFor  lockedRows = ""
)

// lockWebhooks locks the rows of the deliveries' webhooks, and returns the status that their
// deliveries get: paused, canceled, or "" when the webhook is not blocked.
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
	defer func() { _ = rows.Close() }() // its error is that of rows.Err
	becomes := map[uuid.UUID]Status{}
	for rows.Next() {
		var id uuid.UUID
		var status Status
		if err := rows.Scan(&id, &status); err != nil {
			return nil, err
		}
		becomes[id] = status
	}
	return becomes, rows.Err()
}

const pauseSQL = `
WITH free AS (
  SELECT id FROM deliveries WHERE id = ANY ($1::uuid[]) AND status IN ('pending', 'retrying') ORDER BY id FOR UPDATE SKIP LOCKED
)
UPDATE deliveries d SET status = 'paused', updated_at = now() FROM free WHERE d.id = free.id AND d.id = ANY ($1) RETURNING d.id`

// cancelHeldSQL: $1 the deliveries, $2 those of them whose next workflow was not started: they keep the one that made
// the last attempt. One that has failed for good stays failed.
const cancelHeldSQL = `
WITH free AS (
  SELECT id FROM deliveries WHERE id = ANY ($1::uuid[]) AND status IN ('pending', 'retrying', 'failed')
  ORDER BY id FOR UPDATE SKIP LOCKED
)
UPDATE deliveries d SET updated_at = now(), next_attempt_at = NULL,
  status = CASE d.status WHEN 'failed' THEN 'failed' ELSE 'canceled' END,
  workflow_id = CASE WHEN d.id = ANY ($2::uuid[]) THEN (
    SELECT a.workflow_id FROM attempts a WHERE a.delivery_id = d.id AND a.delivery_id = ANY ($2) ORDER BY a.started_at DESC LIMIT 1
  ) ELSE d.workflow_id END
FROM free WHERE d.id = free.id AND d.id = ANY ($1) RETURNING d.id`

// collect runs a statement about deliveries, if there are any, and notes the ids that it returns.
func collect(ctx context.Context, tx bun.Tx, into map[uuid.UUID]bool, query string, args ...any) error {
	ids, err := queryIDs(ctx, tx, query, args...)
	for _, id := range ids {
		into[id] = true
	}
	return err
}

// PutBackDeliveries returns deliveries to the queue that were taken in this transaction but could not be started, as
// they were.
func PutBackDeliveries(ctx context.Context, tx bun.Tx, qs []QueuedDelivery) error {
	if len(qs) == 0 {
		return nil
	}
	var hooks, companies, ids []uuid.UUID
	var attempts []int
	var probes, redos []bool
	for i := range qs {
		l := qs[i].Flow()
		hooks, companies, ids = append(hooks, l.Webhook), append(companies, l.Company), append(ids, qs[i].DeliveryID)
		attempts, probes, redos = append(attempts, qs[i].Attempt), append(probes, qs[i].Probe), append(redos, qs[i].Redo)
	}
	_, err := pg.Direct(tx).
		ExecContext(ctx, `INSERT INTO delivery_queue (webhook_id, company_id, delivery_id, attempt, probe, redo)
		SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::int[], $5::bool[], $6::bool[])
		ON CONFLICT DO NOTHING`, hooks, companies, ids, attempts, probes, redos)
	if err != nil {
		return fmt.Errorf("put deliveries back: %w", err)
	}
	return nil
}
