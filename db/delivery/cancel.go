package delivery

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// firstCancelPage is how many deliveries DeleteWebhook cancels itself: some tens of milliseconds of work.
const firstCancelPage = 1000

// CancelPage cancels up to limit live deliveries of a deleted webhook, removes them from the queue, and wakes their
// workflows, which then end. It returns how many it canceled. Deliveries that another transaction has locked are left
// for the next page.
func CancelPage(ctx context.Context, db bun.IDB, webhook uuid.UUID, limit int) (n int, err error) {
	err = pg.InTx(ctx, db, func(ctx context.Context, tx bun.Tx) (err error) {
		if n, err = cancelPage(ctx, tx, webhook, limit); err != nil || n == 0 {
			return err
		}
		notify(tx)
		return nil
	})
	return n, err
}

// cancelPage cancels queued deliveries first. The live deliveries that are not queued are in a batch or have a
// workflow.
func cancelPage(ctx context.Context, tx bun.Tx, webhook uuid.UUID, limit int) (n int, err error) {
	queued, unstarted, err := unqueue(ctx, tx, webhook, limit)
	if err != nil {
		return 0, fmt.Errorf("remove deliveries from the queue: %w", err)
	}
	canceled := map[uuid.UUID]bool{}
	if err := collectIDs(ctx, tx, canceled, cancelHeldSQL, queued, unstarted); err != nil {
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

// unqueue removes deliveries of a webhook from the queue. unstarted are those after a first attempt: the workflow for
// their next attempt will not be started.
func unqueue(ctx context.Context, tx bun.Tx, webhook uuid.UUID, limit int) (ids, unstarted []uuid.UUID, err error) {
	rows, err := pg.Direct(tx).QueryContext(ctx, unqueueSQL, webhook, limit)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err reports its error
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
