package delivery

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// Outcome is the result of one attempt.
type Outcome string

// Retry: the attempt failed and another one follows. Failed: the last attempt failed. Gone: the receiver answered 410,
// which ends the delivery and disables the webhook.
const (
	OutcomeSucceeded Outcome = "succeeded"
	OutcomeRetry     Outcome = "retry"
	OutcomeFailed    Outcome = "failed"
	OutcomeGone      Outcome = "gone"
)

// Attempt is one POST and its result.
type Attempt struct {
	bun.BaseModel `bun:"table:attempts,alias:a"`

	DeliveryID uuid.UUID `bun:"delivery_id,pk"`
	// RunID is the workflow run that made the attempt. RunID and Attempt make recording idempotent.
	RunID         uuid.UUID  `bun:"run_id,pk"`
	Attempt       int        `bun:"attempt,pk"`
	Generation    int        `bun:"generation"`
	WorkflowID    string     `bun:"workflow_id"`
	StartedAt     time.Time  `bun:"started_at"`
	DurationMS    int        `bun:"duration_ms"`
	Outcome       Outcome    `bun:"outcome"`
	NextAttemptAt *time.Time `bun:"next_attempt_at"`
	StatusCode    *int       `bun:"status_code"`
	ErrorKind     *string    `bun:"error_kind"`
	Error         *string    `bun:"error"`
	// Response is the first bytes of the receiver's answer, valid UTF-8 without NUL.
	Response *string `bun:"response"`
}

// AttemptRecord is an attempt to store, with what its delivery and webhook need to be updated.
type AttemptRecord struct {
	Attempt   Attempt
	WebhookID uuid.UUID
	// Body is the request body. The first attempt stores it on the delivery.
	Body []byte
	// Counts is false for a test, which does not count for the circuit.
	Counts bool
	// Threshold is the number of consecutive failures at which the circuit opens, once Span has passed since the first of
	// them.
	Threshold int
	Span      time.Duration
	// Probe: the attempt of a half-open circuit; its success closes the circuit.
	Probe bool
	// NextWorkflowID is the id of the delivery's next workflow when this attempt was made in a batch. After a failure the
	// delivery goes back to the queue and that workflow is started: it makes the next attempt, or shows that the delivery
	// failed for good. Empty: the workflow that made this attempt continues.
	NextWorkflowID string
	// Replay: an operator asked for this attempt, so its failure may change a delivery that has ended.
	Replay bool
	// Ordered: the delivery is in a line, which may move after the attempt.
	Ordered bool
}

// RecordAttempt stores an attempt, the delivery's new state and the webhook's circuit in one statement. Storing the
// same attempt of the same run again changes nothing. A failure does not change the state of an ended delivery, unless
// it is a replay. An attempt of an earlier generation never changes the state. A success does not write to a healthy
// webhook. 410 and 429 do not count as failures for the circuit: 410 disables the webhook, and 429 is a rate limit, not
// an outage. When the circuit opens (opened is true), or closes after a probe, the statement adds the command to the
// Circuit workflow.
//
// Each change of the webhook's state, and a delivery that has failed for good, is an operational event, stored in the
// same transaction. A success that is no probe changes neither, so it stays a single statement.
func RecordAttempt(ctx context.Context, db bun.IDB, r AttemptRecord) (opened bool, err error) {
	var c attemptChanges
	if r.Attempt.Outcome == OutcomeSucceeded && !r.Probe {
		c, err = recordAttempt(ctx, db, r)
	} else {
		err = pg.InTx(ctx, db, func(ctx context.Context, tx bun.Tx) error {
			if c, err = recordAttempt(ctx, tx, r); err != nil {
				return err
			}
			return c.record(ctx, tx, r)
		})
	}
	if err != nil {
		return false, fmt.Errorf("record attempt: %w", err)
	}
	return c.opened, nil
}

func recordAttempt(ctx context.Context, db bun.IDB, r AttemptRecord) (c attemptChanges, err error) {
	a := r.Attempt
	query := attemptSQL
	if a.Outcome == OutcomeFailed || a.Outcome == OutcomeGone {
		query = lastAttemptSQL
	}
	var queued bool
	err = db.NewRaw(query, pg.Args{
		"delivery": a.DeliveryID, "run": a.RunID, "attempt": a.Attempt, "generation": a.Generation,
		"workflow": a.WorkflowID, "next_workflow": r.NextWorkflowID, "started_at": a.StartedAt, "duration_ms": a.DurationMS,
		"outcome": a.Outcome, "next_attempt_at": a.NextAttemptAt, "status_code": a.StatusCode,
		"error_kind": a.ErrorKind, "error": a.Error, "response": a.Response, "body": r.Body,
		"webhook": r.WebhookID, "counts": r.Counts, "threshold": r.Threshold, "span": r.Span.Microseconds(),
		"probe": r.Probe, "replay": r.Replay,
		"circuit_changed": string(CircuitChanged), "no_company": uuid.Nil, "failing": failingAt,
	}).Scan(ctx, &c.opened, &queued, &c.closed, &c.gone, &c.failing, &c.exhausted)
	if err == nil && queued {
		notify(db)
	}
	return c, err
}

