package delivery

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// Status is where a delivery stands.
type Status string

// A delivery goes pending → retrying → succeeded | failed | canceled, with paused (circuit open or webhook inactive)
// from pending or retrying. A replay brings an ended one back to pending, one generation on.
const (
	Pending   Status = "pending"
	Retrying  Status = "retrying"
	Paused    Status = "paused"
	Succeeded Status = "succeeded"
	Failed    Status = "failed"
	Canceled  Status = "canceled"
)

// Statuses lists them all, in the order of a delivery's life.
func Statuses() []Status {
	return []Status{Pending, Retrying, Paused, Succeeded, Failed, Canceled}
}

// Ended reports whether nothing more happens by itself.
func (s Status) Ended() bool {
	return s == Succeeded || s == Failed || s == Canceled
}

// Delivery is one event on its way to one webhook.
type Delivery struct {
	bun.BaseModel `bun:"table:deliveries,alias:d"`

	ID        uuid.UUID  `bun:"id,pk"`
	EventID   uuid.UUID  `bun:"event_id"`
	WebhookID uuid.UUID  `bun:"webhook_id"`
	CompanyID *uuid.UUID `bun:"company_id"`
	EventType string     `bun:"event_type"`
	Status    Status     `bun:"status"`
	IsTest    bool       `bun:"is_test"`
	// Generation counts replays: 0 for the first run.
	Generation int `bun:"generation"`
	// Attempts counts the POSTs of all generations.
	Attempts int `bun:"attempts"`
	// Body is what was signed and sent, byte for byte; nil before the first attempt.
	Body []byte `bun:"body"`
	// WorkflowID is the workflow that has the delivery; nil while none was recorded.
	WorkflowID     *string    `bun:"workflow_id"`
	NextAttemptAt  *time.Time `bun:"next_attempt_at"`
	LastStatusCode *int       `bun:"last_status_code"`
	LastError      *string    `bun:"last_error"`
	CreatedAt      time.Time  `bun:"created_at"`
	UpdatedAt      time.Time  `bun:"updated_at"`
}

// Filter narrows a list; zero fields do not narrow.
type Filter struct {
	Webhook   *uuid.UUID
	Company   *uuid.UUID
	EventType string
	Status    Status
	Since     time.Time // made at or after
	Until     time.Time // made before
	Before    uuid.UUID // keyset: only ids below this one
	Limit     int64
}

// deliveriesOf narrows a query on deliveries to a company's own events on their way to webhooks that the company
// sees, deleted ones too: a global webhook of the platform gets every company's events, and what its receiver answers
// is the platform's. The look at the webhook is a scalar subquery on purpose: as a join it misleads the planner into
// reading and sorting all of a company's deliveries for each page, where the index by company and id yields them in
// order.
func deliveriesOf(s pg.Scope, q *bun.SelectQuery) *bun.SelectQuery {
	if s.Company == nil {
		return q
	}
	return q.Where(`d.company_id = ?0 AND
		(SELECT w.company_id = ?0 OR w.owner_company_id = ?0 FROM webhooks w WHERE w.id = d.webhook_id)`, *s.Company)
}

// ListDeliveries returns deliveries that the scope sees, newest first, at most f.Limit. Bodies are left out. Next
// page: Before = the last id.
func ListDeliveries(ctx context.Context, db bun.IDB, s pg.Scope, f Filter) ([]Delivery, error) {
	ds := []Delivery{}
	q := deliveriesOf(s, db.NewSelect().Model(&ds).ExcludeColumn("body").OrderExpr("d.id DESC").Limit(f.Limit))
	if f.Company != nil {
		q = q.Where("d.company_id = ?", *f.Company)
	}
	if f.Webhook != nil {
		q = q.Where("d.webhook_id = ?", *f.Webhook)
	}
	if f.EventType != "" {
		q = q.Where("d.event_type = ?", f.EventType)
	}
	if f.Status != "" {
		q = q.Where("d.status = ?", f.Status)
	}
	if f.Status != "" && !f.Status.Ended() { // there is an index of these
		q = q.Where("live_webhook(d.status, d.webhook_id) IS NOT NULL")
	}
	if !f.Since.IsZero() {
		q = q.Where("d.id >= ?", pg.FloorID(f.Since))
	}
	if !f.Until.IsZero() {
		q = q.Where("d.id < ?", pg.FloorID(f.Until))
	}
	if f.Before != uuid.Nil {
		q = q.Where("d.id < ?", f.Before)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("list deliveries: %w", err)
	}
	return ds, nil
}

// GetDelivery returns a delivery that the scope sees.
func GetDelivery(ctx context.Context, db bun.IDB, s pg.Scope, id uuid.UUID) (*Delivery, error) {
	d := new(Delivery)
	if err := deliveriesOf(s, db.NewSelect().Model(d).Where("d.id = ?", id)).Scan(ctx); err != nil {
		return nil, fmt.Errorf("get delivery: %w", pg.Translate(err))
	}
	return d, nil
}

