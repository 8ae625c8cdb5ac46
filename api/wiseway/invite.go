package wiseway

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
)

// closed is the status of a position that candidates cannot be invited to. All other statuses are the client's own.
const closed = "CLOSED"

// addCandidate adds a candidate to a position and, unless invite is false, invites the candidate. Like the list, it
// also needs read:jobs and read:interviews; an invitation is an interview and needs write:interviews.
//
// A candidate that the company already has is added to the position, and an open invitation to the position is returned
// again, so a request that is sent twice invites once.
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
	if in.invites() {
		if err := surface.RequireScope(c, "write:interviews"); err != nil {
			return err
		}
	}
	return s.Once(c, raw, func(ctx context.Context, tx bun.Tx) (int, any, error) {
		if err := in.check(time.Now().UTC()); err != nil { // a repeated request may come after the invitation's end
			return 0, nil, err
		}
		invitation, err := s.invite(ctx, tx, position.ID, &in)
		if err != nil {
			return 0, nil, err
		}
		out := s.showCandidate(position.ID, invitation.Candidate, invitation.Interview)
		out.Existing = &invitation.Existing
		if !invitation.Joined && !invitation.Invited {
			return http.StatusOK, out, nil
		}
		return http.StatusCreated, out, nil
	})
}

func (s *server) invite(ctx context.Context, tx bun.Tx, id uuid.UUID, in *candidateInput) (*db.Invitation, error) {
	position, err := db.LockJob(ctx, tx, id)
	if errors.Is(err, pg.ErrNotFound) { // deleted since it was read
		return nil, surface.NotFound("Position", id.String())
	}
	if err != nil {
		return nil, err
	}
	params := db.InviteParams{Job: position, Candidate: in.row(position.CompanyID), KeepOpen: true}
	if in.invites() {
		if position.Status == closed {
			return nil, errClosed
		}
		params.Interview = s.newInterview(in)
	}
	invitation, err := db.Invite(ctx, tx, params)
	if err != nil || invitation.Invited || !in.invites() {
		return invitation, err
	}
	return invitation, in.checkDeadline(invitation)
}

var errClosed = surface.InvalidState(
	"This position is closed: candidates cannot be invited to it",
	surface.Details{"state": closed},
)

func (in *candidateInput) row(company uuid.UUID) *db.Candidate {
	return &db.Candidate{
		CompanyID: company, FirstName: in.FirstName, LastName: in.LastName, Email: &in.Email, PhoneNumber: in.Phone,
		Metadata: in.Metadata,
	}
}

func (s *server) newInterview(in *candidateInput) *db.Interview {
	i := s.NewInterview(time.Now().UTC().Truncate(time.Microsecond))
	if in.ExpiresAt != nil {
		deadline := in.ExpiresAt.Truncate(time.Microsecond)
		i.DeadlineAt = &deadline
	}
	return i
}

// checkDeadline refuses a different expiresAt for an open invitation: the candidate knows the first one. Clients see
// it in milliseconds, so it is compared in milliseconds.
func (in *candidateInput) checkDeadline(open *db.Invitation) error {
	deadline := open.Interview.DeadlineAt
	if in.ExpiresAt == nil || deadline != nil && deadline.UnixMilli() == in.ExpiresAt.UnixMilli() {
		return nil
	}
	return surface.InvalidState(
		"This candidate has an open invitation to this position with another end; remove the candidate first",
		surface.Details{
			"field":               "expiresAt",
			"candidateId":         open.Candidate.ID,
			"invitationExpiresAt": surface.Maybe(deadline),
		},
	)
}
