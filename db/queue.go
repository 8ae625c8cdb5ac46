package db

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
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
	// NotBefore is when that attempt is due; nil for at once.
	NotBefore *time.Time

	Profile    string
	URL        string
	MaxRetries int
	TimeoutMS  int
	// RateLimit bounds this webhook's deliveries per second; 0 = none.
	RateLimit int
	// Failing: the last attempt at this endpoint failed.
	Failing bool
}

// Lane is what waits in turn: the deliveries of one company to one webhook. Company is the zero id for events of none.
type Lane struct{ Webhook, Company uuid.UUID }

// Lane is where the delivery waits.
func (q *QueuedDelivery) Lane() Lane {
	l := Lane{Webhook: q.WebhookID}
	if q.CompanyID != nil {
		l.Company = *q.CompanyID
	}
	return l
}

// TakeOptions bound one taking.
type TakeOptions struct {
	// Limit is how many deliveries may be taken in all, PerLane how many of one lane; Room overrides PerLane for the lanes of
	// some webhooks, and PerFailing that of webhooks whose last attempt failed.
	Limit, PerLane, PerFailing int
	Room                       map[uuid.UUID]int
	// After is the lane to go on behind; zero for the first.
	After Lane
}

// Taking is what one taking found.
type Taking struct {
	// Ready are the deliveries that are the caller's now, oldest first.
	Ready []QueuedDelivery
	// Taken also counts those that were paused or canceled instead.
	Taken int
	// Next is where the next taking goes on: zero when every lane had its turn.
	Next Lane
}

// TakeDeliveries takes deliveries from the queue, the oldest of each lane, and removes them from it: they are gone when tx
// commits and back when it does not. Its cost follows the number of lanes that wait, not the length of their queues.
// Deliveries of a webhook that is inactive or whose circuit is open are paused instead of returned; of a deleted one,
// canceled.
func TakeDeliveries(ctx context.Context, tx bun.Tx, o TakeOptions) (t Taking, err error) {
	rows, err := takeRows(ctx, tx, o)
	if err != nil {
		return t, fmt.Errorf("take deliveries: %w", err)
	}
	t.Taken = len(rows)
	var held []QueuedDelivery
	for i := range rows {
		r := &rows[i]
		if l := r.Lane(); len(rows) >= o.Limit && l.after(t.Next) {
			t.Next = l
		}
		if r.deleted || (r.blocked && !r.Probe) {
			held = append(held, r.QueuedDelivery)
		} else {
			t.Ready = append(t.Ready, r.QueuedDelivery)
		}
	}
	return t, hold(ctx, tx, held)
}

func (l Lane) after(other Lane) bool {
	if c := bytes.Compare(l.Webhook[:], other.Webhook[:]); c != 0 {
		return c > 0
	}
	return bytes.Compare(l.Company[:], other.Company[:]) > 0
}

type queuedRow struct {
	QueuedDelivery
	blocked, deleted bool
}

func takeRows(ctx context.Context, tx bun.Tx, o TakeOptions) (taken []queuedRow, err error) {
	room, err := json.Marshal(o.Room)
	if err != nil {
		return nil, err
	}
	rows, err := tx.Tx.QueryContext(ctx, takeSQL, o.After.Webhook, o.After.Company, o.Limit, string(room), o.PerLane, o.PerFailing)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // its error is that of rows.Err
	for rows.Next() {
		var r queuedRow
		if err := rows.Scan(&r.DeliveryID, &r.WebhookID, &r.CompanyID, &r.EventType, &r.Generation, &r.Attempt, &r.IsTest, &r.Probe,
			&r.Redo, &r.NotBefore, &r.Profile, &r.URL, &r.MaxRetries, &r.TimeoutMS, &r.RateLimit, &r.Failing, &r.blocked, &r.deleted,
		); err != nil {
			return nil, err
		}
		taken = append(taken, r)
	}
	return taken, rows.Err()
}

