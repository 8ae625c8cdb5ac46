package api

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
)

func (s *server) interviewRoutes() []surface.Route {
	return []surface.Route{
		surface.List(
			"/interviews",
			"read:interviews",
			s.listInterviews,
			"status",
			"candidateId",
			"jobId",
			"agentId",
			"page",
			"limit",
		).Weighs(surface.LargeList),
		surface.Post("/interviews", "write:interviews", s.createInterview),
		surface.Get("/interviews/:id", "read:interviews", s.getInterview),
		surface.Delete("/interviews/:id", "delete:interviews", s.deleteInterview),
		surface.Post("/interviews/:id/cancel", "write:interviews", s.cancelInterview),
		surface.Post("/interviews/:id/call-attempts", "write:interviews", s.invokeCall).MaxBody(surface.SmallBody),
		surface.Patch("/interviews/:id/call-attempts/:attemptId", "write:interviews", s.rescheduleCall).
			MaxBody(surface.SmallBody),
		surface.Delete("/interviews/:id/call-attempts/:attemptId", "delete:interviews", s.deleteCall),
		surface.Get("/interviews/:id/analysis", "read:interviews", s.getAnalysis),
		surface.Post("/interviews/:id/analysis", "write:interviews", s.postAnalysis).MaxBody(maxAnalysis),
	}
}

var interviews = surface.Resource[db.Interview]{
	Name:    "Interview",
	What:    "interview",
	Get:     anyInterview,
	Company: func(i *db.Interview) uuid.UUID { return i.CompanyID },
}

func anyInterview(ctx context.Context, d bun.IDB, id uuid.UUID) (*db.Interview, error) {
	return db.GetInterview(ctx, d, pg.Scope{}, id)
}

// interviewOutput is an interview as in reference §2.13, with the fields of ONLINE interviews added.
type interviewOutput struct {
	ID              uuid.UUID          `json:"id"`
	Number          int64              `json:"number"`
	CompanyID       uuid.UUID          `json:"companyId"`
	CandidateID     uuid.UUID          `json:"candidateId"`
	AgentID         uuid.UUID          `json:"agentId"`
	JobID           *uuid.UUID         `json:"jobId"`
	Type            db.InterviewType   `json:"type"`
	Status          db.InterviewStatus `json:"status"`
	StatusReason    *string            `json:"statusReason"`
	ScheduledAt     surface.Timestamp  `json:"scheduledAt"`
	DeadlineAt      *surface.Timestamp `json:"deadlineAt"`
	StartedAt       *surface.Timestamp `json:"startedAt"`
	FinishedDate    *surface.Timestamp `json:"finishedDate"`
	DurationMinutes int                `json:"durationMinutes"`
	AnalysisStatus  *string            `json:"analysisStatus"`
	InviteURL       *string            `json:"inviteUrl"`
	Metadata        json.RawMessage    `json:"metadata"`
	CallAttempts    []callOutput       `json:"callAttempts"`
	Analysis        *analysisOutput    `json:"analysis"`
	Answers         json.RawMessage    `json:"answers,omitempty"`
	Transcript      json.RawMessage    `json:"transcript,omitempty"`
	CreatedAt       surface.Timestamp  `json:"createdAt"`
	UpdatedAt       surface.Timestamp  `json:"updatedAt"`
}

// shower loads the calls and analyses of the interviews in two statements and returns a function that shows one
// interview. It leaves out answers and transcript, which only a single interview shows.
func (s *server) shower(
	ctx context.Context, d bun.IDB, is []db.Interview,
) (func(*db.Interview) interviewOutput, error) {
	ids := surface.Mapped(is, func(i *db.Interview) uuid.UUID { return i.ID })
	calls, err := db.ListCalls(ctx, d, ids...)
	if err != nil {
		return nil, err
	}
	analyses, err := db.AnalysesOf(ctx, d, ids...)
	if err != nil {
		return nil, err
	}
	callsOf, analysisOf := map[uuid.UUID][]callOutput{}, map[uuid.UUID]*analysisOutput{}
	for i := range calls {
		callsOf[calls[i].InterviewID] = append(callsOf[calls[i].InterviewID], showCall(&calls[i]))
	}
	for i := range analyses {
		shown := showAnalysis(&analyses[i])
		analysisOf[analyses[i].InterviewID] = &shown
	}
	return func(i *db.Interview) interviewOutput {
		out := s.showInterview(i)
		out.CallAttempts, out.Analysis = append(out.CallAttempts, callsOf[i.ID]...), analysisOf[i.ID]
		return out
	}, nil
}

