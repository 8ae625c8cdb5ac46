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
	// Version changes with the row and its last call. A write with this version is refused if anything has changed since.
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
	// InvitationDue reports that the invitation is still to be sent by e-mail.
	InvitationDue bool `json:",omitzero"`
	// HasAnalyser reports that an analyser is configured; without one the analysis is posted to the API.
	HasAnalyser bool
	// CompanyID and JobID become search attributes; JobID is zero for an interview without a job.
	CompanyID uuid.UUID `json:",omitzero"`
	JobID     uuid.UUID `json:",omitzero"`
}

// CallState is the last call attempt of an interview; a zero ID means that there is none.
type CallState struct {
	ID          uuid.UUID
	Status      string
	Reason      string
	RetryNumber int
	ScheduledAt time.Time `json:",omitzero"`
	// PlacedAt is when the provider accepted the call.
	PlacedAt time.Time `json:",omitzero"`
}

// LoadInterview reads the state of an interview, even of a deleted one.
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
	mailOpen := i.InviteMail && i.InviteMailedAt == nil && i.InviteMailError == nil
	s.InvitationDue = mailOpen && i.Status == db.InterviewScheduled && !s.Deleted
	if call != nil {
		s.Version += fmt.Sprintf("/%s@%d", call.ID, call.UpdatedAt.UnixMicro())
		s.Call = CallState{
			ID: call.ID, Status: string(call.Status), Reason: orZero(call.ReasonCode), RetryNumber: call.RetryNumber,
			ScheduledAt: call.ScheduledAt, PlacedAt: orZero(call.PlacedAt),
		}
	}
	return s, nil
}

// FailInterviewInput requests to fail an interview. Reason is one of the codes above.
type FailInterviewInput struct {
	InterviewID uuid.UUID
	Version     string
	Reason      string
}

// failureMessages explains each reason code in the event interview.failed.
var failureMessages = map[string]string{
	ReasonInvitationExpired: "the candidate did not start before the invitation's deadline",
	ReasonMaxDuration:       "the interview did not end within its maximum duration",
	ReasonNoAnswer:          "the candidate answered none of the calls",
	ReasonProvider:          "the call provider could not be reached",
}

// FailInterview fails an interview, unless it has changed since the decision.
func (a *Activities) FailInterview(ctx context.Context, in FailInterviewInput) error {
	err := a.ifUnchanged(ctx, in.InterviewID, in.Version, func(ctx context.Context, tx bun.Tx) error {
		_, err := db.FailInterview(ctx, tx, in.InterviewID, in.Reason, failureMessages[in.Reason])
		return err
	})
	return wrap("fail interview", err)
}

// RetryCallInput requests another call after an unanswered one.
type RetryCallInput struct {
	InterviewID uuid.UUID
	Version     string
	At          time.Time
	RetryNumber int
}

// RetryCall schedules the next call, unless another call was invoked or the interview has ended since the decision.
func (a *Activities) RetryCall(ctx context.Context, in RetryCallInput) error {
	return wrap("retry call", a.ifUnchanged(ctx, in.InterviewID, in.Version, func(ctx context.Context, tx bun.Tx) error {
		return db.InvokeCall(ctx, tx, in.InterviewID, in.At, in.RetryNumber)
	}))
}

// FailAnalysisInput requests to fail an overdue analysis.
type FailAnalysisInput struct {
	InterviewID uuid.UUID
	Version     string
}

// FailAnalysis fails an overdue analysis, unless it has arrived since the decision.
func (a *Activities) FailAnalysis(ctx context.Context, in FailAnalysisInput) error {
	err := a.ifUnchanged(ctx, in.InterviewID, in.Version, func(ctx context.Context, tx bun.Tx) error {
		return db.FailAnalysis(ctx, tx, in.InterviewID, "the analysis did not arrive in time")
	})
	return wrap("fail analysis", err)
}

// CancelInterviewInput requests a cancellation by an operator; Reason may be empty.
type CancelInterviewInput struct {
	InterviewID uuid.UUID
	Reason      string
}

// reasonOperator is the default reason of a cancellation; maxReason bounds a given reason, in bytes.
const (
	reasonOperator = "CANCELED_BY_OPERATOR"
	maxReason      = 200
)

// CancelInterview cancels an interview on behalf of an operator; it does nothing if the interview has ended.
func (a *Activities) CancelInterview(ctx context.Context, in CancelInterviewInput) error {
	reason := reasonOperator
	if given := pg.Text([]byte(truncate(in.Reason, maxReason))); given != nil {
		reason = *given
	}
	return wrap("cancel interview", pg.UnlessLost(pg.InTx(ctx, a.DB, func(ctx context.Context, tx bun.Tx) error {
		_, err := db.CancelInterview(ctx, tx, in.InterviewID, reason)
		return err
	})))
}

// ifUnchanged applies a change in a transaction that locks the interview's row, unless the interview has changed since
// version: then the decision is stale, nothing is done, and the workflow decides again. This also covers the retry of a
// change that was committed although the activity failed.
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
