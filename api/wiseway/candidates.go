package wiseway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
)

func (s *server) candidateRoutes() []surface.Route {
	return []surface.Route{
		surface.List(
			"/api/app/positions/:id/candidates",
			"read:candidates",
			s.listCandidates,
			"page",
			"limit",
			"status",
			"search",
		),
		surface.Post("/api/app/positions/:id/candidates", "write:candidates", s.addCandidate),
		surface.Delete("/api/app/positions/:id/candidates/:candidateId", "delete:candidates", s.removeCandidate),
	}
}

// candidateInput is the body of "invite a candidate". The name comes in one field or in two.
type candidateInput struct {
	Name      string          `json:"name" validate:"max=201"`
	FirstName string          `json:"firstName" validate:"max=100"`
	LastName  string          `json:"lastName" validate:"max=100"`
	Email     string          `json:"email" validate:"required,max=254,email"`
	Phone     *string         `json:"phone" validate:"e164"`
	Metadata  json.RawMessage `json:"metadata" validate:"metadata"`
	// Invite false: the candidate is only created (reference Part 3, 3).
	Invite    *bool      `json:"invite"`
	ExpiresAt *time.Time `json:"expiresAt"`
}

func (in *candidateInput) invites() bool { return in.Invite == nil || *in.Invite }

// check checks across fields and splits the name.
func (in *candidateInput) check(now time.Time) error {
	if err := in.splitName(); err != nil {
		return err
	}
	switch {
	case in.ExpiresAt == nil:
		return nil
	case !in.invites():
		return surface.Invalid("expiresAt", "expiresAt is the end of an invitation; with invite false there is none")
	case !in.ExpiresAt.After(now):
		return surface.Invalid("expiresAt", "expiresAt must be in the future")
	}
	return surface.CheckStart("expiresAt", *in.ExpiresAt, now)
}

// splitName makes the first word the first name and the rest, which may be empty, the last name.
func (in *candidateInput) splitName() error {
	in.FirstName, in.LastName = strings.TrimSpace(in.FirstName), strings.TrimSpace(in.LastName)
	words := strings.Fields(in.Name)
	switch two := in.FirstName != "" || in.LastName != ""; {
	case in.Name != "" && two:
		return surface.Invalid("name", "name is firstName and lastName in one; send either")
	case two && in.FirstName == "":
		return surface.Missing("firstName")
	case two && in.LastName == "":
		return surface.Missing("lastName")
	case two:
		return nil
	case len(words) == 0:
		e := surface.Missing("name")
		e.Message = "name, or firstName and lastName, is required"
		return e
	}
	in.FirstName, in.LastName = words[0], strings.Join(words[1:], " ")
	if len([]rune(in.FirstName)) > 100 || len([]rune(in.LastName)) > 100 {
		return surface.Invalid("name", "name must have at most 100 characters before its first space and 100 after it")
	}
	return nil
}

// candidateOutput is a candidate of one position, with the newest interview for that position.
type candidateOutput struct {
	ID         uuid.UUID       `json:"id"`
	PositionID uuid.UUID       `json:"positionId"`
	Name       string          `json:"name"`
	FirstName  string          `json:"firstName"`
	LastName   string          `json:"lastName"`
	Email      *string         `json:"email"`
	Phone      *string         `json:"phone"`
	Status     string          `json:"status"`
	Metadata   json.RawMessage `json:"metadata"`

	InterviewID         *uuid.UUID          `json:"interviewId"`
	InterviewStatus     *db.InterviewStatus `json:"interviewStatus"`
	InviteURL           *string             `json:"inviteUrl"`
	InvitedAt           *surface.Timestamp  `json:"invitedAt"`
	InvitationExpiresAt *surface.Timestamp  `json:"invitationExpiresAt"`
	StartedAt           *surface.Timestamp  `json:"startedAt"`
	CompletedAt         *surface.Timestamp  `json:"completedAt"`

	CreatedAt surface.Timestamp `json:"createdAt"`
	UpdatedAt surface.Timestamp `json:"updatedAt"`
	// Existing is only in the answer to an invitation: the company already had a candidate with this address.
	Existing *bool `json:"existing,omitempty"`
}

func (s *server) showCandidate(position uuid.UUID, c *db.Candidate, i *db.Interview) candidateOutput {
	out := candidateOutput{
		ID:         c.ID,
		PositionID: position,
		Name:       strings.TrimSpace(c.FirstName + " " + c.LastName),
		FirstName:  c.FirstName,
		LastName:   c.LastName,
		Email:      c.Email,
		Phone:      c.PhoneNumber,
		Status:     c.Status,
		Metadata:   c.Metadata,
		CreatedAt:  surface.Timestamp(c.CreatedAt),
		UpdatedAt:  surface.Timestamp(c.UpdatedAt),
	}
	if i == nil {
		return out
	}
	out.InterviewID, out.InterviewStatus = &i.ID, &i.Status
	out.InvitedAt, out.InvitationExpiresAt = surface.Maybe(&i.CreatedAt), surface.Maybe(i.DeadlineAt)
	out.StartedAt, out.CompletedAt = surface.Maybe(i.StartedAt), surface.Maybe(i.FinishedAt)
	if i.InvitationOpen(time.Now()) {
		link := s.InviteURL(i.ID)
		out.InviteURL = &link
	}
	return out
}

// listCandidates also needs read:jobs, as every list of candidates by job does, and read:interviews.
func (s *server) listCandidates(c *gin.Context) error {
	if err := surface.RequireAll(c, "read:jobs", "read:interviews"); err != nil {
		return err
	}
	position, err := s.position(c)
	if err != nil {
		return err
	}
	p, err := surface.PageOf(c)
	if err != nil {
		return err
	}
	f := db.CandidateFilter{JobID: &position.ID}
	if f.Status, err = queryWord(c, "status"); err != nil {
		return err
	}
	if f.Search, err = surface.QueryText(c, "search"); err != nil {
		return err
	}
	ctx := c.Request.Context()
	rows, total, err := db.ListCandidates(ctx, s.DB, pg.Scope{Company: &position.CompanyID}, f, p.Window())
	if err != nil {
		return err
	}
	newest, err := db.NewestInterviews(ctx, s.DB, position.ID, rows)
	if err != nil {
		return err
	}
	return okPage(c, p, surface.Mapped(rows, func(row *db.Candidate) candidateOutput {
		return s.showCandidate(position.ID, row, newest[row.ID])
	}), total)
}

// removeCandidate removes the candidate from the position and cancels its interviews for it that have not started. A
// candidate without another position is deleted.
func (s *server) removeCandidate(c *gin.Context) error {
	position, err := s.position(c)
	if err != nil {
		return err
	}
	id, err := surface.PathID(c, "candidateId", "Candidate")
	if err != nil {
		return err
	}
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		return db.LeaveJob(ctx, tx, position.ID, id)
	})
	if errors.Is(err, pg.ErrNotFound) {
		return surface.NotFound("Candidate", c.Param("candidateId"))
	}
	if err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}