// Work is a delivery with all that an attempt needs, read in one statement.
type Work struct {
	Delivery Delivery
	Event    Event
	Webhook  Webhook
	// Done is the attempt of this number that this run has recorded already, or nil.
	Done *Attempt
}

// LoadJob returns a delivery as the attempt of one workflow run needs it. A deleted webhook is returned all the same,
// with DeletedAt set.
func LoadJob(ctx context.Context, db bun.IDB, id, run uuid.UUID, attempt int) (*Work, error) {
	j := new(Work)
	err := db.NewSelect().Model(&j.Delivery).Where("d.id = ?", id).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("load delivery: %w", pg.Translate(err))
	}
	if err := db.NewSelect().Model(&j.Event).Where("e.id = ?", j.Delivery.EventID).Scan(ctx); err != nil {
		return nil, fmt.Errorf("load event: %w", pg.Translate(err))
	}
	if err := db.NewSelect().Model(&j.Webhook).Where("w.id = ?", j.Delivery.WebhookID).Scan(ctx); err != nil {
		return nil, fmt.Errorf("load webhook: %w", pg.Translate(err))
	}
	done := new(Attempt)
	err = db.NewSelect().
		Model(done).
		Where("a.delivery_id = ? AND a.run_id = ? AND a.attempt = ?", id, run, attempt).
		Scan(ctx)
	switch {
	case err == nil:
		j.Done = done
	case !errors.Is(err, sql.ErrNoRows):
		return nil, fmt.Errorf("look for attempt: %w", err)
	}
	return j, nil
}

// PauseDelivery pauses a delivery whose webhook must not be sent to now. blocked is false when the circuit has closed
// since the delivery was loaded, so that the attempt may be made. paused is false when the delivery has ended since:
// an ended one is not paused, unless an operator asked for a replay of it. It shares the webhook's row lock, and
// closing takes the write lock first and releases afterwards: no delivery can be left paused behind a closed circuit.
func PauseDelivery(
	ctx context.Context,
	db bun.IDB,
	id, webhook uuid.UUID,
	workflowID string,
	replay bool,
) (blocked, paused bool, err error) {
	err = pg.InTx(ctx, db, func(ctx context.Context, tx bun.Tx) error {
		all, err := lockBlocked(ctx, tx, []uuid.UUID{webhook})
		if blocked = all[webhook]; err != nil || !blocked {
			return err
		}
		var status Status
		err = pg.Translate(tx.NewRaw(`UPDATE deliveries SET workflow_id = ?2, next_attempt_at = NULL, updated_at = now(),
			status = CASE WHEN (SELECT w.deleted_at FROM webhooks w WHERE w.id = ?1) IS NOT NULL THEN 'canceled' ELSE 'paused' END
			WHERE id = ?0 AND (status IN ('pending', 'retrying', 'paused') OR ?3 AND status <> 'canceled') RETURNING status`,
			id, webhook, workflowID, replay).Scan(ctx, &status))
		if errors.Is(err, pg.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		paused = true
		if status == Canceled { // since it was loaded: its workflow is woken and ends
			return AddCommand(ctx, tx, WakeDelivery, id, nil)
		}
		return nil
	})
	if err != nil {
		return false, false, fmt.Errorf("pause delivery: %w", err)
	}
	return blocked, paused, nil
}

// lockBlocked takes a share lock on the webhooks' rows and says which must not be sent to now.
func lockBlocked(ctx context.Context, tx bun.Tx, ids []uuid.UUID) (map[uuid.UUID]bool, error) {
	var rows []struct {
		ID      uuid.UUID
		Blocked bool
	}
	err := tx.NewRaw(`SELECT id, circuit_opened_at IS NOT NULL OR NOT is_active AS blocked FROM webhooks
		WHERE id IN (?) ORDER BY id FOR SHARE`, bun.List(ids)).Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("lock webhooks: %w", err)
	}
	blocked := make(map[uuid.UUID]bool, len(rows))
	for _, r := range rows {
		blocked[r.ID] = r.Blocked
	}
	return blocked, nil
}

