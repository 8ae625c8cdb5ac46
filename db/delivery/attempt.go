package delivery

import (
	"context"
	"fmt"
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
	// Threshold is the number of consecutive failures at which the circuit opens.
	Threshold int
	// Probe: the attempt of a half-open circuit; its success closes the circuit.
	Probe bool
	// NextWorkflowID is the id of the delivery's next workflow when this attempt was made in a batch. After a failure the
	// delivery goes back to the queue and that workflow is started: it makes the next attempt, or shows that the delivery
	// failed for good. Empty: the workflow that made this attempt continues.
	NextWorkflowID string
	// Replay: an operator asked for this attempt, so its failure may change a delivery that has ended.
	Replay bool
}

// RecordAttempt stores an attempt, the delivery's new state and the webhook's circuit in one statement. Storing the
// same attempt of the same run again changes nothing. A failure does not change the state of an ended delivery, unless
// it is a replay. An attempt of an earlier generation never changes the state. A success does not write to a healthy
// webhook. 410 and 429 do not count as failures for the circuit: 410 disables the webhook, and 429 is a rate limit, not
// an outage. When the circuit opens (opened is true), or closes after a probe, the statement adds the command to the
// Circuit workflow.
func RecordAttempt(ctx context.Context, db bun.IDB, r AttemptRecord) (opened bool, err error) {
	a := r.Attempt
	var notified int
	err = db.NewRaw(attemptSQL, pg.Args{
		"delivery": a.DeliveryID, "run": a.RunID, "attempt": a.Attempt, "generation": a.Generation,
		"workflow": a.WorkflowID, "next_workflow": r.NextWorkflowID, "started_at": a.StartedAt, "duration_ms": a.DurationMS,
		"outcome": a.Outcome, "next_attempt_at": a.NextAttemptAt, "status_code": a.StatusCode,
		"error_kind": a.ErrorKind, "error": a.Error, "response": a.Response, "body": r.Body,
		"webhook": r.WebhookID, "counts": r.Counts, "threshold": r.Threshold, "probe": r.Probe, "replay": r.Replay,
		"circuit_changed": string(CircuitChanged), "channel": QueueChannel, "no_company": uuid.Nil,
	}).Scan(ctx, &opened, &notified)
	if err != nil {
		return false, fmt.Errorf("record attempt: %w", err)
	}
	return opened, nil
}

// keepsState is true when the attempt must not change the delivery's state: it is of another generation, or it failed
// and the delivery was canceled, or it failed and the delivery has ended, unless an operator asked for a replay.
const keepsState = `(generation <> ?generation OR a.outcome <> 'succeeded'
      AND (status = 'canceled' OR NOT ?replay AND status IN ('succeeded', 'failed')))`

// attemptSQL locks the webhook before the delivery, as DeleteWebhook does, because its last SELECT reads w first.
const attemptSQL = `
WITH a AS (
  INSERT INTO attempts (delivery_id, run_id, attempt, generation, workflow_id, started_at, duration_ms, outcome,
    next_attempt_at, status_code, error_kind, error, response)
  VALUES (?delivery, ?run, ?attempt, ?generation, ?workflow, ?started_at, ?duration_ms, ?outcome,
    ?next_attempt_at, ?status_code, ?error_kind, ?error, ?response)
  ON CONFLICT DO NOTHING RETURNING outcome
), d AS (
  UPDATE deliveries SET attempts = attempts + 1, body = COALESCE(body, ?body),
    updated_at = clock_timestamp(), reconcile_at = NULL,
    next_attempt_at = CASE WHEN ` + keepsState + ` THEN next_attempt_at ELSE ?next_attempt_at END,
    last_status_code = CASE WHEN ` + keepsState + ` THEN last_status_code ELSE ?status_code END,
    last_error = CASE WHEN ` + keepsState + ` THEN last_error ELSE ?error END,
    workflow_id = CASE WHEN ` + keepsState + ` THEN workflow_id
                       WHEN a.outcome <> 'succeeded' AND ?next_workflow <> '' THEN ?next_workflow ELSE ?workflow END,
    status = CASE WHEN ` + keepsState + ` THEN status
                  ELSE CASE a.outcome WHEN 'succeeded' THEN 'succeeded' WHEN 'retry' THEN 'retrying'
                                      ELSE 'failed' END END
  FROM a WHERE id = ?delivery
  RETURNING id, webhook_id, company_id, status, generation
), q AS (
  INSERT INTO delivery_queue (webhook_id, company_id, delivery_id, attempt, redo)
  SELECT webhook_id, COALESCE(company_id, ?no_company), id, ?attempt + 1, ?replay FROM d
  WHERE status IN ('retrying', 'failed') AND generation = ?generation AND ?next_workflow <> ''
  ON CONFLICT DO NOTHING
  RETURNING 1
), w AS (
` + countForCircuit + `
  RETURNING id, a.outcome, COALESCE(circuit_opened_at = now(), false) AS opened
), c AS (
  INSERT INTO commands (id, kind, subject_id)
  SELECT uuid_v7(), ?circuit_changed, id FROM w WHERE opened OR w.outcome = 'succeeded' AND ?probe
  RETURNING 1
)
SELECT EXISTS (SELECT 1 FROM w WHERE opened),
  (SELECT count(pg_notify(?channel, '')) FROM (SELECT FROM c UNION ALL SELECT FROM q) wakes)`

