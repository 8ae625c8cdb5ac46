package activities

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/pg"
)

// Values of InterviewState and FailInterviewInput. They are in recorded histories, so they never change; today the
// interview's rows have the same.
const (
	InterviewScheduled  = "SCHEDULED"
	InterviewInProgress = "IN_PROGRESS"
	InterviewCompleted  = "COMPLETED"
	InterviewFailed     = "FAILED"
	InterviewCanceled   = "CANCELED"

	Online = "ONLINE"
	Phone  = "PHONE"

	CallScheduled  = "SCHEDULED"
	CallInProgress = "IN_PROGRESS"
	CallCompleted  = "COMPLETED"
	CallFailed     = "FAILED"
	CallCancelled  = "CANCELLED"

	AnalysisPending   = "PENDING"
	AnalysisCompleted = "COMPLETED"
	AnalysisFailed    = "FAILED"

	ReasonInvitationExpired = "INVITATION_EXPIRED"
	ReasonMaxDuration       = "MAX_DURATION_EXCEEDED"
	ReasonNoAnswer          = "NO_ANSWER"
	ReasonTechnical         = "TECHNICAL_ERROR"
	ReasonProvider          = "CALL_PROVIDER_UNAVAILABLE"
)

// InterviewState is what the Interview workflow decides on: states and times, no data of the candidate. Status is ""
// when the interview does not exist.
type InterviewState struct {
	// Version changes with the row and with its last call. A write that names it is made only if nothing happened since.
	Version     string
	Status      string
	Type        string
	Deleted     bool
	DeadlineAt  time.Time `json:",omitzero"`
	StartedAt   time.Time `json:",omitzero"`
	MaxDuration time.Duration
	Call        CallState
	// Analysis is AnalysisPending, COMPLETED or FAILED, or "" before the interview is completed.
	Analysis      string
	AnalysisDueAt time.Time `json:",omitzero"`
	// InvitationDue: the candidate is to be sent the invitation by e-mail.
	InvitationDue bool `json:",omitzero"`
	// HasAnalyser: there is a service to ask for the analysis; otherwise somebody posts it to the API.
	HasAnalyser bool
	// CompanyID and JobID make the interview searchable; JobID is zero where it belongs to no job.
	CompanyID uuid.UUID `json:",omitzero"`
	JobID     uuid.UUID `json:",omitzero"`
}

// CallState is the last call attempt of an interview; without an id there is none.
type CallState struct {
	ID          uuid.UUID
	Status      string
	Reason      string
	RetryNumber int
	ScheduledAt time.Time `json:",omitzero"`
	// PlacedAt is when the provider took the call.
	PlacedAt time.Time `json:",omitzero"`
}

// LoadInterview reads the state of an interview, also of a deleted one.
func (a *Activities) LoadInterview(ctx context.Context, interview uuid.UUID) (InterviewState, error) {
	s, err := loadInterview(ctx, a.DB, interview, false)
	s.HasAnalyser = a.Analyser.URL != ""
	return s, err
}

func loadInterview(ctx context.Context, idb bun.IDB, id uuid.UUID, lock bool) (InterviewState, error) {
	i, err := db.InterviewLife(ctx, idb, id, lock)
	if errors.Is(err, pg.ErrNotFound) {
		return InterviewState{}, nil
	}
	if err != nil {
		return InterviewState{}, fmt.Errorf("load interview: %w", err)
	}
	call, err := db.LastCall(ctx, idb, id)
	if err != nil {
		return InterviewState{}, fmt.Errorf("load interview: %w", err)
	}
	s := InterviewState{
		Version:       fmt.Sprint(i.UpdatedAt.UnixMicro()),
		Status:        string(i.Status),
		Type:          string(i.Type),
		Deleted:       i.DeletedAt != nil,
		DeadlineAt:    orZero(i.DeadlineAt),
		StartedAt:     orZero(i.StartedAt),
		MaxDuration:   time.Duration(i.MaxMinutes) * time.Minute,
		Analysis:      orZero(i.AnalysisStatus),
		AnalysisDueAt: orZero(i.AnalysisDueAt),
		CompanyID:     i.CompanyID,
		JobID:         orZero(i.JobID),
	}
	s.InvitationDue = i.InviteMail && i.InviteMailedAt == nil && i.InviteMailError == nil &&
		i.Status == db.InterviewScheduled &&
		!s.Deleted
	if call != nil {
		s.Version += fmt.Sprintf("/%s@%d", call.ID, call.UpdatedAt.UnixMicro())
		s.Call = CallState{
			ID: call.ID, Status: string(call.Status), Reason: orZero(call.ReasonCode), RetryNumber: call.RetryNumber,
			ScheduledAt: call.ScheduledAt, PlacedAt: orZero(call.PlacedAt),
		}
	}
	return s, nil
}

