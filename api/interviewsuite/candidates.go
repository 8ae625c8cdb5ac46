package interviewsuite

import (
	"context"
	"encoding/json"
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
// a request that is sent again invites nobody twice.
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
		server:    s,
		in:        &in,
		company:   company,
		project:   project,
		now:       now,
		mayInvite: surface.RequireScope(c, "write:interviews"),
	}
	if me != nil {
		a.by = me.Username
	}
	if err := pg.InTx(c.Request.Context(), s.DB, a.run); err != nil {
		return err
	}
	c.Header("Location", s.candidateURI(company.Number, project.Number, a.candidate.Number))
	return s.answerCandidate(c, http.StatusCreated, company, a.project, a.candidate)
}

// addition is one candidate coming to a project.
type addition struct {
	*server
	in      *candidateInput
	company *db.Company
	project *db.Job
	by      string
	now     time.Time
	// mayInvite refuses a key that may not.
	mayInvite error

	candidate *db.Candidate
}

// run makes all of it or nothing. The lock on the project lets two additions of one person make one candidate.
func (a *addition) run(ctx context.Context, tx bun.Tx) (err error) {
	if err := db.Lock(ctx, tx, "jobs", a.project.ID); err != nil {
		return err
	}
	if a.project, err = db.GetJob(ctx, tx, a.project.ID); err != nil {
		return err
	}
	about, err := projectSuiteOf(a.project)
	if err != nil {
		return err
	}
	invites := *about.InviteCandidates
	if invites && a.mayInvite != nil {
		return a.mayInvite
	}
	if err := a.create(ctx, tx, invites); err != nil || !invites {
		return err
	}
	return a.invite(ctx, tx, about)
}

func (a *addition) create(ctx context.Context, tx bun.Tx, invited bool) error {
	there, err := db.HasCandidate(ctx, tx, a.project.ID, a.in.Email.Value)
	if err != nil {
		return err
	}
	if there {
		return surface.Invalid("email", "A candidate with that e-mail address already exists in this project")
	}
	own := candidateSuite{CreatedBy: a.by}
	a.candidate = &db.Candidate{CompanyID: a.company.ID, Suite: surface.Encoded(own)}
	if _, err := a.in.apply(a.candidate); err != nil {
		return err
	}
	if !invited {
		if err := a.in.keepDeadline(a.candidate); err != nil {
			return err
		}
	}
	a.candidate.JobIDs = append(a.candidate.JobIDs, a.project.ID)
	return db.CreateCandidate(ctx, tx, a.candidate, invited)
}

// invite makes the interview, by the job's agent: until the deadline that was sent, else for as many days as the
// project says, else for as long as everywhere. The candidate is sent the link when there is a mail server.
func (a *addition) invite(ctx context.Context, tx bun.Tx, about projectSuite) error {
	agent, err := a.agent(ctx, tx, about)
	if err != nil {
		return err
	}
	i := a.InterviewRow(agent, a.candidate, &a.project.ID, a.now.Truncate(time.Microsecond))
	i.Metadata, i.InviteMail = json.RawMessage("{}"), a.Mails
	switch end := i.ScheduledAt; {
	case a.in.Deadline.Set && !a.in.Deadline.Null:
		end = a.in.Deadline.Value.Truncate(time.Microsecond)
		i.DeadlineAt = &end
	case about.DefaultInterviewPeriod != nil:
		end = end.AddDate(0, 0, *about.DefaultInterviewPeriod)
		i.DeadlineAt = &end
	}
	if about.MaxInterviewTime != nil {
		i.MaxMinutes = *about.MaxInterviewTime
	}
	return db.CreateInterview(ctx, tx, i)
}

// agent is the job's, speaking the project's language where it has one of its own.
func (a *addition) agent(ctx context.Context, tx bun.Tx, about projectSuite) (*db.Agent, error) {
	agent, err := db.EnsureJobAgent(ctx, tx, a.project)
	if err != nil {
		return nil, err
	}
	if spoken := strings.ToUpper(about.OwnLang); spoken != "" && agent.Language != spoken {
		agent.Language = spoken
		return agent, db.UpdateAgent(ctx, tx, agent, "language")
	}
	return agent, nil
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
		if err != nil || !moved && sameCandidate(&before, candidate) { // what changes nothing is told nobody
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
