package api

import (
	"context"
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
	"greenroom/db/token"
)

// inviteRoutes are opened by a candidate. The path contains the credential: <interview id>.<token>. Each answers a
// browser with a page, which works without a script, and other clients with JSON.
func (s *server) inviteRoutes() []surface.Route {
	return []surface.Route{
		surface.Get("/i/:invite", surface.Public, pagesFor(s.showInvite)).ByNetwork(),
		surface.Post("/i/:invite/start", surface.Public, pagesFor(s.startInvited)).ByNetwork(),
		surface.Post("/i/:invite/submit", surface.Public, pagesFor(s.submitInvited)).MaxBody(maxForm).ByNetwork(),
	}
}

type inviteOutput struct {
	InterviewID     uuid.UUID          `json:"interviewId"`
	Type            db.InterviewType   `json:"type"`
	Status          db.InterviewStatus `json:"status"`
	Company         string             `json:"company"`
	FirstName       string             `json:"firstName"`
	JobTitle        *string            `json:"jobTitle"`
	Agent           string             `json:"agent"`
	Language        string             `json:"language"`
	DurationMinutes int                `json:"durationMinutes"`
	MaxMinutes      int                `json:"maxMinutes"`
	Questions       []string           `json:"questions"`
	ScheduledAt     surface.Timestamp  `json:"scheduledAt"`
	DeadlineAt      *surface.Timestamp `json:"deadlineAt"`
	StartedAt       *surface.Timestamp `json:"startedAt"`
	EndsAt          *surface.Timestamp `json:"endsAt"`
}

func showInvitation(i *db.InviteView) inviteOutput {
	return inviteOutput{
		InterviewID:     i.InterviewID,
		Type:            db.Online,
		Status:          i.Status,
		Company:         i.Company,
		FirstName:       i.FirstName,
		JobTitle:        i.JobTitle,
		Agent:           i.Agent,
		Language:        i.Language,
		DurationMinutes: i.DurationMinutes,
		MaxMinutes:      i.MaxMinutes,
		Questions:       append([]string{}, i.Questions...),
		ScheduledAt: surface.Timestamp(
			i.ScheduledAt,
		),
		DeadlineAt: surface.Maybe(i.DeadlineAt),
		StartedAt:  surface.Maybe(i.StartedAt),
		EndsAt:     surface.Maybe(i.EndsAt()),
	}
}

var errNoInvite = &surface.Error{
	Status:  http.StatusNotFound,
	Code:    surface.CodeNotFound,
	Message: "There is no such invitation",
}

// invited returns the interview id of the path if its token is valid; otherwise 404, whatever is wrong.
func (s *server) invited(c *gin.Context) (uuid.UUID, error) {
	raw, tok, _ := strings.Cut(c.Param("invite"), ".")
	id, valid := pg.ParseID(raw)
	if !valid || !token.Valid(s.Secrets(), token.Invite, id, tok) {
		return uuid.Nil, errNoInvite
	}
	return id, nil
}

func loadInvite(ctx context.Context, d bun.IDB, id uuid.UUID) (*db.InviteView, error) {
	i, err := db.LoadInvite(ctx, d, id)
	if errors.Is(err, pg.ErrNotFound) {
		return nil, errNoInvite
	}
	return i, err
}

// showInvite shows the invitation. Its page is 410 when the time to start has passed.
func (s *server) showInvite(c *gin.Context) error {
	id, err := s.invited(c)
	if err != nil {
		return err
	}
	i, err := loadInvite(c.Request.Context(), s.DB, id)
	if err != nil {
		return err
	}
	c.Header("Referrer-Policy", "no-referrer") // the URL is a credential
	if !wantsPage(c) {
		return ok(c, http.StatusOK, showInvitation(i))
	}
	page := invitePageOf(i, time.Now())
	if page.Expired {
		return page.write(c, http.StatusGone)
	}
	return page.write(c, http.StatusOK)
}

// startInvited starts the interview for the candidate. It is idempotent while in progress; before the scheduled time it
// is a 409, past the deadline a 410.
func (s *server) startInvited(c *gin.Context) error {
	return s.answerInvited(c, func(ctx context.Context, tx bun.Tx, i *db.InviteView) error {
		if i.Expired(time.Now()) {
			return &surface.Error{
				Status:  http.StatusGone,
				Code:    surface.CodeInvalidState,
				Message: "The time to start this interview has passed",
			}
		}
		if i.NotYet(time.Now()) {
			return surface.InvalidState("This interview opens at "+surface.Timestamp(i.ScheduledAt).String(),
				surface.Details{"scheduledAt": surface.Timestamp(i.ScheduledAt)})
		}
		if i.Status == db.InterviewInProgress {
			return nil
		}
		_, err := db.StartInterview(ctx, tx, i.InterviewID)
		return err
	})
}

type submission struct {
	Answers *[]givenAnswer `json:"answers" validate:"required,max=200"`
}

type givenAnswer struct {
	Question string `json:"question" validate:"max=2000"`
	Answer   string `json:"answer" validate:"max=20000"`
}

// submitInvited finishes the interview; its analysis is then pending.
func (s *server) submitInvited(c *gin.Context) error {
	id, err := s.invited(c) // check the token before the body
	if err != nil {
		return err
	}
	if isForm(c) {
		return s.submitForm(c, id)
	}
	in, err := surface.Bind[submission](c)
	if err != nil {
		return err
	}
	return s.answerInvited(c, s.finish(*in.Answers))
}

// finish returns the change that finishes an interview with these answers.
func (s *server) finish(answers []givenAnswer) func(context.Context, bun.Tx, *db.InviteView) error {
	return func(ctx context.Context, tx bun.Tx, i *db.InviteView) error {
		_, err := db.FinishInterview(ctx, tx, i.InterviewID, db.Finish{
			Answers: surface.Encoded(answers), AnalysisWithin: s.AnalysisTimeout,
		})
		return err
	}
}

// answerInvited changes the interview and answers with the new state of the invitation. A form is answered with a
// redirect to the page, which shows the state, also when it does not allow the change.
func (s *server) answerInvited(
	c *gin.Context, change func(context.Context, bun.Tx, *db.InviteView) error,
) error {
	id, err := s.invited(c)
	if err != nil {
		return err
	}
	i, err := s.changeInvited(c.Request.Context(), id, change)
	if isForm(c) {
		var state *pg.StateError
		if e := (*surface.Error)(nil); err == nil || errors.As(err, &state) || errors.As(err, &e) && e != errNoInvite {
			return toInvitePage(c)
		}
	}
	if err != nil {
		return err
	}
	return ok(c, http.StatusOK, showInvitation(i))
}

// changeInvited changes the interview under its row lock and returns the new state of the invitation.
func (s *server) changeInvited(
	ctx context.Context, id uuid.UUID, change func(context.Context, bun.Tx, *db.InviteView) error,
) (i *db.InviteView, err error) {
	err = pg.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		if _, err := db.LockInterview(ctx, tx, id); err != nil && !errors.Is(err, pg.ErrNotFound) {
			return err
		}
		if i, err = loadInvite(ctx, tx, id); err != nil {
			return err
		}
		if err := change(ctx, tx, i); err != nil {
			return err
		}
		i, err = loadInvite(ctx, tx, id)
		return err
	})
	return i, err
}
