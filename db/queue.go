package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
)

// QueuedDelivery is a delivery that no workflow has yet, with what is needed to start one.
type QueuedDelivery struct {
	DeliveryID uuid.UUID
	WebhookID  uuid.UUID
	CompanyID  *uuid.UUID
	EventType  string
	Generation int
	// Attempt is the number of the attempt to begin with: 1, or more for one that goes on.
	Attempt int
	IsTest  bool
	// Probe: one attempt although the circuit is open.
	Probe bool
	// Redo: its workflow may have been lost, so a closed workflow of this id must not stand in the way.
	Redo bool

	Profile    string
	URL        string
	MaxRetries int
	TimeoutMS  int `bun:"timeout_ms"`
	// RateLimit bounds this webhook's deliveries per second; 0 = none.
	RateLimit int
	// Failing: the last attempt at this endpoint failed.
	Failing bool
}

// TakeOptions bound one taking.
type TakeOptions struct {
	// PerWebhook is how many deliveries of one webhook may be taken; Room overrides it for webhooks with some in flight.
	PerWebhook int
	Room       map[uuid.UUID]int
}

type queuedRow struct {
	QueuedDelivery
	Blocked bool
	Deleted bool
}

// TakeDeliveries takes deliveries from the queue, the oldest of each webhook, and removes them from it: they are gone when
// tx commits and back when it does not. Its cost follows the number of webhooks that wait, not the length of their queues.
// Deliveries of a webhook that is inactive or whose circuit is open are paused instead of returned; of a deleted one,
// canceled; taken counts those too.
func TakeDeliveries(ctx context.Context, tx bun.Tx, o TakeOptions) (ready []QueuedDelivery, taken int, err error) {
	ids, room := make([]string, 0, len(o.Room)), make([]int, 0, len(o.Room))
	for id, n := range o.Room {
		ids, room = append(ids, id.String()), append(room, n)
	}
	var rows []queuedRow
	err = tx.NewRaw(takeSQL, pgdialect.Array(ids), pgdialect.Array(room), o.PerWebhook).Scan(ctx, &rows)
	if err != nil {
		return nil, 0, fmt.Errorf("take deliveries: %w", err)
	}
	var held []QueuedDelivery
	for _, r := range rows {
		if r.Deleted || (r.Blocked && !r.Probe) {
			held = append(held, r.QueuedDelivery)
		} else {
			ready = append(ready, r.QueuedDelivery)
		}
	}
	return ready, len(rows), hold(ctx, tx, held)
}

// takeSQL walks the distinct webhooks of the queue (a loose index scan) and takes a few rows of each.
const takeSQL = `
WITH RECURSIVE waiting AS (
  (SELECT webhook_id FROM delivery_queue ORDER BY webhook_id LIMIT 1)
  UNION ALL
  SELECT (SELECT q.webhook_id FROM delivery_queue q WHERE q.webhook_id > waiting.webhook_id ORDER BY q.webhook_id LIMIT 1)
  FROM waiting WHERE waiting.webhook_id IS NOT NULL
), picked AS (
  SELECT p.* FROM waiting
  LEFT JOIN unnest(?0::uuid[], ?1::int[]) AS room (webhook_id, n) USING (webhook_id)
  CROSS JOIN LATERAL (
    SELECT q.webhook_id, q.delivery_id FROM delivery_queue q WHERE q.webhook_id = waiting.webhook_id
    ORDER BY q.delivery_id LIMIT COALESCE(room.n, ?2) FOR UPDATE SKIP LOCKED
  ) p
  WHERE waiting.webhook_id IS NOT NULL
), taken AS (
  DELETE FROM delivery_queue q USING picked p
  WHERE q.webhook_id = p.webhook_id AND q.delivery_id = p.delivery_id
  RETURNING q.webhook_id, q.delivery_id, q.attempt, q.probe, q.redo
)
SELECT t.delivery_id, t.webhook_id, d.company_id, d.event_type, d.generation, t.attempt, d.is_test, t.probe, t.redo,
  w.profile, w.url, w.max_retries, w.timeout_ms, w.rate_limit, w.consecutive_failures > 0 AS failing,
  (w.circuit_opened_at IS NOT NULL OR NOT w.is_active) AS blocked, w.deleted_at IS NOT NULL AS deleted
FROM taken t JOIN deliveries d ON d.id = t.delivery_id JOIN webhooks w ON w.id = t.webhook_id
WHERE d.status IN ('pending', 'retrying')
ORDER BY t.delivery_id`

// hold pauses deliveries behind a closed door, or cancels those of a deleted webhook. It shares the webhooks' row locks, as
// PauseDelivery does; where the door has opened meanwhile, the delivery goes back to the queue.
func hold(ctx context.Context, tx bun.Tx, held []QueuedDelivery) error {
	if len(held) == 0 {
		return nil
	}
	hooks, ids := make([]uuid.UUID, len(held)), make([]uuid.UUID, len(held))
	for i, q := range held {
		hooks[i], ids[i] = q.WebhookID, q.DeliveryID
	}
	if _, err := lockBlocked(ctx, tx, hooks); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `WITH h AS (
		SELECT d.id, d.webhook_id, CASE WHEN w.deleted_at IS NOT NULL THEN 'canceled'
			WHEN w.circuit_opened_at IS NOT NULL OR NOT w.is_active THEN 'paused' END AS status
		FROM deliveries d JOIN webhooks w ON w.id = d.webhook_id WHERE d.id IN (?0)
	), u AS (UPDATE deliveries d SET status = h.status, updated_at = now() FROM h WHERE d.id = h.id AND h.status IS NOT NULL)
	INSERT INTO delivery_queue (webhook_id, delivery_id, attempt) SELECT h.webhook_id, h.id, d.attempt
	FROM h JOIN unnest(?1::uuid[], ?2::int[]) AS d (id, attempt) USING (id) WHERE h.status IS NULL`,
		bun.List(ids), pgdialect.Array(texts(ids)), pgdialect.Array(attempts(held)))
	if err != nil {
		return fmt.Errorf("hold deliveries: %w", err)
	}
	return nil
}

