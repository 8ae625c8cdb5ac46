package delivery

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// firstCancelPage is how many deliveries are canceled with their webhook at once: some tens of milliseconds of work.
const firstCancelPage = 1000

// CancelPage cancels up to limit deliveries of a deleted webhook that have not ended, and removes them from the
// queue. The workflows that have one of them are woken to end too. It returns how many it canceled: those that
// another transaction has locked are left for the next page.
func CancelPage(ctx context.Context, db bun.IDB, webhook uuid.UUID, limit int) (n int, err error) {
	err = pg.InTx(ctx, db, func(ctx context.Context, tx bun.Tx) (err error) {
		if n, err = cancelPage(ctx, tx, webhook, limit); err != nil || n == 0 {
			return err
		}
		return notify(ctx, tx)
	})
	return n, err
}

// cancelPage cancels what is in the queue first. What is still live when the queue has no more is in a batch or has a
// workflow.
func cancelPage(ctx context.Context, tx bun.Tx, webhook uuid.UUID, limit int) (n int, err error) {
	queued, unstarted, err := unqueue(ctx, tx, webhook, limit)
	if err != nil {
		return 0, fmt.Errorf("remove deliveries from the queue: %w", err)
	}
	canceled := map[uuid.UUID]bool{}
	if err := collect(ctx, tx, canceled, cancelHeldSQL, queued, unstarted); err != nil {
		return 0, fmt.Errorf("cancel deliveries: %w", err)
	}
	if len(queued) == limit {
		return len(canceled), nil
	}
	var live []uuid.UUID
	err = tx.NewRaw("SELECT id "+liveOf+" LIMIT ?1 FOR UPDATE SKIP LOCKED", webhook, limit-len(queued)).Scan(ctx, &live)
	if err != nil {
		return 0, fmt.Errorf("find deliveries to cancel: %w", err)
	}
	if len(live) > 0 {
		if _, err := pg.Direct(tx).ExecContext(ctx, cancelLiveSQL, live, string(WakeDelivery)); err != nil {
			return 0, fmt.Errorf("cancel deliveries: %w", err)
		}
	}
	return len(canceled) + len(live), nil
}

// unqueue removes deliveries of a webhook from the queue. unstarted are those whose next attempt was to be made by a
// workflow that is not started now.
func unqueue(ctx context.Context, tx bun.Tx, webhook uuid.UUID, limit int) (ids, unstarted []uuid.UUID, err error) {
	rows, err := pg.Direct(tx).QueryContext(ctx, unqueueSQL, webhook, limit)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = rows.Close() }() // its error is that of rows.Err
	for rows.Next() {
		var id uuid.UUID
		var attempt int
		if err := rows.Scan(&id, &attempt); err != nil {
			return nil, nil, err
		}
		ids = append(ids, id)
		if attempt > 1 {
			unstarted = append(unstarted, id)
		}
	}
	return ids, unstarted, rows.Err()
}

const (
	unqueueSQL = `
DELETE FROM delivery_queue WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM delivery_queue WHERE webhook_id >= $1::uuid AND webhook_id <= $1
  ORDER BY webhook_id, company_id, delivery_id LIMIT $2 FOR UPDATE SKIP LOCKED
)) RETURNING delivery_id, attempt`

	cancelLiveSQL = `
WITH d AS (
  UPDATE deliveries SET status = 'canceled', next_attempt_at = NULL, updated_at = now() WHERE id = ANY ($1::uuid[])
  RETURNING id, workflow_id
)
INSERT INTO commands (id, kind, subject_id) SELECT uuid_v7(), $2, id FROM d WHERE workflow_id IS NOT NULL`
)
