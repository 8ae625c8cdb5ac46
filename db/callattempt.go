package db

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/catalog"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// CallStatus is the status of a call attempt. CANCELLED is the spelling of the contract (reference instaview §3.2).
type CallStatus string

// The five statuses of a call attempt.
const (
	CallScheduled  CallStatus = "SCHEDULED"
	CallInProgress CallStatus = "IN_PROGRESS"
	CallCompleted  CallStatus = "COMPLETED"
	CallFailed     CallStatus = "FAILED"
	CallCancelled  CallStatus = "CANCELLED"
)

// CallAttempt is one call of a PHONE interview.
type CallAttempt struct {
	bun.BaseModel `bun:"table:call_attempts,alias:ca"`

	ID          uuid.UUID  `bun:"id,pk"`
	InterviewID uuid.UUID  `bun:"interview_id"`
	Direction   string     `bun:"direction"`
	Status      CallStatus `bun:"status"`
	ReasonCode  *string    `bun:"reason_code"`
	Notes       *string    `bun:"notes"`
	// RetryNumber counts the retries after no answer; 0: the call was requested.
	RetryNumber     int       `bun:"retry_number"`
	RecordingURL    *string   `bun:"recording_url"`
	DurationSeconds *int      `bun:"duration_seconds"`
	ScheduledAt     time.Time `bun:"scheduled_at"`
	// PlacedAt is when the provider accepted the call, CalledAt when the candidate answered.
	PlacedAt  *time.Time `bun:"placed_at"`
	CalledAt  *time.Time `bun:"called_at"`
	CreatedAt time.Time  `bun:"created_at"`
	UpdatedAt time.Time  `bun:"updated_at"`
}

func insertCall(ctx context.Context, tx bun.Tx, interview uuid.UUID, at time.Time, retry int) error {
	now := time.Now().UTC()
	c := &CallAttempt{
		ID: pg.NewID(), InterviewID: interview, Direction: "OUTBOUND", Status: CallScheduled,
		RetryNumber: retry, ScheduledAt: at, CreatedAt: now, UpdatedAt: now,
	}
	if _, err := tx.NewInsert().Model(c).Exec(ctx); err != nil {
		return fmt.Errorf("insert call attempt: %w", pg.Translate(err))
	}
	return nil
}

// lastCalls limits ListCalls: each request for a call adds an attempt.
const lastCalls = 100

// ListCalls returns the newest 100 call attempts of each interview, oldest first.
func ListCalls(ctx context.Context, db bun.IDB, interviews ...uuid.UUID) ([]CallAttempt, error) {
	calls := []CallAttempt{}
	if len(interviews) == 0 {
		return calls, nil
	}
	err := db.NewSelect().Model(&calls).Where(`ca.id IN (SELECT c.id FROM interviews i CROSS JOIN LATERAL
		(SELECT id FROM call_attempts WHERE interview_id = i.id ORDER BY id DESC LIMIT ?) AS c WHERE i.id IN (?))`,
		lastCalls, bun.List(interviews)).Order("ca.id").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list call attempts: %w", err)
	}
	return calls, nil
}

// LastCall returns the newest call attempt of an interview, or nil.
func LastCall(ctx context.Context, db bun.IDB, interview uuid.UUID) (*CallAttempt, error) {
	c := new(CallAttempt)
	err := db.NewSelect().Model(c).Where("ca.interview_id = ?", interview).Order("ca.id DESC").Limit(1).Scan(ctx)
	if err = pg.Translate(err); errors.Is(err, pg.ErrNotFound) {
		return nil, nil //nolint:nilnil // no call is an ordinary answer
	}
	if err != nil {
		return nil, fmt.Errorf("last call attempt: %w", err)
	}
	return c, nil
}

// GetCall returns a call attempt by its id.
func GetCall(ctx context.Context, db bun.IDB, id uuid.UUID) (*CallAttempt, error) {
	c := new(CallAttempt)
	if err := db.NewSelect().Model(c).Where("ca.id = ?", id).Scan(ctx); err != nil {
		return nil, fmt.Errorf("get call attempt: %w", pg.Translate(err))
	}
	return c, nil
}

// CompanyOfCall returns the company of a call attempt.
func CompanyOfCall(ctx context.Context, db bun.IDB, id uuid.UUID) (company uuid.UUID, err error) {
	err = db.NewRaw(`SELECT i.company_id FROM call_attempts c JOIN interviews i ON i.id = c.interview_id
		WHERE c.id = ?`, id).Scan(ctx, &company)
	if err = pg.Translate(err); errors.Is(err, pg.ErrNotFound) { // deleted, and called all the same
		return uuid.Nil, nil
	}
	if err != nil {
		return uuid.Nil, fmt.Errorf("company of call: %w", err)
	}
	return company, nil
}