func (s *server) showInterview(i *db.Interview) interviewOutput {
	out := interviewOutput{
		ID:              i.ID,
		Number:          i.Number,
		CompanyID:       i.CompanyID,
		CandidateID:     i.CandidateID,
		AgentID:         i.AgentID,
		JobID:           i.JobID,
		Type:            i.Type,
		Status:          i.Status,
		StatusReason:    i.StatusReason,
		ScheduledAt:     surface.Timestamp(i.ScheduledAt),
		DeadlineAt:      surface.Maybe(i.DeadlineAt),
		StartedAt:       surface.Maybe(i.StartedAt),
		FinishedDate:    surface.Maybe(i.FinishedAt),
		DurationMinutes: i.DurationMinutes,
		AnalysisStatus:  i.AnalysisStatus,
		Metadata:        i.Metadata,
		CallAttempts:    []callOutput{},
		CreatedAt:       surface.Timestamp(i.CreatedAt),
		UpdatedAt:       surface.Timestamp(i.UpdatedAt),
	}
	if i.Type == db.Online {
		url := s.InviteURL(i.ID)
		out.InviteURL = &url
	}
	return out
}

// answerInterview answers with the current state of one interview.
func (s *server) answerInterview(c *gin.Context, id uuid.UUID) error {
	out, err := s.oneInterview(c.Request.Context(), s.DB, id)
	if err != nil {
		return err
	}
	return ok(c, http.StatusOK, out)
}

// oneInterview returns the current state of one interview, including answers and transcript.
func (s *server) oneInterview(ctx context.Context, d bun.IDB, id uuid.UUID) (*interviewOutput, error) {
	i, err := interviews.Load(ctx, d, id)
	if err != nil {
		return nil, err
	}
	show, err := s.shower(ctx, d, []db.Interview{*i})
	if err != nil {
		return nil, err
	}
	out := show(i)
	out.Answers, out.Transcript = i.Answers, i.Transcript
	return &out, nil
}

// listInterviews also requires read:candidates and read:agents (reference §2.8).
func (s *server) listInterviews(c *gin.Context) error {
	if err := surface.RequireAll(c, "read:candidates", "read:agents"); err != nil {
		return err
	}
	p, err := surface.PageOf(c)
	if err != nil {
		return err
	}
	scope, err := surface.ScopeOf(c)
	if err != nil {
		return err
	}
	filter, err := interviewFilterOf(c)
	if err != nil {
		return err
	}
	return s.answerInterviews(c, p, scope, filter)
}

func interviewFilterOf(c *gin.Context) (f db.InterviewFilter, err error) {
	status, err := surface.QueryOneOf(c, "status", string(db.InterviewScheduled), string(db.InterviewInProgress),
		string(db.InterviewCompleted), string(db.InterviewFailed), string(db.InterviewCanceled))
	if err != nil {
		return f, err
	}
	f.Status = db.InterviewStatus(status)
	if f.CandidateID, err = surface.QueryID(c, "candidateId"); err != nil {
		return f, err
	}
	if f.JobID, err = surface.QueryID(c, "jobId"); err != nil {
		return f, err
	}
	f.AgentID, err = surface.QueryID(c, "agentId")
	return f, err
}

func (s *server) answerInterviews(c *gin.Context, p surface.Page, scope pg.Scope, f db.InterviewFilter) error {
	ctx := c.Request.Context()
	rows, total, err := db.ListInterviews(ctx, s.DB, scope, f, p.Window())
	if err != nil {
		return err
	}
	show, err := s.shower(ctx, s.DB, rows)
	if err != nil {
		return err
	}
	return okPage(c, p, rows, total, show)
}

func (s *server) getInterview(c *gin.Context) error {
	i, err := interviews.OfPath(c, s.DB)
	if err != nil {
		return err
	}
	return s.answerInterview(c, i.ID)
}

// deleteInterview is allowed in every status and answers true (reference §2.13).
func (s *server) deleteInterview(c *gin.Context) error {
	i, err := interviews.OfPath(c, s.DB)
	if err != nil {
		return err
	}
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		if _, err := db.LockInterview(ctx, tx, i.ID); err != nil {
			return err
		}
		return db.DeleteInterview(ctx, tx, pg.Scope{}, i.ID)
	})
	if err != nil {
		return err
	}
	return ok(c, http.StatusOK, true)
}

func (s *server) cancelInterview(c *gin.Context) error {
	i, err := interviews.OfPath(c, s.DB)
	if err != nil {
		return err
	}
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		_, err := db.CancelInterview(ctx, tx, i.ID, db.ReasonCanceledByClient)
		return err
	})
	if err != nil {
		return err
	}
	return s.answerInterview(c, i.ID)
}