// Failure describes a delivery for which no attempt can be made.
type Failure struct {
	DeliveryID          uuid.UUID
	Generation, Attempt int
	// Reason is one sentence for the customer.
	Reason string
	// WorkflowID is as in Attempt, NextWorkflowID as in AttemptRecord.
	WorkflowID, NextWorkflowID string
}

// FailDelivery marks a delivery as failed without an attempt. ended is false when the delivery had ended before.
func FailDelivery(ctx context.Context, db bun.IDB, f Failure) (ended bool, err error) {
	var notified int
	err = db.NewRaw(`WITH d AS (
		UPDATE deliveries SET status = 'failed', last_error = ?reason, last_status_code = NULL, next_attempt_at = NULL,
		  workflow_id = CASE WHEN ?next_workflow <> '' THEN ?next_workflow ELSE ?workflow END, updated_at = clock_timestamp()
		WHERE id = ?delivery AND generation = ?generation AND status IN ('pending', 'retrying', 'paused')
		RETURNING id, webhook_id, company_id
	), q AS (
		INSERT INTO delivery_queue (webhook_id, company_id, delivery_id, attempt)
		SELECT webhook_id, COALESCE(company_id, ?no_company), id, ?attempt + 1 FROM d WHERE ?next_workflow <> ''
		ON CONFLICT DO NOTHING RETURNING 1
	) SELECT EXISTS (SELECT FROM d), (SELECT count(pg_notify(?channel, '')) FROM q)`, pg.Args{
		"delivery": f.DeliveryID, "generation": f.Generation, "attempt": f.Attempt, "reason": f.Reason,
		"workflow": f.WorkflowID, "next_workflow": f.NextWorkflowID, "no_company": uuid.Nil, "channel": QueueChannel,
	}).Scan(ctx, &ended, &notified)
	if err != nil {
		return false, fmt.Errorf("fail delivery: %w", err)
	}
	return ended, nil
}

// PostponeDelivery sets the time of an attempt that could not be made yet.
func PostponeDelivery(ctx context.Context, db bun.IDB, id uuid.UUID, generation int, until time.Time) error {
	_, err := db.ExecContext(ctx, `UPDATE deliveries SET next_attempt_at = ? WHERE id = ? AND generation = ?
		AND status IN ('pending', 'retrying')`, until, id, generation)
	if err != nil {
		return fmt.Errorf("postpone delivery: %w", err)
	}
	return nil
}

// ListAttempts returns a delivery's attempts in the order in which they were made.
func ListAttempts(ctx context.Context, db bun.IDB, delivery uuid.UUID) ([]Attempt, error) {
	as := []Attempt{}
	err := db.NewSelect().Model(&as).Where("a.delivery_id = ?", delivery).Order("a.started_at", "a.attempt").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list attempts: %w", err)
	}
	return as, nil
}
