package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/api/surface"
	"greenroom/db"
)

const (
	// maxInlineSkills bounds the two skill lists of an inline job together (reference §2.11).
	maxInlineSkills = 10
)

// interviewInput is the body of a create (reference §2.13): each of candidate, job and agent by id or inline. The
// start is scheduledAt in one published edition and scheduleTime in another.
type interviewInput struct {
	CandidateID  *uuid.UUID       `json:"candidateId"`
	Candidate    *candidateFields `json:"candidate"`
	JobID        *uuid.UUID       `json:"jobId"`
	Job          *inlineJob       `json:"job"`
	AgentID      *uuid.UUID       `json:"agentId"`
	Agent        *agentInput      `json:"agent"`
	ScheduledAt  *time.Time       `json:"scheduledAt"`
	ScheduleTime *time.Time       `json:"scheduleTime"`
	Metadata     json.RawMessage  `json:"metadata" validate:"metadata"`
}

type inlineJob struct {
	JobTitle string `json:"jobTitle" validate:"required,min=5,max=200"`
	jobFields
}

// check is what one field's rules cannot say.
func (in *interviewInput) check() error {
	if err := either("candidate", in.CandidateID != nil, in.Candidate != nil, true); err != nil {
		return err
	}
	if err := either("agent", in.AgentID != nil, in.Agent != nil, true); err != nil {
		return err
	}
	if err := either("job", in.JobID != nil, in.Job != nil, false); err != nil {
		return err
	}
	if in.Candidate != nil && in.Candidate.GDPRExpiryDate == nil {
		return surface.Missing("candidate.gdprExpiryDate")
	}
	return in.Job.check()
}

func (in *inlineJob) check() error {
	if in == nil {
		return nil
	}
	if len(in.RequiredSkills)+len(in.NiceToHaveSkills) > maxInlineSkills {
		return surface.Invalid(
			"job.requiredSkills",
			"job.requiredSkills and job.niceToHaveSkills must have at most 10 skills in total",
		)
	}
	return in.Salary.check("job.salary")
}

// either wants exactly one of <name>Id and <name>, or at most one when it is not required.
func either(name string, byID, inline, required bool) error {
	switch {
	case byID && inline:
		return surface.Invalid(name, "only one of "+name+"Id and "+name+" may be sent")
	case !byID && !inline && required:
		e := surface.Missing(name + "Id")
		e.Message = name + "Id or an inline " + name + " is required"
		return e
	}
	return nil
}

// start is when the interview is to begin: now when nothing was sent.
func (in *interviewInput) start(now time.Time) (time.Time, error) {
	at, name := in.ScheduledAt, "scheduledAt"
	if at == nil {
		at, name = in.ScheduleTime, "scheduleTime"
	} else if in.ScheduleTime != nil && !in.ScheduleTime.Equal(*at) {
		return now, surface.Invalid(
			"scheduleTime",
			"scheduleTime and scheduledAt are two names of one time and must not differ",
		)
	}
	if at == nil {
		return now, nil
	}
	return *at, surface.CheckStart(name, *at, now)
}

// createInterview also needs read:candidates and read:agents (reference §2.8). Everything that the body brings along is
// created in one transaction with the interview: when one part is refused, nothing is left behind. A client that may
// repeat a request sends an Idempotency-Key, so that the candidate is invited once.
func (s *server) createInterview(c *gin.Context) error {
	if err := surface.RequireAll(c, "read:candidates", "read:agents"); err != nil {
		return err
	}
	company, err := s.CallerCompany(c)
	if err != nil {
		return err
	}
	raw, err := surface.ReadBody(c)
	if err != nil {
		return err
	}
	in, err := surface.Decode[interviewInput](raw)
	if err != nil {
		return err
	}
	if err := in.check(); err != nil {
		return err
	}
	return s.Once(c, raw, func(ctx context.Context, tx bun.Tx) (int, any, error) {
		at, err := in.start(time.Now().UTC()) // a repeated request may come after the start
		if err != nil {
			return 0, nil, err
		}
		interview, err := s.makeInterview(ctx, tx, company, &in, at)
		if err != nil {
			return 0, nil, err
		}
		out, err := s.oneInterview(ctx, tx, interview.ID)
		return http.StatusCreated, wrapped(out), err
	})
}

