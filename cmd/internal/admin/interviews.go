package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/api/client"
	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
)

// InterviewQuery filters a list of interviews. A zero field does not filter.
type InterviewQuery struct {
	Company string // name or id
	Status  string
	Limit   int64
}

// Interview is the output for an interview, without what the candidate said and without the link that lets anyone take
// it.
type Interview struct {
	ID              uuid.UUID          `json:"id"`
	Number          int64              `json:"number"`
	CompanyID       uuid.UUID          `json:"companyId"`
	CandidateID     uuid.UUID          `json:"candidateId"`
	AgentID         uuid.UUID          `json:"agentId"`
	JobID           *uuid.UUID         `json:"jobId"`
	Type            db.InterviewType   `json:"type"`
	Status          db.InterviewStatus `json:"status"`
	StatusReason    *string            `json:"statusReason"`
	ScheduledAt     time.Time          `json:"scheduledAt"`
	DeadlineAt      *time.Time         `json:"deadlineAt"`
	StartedAt       *time.Time         `json:"startedAt"`
	FinishedDate    *time.Time         `json:"finishedDate"`
	DurationMinutes int                `json:"durationMinutes"`
	AnalysisStatus  *string            `json:"analysisStatus"`
	CreatedAt       time.Time          `json:"createdAt"`
	UpdatedAt       time.Time          `json:"updatedAt"`
}

func showInterview(i *db.Interview) Interview {
	return Interview{
		ID: i.ID, Number: i.Number, CompanyID: i.CompanyID, CandidateID: i.CandidateID, AgentID: i.AgentID, JobID: i.JobID,
		Type: i.Type, Status: i.Status, StatusReason: i.StatusReason, ScheduledAt: i.ScheduledAt, DeadlineAt: i.DeadlineAt,
		StartedAt: i.StartedAt, FinishedDate: i.FinishedAt, DurationMinutes: i.DurationMinutes,
		AnalysisStatus: i.AnalysisStatus, CreatedAt: i.CreatedAt, UpdatedAt: i.UpdatedAt,
	}
}

// InterviewStatuses returns the states of interviews.
func InterviewStatuses() []string { return texts(interviewStatuses) }

var interviewStatuses = []db.InterviewStatus{
	db.InterviewScheduled, db.InterviewInProgress, db.InterviewCompleted, db.InterviewFailed, db.InterviewCanceled,
}

// ListInterviews returns interviews, newest first.
func (a *Admin) ListInterviews(ctx context.Context, q InterviewQuery) ([]Interview, error) {
	if err := checkLimit(q.Limit); err != nil {
		return nil, err
	}
	if q.Status != "" && !slices.Contains(interviewStatuses, db.InterviewStatus(q.Status)) {
		return nil, fmt.Errorf("--status must be one of %s, not %q", join(interviewStatuses), q.Status)
	}
	company, err := a.companyID(ctx, q.Company)
	if err != nil {
		return nil, err
	}
	if a.api != nil {
		return listed[Interview](ctx, q.Limit, place{}, nil, func(at place) (*http.Response, error) {
			return a.api.ListInterviews(ctx, &client.ListInterviewsParams{
				Page: &at.number, Limit: &at.size, CompanyID: idText(company),
				Status: given(client.ListInterviewsParamsStatus(q.Status)),
			})
		})
	}
	found, _, err := db.ListInterviews(ctx, a.DB, pg.Scope{Company: company},
		db.InterviewFilter{Status: db.InterviewStatus(q.Status)}, pg.Page{Limit: q.Limit})
	return surface.Mapped(found, showInterview), err
}

// GetInterview returns an interview.
func (a *Admin) GetInterview(ctx context.Context, id uuid.UUID) (Interview, error) {
	if a.api != nil {
		return answered[Interview](a.api.GetInterview(ctx, id.String()))
	}
	i, err := db.GetInterview(ctx, a.DB, pg.Scope{}, id)
	if err != nil {
		return Interview{}, describeMissing(err, "interview", id)
	}
	return showInterview(i), nil
}

// CancelInterview cancels an interview that has not ended, and its calls.
func (a *Admin) CancelInterview(ctx context.Context, id uuid.UUID) (Interview, error) {
	if a.api != nil {
		return answered[Interview](a.api.CancelInterview(ctx, id.String()))
	}
	var shown Interview
	err := pg.InTx(ctx, a.DB, func(ctx context.Context, tx bun.Tx) error {
		if _, err := db.CancelInterview(ctx, tx, id, db.ReasonCanceledByClient); err != nil {
			return err
		}
		i, err := db.GetInterview(ctx, tx, pg.Scope{}, id)
		if err == nil {
			shown = showInterview(i)
		}
		return err
	})
	if state, ended := errors.AsType[*pg.StateError](err); ended {
		err = fmt.Errorf("interview %s is %s: an interview that has ended cannot be canceled", id, state.State)
	}
	return shown, describeMissing(err, "interview", id)
}

// Interviews prints a list of interviews.
func (p Printer) Interviews(list []Interview) error {
	return p.Value(list, func(out io.Writer) {
		row(out, "ID", "TYPE", "STATUS", "REASON", "SCHEDULED", "STARTED", "FINISHED", "ANALYSIS", "COMPANY")
		for _, i := range list {
			row(out, i.ID, i.Type, i.Status, i.StatusReason, i.ScheduledAt, i.StartedAt, i.FinishedDate, i.AnalysisStatus,
				i.CompanyID)
		}
	})
}

// Interview prints an interview.
func (p Printer) Interview(i Interview) error {
	return p.Value(i, func(out io.Writer) {
		row(out, "interview", i.ID)
		row(out, "number", i.Number)
		row(out, "company", i.CompanyID)
		row(out, "candidate", i.CandidateID)
		row(out, "agent", i.AgentID)
		row(out, "job", i.JobID)
		row(out, "type", i.Type)
		row(out, "status", i.Status)
		row(out, "reason", i.StatusReason)
		row(out, "scheduled", i.ScheduledAt)
		row(out, "deadline", i.DeadlineAt)
		row(out, "started", i.StartedAt)
		row(out, "finished", i.FinishedDate)
		row(out, "duration", fmt.Sprintf("%d minutes planned", i.DurationMinutes))
		row(out, "analysis", i.AnalysisStatus)
		row(out, "created", i.CreatedAt)
	})
}
