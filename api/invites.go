package api

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
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

// inviteRoutes are opened by a candidate. The path contains the credential: <interview id>.<token>.
func (s *server) inviteRoutes() []surface.Route {
	return []surface.Route{
		surface.Get("/i/:invite", surface.Public, s.showInvite).ByNetwork(),
		surface.Post("/i/:invite/start", surface.Public, s.startInvited).ByNetwork(),
		surface.Post("/i/:invite/submit", surface.Public, s.submitInvited).MaxBody(surface.MaxBody).ByNetwork(),
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
	Questions       []string           `json:"questions"`
	ScheduledAt     surface.Timestamp  `json:"scheduledAt"`
	DeadlineAt      *surface.Timestamp `json:"deadlineAt"`
	StartedAt       *surface.Timestamp `json:"startedAt"`
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
		Questions:       append([]string{}, i.Questions...),
		ScheduledAt: surface.Timestamp(
			i.ScheduledAt,
		),
		DeadlineAt: surface.Maybe(i.DeadlineAt),
		StartedAt:  surface.Maybe(i.StartedAt),
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

// showInvite answers a browser with a page and other clients with JSON.
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
	if strings.Contains(c.GetHeader("Accept"), "text/html") {
		return invitePage(c, i)
	}
	return ok(c, http.StatusOK, showInvitation(i))
}

//go:embed invite.html
var inviteHTML string

var inviteTemplate = template.Must(template.New("invite").Parse(inviteHTML))

func invitePage(c *gin.Context, i *db.InviteView) error {
	nonce := uuid.NewString()
	var page bytes.Buffer
	err := inviteTemplate.Execute(&page, map[string]any{
		"Invite": showInvitation(i), "Expired": i.Expired(time.Now()), "NotYet": i.NotYet(time.Now()),
		"Opens": i.ScheduledAt.UTC().Format("Monday, 2 January 2006, 15:04 UTC"), "Nonce": nonce, "Path": c.Request.URL.Path,
	})
	if err != nil {
		return fmt.Errorf("write invite page: %w", err)
	}
	c.Header(
		"Content-Security-Policy",
		fmt.Sprintf("default-src 'none'; style-src 'nonce-%[1]s'; script-src 'nonce-%[1]s'; "+
			"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'", nonce),
	)
	c.Header("X-Content-Type-Options", "nosniff")
	c.Data(http.StatusOK, "text/html; charset=utf-8", page.Bytes())
	return nil
}

// startInvited starts the interview for the candidate. It is idempotent while in progress; before the scheduled time it
// is a 409, past the deadline a 410.
func (s *server) startInvited(c *gin.Context) error {
	return s.changeInvited(c, func(ctx context.Context, tx bun.Tx, i *db.InviteView) error {
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
	if _, err := s.invited(c); err != nil { // check the token before the body
		return err
	}
	in, err := surface.Bind[submission](c)
	if err != nil {
		return err
	}
	return s.changeInvited(c, func(ctx context.Context, tx bun.Tx, i *db.InviteView) error {
		_, err := db.FinishInterview(ctx, tx, i.InterviewID, db.Finish{
			Answers: surface.Encoded(*in.Answers), AnalysisWithin: s.AnalysisTimeout,
		})
		return err
	})
}

// changeInvited changes the interview under its row lock and answers with the new state of the invitation.
func (s *server) changeInvited(c *gin.Context, change func(context.Context, bun.Tx, *db.InviteView) error) error {
	id, err := s.invited(c)
	if err != nil {
		return err
	}
	var i *db.InviteView
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
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
	if err != nil {
		return err
	}
	return ok(c, http.StatusOK, showInvitation(i))
}
