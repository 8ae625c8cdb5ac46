package delivery

import (
	"bytes"
	"context"
	"database/sql"
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
	// Single: TakeSingles returns it, and TakeDeliveries does not.
	Single bool
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
	// TokenUntil is when the token that DealTokens took for the first attempt lapses, by this process's clock; zero: it
	// has none.
	TokenUntil time.Time
	// Trace is that of the event; ReadTraces sets it.
	Trace string

	eventID  uuid.UUID
	attempts int // recorded ones
	// webhookVersion changes with each change of the webhook's row.
	webhookVersion string
}

// Attempted reports whether an attempt was recorded before, of any generation.
func (q *QueuedDelivery) Attempted() bool { return q.attempts > 0 }

// WebhookVersion changes with each change of the webhook's row. It is empty unless the delivery was taken from the
// queue.
func (q *QueuedDelivery) WebhookVersion() string { return q.webhookVersion }

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
	// some webhooks. PerFailing further limits the flows of webhooks whose last attempt failed, and of blocked ones:
	// pausing takes time that the others wait.
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
	// Blocked are the webhooks of which PerFailing deliveries or more were paused or canceled: PauseQueued does the rest.
	Blocked []uuid.UUID
	// Limited are the webhooks with a rate limit that have queued deliveries. None of these is taken; see DealTokens.
	Limited []LimitedWebhook
}

// LimitedWebhook is a webhook with a rate limit. Failing is as in QueuedDelivery.
type LimitedWebhook struct {
	ID      uuid.UUID
	Failing bool
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
	next := nextFlow(rows, o.Limit)
	var limited []LimitedWebhook
	rows = slices.DeleteFunc(rows, func(r queuedRow) bool {
		if r.DeliveryID == uuid.Nil {
			limited = append(limited, LimitedWebhook{r.WebhookID, r.Failing})
		}
		return r.DeliveryID == uuid.Nil
	})
	t.Next, t.Limited = next, limited
	err = t.divide(ctx, tx, rows, o)
	return t, err
}

// nextFlow is the flow to continue after when a call that was limited to so many rows took these.
func nextFlow(rows []queuedRow, limit int) (next Flow) {
	if len(rows) < limit {
		return Flow{}
	}
	for i := range rows {
		if f := rows[i].Flow(); f.after(next) {
			next = f
		}
	}
	return next
}

// TakeDealt claims the deliveries of deals, as TakeDeliveries does. Their tokens lapse at until.
func TakeDealt(
	ctx context.Context, tx bun.Tx, deals []Deal, until time.Time, startBlocked bool,
) (t TakeResult, err error) {
	var webhooks, companies, ids []uuid.UUID
	for _, d := range deals {
		for _, k := range d.Queued {
			webhooks, companies = append(webhooks, k.Flow.Webhook), append(companies, k.Flow.Company)
			ids = append(ids, k.Delivery)
		}
	}
	if len(ids) == 0 {
		return t, nil
	}
	rows, err := scanRows(pg.Direct(tx).QueryContext(ctx, takeDealtSQL, webhooks, companies, ids))
	if err != nil {
		return t, fmt.Errorf("take dealt deliveries: %w", err)
	}
	for i := range rows {
		if rows[i].Attempt <= 1 && !rows[i].EnsureWorkflow {
			rows[i].TokenUntil = until
		}
	}
	err = t.divide(ctx, tx, rows, TakeOptions{PerFailing: len(ids) + 1, StartBlocked: startBlocked})
	return t, err
}

// TakeSingles claims the oldest queued deliveries that are marked as single, at most limit. It treats those of blocked
// and deleted webhooks as TakeDeliveries does.
func TakeSingles(ctx context.Context, tx bun.Tx, limit int) (t TakeResult, err error) {
	rows, err := scanRows(pg.Direct(tx).QueryContext(ctx, takeSinglesSQL, limit))
	if err != nil {
		return t, fmt.Errorf("take single deliveries: %w", err)
	}
	for i := range rows {
		rows[i].Single = true
	}
	err = t.divide(ctx, tx, rows, TakeOptions{PerFailing: limit})
	return t, err
}