func texts(ids []uuid.UUID) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = id.String()
	}
	return out
}

func attempts(qs []QueuedDelivery) []int {
	out := make([]int, len(qs))
	for i, q := range qs {
		out[i] = q.Attempt
	}
	return out
}

// QueueLength counts the deliveries and commands that wait for a dispatcher, up to limit of each, so that a scrape never
// scans a long backlog.
func QueueLength(ctx context.Context, db bun.IDB, limit int) (deliveries, commands int, err error) {
	err = db.NewRaw(`SELECT (SELECT count(*) FROM (SELECT 1 FROM delivery_queue LIMIT ?0) q),
		(SELECT count(*) FROM (SELECT 1 FROM commands LIMIT ?0) c)`, limit).Scan(ctx, &deliveries, &commands)
	if err != nil {
		return 0, 0, fmt.Errorf("measure queue: %w", err)
	}
	return deliveries, commands, nil
}

// SweepDeliveries puts deliveries back into the queue whose workflow seems lost: not ended, not queued, and overdue for
// longer than grace (a terminated workflow, or a Temporal that lost its store). Starting a workflow that is still there is a
// no-op, so sweeping too much costs little and sweeping twice costs nothing. It returns how many it put back.
func SweepDeliveries(ctx context.Context, db bun.IDB, grace time.Duration, limit int) (n int, err error) {
	err = InTx(ctx, db, func(ctx context.Context, tx bun.Tx) error {
		err := tx.NewRaw(`WITH lost AS (
			SELECT d.id, d.webhook_id,
			  (SELECT count(*) FROM attempts a WHERE a.delivery_id = d.id AND a.generation = d.generation) AS made
			FROM deliveries d JOIN webhooks w ON w.id = d.webhook_id
			WHERE d.status IN ('pending', 'retrying') AND COALESCE(d.next_attempt_at, d.updated_at) < now() - ?0 * interval '1 ms'
			  AND w.timeout_ms < ?0
			  AND NOT EXISTS (SELECT 1 FROM delivery_queue q WHERE q.webhook_id = d.webhook_id AND q.delivery_id = d.id)
			LIMIT ?1
		), q AS (
			INSERT INTO delivery_queue (webhook_id, delivery_id, attempt, redo) SELECT webhook_id, id, made + 1, true FROM lost
			ON CONFLICT DO NOTHING RETURNING 1
		) SELECT count(*) FROM q`, grace.Milliseconds(), limit).Scan(ctx, &n)
		if err != nil || n == 0 {
			return err
		}
		return notify(ctx, tx)
	})
	if err != nil {
		return 0, fmt.Errorf("sweep deliveries: %w", err)
	}
	return n, nil
}

// PutBackDeliveries returns deliveries to the queue that were taken in this transaction but could not be started.
func PutBackDeliveries(ctx context.Context, tx bun.Tx, qs []QueuedDelivery) error {
	for _, q := range qs {
		_, err := tx.ExecContext(ctx, `INSERT INTO delivery_queue (webhook_id, delivery_id, attempt, probe, redo) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT DO NOTHING`, q.WebhookID, q.DeliveryID, q.Attempt, q.Probe, q.Redo)
		if err != nil {
			return fmt.Errorf("put delivery back: %w", err)
		}
	}
	return nil
}

// WorkflowOf returns the id of the workflow that has a delivery, or "" when none was recorded.
func WorkflowOf(ctx context.Context, db bun.IDB, delivery uuid.UUID) (string, error) {
	var id string
	err := db.NewRaw("SELECT COALESCE((SELECT workflow_id FROM deliveries WHERE id = ?), '')", delivery).Scan(ctx, &id)
	if err != nil {
		return "", fmt.Errorf("look up workflow: %w", err)
	}
	return id, nil
}

// RequeueLost puts a delivery back into the queue whose workflow is known to be gone, unless it has ended.
func RequeueLost(ctx context.Context, tx bun.Tx, delivery uuid.UUID) (bool, error) {
	res, err := tx.ExecContext(ctx, `INSERT INTO delivery_queue (webhook_id, delivery_id, attempt, redo)
		SELECT d.webhook_id, d.id, 1 + (SELECT count(*) FROM attempts a WHERE a.delivery_id = d.id AND a.generation = d.generation), true
		FROM deliveries d WHERE d.id = ? AND d.status IN ('pending', 'retrying', 'paused') ON CONFLICT DO NOTHING`, delivery)
	if err != nil {
		return false, fmt.Errorf("requeue delivery: %w", err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}