// InvokeCall schedules a call at the given time and replaces the pending one. It is a StateError while a call is in
// progress, and for an interview that is not SCHEDULED. retry is 0 unless the call follows an unanswered one.
func InvokeCall(ctx context.Context, tx bun.Tx, interview uuid.UUID, at time.Time, retry int) error {
	i, err := transition(ctx, tx, interview, []InterviewStatus{InterviewScheduled}, "scheduled_at = ?", at)
	if err != nil {
		return fmt.Errorf("invoke call attempt: %w", err)
	}
	var calling bool
	if err := tx.NewRaw("SELECT EXISTS (SELECT 1 FROM call_attempts WHERE interview_id = ? "+
		"AND status = 'IN_PROGRESS')", interview).
		Scan(ctx, &calling); err != nil {
		return fmt.Errorf("invoke call attempt: %w", err)
	}
	if calling {
		return &pg.StateError{Resource: "call attempt", State: string(CallInProgress)}
	}
	if err := endCalls(ctx, tx, interview, CallCancelled, "REPLACED"); err != nil {
		return err
	}
	if err := insertCall(ctx, tx, interview, at, retry); err != nil {
		return err
	}
	return recordInterview(
		ctx,
		tx,
		i,
		map[string]any{"scheduledAt": at.UTC().Format(time.RFC3339Nano)},
		catalog.InterviewRescheduled,
	)
}

// endCalls ends the interview's call that is scheduled or in progress; the workflow hangs up.
func endCalls(ctx context.Context, tx bun.Tx, interview uuid.UUID, to CallStatus, reason string) error {
	_, err := tx.ExecContext(ctx, `UPDATE call_attempts SET status = ?, reason_code = ?, updated_at = now()
		WHERE interview_id = ? AND status IN ('SCHEDULED', 'IN_PROGRESS')`, to, reason, interview)
	if err != nil {
		return fmt.Errorf("end calls: %w", err)
	}
	return nil
}

// RescheduleCall moves a SCHEDULED call, and its interview, to another time. A call that the provider has accepted is a
// StateError.
func RescheduleCall(ctx context.Context, tx bun.Tx, interview, call uuid.UUID, at time.Time) error {
	if _, err := LockInterview(ctx, tx, interview); err != nil {
		return err
	}
	c, err := GetCall(ctx, tx, call)
	if err != nil {
		return err
	}
	if c.PlacedAt != nil && c.Status == CallScheduled {
		return &pg.StateError{Resource: "call attempt", State: "ringing"}
	}
	if err := moveCall(ctx, tx, interview, call, CallScheduled, "scheduled_at = ?", at); err != nil {
		return fmt.Errorf("reschedule call attempt: %w", err)
	}
	i, err := transition(ctx, tx, interview, []InterviewStatus{InterviewScheduled}, "scheduled_at = ?", at)
	if err != nil {
		return fmt.Errorf("reschedule call attempt: %w", err)
	}
	return recordInterview(
		ctx,
		tx,
		i,
		map[string]any{"scheduledAt": at.UTC().Format(time.RFC3339Nano)},
		catalog.InterviewRescheduled,
	)
}

// DeleteCall removes a call attempt; one in progress is a StateError.
func DeleteCall(ctx context.Context, tx bun.Tx, interview, call uuid.UUID) error {
	if _, err := LockInterview(ctx, tx, interview); err != nil {
		return err
	}
	c, err := GetCall(ctx, tx, call)
	if err != nil {
		return err
	}
	if c.InterviewID != interview {
		return pg.ErrNotFound
	}
	err = pg.One(tx.ExecContext(ctx, "DELETE FROM call_attempts WHERE id = ? AND status <> 'IN_PROGRESS'", call))
	if errors.Is(err, pg.ErrNotFound) {
		return &pg.StateError{Resource: "call attempt", State: string(CallInProgress)}
	}
	if err != nil {
		return fmt.Errorf("delete call attempt: %w", err)
	}
	return delivery.AddCommand(ctx, tx, InterviewChanged, interview, nil)
}

// MarkCallPlaced records that the provider accepted the call. It is idempotent.
func MarkCallPlaced(ctx context.Context, db bun.IDB, call uuid.UUID) error {
	_, err := db.ExecContext(
		ctx,
		"UPDATE call_attempts SET placed_at = COALESCE(placed_at, clock_timestamp()), updated_at = now() WHERE id = ?",
		call,
	)
	if err != nil {
		return fmt.Errorf("mark call placed: %w", err)
	}
	return nil
}

// CallStarted records that the candidate answered: the call and its interview are in progress, with the event
// interview.started. It is idempotent.
func CallStarted(ctx context.Context, tx bun.Tx, call uuid.UUID) error {
	c, _, err := lockCall(ctx, tx, call)
	if err != nil || c.Status == CallInProgress {
		return err
	}
	err = moveCall(ctx, tx, c.InterviewID, call, CallScheduled, "status = 'IN_PROGRESS', called_at = clock_timestamp()")
	if err != nil {
		return fmt.Errorf("call started: %w", err)
	}
	_, err = StartInterview(ctx, tx, c.InterviewID)
	return err
}