// takeSQL walks the distinct lanes of the queue (a loose index scan) and takes a few rows of each, until it has enough. $1, $2:
// the lane to go on behind, $3: rows at most, $4: room by webhook, $5: rows of a lane at most, $6: of one whose endpoint fails.
const takeSQL = `
WITH RECURSIVE lanes AS (
  (SELECT webhook_id, company_id FROM delivery_queue WHERE (webhook_id, company_id) > ($1::uuid, $2::uuid)
   ORDER BY webhook_id, company_id LIMIT 1)
  UNION ALL
  SELECT next.webhook_id, next.company_id FROM lanes CROSS JOIN LATERAL (
    SELECT q.webhook_id, q.company_id FROM delivery_queue q
    WHERE (q.webhook_id, q.company_id) > (lanes.webhook_id, lanes.company_id) ORDER BY q.webhook_id, q.company_id LIMIT 1
  ) next
), picked AS (
  SELECT p.* FROM lanes JOIN webhooks w ON w.id = lanes.webhook_id CROSS JOIN LATERAL (
    SELECT q.webhook_id, q.company_id, q.delivery_id FROM delivery_queue q
    WHERE q.webhook_id = lanes.webhook_id AND q.company_id = lanes.company_id
    ORDER BY q.delivery_id
    LIMIT LEAST(COALESCE(($4::jsonb ->> lanes.webhook_id::text)::int, $5::int),
      CASE WHEN w.consecutive_failures > 0 AND w.circuit_opened_at IS NULL THEN $6::int END)
    FOR UPDATE SKIP LOCKED
  ) p LIMIT $3
), taken AS (
  DELETE FROM delivery_queue q USING picked p
  WHERE q.webhook_id = p.webhook_id AND q.company_id = p.company_id AND q.delivery_id = p.delivery_id
  RETURNING q.webhook_id, q.delivery_id, q.attempt, q.probe, q.redo
)
SELECT t.delivery_id, t.webhook_id, d.company_id, d.event_type, d.generation, t.attempt, d.is_test, t.probe, t.redo,
  d.next_attempt_at, w.profile, w.url, w.max_retries, w.timeout_ms, w.rate_limit, w.consecutive_failures > 0,
  w.circuit_opened_at IS NOT NULL OR NOT w.is_active, w.deleted_at IS NOT NULL
FROM taken t JOIN deliveries d ON d.id = t.delivery_id JOIN webhooks w ON w.id = t.webhook_id
WHERE d.status IN ('pending', 'retrying')
ORDER BY t.delivery_id`

// hold pauses deliveries behind a closed door, or cancels those of a deleted webhook. It shares the webhooks' row locks, as
// PauseDelivery does; where the door has opened meanwhile, the delivery goes back to the queue.
func hold(ctx context.Context, tx bun.Tx, held []QueuedDelivery) error {
	if len(held) == 0 {
		return nil
	}
	hooks, ids, attempts := make([]uuid.UUID, len(held)), make([]uuid.UUID, len(held)), make([]int, len(held))
	for i, q := range held {
		hooks[i], ids[i], attempts[i] = q.WebhookID, q.DeliveryID, q.Attempt
	}
	if _, err := lockBlocked(ctx, tx, hooks); err != nil {
		return err
	}
	_, err := tx.Tx.ExecContext(ctx, `WITH h AS (
		SELECT d.id, d.webhook_id, d.company_id, held.attempt, CASE WHEN w.deleted_at IS NOT NULL THEN 'canceled'
			WHEN w.circuit_opened_at IS NOT NULL OR NOT w.is_active THEN 'paused' END AS status
		FROM unnest($1::uuid[], $2::int[]) AS held (id, attempt) JOIN deliveries d ON d.id = held.id JOIN webhooks w ON w.id = d.webhook_id
		WHERE d.status IN ('pending', 'retrying')
	), u AS (UPDATE deliveries d SET status = h.status, updated_at = now() FROM h WHERE d.id = h.id AND h.status IS NOT NULL)
	INSERT INTO delivery_queue (webhook_id, company_id, delivery_id, attempt)
	SELECT webhook_id, COALESCE(company_id, $3), id, attempt FROM h WHERE status IS NULL ON CONFLICT DO NOTHING`, ids, attempts, uuid.Nil)
	if err != nil {
		return fmt.Errorf("hold deliveries: %w", err)
	}
	return nil
}

// QueueLength counts the deliveries and commands that wait for a dispatcher, up to limit of each, so that a scrape never
// scans a long backlog. Parked commands are ParkedCommands.
func QueueLength(ctx context.Context, db bun.IDB, limit int) (deliveries, commands int, err error) {
	err = db.NewRaw(`SELECT (SELECT count(*) FROM (SELECT 1 FROM delivery_queue LIMIT ?0) q),
		(SELECT count(*) FROM (SELECT 1 FROM commands WHERE not_before < 'infinity' LIMIT ?0) c)`, limit).Scan(ctx, &deliveries, &commands)
	if err != nil {
		return 0, 0, fmt.Errorf("measure queue: %w", err)
	}
	return deliveries, commands, nil
}

// PutBackDeliveries returns deliveries to the queue that were taken in this transaction but could not be started.
func PutBackDeliveries(ctx context.Context, tx bun.Tx, qs []QueuedDelivery) error {
	for i := range qs {
		q := &qs[i]
		l := q.Lane()
		_, err := tx.ExecContext(ctx, `INSERT INTO delivery_queue (webhook_id, company_id, delivery_id, attempt, probe, redo)
			VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`, l.Webhook, l.Company, q.DeliveryID, q.Attempt, q.Probe, q.Redo)
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
