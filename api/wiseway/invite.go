package wiseway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
)

// closed is the status of a position to which nobody is invited any more. Other statuses are the client's own words.
const closed = "CLOSED"

// addCandidate invites a candidate, or only creates it. It also needs read:jobs and read:interviews, as the list
// does, and to invite write:interviews: an invitation is an interview.
//
// A person is one candidate of a company, known by the e-mail address: who is there already is added to the position,
// and who has an open invitation to it is given that again. So the same request sent twice invites once.
func (s *server) addCandidate(c *gin.Context) error {
	if err := surface.RequireAll(c, "read:jobs", "read:interviews"); err != nil {
		return err
	}
	position, err := s.position(c)
	if err != nil {
		return err
	}
	raw, in, err := bindRaw[candidateInput](c)
	if err != nil {
		return err
	}
	if err := in.check(time.Now().UTC()); err != nil {
		return err
	}
	if in.invites() {
		if err := surface.RequireScope(c, "write:interviews"); err != nil {
			return err
		}
	}
	return s.Once(c, raw, func(ctx context.Context, tx bun.Tx) (int, any, error) {
		a := &addition{server: s, in: &in, position: position}
		made, err := a.run(ctx, tx)
		if err != nil {
			return 0, nil, err
		}
		out := s.showCandidate(position.ID, a.candidate, a.interview)
		out.Existing = &a.existing
		if !made {
			return http.StatusOK, out, nil
		}
		return http.StatusCreated, out, nil
	})
}

// addition is one candidate coming to a position.
type addition struct {
	*server
	in       *candidateInput
	position *db.Job

	candidate *db.Candidate
	interview *db.Interview
	existing  bool
}

// run reports whether it made anything. The lock on the company lets two additions of one person make one candidate.
func (a *addition) run(ctx context.Context, tx bun.Tx) (made bool, err error) {
	if err := db.LockCompany(ctx, tx, a.position.CompanyID); err != nil {
		return false, err
	}
	id := a.position.ID
	a.position, err = db.GetJob(ctx, tx, id)
	if errors.Is(err, pg.ErrNotFound) { // deleted meanwhile
		return false, surface.NotFound("Position", id.String())
	}
	if err != nil {
		return false, err
	}
	if a.in.invites() && a.position.Status == closed {
		return false, surface.InvalidState(
			"This position is closed: nobody can be invited to it",
			surface.Details{"state": closed},
		)
	}
	added, err := a.person(ctx, tx)
	if err != nil || !a.in.invites() {
		return added, err
	}
	if open := a.interview; open != nil && invitationIsOpen(open, time.Now()) {
		return added, a.keeps(open)
	}
	return true, a.invite(ctx, tx)
}

// person finds or makes the candidate, brings it to the position, and finds its newest interview there. It reports
// whether the candidate has come to the position with this.
func (a *addition) person(ctx context.Context, tx bun.Tx) (added bool, err error) {
	known, err := db.CandidateByEmail(ctx, tx, a.position.CompanyID, a.in.Email)
	if errors.Is(err, pg.ErrNotFound) {
		return true, a.create(ctx, tx)
	}
	if err != nil {
		return false, err
	}
	a.candidate, a.existing = known, true
	if added, err = db.JoinJob(ctx, tx, a.position.ID, known.ID); err != nil {
		return false, err
	}
	newest, err := db.NewestInterviews(ctx, tx, a.position.ID, []db.Candidate{*known})
	a.interview = newest[known.ID]
	return added, err
}

func (a *addition) create(ctx context.Context, tx bun.Tx) error {
	a.candidate = &db.Candidate{
		CompanyID: a.position.CompanyID, FirstName: a.in.FirstName, LastName: a.in.LastName, Email: &a.in.Email,
		PhoneNumber: a.in.Phone, Metadata: a.in.Metadata,
	}
	a.candidate.JobIDs = append(a.candidate.JobIDs, a.position.ID)
	return db.CreateCandidate(ctx, tx, a.candidate, a.in.invites())
}

// keeps refuses another end for an invitation that is open: the candidate was told the first one. Clients know it in
// milliseconds.
func (a *addition) keeps(open *db.Interview) error {
	if a.in.ExpiresAt == nil || open.DeadlineAt != nil && open.DeadlineAt.UnixMilli() == a.in.ExpiresAt.UnixMilli() {
		return nil
	}
	return surface.InvalidState(
		"This candidate has an open invitation to this position with another end; remove the candidate first",
		surface.Details{
			"field":               "expiresAt",
			"candidateId":         a.candidate.ID,
			"invitationExpiresAt": surface.Maybe(open.DeadlineAt),
		},
	)
}

func (a *addition) invite(ctx context.Context, tx bun.Tx) error {
	agent, err := db.EnsureJobAgent(ctx, tx, a.position)
	if errors.Is(err, pg.ErrNotFound) {
		return surface.NotFound("Position", a.position.ID.String())
	}
	if err != nil {
		return err
	}
	a.interview = a.InterviewRow(agent, a.candidate, &a.position.ID, time.Now().UTC().Truncate(time.Microsecond))
	a.interview.Metadata = json.RawMessage("{}")
	if a.in.ExpiresAt != nil {
		end := a.in.ExpiresAt.Truncate(time.Microsecond)
		a.interview.DeadlineAt = &end
	}
	return db.CreateInterview(ctx, tx, a.interview)
}
