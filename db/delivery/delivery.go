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

// Status is a delivery's state.
type Status string

// A delivery goes pending → retrying → succeeded | failed | canceled. It is paused, from pending or retrying, while the
// circuit is open or the webhook inactive. A replay sets an ended delivery back to pending, with the next generation.
const (
	Pending   Status = "pending"
	Retrying  Status = "retrying"
	Paused    Status = "paused"
	Succeeded Status = "succeeded"
	Failed    Status = "failed"
	Canceled  Status = "canceled"
)

// Statuses returns all statuses, in the order of a delivery's life.
func Statuses() []Status {
	return []Status{Pending, Retrying, Paused, Succeeded, Failed, Canceled}
}

// Ended reports whether no further attempt follows without a replay.
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
	// WorkflowID is the delivery's workflow, or nil before one was recorded.
	WorkflowID    *string    `bun:"workflow_id"`
	NextAttemptAt *time.Time `bun:"next_attempt_at"`
	// TurnAt is when the attempt's turn under the webhook's rate limit comes; nil: it has not asked for one.
	TurnAt         *time.Time `bun:"turn_at"`
	LastStatusCode *int       `bun:"last_status_code"`
	LastError      *string    `bun:"last_error"`
	CreatedAt      time.Time  `bun:"created_at"`
	UpdatedAt      time.Time  `bun:"updated_at"`
	// ErasedAt is when a person was erased from the delivery, which is then not sent again.
	ErasedAt *time.Time `bun:"erased_at"`
	// Subject is the event's, if the webhook had ordering when the delivery was made; nil: it is in no line.
	Subject *string `bun:"subject"`
	// Sequence is the event's, with Subject.
	Sequence *int64 `bun:"sequence"`
}

// deliveriesOf narrows a query to deliveries of the company's events to webhooks that the company sees, including
// deleted ones. Deliveries to a global webhook of the platform are left out: what its receiver answers belongs to the
// platform. The webhook is read by a scalar subquery because a join makes the planner read and sort all deliveries of
// the company for each page; the index by company and id yields them in order.
func deliveriesOf(s pg.Scope, q *bun.SelectQuery) *bun.SelectQuery {
	if s.Company == nil {
		return q
	}
	return q.Where(`d.company_id = ?0 AND
		(SELECT w.company_id = ?0 OR w.owner_company_id = ?0 FROM webhooks w WHERE w.id = d.webhook_id)`, *s.Company)
}

// GetDelivery returns a delivery that the scope sees.
func GetDelivery(ctx context.Context, db bun.IDB, s pg.Scope, id uuid.UUID) (*Delivery, error) {
	d := new(Delivery)
	if err := deliveriesOf(s, db.NewSelect().Model(d).Where("d.id = ?", id)).Scan(ctx); err != nil {
		return nil, fmt.Errorf("get delivery: %w", pg.Translate(err))
	}
	return d, nil
}

// Work is a delivery with the rows that an attempt needs.
type Work struct {
	Delivery Delivery
	Event    Event
	Webhook  Webhook
	// Done is the attempt of this number that this run has already recorded, or nil.
	Done *Attempt
	// TokenUntil is that of a queued delivery that was just taken.
	TokenUntil time.Time
}

// IsOrdered reports whether other deliveries of the event's subject may wait for this one.
func (w *Work) IsOrdered() bool { return w.Webhook.Ordering != nil && w.Event.Subject != nil }

// LoadJob returns the work of an attempt by one workflow run. The webhook may be deleted, with DeletedAt set.
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