// keepsState is true when the attempt must not change the delivery's state: it is of another generation, or it failed
// and the delivery was canceled, or it failed and the delivery has ended, unless an operator asked for a replay.
const keepsState = `(generation <> ?generation OR a.outcome <> 'succeeded'
      AND (status = 'canceled' OR NOT ?replay AND status IN ('succeeded', 'failed')))`

// attemptSQL records an attempt, and lastAttemptSQL one after which no other follows: it reads the status of the locked
// delivery, to know whether it failed just now. Both lock the webhook before the delivery, as DeleteWebhook does,
// because their last SELECT reads w first.
var (
	attemptSQL     = attemptStatement("a", "false")
	lastAttemptSQL = attemptStatement(
		"a, (SELECT id AS locked, status AS before FROM deliveries WHERE id = ?delivery FOR UPDATE) locked",
		"NOT is_test AND status = 'failed' AND generation = ?generation AND before <> 'canceled' "+
			"AND (?replay OR before NOT IN ('succeeded', 'failed'))")
)

func attemptStatement(from, exhausted string) string {
	return `
WITH a AS (
  INSERT INTO attempts (delivery_id, run_id, attempt, generation, workflow_id, started_at, duration_ms, outcome,
    next_attempt_at, status_code, error_kind, error, response)
  VALUES (?delivery, ?run, ?attempt, ?generation, ?workflow, ?started_at, ?duration_ms, ?outcome,
    ?next_attempt_at, ?status_code, ?error_kind, ?error, ?response)
  ON CONFLICT DO NOTHING RETURNING outcome
), d AS (
  UPDATE deliveries SET attempts = attempts + 1, body = COALESCE(body, ?body),
    updated_at = clock_timestamp(), reconcile_at = NULL, turn_at = NULL,
    next_attempt_at = CASE WHEN ` + keepsState + ` THEN next_attempt_at ELSE ?next_attempt_at END,
    last_status_code = CASE WHEN ` + keepsState + ` THEN last_status_code ELSE ?status_code END,
    last_error = CASE WHEN ` + keepsState + ` THEN last_error ELSE ?error END,
    workflow_id = CASE WHEN ` + keepsState + ` THEN workflow_id
                       WHEN a.outcome <> 'succeeded' AND ?next_workflow <> '' THEN ?next_workflow ELSE ?workflow END,
    status = CASE WHEN ` + keepsState + ` THEN status
                  ELSE CASE a.outcome WHEN 'succeeded' THEN 'succeeded' WHEN 'retry' THEN 'retrying'
                                      ELSE 'failed' END END
  FROM ` + from + ` WHERE id = ?delivery
  RETURNING id, webhook_id, company_id, status, generation, ` + exhausted + ` AS exhausted
), q AS (
  INSERT INTO delivery_queue (webhook_id, company_id, delivery_id, attempt, redo)
  SELECT webhook_id, COALESCE(company_id, ?no_company), id, ?attempt + 1, ?replay FROM d
  WHERE status IN ('retrying', 'failed') AND generation = ?generation AND ?next_workflow <> ''
  ON CONFLICT DO NOTHING
  RETURNING 1
), w AS (
` + countForCircuit + `
  RETURNING id, a.outcome, COALESCE(circuit_opened_at = now(), false) AS opened,
    COALESCE(circuit_closed_at = now(), false) AS closed, COALESCE(gone_at = now(), false) AS gone,
    a.counts AND ?attempt = 1 AND failed_first = ?failing AND circuit_opened_at IS NULL AS failing
), c AS (
  INSERT INTO commands (id, kind, subject_id)
  SELECT uuid_v7(), ?circuit_changed, id FROM w WHERE opened OR w.outcome = 'succeeded' AND ?probe
  RETURNING 1
)
SELECT EXISTS (SELECT 1 FROM w WHERE opened), EXISTS (SELECT FROM c) OR EXISTS (SELECT FROM q),
  EXISTS (SELECT FROM w WHERE closed), EXISTS (SELECT FROM w WHERE gone), EXISTS (SELECT FROM w WHERE failing),
  EXISTS (SELECT FROM d WHERE exhausted)`
}

// Failure describes a delivery for which no attempt can be made.
type Failure struct {
	DeliveryID          uuid.UUID
	Generation, Attempt int
	// Reason is one sentence for the customer.
	Reason string
	// WorkflowID is as in Attempt, NextWorkflowID as in AttemptRecord.
	WorkflowID, NextWorkflowID string
}

// FailDelivery marks a delivery as failed without an attempt, with the event delivery.exhausted. ended is false when
// the delivery had ended before.
func FailDelivery(ctx context.Context, db bun.IDB, f Failure) (ended bool, err error) {
	err = pg.InTx(ctx, db, func(ctx context.Context, tx bun.Tx) error {
		if ended, err = failDelivery(ctx, tx, f); err != nil || !ended {
			return err
		}
		return recordExhausted(ctx, tx, f.DeliveryID)
	})
	if err != nil {
		return false, fmt.Errorf("fail delivery: %w", err)
	}
	return ended, nil
}