func (s *server) makeInterview(
	ctx context.Context,
	tx bun.Tx,
	company uuid.UUID,
	in *interviewInput,
	at time.Time,
) (*db.Interview, error) {
	agent, err := in.agent(ctx, tx, company)
	if err != nil {
		return nil, err
	}
	job, err := in.job(ctx, tx, company)
	if err != nil {
		return nil, err
	}
	candidate, err := in.candidate(ctx, tx, company)
	if err != nil {
		return nil, err
	}
	params := db.InviteParams{
		Job: job, Candidate: candidate, Match: db.MatchNone, Agent: agent, Interview: s.NewInterview(at),
	}
	if in.Metadata != nil {
		params.Interview.Metadata = in.Metadata
	}
	if job == nil && agent.Focus != db.FocusGeneric {
		if params.Interview.JobID, err = onlyOpenJob(ctx, tx, candidate); err != nil {
			return nil, err
		}
	}
	if agent.Type == db.Phone && candidate.PhoneNumber == nil {
		return nil, missingPhone(candidate)
	}
	invitation, err := db.Invite(ctx, tx, params)
	if err != nil {
		return nil, err
	}
	return invitation.Interview, nil
}

func missingPhone(candidate *db.Candidate) error {
	details := surface.Details{"field": "phoneNumber"}
	if candidate.ID != uuid.Nil {
		details["candidateId"] = candidate.ID
	}
	return &surface.Error{
		Status:  http.StatusUnprocessableEntity,
		Code:    surface.CodeValidation,
		Message: "The candidate has no phoneNumber, which a PHONE interview needs",
		Details: details,
	}
}

func (in *interviewInput) agent(ctx context.Context, tx bun.Tx, company uuid.UUID) (*db.Agent, error) {
	if in.AgentID != nil {
		return agents.Of(ctx, tx, company, *in.AgentID)
	}
	agent := in.Agent.row(company)
	return agent, db.CreateAgent(ctx, tx, agent)
}

// job returns the job that the body names or describes; nil when it has none.
func (in *interviewInput) job(ctx context.Context, tx bun.Tx, company uuid.UUID) (*db.Job, error) {
	switch {
	case in.JobID != nil:
		return jobs.Of(ctx, tx, company, *in.JobID)
	case in.Job != nil:
		job := in.Job.row(company, in.Job.JobTitle)
		return job, db.CreateJob(ctx, tx, job)
	}
	return nil, nil //nolint:nilnil // no job is an ordinary answer
}

// candidate returns the candidate that the body names, or the row of an inline one, which is not stored yet. An inline
// candidate is always a new one: it comes with a gdprExpiryDate and a status of its own.
func (in *interviewInput) candidate(ctx context.Context, tx bun.Tx, company uuid.UUID) (*db.Candidate, error) {
	if in.CandidateID != nil {
		return candidates.Of(ctx, tx, company, *in.CandidateID)
	}
	return in.Candidate.row(company, "candidate.")
}

// onlyOpenJob resolves the job of an interview that names none (reference §2.13).
func onlyOpenJob(ctx context.Context, tx bun.Tx, candidate *db.Candidate) (*uuid.UUID, error) {
	open, err := db.OpenJobsOf(ctx, tx, candidate.ID)
	switch {
	case err != nil:
		return nil, err
	case len(open) == 1:
		return &open[0], nil
	case len(open) == 0:
		e := surface.Missing("jobId")
		e.Message = "jobId is required: the candidate has no active job, and the agent's focus is not GENERIC"
		return nil, e
	}
	e := surface.Invalid("jobId", "jobId is required: the candidate has several active jobs")
	e.Details = surface.Details{"field": "jobId", "activeJobIds": open}
	return nil, e
}
