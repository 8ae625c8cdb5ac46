package delivery

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// QueuedDelivery is a delivery that waits for its workflow to be started, with what the start needs.
type QueuedDelivery struct {
	DeliveryID uuid.UUID
	WebhookID  uuid.UUID
	CompanyID  *uuid.UUID
	EventType  string
	Generation int
	// Attempt is the number of the attempt to begin with: more than 1 for a delivery that was attempted before.
	Attempt int
	IsTest  bool
	// Probe: make one attempt although the circuit is open.
	Probe bool
	// EnsureWorkflow: its workflow may be lost. Wake it, or start one even if a closed workflow has the same id.
	EnsureWorkflow bool
	// NotBefore is when that attempt is due. nil means at once.
	NotBefore *time.Time
	// LastError is the error of the last failed attempt, or nil.
	LastError *string

	Profile    string
	URL        string
	MaxRetries int
	TimeoutMS  int
	// RateLimit bounds this webhook's deliveries per second; 0 = none.
	RateLimit int
	// Failing: the last attempt at this endpoint failed.
	Failing bool
}

// Flow is the unit of fair queueing: the queued deliveries of one company to one webhook. Flows take turns. Company is
// the zero id for events without a company.
type Flow struct{ Webhook, Company uuid.UUID }

// Flow returns the flow that the delivery waits in.
func (q *QueuedDelivery) Flow() Flow {
	f := Flow{Webhook: q.WebhookID}
	if q.CompanyID != nil {
		f.Company = *q.CompanyID
	}
	return f
}

// TakeOptions limit one call of TakeDeliveries.
type TakeOptions struct {
	// Limit is the maximum of deliveries in all, PerFlow the maximum of one flow. Room overrides PerFlow for the flows of
	// some webhooks. PerFailing further limits the flows of webhooks whose last attempt failed.
	Limit, PerFlow, PerFailing int
	Room                       map[uuid.UUID]int
	// After is the flow to continue after. Zero starts with the first.
	After Flow
	// StartBlocked returns the first attempts of blocked webhooks too, instead of pausing them. Used where every delivery
	// has its own workflow from the start: that workflow pauses the delivery.
	StartBlocked bool
}

// TakeResult is what TakeDeliveries took.
type TakeResult struct {
	// Ready are the deliveries that the caller must start, oldest first.
	Ready []QueuedDelivery
	// Taken also counts the deliveries that were paused or canceled instead.
	Taken int
	// Next is After for the next call. It is zero when every flow had its turn.
	Next Flow
}

// TakeDeliveries claims the oldest queued deliveries of each flow. The claim deletes them from the queue when tx
// commits. Its cost depends on the number of waiting flows, not on the length of the queue.
//
// It cancels the deliveries of a deleted webhook. It pauses the first attempts of a blocked webhook (inactive, or with
// an open circuit). Later attempts are returned all the same, because such a delivery must have a workflow, which then
// pauses it. A delivery that failed for good in a batch is returned for the same reason: its workflow shows the
// failure.
func TakeDeliveries(ctx context.Context, tx bun.Tx, o TakeOptions) (t TakeResult, err error) {
	rows, err := takeRows(ctx, tx, o)
	if err != nil {
		return t, fmt.Errorf("take deliveries: %w", err)
	}
	if len(rows) >= o.Limit {
		for i := range rows {
			if f := rows[i].Flow(); f.after(t.Next) {
				t.Next = f
			}
		}
	}
	if err := readTaken(ctx, tx, rows); err != nil {
		return t, fmt.Errorf("take deliveries: %w", err)
	}
	var toPauseOrCancel []QueuedDelivery
	for i := range rows {
		switch r := &rows[i]; {
		case !r.needsWorkflow(): // the row has no work left
		case r.deleted, r.blocked && r.Attempt <= 1 && !r.Probe && !o.StartBlocked:
			toPauseOrCancel = append(toPauseOrCancel, r.QueuedDelivery)
		default:
			t.Ready = append(t.Ready, r.QueuedDelivery)
		}
	}
	slices.SortFunc(t.Ready, func(a, b QueuedDelivery) int { return bytes.Compare(a.DeliveryID[:], b.DeliveryID[:]) })
	requeued, err := pauseOrCancel(ctx, tx, toPauseOrCancel, skipLocked)
	t.Taken = len(rows) - requeued
	return t, err
}

func (f Flow) after(other Flow) bool {
	if c := bytes.Compare(f.Webhook[:], other.Webhook[:]); c != 0 {
		return c > 0
	}
	return bytes.Compare(f.Company[:], other.Company[:]) > 0
}

type queuedRow struct {
	QueuedDelivery
	status           Status // "" after retention has dropped the delivery
	blocked, deleted bool
}

// needsWorkflow reports whether the delivery waits for an attempt, or failed for good without a workflow to show it.
func (r *queuedRow) needsWorkflow() bool {
	return r.status == Pending || r.status == Retrying || r.status == Failed && r.Attempt > 1
}