// RetryDelivery sends a delivery again on somebody's request. An ended one starts anew, one generation on, with its
// schedule from the beginning; one that waits for its next attempt makes it now. A StateError refuses a paused one,
// one whose first attempt is still to come, and one whose webhook was deleted (Resource "webhook", State "deleted").
func RetryDelivery(ctx context.Context, tx bun.Tx, s pg.Scope, id uuid.UUID) (*Delivery, error) {
	d, err := GetDelivery(ctx, tx, s, id)
	if err != nil {
		return nil, err
	}
	if err := lockLiving(ctx, tx, d.WebhookID); err != nil {
		return nil, err
	}
	switch {
	case d.Status == Retrying:
		return d, AddCommand(ctx, tx, WakeDelivery, id, nil)
	case !d.Status.Ended():
		return nil, &pg.StateError{Resource: "delivery", State: string(d.Status)}
	}
	n, err := requeue(ctx, tx, []uuid.UUID{id})
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, &pg.StateError{Resource: "delivery", State: "changing"}
	}
	if err := notify(ctx, tx); err != nil {
		return nil, err
	}
	return GetDelivery(ctx, tx, s, id)
}

// CancelDelivery ends a delivery that has not ended: nothing more is sent. Its row says so at once; the workflow that
// has it is woken to end too. An attempt that is in flight is not interrupted: when the receiver accepts it, the
// delivery becomes succeeded, otherwise it stays canceled. A StateError refuses one that has ended.
func CancelDelivery(ctx context.Context, tx bun.Tx, s pg.Scope, id uuid.UUID) (*Delivery, error) {
	d, err := GetDelivery(ctx, tx, s, id)
	if err != nil {
		return nil, err
	}
	err = pg.One(tx.ExecContext(ctx, `UPDATE deliveries SET status = 'canceled', next_attempt_at = NULL, updated_at = now()
		WHERE id = ? AND status IN ('pending', 'retrying', 'paused')`, id))
	if errors.Is(err, pg.ErrNotFound) {
		return nil, &pg.StateError{Resource: "delivery", State: string(d.Status)}
	}
	if err != nil {
		return nil, fmt.Errorf("cancel delivery: %w", err)
	}
	if d.WorkflowID != nil {
		if err := AddCommand(ctx, tx, WakeDelivery, id, nil); err != nil {
			return nil, err
		}
	}
	return GetDelivery(ctx, tx, s, id)
}

// NameCircuits sets WorkflowID of those that are paused without a workflow of their own behind an open circuit: the
// workflow that releases them is the circuit's. The others stay as they are.
func NameCircuits(ctx context.Context, db bun.IDB, ds []Delivery) error {
	waits := func(d *Delivery) bool { return d.Status == Paused && d.WorkflowID == nil }
	var hooks []uuid.UUID
	for i := range ds {
		if waits(&ds[i]) && !slices.Contains(hooks, ds[i].WebhookID) {
			hooks = append(hooks, ds[i].WebhookID)
		}
	}
	if len(hooks) == 0 {
		return nil
	}
	var open []uuid.UUID
	err := db.NewRaw("SELECT id FROM webhooks WHERE id IN (?) AND circuit_opened_at IS NOT NULL AND deleted_at IS NULL", bun.List(hooks)).
		Scan(ctx, &open)
	if err != nil {
		return fmt.Errorf("find open circuits: %w", err)
	}
	for i := range ds {
		if waits(&ds[i]) && slices.Contains(open, ds[i].WebhookID) {
			id := "circuit:" + ds[i].WebhookID.String()
			ds[i].WorkflowID = &id
		}
	}
	return nil
}

// lockLiving keeps a webhook from being deleted until tx ends, and refuses one that was.
func lockLiving(ctx context.Context, tx bun.Tx, webhook uuid.UUID) error {
	var living bool
	err := tx.NewRaw("SELECT deleted_at IS NULL FROM webhooks WHERE id = ? FOR SHARE", webhook).Scan(ctx, &living)
	switch {
	case err != nil:
		return fmt.Errorf("lock webhook: %w", pg.Translate(err))
	case !living:
		return &pg.StateError{Resource: "webhook", State: "deleted"}
	}
	return nil
}

// requeue brings ended deliveries of living webhooks back to pending, one generation on.
func requeue(ctx context.Context, tx bun.Tx, ids []uuid.UUID) (int, error) {
	var n int
	err := tx.NewRaw(`WITH d AS (
		UPDATE deliveries SET status = 'pending', generation = generation + 1, next_attempt_at = NULL, workflow_id = NULL, updated_at = now()
		WHERE id IN (?) AND status IN ('succeeded', 'failed', 'canceled')
		  AND EXISTS (SELECT 1 FROM webhooks w WHERE w.id = webhook_id AND w.deleted_at IS NULL)
		RETURNING id, webhook_id, company_id
	), q AS (
		INSERT INTO delivery_queue (webhook_id, company_id, delivery_id) SELECT webhook_id, COALESCE(company_id, ?1), id FROM d
		ON CONFLICT DO NOTHING
	) SELECT count(*) FROM d`, bun.List(ids), uuid.Nil).Scan(ctx, &n)
	if err != nil {
		return 0, fmt.Errorf("requeue deliveries: %w", err)
	}
	return n, nil
}