// divide returns the taken rows that must be started, and pauses or cancels the others.
func (t *TakeResult) divide(ctx context.Context, tx bun.Tx, rows []queuedRow, o TakeOptions) error {
	if err := readTaken(ctx, tx, rows); err != nil {
		return fmt.Errorf("take deliveries: %w", err)
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
	t.sort()
	t.Blocked = frequentWebhooks(toPauseOrCancel, o.PerFailing)
	requeued, err := pauseOrCancel(ctx, tx, toPauseOrCancel, skipLocked)
	t.Taken = len(rows) - requeued
	return err
}

// sort orders Ready by age.
func (t *TakeResult) sort() {
	slices.SortFunc(t.Ready, func(a, b QueuedDelivery) int { return bytes.Compare(a.DeliveryID[:], b.DeliveryID[:]) })
}

// frequentWebhooks returns the webhooks of at least n of the deliveries.
func frequentWebhooks(qs []QueuedDelivery, n int) (ids []uuid.UUID) {
	counts := map[uuid.UUID]int{}
	for i := range qs {
		id := qs[i].WebhookID
		if counts[id]++; counts[id] == n {
			ids = append(ids, id)
		}
	}
	return ids
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
	args := o.args()
	args["per_failing"] = o.PerFailing
	return scanRows(pg.Direct(tx).QueryContext(ctx, takeSQL.SQL, takeSQL.Args(args)...))
}

func (o TakeOptions) args() pg.Args {
	room, err := json.Marshal(o.Room)
	if err != nil {
		panic(err) // ids and numbers can always be written
	}
	return pg.Args{
		"after_webhook": o.After.Webhook, "after_company": o.After.Company, "limit": o.Limit,
		"room": string(room), "per_flow": o.PerFlow,
	}
}

// scanRows reads the rows of takenSQL.
func scanRows(rows *sql.Rows, err error) (taken []queuedRow, _ error) {
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
			&r.webhookVersion,
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
//
// A webhook with a rate limit is one step of the walk, whatever waits for it, and one row of the result, without a
// delivery. While it is blocked it is walked as the others, because none of its deliveries is sent.
var takeSQL = pg.Named(flowsSQL + `, picked AS MATERIALIZED (
  SELECT p.row, CASE WHEN flows.limited THEN flows.webhook_id END AS limited, flows.failing
  FROM flows LEFT JOIN LATERAL (
    SELECT q.ctid AS row FROM delivery_queue q
    WHERE q.webhook_id = flows.webhook_id AND q.company_id = flows.company_id AND NOT q.single
    ORDER BY q.webhook_id, q.company_id, q.delivery_id
    LIMIT CASE WHEN flows.limited THEN 0
      ELSE LEAST(COALESCE((@room::jsonb ->> flows.webhook_id::text)::int, @per_flow::int),
        CASE WHEN flows.failing THEN @per_failing::int END) END
    FOR UPDATE SKIP LOCKED
  ) p ON true
  WHERE flows.limited OR NOT flows.limited AND p.row IS NOT NULL LIMIT @limit
)` + takenSQL + `
UNION ALL
SELECT '00000000-0000-0000-0000-000000000000', limited, 'ffffffff-ffff-ffff-ffff-ffffffffffff', 0, false, false, '',
  '', 0, 0, 0, failing, false, false, ''
FROM picked WHERE limited IS NOT NULL`)

// flowsSQL walks the distinct flows of the queue, from @after_webhook and @after_company on.
var flowsSQL = `
WITH RECURSIVE flows AS (
  SELECT q.webhook_id, q.company_id, w.limited, w.failing FROM (
    SELECT webhook_id, company_id FROM delivery_queue
    WHERE (webhook_id, company_id) > (@after_webhook::uuid, @after_company::uuid)
    ORDER BY webhook_id, company_id LIMIT 1
  ) q LEFT JOIN LATERAL ` + flowWebhook("q") + ` w ON true
  UNION ALL
  SELECT next.webhook_id, next.company_id, w.limited, w.failing FROM flows CROSS JOIN LATERAL (
    SELECT q.webhook_id, q.company_id FROM delivery_queue q
    WHERE (q.webhook_id, q.company_id) > (flows.webhook_id,
      CASE WHEN flows.limited THEN 'ffffffff-ffff-ffff-ffff-ffffffffffff' ELSE flows.company_id END)
    ORDER BY q.webhook_id, q.company_id LIMIT 1
  ) next LEFT JOIN LATERAL ` + flowWebhook("next") + ` w ON true
)`

// flowWebhook reads the webhook of a flow.
func flowWebhook(flow string) string {
	return `(
    SELECT w.rate_limit > 0 AND w.is_active AND w.circuit_opened_at IS NULL AND w.deleted_at IS NULL AS limited,
      w.consecutive_failures > 0 OR w.circuit_opened_at IS NOT NULL OR NOT w.is_active
        OR w.deleted_at IS NOT NULL AS failing
    FROM webhooks w WHERE w.id = ` + flow + `.webhook_id OFFSET 0
  )`
}

const takeDealtSQL = `
WITH picked AS MATERIALIZED (
  SELECT q.row FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS d (webhook_id, company_id, id)
  CROSS JOIN LATERAL (
    SELECT q.ctid AS row FROM delivery_queue q
    WHERE q.webhook_id = d.webhook_id AND q.company_id = d.company_id AND q.delivery_id = d.id
    FOR UPDATE SKIP LOCKED
  ) q
)` + takenSQL

const takeSinglesSQL = `
WITH picked AS (
  SELECT ctid AS row FROM delivery_queue WHERE single ORDER BY delivery_id LIMIT $1 FOR UPDATE SKIP LOCKED
)` + takenSQL

// takenSQL deletes the picked rows and returns them with what their webhooks say.
const takenSQL = `, taken AS (
  DELETE FROM delivery_queue WHERE ctid = ANY (ARRAY(SELECT row FROM picked WHERE row IS NOT NULL))
  RETURNING webhook_id, company_id, delivery_id, attempt, probe, redo
)` + answerSQL

// answerSQL are the columns that scanRows reads.
const answerSQL = `
SELECT t.delivery_id, t.webhook_id, t.company_id, t.attempt, t.probe, t.redo, w.profile, w.url,
  w.max_retries, w.timeout_ms,
  w.rate_limit, w.consecutive_failures > 0, w.circuit_opened_at IS NOT NULL OR NOT w.is_active,
  w.deleted_at IS NOT NULL, w.version
FROM taken t CROSS JOIN LATERAL (
  SELECT *, xmin::text AS version FROM webhooks w WHERE w.id = t.webhook_id OFFSET 0
) w`

// readTaken fills in the columns of table deliveries.
func readTaken(ctx context.Context, db bun.IDB, taken []queuedRow) error {
	if len(taken) == 0 {
		return nil
	}
	ids, byID := make([]uuid.UUID, len(taken)), make(map[uuid.UUID]*queuedRow, len(taken))
	for i := range taken {
		ids[i] = taken[i].DeliveryID
		byID[ids[i]] = &taken[i]
	}
	rows, err := pg.Direct(db).
		QueryContext(ctx, `SELECT id, status, event_type, generation, is_test, next_attempt_at, last_error,
			event_id, attempts
		FROM deliveries WHERE id = ANY ($1)`, pgIDs(ids))
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // rows.Err reports its error
	for rows.Next() {
		var id uuid.UUID
		var d queuedRow
		if err := rows.Scan(
			&id, &d.status, &d.EventType, &d.Generation, &d.IsTest, &d.NotBefore, &d.LastError, &d.eventID, &d.attempts,
		); err != nil {
			return err
		}
		r := byID[id]
		r.status, r.EventType, r.Generation, r.IsTest = d.status, d.EventType, d.Generation, d.IsTest
		r.NotBefore, r.LastError = d.NotBefore, d.LastError
		r.eventID, r.attempts = d.eventID, d.attempts
	}
	return rows.Err()
}

// Queue is what waits for a dispatcher.
type Queue struct {
	Deliveries, Commands int
	// Oldest is since when a delivery waits for its first attempt, or for the first one of a replay or after its circuit
	// closed, in the queue or as the next one of its line; zero: none waits. What is behind a delivery that is under way,
	// or that blocks its subject, does not count. Of a long queue it is a lower bound.
	Oldest time.Time
}

// QueueLength counts the deliveries and commands that wait for a dispatcher, up to limit of each, so that a metrics
// scrape never scans a long backlog. ParkedCommands counts the parked commands.
func QueueLength(ctx context.Context, db bun.IDB, limit int) (q Queue, err error) {
	var oldest *time.Time
	err = db.NewRaw(`WITH q AS MATERIALIZED (
			SELECT delivery_id, attempt = 1 AND NOT redo AS first FROM delivery_queue LIMIT ?0
		), l AS MATERIALIZED (
			SELECT DISTINCT webhook_id, subject FROM (SELECT webhook_id, subject FROM line_changes ORDER BY id LIMIT ?0) c
		), next AS MATERIALIZED (
			SELECT first.delivery_id FROM l CROSS JOIN LATERAL (`+firstWaiting+`) first
			WHERE NOT EXISTS (SELECT FROM line_heads h WHERE h.webhook_id = l.webhook_id AND h.subject = l.subject)
		)
		SELECT (SELECT count(*) FROM q),
			(SELECT count(*) FROM (SELECT 1 FROM commands WHERE not_before < 'infinity' LIMIT ?0) c),
			(SELECT min(d.updated_at) FROM (
					(SELECT delivery_id FROM q WHERE first ORDER BY delivery_id LIMIT 100)
					UNION ALL (SELECT delivery_id FROM next ORDER BY delivery_id LIMIT 100)) f
				CROSS JOIN LATERAL (SELECT updated_at FROM deliveries WHERE id = f.delivery_id OFFSET 0) d)`, limit).
		Scan(ctx, &q.Deliveries, &q.Commands, &oldest)
	if err != nil {
		return q, fmt.Errorf("measure queue: %w", err)
	}
	if oldest != nil {
		q.Oldest = *oldest
	}
	return q, nil
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