// FailInterviewInput asks to fail an interview. Reason is one of the codes above.
type FailInterviewInput struct {
	InterviewID uuid.UUID
	Version     string
	Reason      string
}

// whyFailed says in a sentence, for interview.failed, what a reason code means.
var whyFailed = map[string]string{
	ReasonInvitationExpired: "the candidate did not start before the invitation's deadline",
	ReasonMaxDuration:       "the interview did not end within its maximum duration",
	ReasonNoAnswer:          "the candidate answered none of the calls",
	ReasonProvider:          "the call provider could not be reached",
}

// FailInterview fails an interview that is still in the state the decision was taken on.
func (a *Activities) FailInterview(ctx context.Context, in FailInterviewInput) error {
	return wrap(
		"fail interview",
		a.ifUnchanged(ctx, in.InterviewID, in.Version, func(ctx context.Context, tx bun.Tx) error {
			_, err := db.FailInterview(ctx, tx, in.InterviewID, in.Reason, whyFailed[in.Reason])
			return err
		}),
	)
}

// RetryCallInput asks for another call after one that nobody answered.
type RetryCallInput struct {
	InterviewID uuid.UUID
	Version     string
	At          time.Time
	RetryNumber int
}

// RetryCall schedules the next call, unless somebody invoked one, or ended the interview, in the meantime.
func (a *Activities) RetryCall(ctx context.Context, in RetryCallInput) error {
	return wrap("retry call", a.ifUnchanged(ctx, in.InterviewID, in.Version, func(ctx context.Context, tx bun.Tx) error {
		return db.InvokeCall(ctx, tx, in.InterviewID, in.At, in.RetryNumber)
	}))
}

// FailAnalysisInput asks to give up the wait for an analysis.
type FailAnalysisInput struct {
	InterviewID uuid.UUID
	Version     string
}

// FailAnalysis fails an analysis that has not arrived in time; one that arrived in the meantime stands.
func (a *Activities) FailAnalysis(ctx context.Context, in FailAnalysisInput) error {
	return wrap(
		"fail analysis",
		a.ifUnchanged(ctx, in.InterviewID, in.Version, func(ctx context.Context, tx bun.Tx) error {
			return db.FailAnalysis(ctx, tx, in.InterviewID, "the analysis did not arrive in time")
		}),
	)
}

// CancelInterviewInput is an engineer's wish; Reason may be empty.
type CancelInterviewInput struct {
	InterviewID uuid.UUID
	Reason      string
}

// reasonOperator is the reason of a cancellation for which none was given; maxReason bounds, in bytes, one that was.
const (
	reasonOperator = "CANCELED_BY_OPERATOR"
	maxReason      = 200
)

// CancelInterview cancels an interview on behalf of an engineer; one that has ended is left alone.
func (a *Activities) CancelInterview(ctx context.Context, in CancelInterviewInput) error {
	reason := reasonOperator
	if given := pg.Text([]byte(cut(in.Reason, maxReason))); given != nil {
		reason = *given
	}
	return wrap("cancel interview", pg.UnlessLost(pg.InTx(ctx, a.DB, func(ctx context.Context, tx bun.Tx) error {
		_, err := db.CancelInterview(ctx, tx, in.InterviewID, reason)
		return err
	})))
}

// ifUnchanged makes a change in a transaction that holds the interview's row, unless something happened since version
// was read: then the decision is out of date, nothing is done, and the workflow decides again. The repetition of a
// change that was committed, but not heard of, is such a case too.
func (a *Activities) ifUnchanged(
	ctx context.Context,
	id uuid.UUID,
	version string,
	change func(context.Context, bun.Tx) error,
) error {
	return pg.UnlessLost(pg.InTx(ctx, a.DB, func(ctx context.Context, tx bun.Tx) error {
		s, err := loadInterview(ctx, tx, id, true)
		if err != nil || s.Version != version {
			return err
		}
		return change(ctx, tx)
	}))
}
