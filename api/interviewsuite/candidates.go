package interviewsuite

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
)

func (s *server) candidateRoutes() []surface.Route {
	const list = "/api/v3/companies/:company/projects/:project/candidates/"
	return []surface.Route{
		surface.List(list, "read:candidates", s.listCandidates, "page", "page_size"),
		surface.Post(list, "write:candidates", s.createCandidate),
		surface.Get(list+":candidate/", "read:candidates", s.getCandidate),
		surface.Patch(list+":candidate/", "write:candidates", s.updateCandidate),
		surface.Delete(list+":candidate/", "delete:candidates", s.deleteCandidate),
	}
}

func (s *server) listCandidates(c *gin.Context) error {
	company, project, err := s.project(c)
	if err != nil {
		return err
	}
	p, err := pageOf(c)
	if err != nil {
		return err
	}
	rows, total, err := db.ListCandidates(c.Request.Context(), s.DB, pg.Scope{Company: &company.ID},
		db.CandidateFilter{JobID: &project.ID}, p.Window())
	if err != nil {
		return err
	}
	out, err := s.showCandidates(c, company, project, rows)
	if err != nil {
		return err
	}
	return okPage(s, c, p, out, total)
}

func (s *server) showCandidates(
	c *gin.Context,
	company *db.Company,
	project *db.Job,
	rows []db.Candidate,
) ([]candidateOutput, error) {
	v, err := s.viewCandidates(c, company, project, rows)
	if err != nil {
		return nil, err
	}
	out := make([]candidateOutput, len(rows))
	for i := range rows {
		if out[i], err = s.showCandidate(&v, &rows[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (s *server) answerCandidate(
	c *gin.Context,
	status int,
	company *db.Company,
	project *db.Job,
	candidate *db.Candidate,
) error {
	out, err := s.showCandidates(c, company, project, []db.Candidate{*candidate})
	if err != nil {
		return err
	}
	return ok(c, status, out[0])
}

func (s *server) getCandidate(c *gin.Context) error {
	company, project, candidate, err := s.candidate(c)
	if err != nil {
		return err
	}
	return s.answerCandidate(c, http.StatusOK, company, project, candidate)
}

// createCandidate adds a candidate to a project and, when the project invites its candidates, invites them: that also
// needs write:interviews, since an invitation is an interview. The same e-mail address is in a project once, so that
// a repeated request invites no candidate twice.
func (s *server) createCandidate(c *gin.Context) error {
	company, project, err := s.project(c)
	if err != nil {
		return err
	}
	in, err := surface.BindKnown[candidateInput](c)
	if err != nil {
		return err
	}
	if err := in.complete(); err != nil {
		return err
	}
	now := time.Now().UTC()
	if in.Deadline.Set && !in.Deadline.Null {
		if err := surface.CheckStart("deadline", in.Deadline.Value, now); err != nil {
			return err
		}
	}
	me, err := s.staff(c)
	if err != nil {
		return err
	}
	a := addition{
		server:      s,
		in:          &in,
		company:     company,
		project:     project,
		now:         now,
		inviteError: surface.RequireScope(c, "write:interviews"),
	}
	if me != nil {
		a.by = me.Username
	}
	var candidate *db.Candidate
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) (err error) {
		candidate, err = a.run(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	c.Header("Location", s.candidateURI(company.Number, project.Number, candidate.Number))
	return s.answerCandidate(c, http.StatusCreated, company, a.project, candidate)
}

// addition adds one candidate to a project.
type addition struct {
	*server
	in      *candidateInput
	company *db.Company
	project *db.Job
	by      string
	now     time.Time
	// inviteError is the error of inviting with this key; nil when its scopes allow it.
	inviteError error
}

func (a *addition) run(ctx context.Context, tx bun.Tx) (_ *db.Candidate, err error) {
	if a.project, err = db.LockJob(ctx, tx, a.project.ID); err != nil {
		return nil, err
	}
	own, err := projectSuiteOf(a.project)
	if err != nil {
		return nil, err
	}
	params := db.InviteParams{Job: a.project, Match: db.MatchEmailInProject, SetUpAgent: setLanguage(own.OwnLang)}
	if *own.InviteCandidates {
		if a.inviteError != nil {
			return nil, a.inviteError
		}
		params.Interview = a.interview(own)
	}
	if params.Candidate, err = a.candidate(*own.InviteCandidates); err != nil {
		return nil, err
	}
	invitation, err := db.Invite(ctx, tx, params)
	if errors.Is(err, db.ErrInJob) {
		return nil, surface.Invalid("email", "A candidate with that e-mail address already exists in this project")
	}
	if err != nil {
		return nil, err
	}
	return invitation.Candidate, nil
}

// candidate returns the row of the request. The deadline of an invitation is kept with the interview.
func (a *addition) candidate(invited bool) (*db.Candidate, error) {
	c := &db.Candidate{CompanyID: a.company.ID, Suite: surface.Encoded(candidateSuite{CreatedBy: a.by})}
	if _, err := a.in.apply(c); err != nil || invited {
		return c, err
	}
	return c, a.in.keepDeadline(c)
}

// interview returns the interview to create. Its deadline is the one of the request, else it follows from the project's
// default period, else it is the server's default.
func (a *addition) interview(own projectSuite) *db.Interview {
	i := a.NewInterview(a.now.Truncate(time.Microsecond))
	switch end := i.ScheduledAt; {
	case a.in.Deadline.Set && !a.in.Deadline.Null:
		end = a.in.Deadline.Value.Truncate(time.Microsecond)
		i.DeadlineAt = &end
	case own.DefaultInterviewPeriod != nil:
		end = end.AddDate(0, 0, *own.DefaultInterviewPeriod)
		i.DeadlineAt = &end
	}
	if own.MaxInterviewTime != nil {
		i.MaxMinutes = *own.MaxInterviewTime
	}
	return i
}

// setLanguage makes an agent speak the project's language, when the project has one.
func setLanguage(language string) func(context.Context, bun.Tx, *db.Agent) error {
	spoken := strings.ToUpper(language)
	return func(ctx context.Context, tx bun.Tx, agent *db.Agent) error {
		if spoken == "" || agent.Language == spoken {
			return nil
		}
		agent.Language = spoken
		return db.UpdateAgent(ctx, tx, agent, "language")
	}
}

func (s *server) updateCandidate(c *gin.Context) error {
	company, project, candidate, err := s.candidate(c)
	if err != nil {
		return err
	}
	in, err := surface.BindKnown[candidateInput](c)
	if err != nil {
		return err
	}
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) (err error) {
		if err := db.Lock(ctx, tx, "candidates", candidate.ID); err != nil {
			return err
		}
		if candidate, err = db.GetCandidate(ctx, tx, candidate.ID); err != nil {
			return err
		}
		candidate.Through = &project.ID
		before := *candidate
		columns, err := in.apply(candidate)
		if err != nil {
			return err
		}
		moved, err := in.moveDeadline(ctx, tx, project, candidate)
		if err != nil || !moved && sameCandidate(&before, candidate) { // without a change there is no event
			return err
		}
		return db.UpdateCandidate(ctx, tx, candidate, columns...)
	})
	if err != nil {
		return err
	}
	return s.answerCandidate(c, http.StatusAccepted, company, project, candidate)
}

func sameCandidate(a, b *db.Candidate) bool {
	return a.FirstName == b.FirstName && a.LastName == b.LastName && orEmpty(a.Email) == orEmpty(b.Email) &&
		orEmpty(a.PhoneNumber) == orEmpty(b.PhoneNumber) && same(a.Suite, b.Suite)
}

// moveDeadline gives an open invitation another end, and reports whether it did; without an invitation the candidate
// keeps it. A client that sends back what it has read does not move it.
func (in *candidateInput) moveDeadline(
	ctx context.Context,
	tx bun.Tx,
	project *db.Job,
	candidate *db.Candidate,
) (moved bool, err error) {
	newest, err := db.NewestInterviews(ctx, tx, project.ID, []db.Candidate{*candidate})
	if err != nil {
		return false, err
	}
	i := newest[candidate.ID]
	if i == nil {
		return false, in.keepDeadline(candidate)
	}
	if !in.Deadline.Set || in.Deadline.Null || i.DeadlineAt != nil && stamp(*i.DeadlineAt) == stamp(in.Deadline.Value) {
		return false, err
	}
	if err := surface.CheckStart("deadline", in.Deadline.Value, time.Now().UTC()); err != nil {
		return false, err
	}
	err = db.MoveDeadline(ctx, tx, i.ID, in.Deadline.Value.Truncate(time.Microsecond))
	if errors.Is(err, pg.ErrConflict) {
		return false, surface.Invalid("deadline", "The interview has begun or ended: its deadline cannot be moved")
	}
	return err == nil, err
}

// deleteCandidate takes the candidate from the project, with what it was invited to and has not begun. One who is in
// no other project is deleted.
func (s *server) deleteCandidate(c *gin.Context) error {
	_, project, candidate, err := s.candidate(c)
	if err != nil {
		return err
	}
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		return db.LeaveJob(ctx, tx, project.ID, candidate.ID)
	})
	if err != nil {
		return err
	}
	return noContent(c)
}