// PauseDelivery pauses a delivery to a blocked webhook. blocked is false when the circuit has closed since the delivery
// was loaded: the attempt may be made. paused is false when the delivery has ended since and this is not a replay. The
// function takes a share lock on the webhook. Closing a circuit locks the row for update, and releases the paused
// deliveries afterwards, so no delivery stays paused behind a closed circuit.
func PauseDelivery(
	ctx context.Context,
	db bun.IDB,
	id, webhook uuid.UUID,
	workflowID string,
	replay bool,
) (blocked, paused bool, err error) {
	err = pg.InTx(ctx, db, func(ctx context.Context, tx bun.Tx) error {
		all, err := lockBlockedWebhooks(ctx, tx, []uuid.UUID{webhook})
		if blocked = all[webhook]; err != nil || !blocked {
			return err
		}
		var status Status
		err = pg.Translate(tx.NewRaw(`UPDATE deliveries SET workflow_id = ?2, next_attempt_at = NULL, updated_at = now(),
			status = CASE WHEN (SELECT w.deleted_at FROM webhooks w WHERE w.id = ?1) IS NOT NULL
				THEN 'canceled' ELSE 'paused' END
			WHERE id = ?0 AND (status IN ('pending', 'retrying', 'paused') OR ?3 AND status <> 'canceled') RETURNING status`,
			id, webhook, workflowID, replay).Scan(ctx, &status))
		if errors.Is(err, pg.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		paused = true
		if status == Canceled { // the webhook was deleted since: wake the workflow, which then ends
			return AddCommand(ctx, tx, WakeDelivery, id, nil)
		}
		return nil
	})
	if err != nil {
		return false, false, fmt.Errorf("pause delivery: %w", err)
	}
	return blocked, paused, nil
}

// lockBlockedWebhooks takes share locks on webhooks and reports which are blocked: inactive, or with an open circuit.
func lockBlockedWebhooks(ctx context.Context, tx bun.Tx, ids []uuid.UUID) (map[uuid.UUID]bool, error) {
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

// RetryDelivery sends a delivery again on request. An ended delivery starts again, with the next generation and its
// retry schedule from the beginning. A delivery that waits for its next attempt is attempted now. A StateError refuses
// a pending or paused delivery, and one whose webhook was deleted (Resource "webhook", State "deleted").
func RetryDelivery(ctx context.Context, tx bun.Tx, s pg.Scope, id uuid.UUID) (*Delivery, error) {
	d, err := GetDelivery(ctx, tx, s, id)
	if err != nil {
		return nil, err
	}
	if err := lockNotDeleted(ctx, tx, d.WebhookID); err != nil {
		return nil, err
	}
	switch {
	case d.ErasedAt != nil:
		return nil, &pg.StateError{Resource: "delivery", State: "erased"}
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
	notify(tx)
	return GetDelivery(ctx, tx, s, id)
}

// CancelDelivery cancels a live delivery and wakes its workflow, which then ends. An attempt in flight is not
// interrupted: when it succeeds, the delivery becomes succeeded, otherwise it stays canceled. A delivery that failed
// and blocks its subject is canceled too, so that the next one follows. A StateError refuses another ended delivery.
func CancelDelivery(ctx context.Context, tx bun.Tx, s pg.Scope, id uuid.UUID) (*Delivery, error) {
	d, err := GetDelivery(ctx, tx, s, id)
	if err != nil {
		return nil, err
	}
	err = pg.One(tx.ExecContext(ctx, `UPDATE deliveries SET status = 'canceled', next_attempt_at = NULL, updated_at = now()
		WHERE id = ? AND (status IN ('pending', 'retrying', 'paused')
			OR status = 'failed' AND id IN (SELECT delivery_id FROM line_heads
				WHERE webhook_id = ? AND subject = ? AND blocked))`,
		id, d.WebhookID, d.Subject))
	if errors.Is(err, pg.ErrNotFound) {
		return nil, &pg.StateError{Resource: "delivery", State: string(d.Status)}
	}
	if err != nil {
		return nil, fmt.Errorf("cancel delivery: %w", err)
	}
	if d.Subject != nil {
		notify(tx)
	}
	if d.WorkflowID != nil {
		if err := AddCommand(ctx, tx, WakeDelivery, id, nil); err != nil {
			return nil, err
		}
	}
	return GetDelivery(ctx, tx, s, id)
}

// NameCircuits sets WorkflowID of deliveries that are paused behind an open circuit and have no workflow: the circuit's
// workflow will release them. It leaves the other deliveries unchanged.
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
	err := db.NewRaw(`SELECT id FROM webhooks
		WHERE id IN (?) AND circuit_opened_at IS NOT NULL AND deleted_at IS NULL`, bun.List(hooks)).
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

// lockNotDeleted locks a webhook against deletion until tx ends. A StateError refuses a deleted webhook.
func lockNotDeleted(ctx context.Context, tx bun.Tx, webhook uuid.UUID) error {
	var alive bool
	err := tx.NewRaw("SELECT deleted_at IS NULL FROM webhooks WHERE id = ? FOR SHARE", webhook).Scan(ctx, &alive)
	switch {
	case err != nil:
		return fmt.Errorf("lock webhook: %w", pg.Translate(err))
	case !alive:
		return &pg.StateError{Resource: "webhook", State: "deleted"}
	}
	return nil
}

// requeue sets ended deliveries back to pending, with the next generation, unless their webhook was deleted. Those of a
// webhook with ordering join their lines again, but for the head of a line that it blocks.
func requeue(ctx context.Context, tx bun.Tx, ids []uuid.UUID) (int, error) {
	var n int
	err := tx.NewRaw(`WITH u AS (
		UPDATE deliveries SET status = 'pending', generation = generation + 1, next_attempt_at = NULL,
			workflow_id = NULL, updated_at = now()
		WHERE id IN (?) AND status IN ('succeeded', 'failed', 'canceled') AND erased_at IS NULL
		  AND (SELECT w.deleted_at IS NULL FROM webhooks w WHERE w.id = webhook_id) -- no join: it would read by webhook
		RETURNING id, webhook_id, company_id, subject, sequence
	), heads AS (
		UPDATE line_heads SET blocked = false WHERE ctid = ANY (ARRAY(
			SELECT h.row FROM u CROSS JOIN LATERAL (SELECT h.ctid AS row FROM line_heads h
				WHERE h.webhook_id = u.webhook_id AND h.subject = u.subject AND h.delivery_id = u.id FOR UPDATE) h))
		RETURNING delivery_id
	), d AS MATERIALIZED (
		SELECT u.*, subject IS NOT NULL AND NOT EXISTS (SELECT FROM heads h WHERE h.delivery_id = u.id) AS waits FROM u
	), q AS (
		INSERT INTO delivery_queue (webhook_id, company_id, delivery_id)
		SELECT webhook_id, COALESCE(company_id, ?1), id FROM d WHERE NOT waits
		ON CONFLICT DO NOTHING
	), line AS (
		INSERT INTO line_waiting (delivery_id, webhook_id, subject, sequence, company_id)
		SELECT id, webhook_id, subject, sequence, COALESCE(company_id, ?1) FROM d WHERE waits
		ON CONFLICT DO NOTHING
	), change AS (
		INSERT INTO line_changes (webhook_id, subject) SELECT DISTINCT webhook_id, subject FROM d WHERE waits
	) SELECT count(*) FROM d`, bun.List(ids), uuid.Nil).Scan(ctx, &n)
	if err != nil {
		return 0, fmt.Errorf("requeue deliveries: %w", err)
	}
	return n, nil
}