// CallEnd is how a call ended.
type CallEnd struct {
	Status          CallStatus // CallCompleted or CallFailed
	ReasonCode      string     // of a failed call: NO_ANSWER, TECHNICAL_ERROR, …
	Message         string     // of a failed call, a sentence
	DurationSeconds *int
	RecordingURL    *string
	Finish          Finish
}

// lockCall locks the interview and returns the call and the interview's status.
func lockCall(ctx context.Context, tx bun.Tx, call uuid.UUID) (*CallAttempt, InterviewStatus, error) {
	c, err := GetCall(ctx, tx, call)
	if err != nil {
		return nil, "", err
	}
	status, err := LockInterview(ctx, tx, c.InterviewID)
	if err != nil {
		return nil, "", err
	}
	c, err = GetCall(ctx, tx, call) // again: it may have changed while we waited for the lock
	return c, status, err
}

// SetCalledAt sets the time at which the candidate answered, as the provider reports it. CallStarted has set the
// current time before.
func SetCalledAt(ctx context.Context, tx bun.Tx, call uuid.UUID, at time.Time) error {
	_, err := tx.ExecContext(
		ctx,
		"UPDATE call_attempts SET called_at = ? WHERE id = ? AND status = 'IN_PROGRESS'",
		at,
		call,
	)
	if err != nil {
		return fmt.Errorf("note when the call was answered: %w", err)
	}
	return nil
}

// CallEnded records the end of a call. A completed call completes its interview, with recording.completed when there is
// a recording. An unanswered call leaves the interview SCHEDULED: its workflow decides about a retry. Any other failure
// fails the interview. When the interview was canceled during the call, only the call ends. It is idempotent.
func CallEnded(ctx context.Context, tx bun.Tx, call uuid.UUID, e CallEnd) error {
	c, interview, err := lockCall(ctx, tx, call)
	if err != nil || c.Status == e.Status || interview == InterviewCanceled {
		return err
	}
	if e.Status == CallCompleted && c.Status == CallScheduled { // the start was not reported, or not yet
		if err := CallStarted(ctx, tx, call); err != nil {
			return err
		}
	}
	if err := moveOpenCall(ctx, tx, c, e); err != nil {
		return fmt.Errorf("call ended: %w", err)
	}
	switch {
	case e.Status == CallCompleted:
		err = callCompleted(ctx, tx, c.InterviewID, e)
	case e.ReasonCode == ReasonNoAnswer && c.Status == CallScheduled:
		err = delivery.AddCommand(ctx, tx, InterviewChanged, c.InterviewID, nil)
	default:
		_, err = FailInterview(ctx, tx, c.InterviewID, e.ReasonCode, e.Message)
	}
	return err
}

func callCompleted(ctx context.Context, tx bun.Tx, interview uuid.UUID, e CallEnd) error {
	i, err := FinishInterview(ctx, tx, interview, e.Finish)
	if err != nil || e.RecordingURL == nil {
		return err
	}
	return recordInterview(ctx, tx, i, map[string]any{"recordingUrl": *e.RecordingURL}, catalog.RecordingCompleted)
}

func moveOpenCall(ctx context.Context, tx bun.Tx, c *CallAttempt, e CallEnd) error {
	var reason *string
	if e.ReasonCode != "" {
		reason = &e.ReasonCode
	}
	err := pg.One(
		tx.ExecContext(
			ctx,
			`UPDATE call_attempts SET status = ?, reason_code = ?, duration_seconds = ?, recording_url = ?, updated_at = now()
		WHERE id = ? AND status IN ('SCHEDULED', 'IN_PROGRESS')`,
			e.Status,
			reason,
			e.DurationSeconds,
			e.RecordingURL,
			c.ID,
		),
	)
	if errors.Is(err, pg.ErrNotFound) {
		return &pg.StateError{Resource: "call attempt", State: string(c.Status)}
	}
	return err
}

// moveCall changes a call of this interview when it has the given status; otherwise it is a StateError.
func moveCall(
	ctx context.Context,
	tx bun.Tx,
	interview, call uuid.UUID,
	from CallStatus,
	set string,
	args ...any,
) error {
	c, err := GetCall(ctx, tx, call)
	if err != nil {
		return err
	}
	if c.InterviewID != interview {
		return pg.ErrNotFound
	}
	args = append(args, call, from)
	err = pg.One(
		tx.ExecContext(ctx, "UPDATE call_attempts SET "+set+", updated_at = now() WHERE id = ? AND status = ?", args...),
	)
	if errors.Is(err, pg.ErrNotFound) {
		return &pg.StateError{Resource: "call attempt", State: string(c.Status)}
	}
	return err
}