func takeRows(ctx context.Context, tx bun.Tx, o TakeOptions) (taken []queuedRow, err error) {
	room, err := json.Marshal(o.Room)
	if err != nil {
		return nil, err
	}
	rows, err := pg.Direct(tx).QueryContext(ctx, takeSQL.SQL, takeSQL.Args(pg.Args{
		"after_webhook": o.After.Webhook, "after_company": o.After.Company, "limit": o.Limit,
		"room": string(room), "per_flow": o.PerFlow, "per_failing": o.PerFailing,
	})...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err reports its error
	for rows.Next() {
		var r queuedRow
		if err := rows.Scan(
			&r.DeliveryID,
			&r.WebhookID,
			&r.CompanyID,
			&r.Attempt,
			&r.Probe,
			&r.EnsureWorkflow,
			&r.Profile,
			&r.URL,
			&r.MaxRetries,
			&r.TimeoutMS,
			&r.RateLimit,
			&r.Failing,
			&r.blocked,
			&r.deleted,
		); err != nil {
			return nil, err
		}
		if *r.CompanyID == uuid.Nil {
			r.CompanyID = nil
		}
		taken = append(taken, r)
	}
	return taken, rows.Err()
}

// takeSQL walks the distinct flows of the queue (a loose index scan) and takes a few rows of each, up to the limit. It
// reads only the queue and webhooks, by primary key: deliveries are read afterwards, when their ids are known (see
// pg.Direct). OFFSET 0 keeps the planner from turning the look-up of one webhook into a join.
var takeSQL = pg.Named(`
WITH RECURSIVE flows AS (
  (SELECT webhook_id, company_id FROM delivery_queue
   WHERE (webhook_id, company_id) > (@after_webhook::uuid, @after_company::uuid)
   ORDER BY webhook_id, company_id LIMIT 1)
  UNION ALL
  SELECT next.webhook_id, next.company_id FROM flows CROSS JOIN LATERAL (
    SELECT q.webhook_id, q.company_id FROM delivery_queue q
    WHERE (q.webhook_id, q.company_id) > (flows.webhook_id, flows.company_id)
    ORDER BY q.webhook_id, q.company_id LIMIT 1
  ) next
), picked AS (
  SELECT p.row FROM flows CROSS JOIN LATERAL (
    SELECT w.consecutive_failures > 0 AND w.circuit_opened_at IS NULL AS failing FROM webhooks w
    WHERE w.id = flows.webhook_id OFFSET 0
  ) w CROSS JOIN LATERAL (
    SELECT q.ctid AS row FROM delivery_queue q
    WHERE q.webhook_id = flows.webhook_id AND q.company_id = flows.company_id
    ORDER BY q.webhook_id, q.company_id, q.delivery_id
    LIMIT LEAST(COALESCE((@room::jsonb ->> flows.webhook_id::text)::int, @per_flow::int),
      CASE WHEN w.failing THEN @per_failing::int END)
    FOR UPDATE SKIP LOCKED
  ) p LIMIT @limit
), taken AS (
  DELETE FROM delivery_queue WHERE ctid = ANY (ARRAY(SELECT row FROM picked))
  RETURNING webhook_id, company_id, delivery_id, attempt, probe, redo
)
SELECT t.delivery_id, t.webhook_id, t.company_id, t.attempt, t.probe, t.redo, w.profile, w.url,
  w.max_retries, w.timeout_ms,
  w.rate_limit, w.consecutive_failures > 0, w.circuit_opened_at IS NOT NULL OR NOT w.is_active, w.deleted_at IS NOT NULL
FROM taken t CROSS JOIN LATERAL (SELECT * FROM webhooks w WHERE w.id = t.webhook_id OFFSET 0) w`)

// readTaken fills in the columns of table deliveries.
func readTaken(ctx context.Context, tx bun.Tx, taken []queuedRow) error {
	if len(taken) == 0 {
		return nil
	}
	ids, byID := make([]uuid.UUID, len(taken)), make(map[uuid.UUID]*queuedRow, len(taken))
	for i := range taken {
		ids[i] = taken[i].DeliveryID
		byID[ids[i]] = &taken[i]
	}
	rows, err := pg.Direct(tx).
		QueryContext(ctx, `SELECT id, status, event_type, generation, is_test, next_attempt_at, last_error
		FROM deliveries WHERE id = ANY ($1)`, ids)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // rows.Err reports its error
	for rows.Next() {
		var id uuid.UUID
		var d queuedRow
		if err := rows.Scan(&id, &d.status, &d.EventType, &d.Generation, &d.IsTest, &d.NotBefore, &d.LastError); err != nil {
			return err
		}
		r := byID[id]
		r.status, r.EventType, r.Generation, r.IsTest = d.status, d.EventType, d.Generation, d.IsTest
		r.NotBefore, r.LastError = d.NotBefore, d.LastError
	}
	return rows.Err()
}

// QueueLength counts the deliveries and commands that wait for a dispatcher, up to limit of each, so that a metrics
// scrape never scans a long backlog. ParkedCommands counts the parked commands.
func QueueLength(ctx context.Context, db bun.IDB, limit int) (deliveries, commands int, err error) {
	err = db.NewRaw(`SELECT (SELECT count(*) FROM (SELECT 1 FROM delivery_queue LIMIT ?0) q),
		(SELECT count(*) FROM (SELECT 1 FROM commands WHERE not_before < 'infinity' LIMIT ?0) c)`, limit).
		Scan(ctx, &deliveries, &commands)
	if err != nil {
		return 0, 0, fmt.Errorf("measure queue: %w", err)
	}
	return deliveries, commands, nil
}

// WorkflowOf returns the id of a delivery's workflow, or "" when it has none.
func WorkflowOf(ctx context.Context, db bun.IDB, delivery uuid.UUID) (string, error) {
	var id string
	err := db.NewRaw("SELECT COALESCE((SELECT workflow_id FROM deliveries WHERE id = ?), '')", delivery).Scan(ctx, &id)
	if err != nil {
		return "", fmt.Errorf("look up workflow: %w", err)
	}
	return id, nil
}