func failDelivery(ctx context.Context, tx bun.Tx, f Failure) (ended bool, err error) {
	var queued bool
	err = tx.NewRaw(`WITH d AS (
		UPDATE deliveries SET status = 'failed', last_error = ?reason, last_status_code = NULL, next_attempt_at = NULL,
		  workflow_id = CASE WHEN ?next_workflow <> '' THEN ?next_workflow ELSE ?workflow END, updated_at = clock_timestamp()
		WHERE id = ?delivery AND generation = ?generation AND status IN ('pending', 'retrying', 'paused')
		RETURNING id, webhook_id, company_id
	), q AS (
		INSERT INTO delivery_queue (webhook_id, company_id, delivery_id, attempt)
		SELECT webhook_id, COALESCE(company_id, ?no_company), id, ?attempt + 1 FROM d WHERE ?next_workflow <> ''
		ON CONFLICT DO NOTHING RETURNING 1
	) SELECT EXISTS (SELECT FROM d), EXISTS (SELECT FROM q)`, pg.Args{
		"delivery": f.DeliveryID, "generation": f.Generation, "attempt": f.Attempt, "reason": f.Reason,
		"workflow": f.WorkflowID, "next_workflow": f.NextWorkflowID, "no_company": uuid.Nil,
	}).Scan(ctx, &ended, &queued)
	if err == nil && queued {
		notify(tx)
	}
	return ended, err
}

// PostponeDelivery records that an attempt could not be made yet and is tried again after wait. turn is its turn under
// the webhook's rate limit; nil leaves the one that it has.
func PostponeDelivery(
	ctx context.Context, db bun.IDB, id uuid.UUID, generation int, wait time.Duration, turn *time.Time,
) error {
	_, err := db.ExecContext(ctx, `UPDATE deliveries SET turn_at = COALESCE(?3, turn_at),
			next_attempt_at = clock_timestamp() + ?2 * interval '1 us'
		WHERE id = ?0 AND generation = ?1 AND status IN ('pending', 'retrying')`,
		id, generation, wait.Microseconds(), turn)
	if err != nil {
		return fmt.Errorf("postpone delivery: %w", err)
	}
	return nil
}

// NoteAttempt records that an attempt begins which has been due for long: without it the reconciler would take the
// delivery's workflow for lost, and wake it.
func NoteAttempt(ctx context.Context, db bun.IDB, delivery uuid.UUID) error {
	_, err := pg.Direct(db).ExecContext(ctx, `UPDATE deliveries SET reconcile_at = now()
		WHERE id = $1 AND status IN ('pending', 'retrying')`, delivery)
	if err != nil {
		return fmt.Errorf("note attempt: %w", err)
	}
	return nil
}

// QueueAttempt queues an attempt that found no place: q has the delivery, its generation, the number of the attempt,
// and whether it is a probe. The dispatcher wakes the delivery's workflow once there is a place. queued is false when
// the delivery does not wait for an attempt.
func QueueAttempt(ctx context.Context, db bun.IDB, q QueuedDelivery) (queued bool, err error) {
	res, err := pg.Direct(db).ExecContext(ctx, `INSERT INTO delivery_queue AS q
			(webhook_id, company_id, delivery_id, attempt, probe, redo)
		SELECT webhook_id, COALESCE(company_id, $5), id, $3, $4, true FROM deliveries
		WHERE id = $1 AND generation = $2 AND status IN ('pending', 'retrying')
		ON CONFLICT (webhook_id, company_id, delivery_id) DO UPDATE SET redo = true, probe = q.probe OR EXCLUDED.probe`,
		q.DeliveryID, q.Generation, q.Attempt, q.Probe, uuid.Nil)
	if err != nil {
		return false, fmt.Errorf("queue attempt: %w", err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// lastAttempts limits ListAttempts: a delivery gains attempts with each replay, and each has up to 4 KiB.
const lastAttempts = 100

// ListAttempts returns a delivery's newest 100 attempts in the order in which they were made.
func ListAttempts(ctx context.Context, db bun.IDB, delivery uuid.UUID) ([]Attempt, error) {
	as := []Attempt{}
	err := db.NewSelect().Model(&as).Where("a.delivery_id = ?", delivery).
		Order("a.started_at DESC", "a.attempt DESC").Limit(lastAttempts).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list attempts: %w", err)
	}
	slices.Reverse(as)
	return as, nil
}

// PageAttempts returns one page of the attempts of a delivery, newest first, and the total.
func PageAttempts(ctx context.Context, db bun.IDB, delivery uuid.UUID, p pg.Page) ([]Attempt, int64, error) {
	as := []Attempt{}
	total, err := db.NewSelect().Model(&as).Where("a.delivery_id = ?", delivery).
		Order("a.started_at DESC", "a.attempt DESC").Limit(p.Limit).Offset(p.Offset).ScanAndCount(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("page attempts: %w", err)
	}
	return as, total, nil
}
