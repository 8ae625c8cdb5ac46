package api

import (
	"bytes"
	_ "embed" // the page is part of the binary
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"greenroom/api/surface"
	"greenroom/db"
)

const (
	// maxForm limits a form of answers, in bytes: an encoded character of a text may take nine times as many.
	maxForm = 4 << 20
	// maxAnswer limits an answer, in characters, as in a submission.
	maxAnswer = 20000
)

//go:embed invite.html
var inviteHTML string

var inviteTemplate = template.Must(template.New("invite").Parse(inviteHTML))

// invitePage is what the page shows.
type invitePage struct {
	*inviteTexts
	Nonce, Path string
	// Missing: there is no such invitation, and the other fields are empty.
	Missing bool

	ID                         uuid.UUID
	JobTitle                   *string
	Greeting, Intro            string
	TooLate, Privacy           string
	IsScheduled, InProgress    bool
	Completed, Expired, NotYet bool
	Opens                      moment
	StartBefore, SubmitBefore  *moment
	SecondsLeft                int
	// QuestionLang is the language of the questions.
	QuestionLang string
	Questions    []askedQuestion
	// Refused: the last submission was incomplete.
	Refused bool
}

// askedQuestion is a question with the answer that was sent in an incomplete submission.
type askedQuestion struct {
	Field, Question, Answer string
}

func fieldOf(n int) string { return "answer" + strconv.Itoa(n) }

func invitePageOf(i *db.InviteView, now time.Time) *invitePage {
	t := inviteTextsIn(i.Language)
	p := &invitePage{
		inviteTexts: t, ID: i.InterviewID, JobTitle: i.JobTitle,
		Greeting:    fmt.Sprintf(t.greeting, i.FirstName, i.Company, i.DurationMinutes),
		Intro:       fmt.Sprintf(t.intro, len(i.Questions), i.MaxMinutes),
		TooLate:     fmt.Sprintf(t.tooLate, i.Company),
		Privacy:     fmt.Sprintf(t.privacy, i.Company),
		IsScheduled: i.Status == db.InterviewScheduled, InProgress: i.Status == db.InterviewInProgress,
		Completed: i.Status == db.InterviewCompleted, Expired: i.Expired(now), NotYet: i.NotYet(now),
		Opens: t.at(t.opens, i.ScheduledAt), QuestionLang: strings.ToLower(i.Language),
	}
	if i.DeadlineAt != nil {
		m := t.at(t.startBefore, *i.DeadlineAt)
		p.StartBefore = &m
	}
	if end := i.EndsAt(); end != nil && p.InProgress {
		m := t.at(t.submitBefore, *end)
		p.SubmitBefore, p.SecondsLeft = &m, max(0, int(end.Sub(now).Seconds()))
	}
	for n, question := range i.Questions {
		p.Questions = append(p.Questions, askedQuestion{Field: fieldOf(n), Question: question})
	}
	return p
}

// write answers with the page. Its style and its script are its own alone.
func (p *invitePage) write(c *gin.Context, status int) error {
	p.Nonce, p.Path = uuid.NewString(), invitePath(c)
	var page bytes.Buffer
	if err := inviteTemplate.Execute(&page, p); err != nil {
		return fmt.Errorf("write invite page: %w", err)
	}
	c.Header(
		"Content-Security-Policy",
		fmt.Sprintf("default-src 'none'; style-src 'nonce-%[1]s'; script-src 'nonce-%[1]s'; "+
			"base-uri 'none'; form-action 'self'; frame-ancestors 'none'", p.Nonce),
	)
	c.Header("X-Content-Type-Options", "nosniff")
	c.Header("Referrer-Policy", "no-referrer") // the URL is a credential
	c.Data(status, "text/html; charset=utf-8", page.Bytes())
	return nil
}

// invitePath returns the path of the page that a request is about.
func invitePath(c *gin.Context) string {
	if c.Request.Method == http.MethodPost {
		return path.Dir(c.Request.URL.Path)
	}
	return c.Request.URL.Path
}

// wantsPage reports whether the client is a browser.
func wantsPage(c *gin.Context) bool { return strings.Contains(c.GetHeader("Accept"), "text/html") }

// isForm reports whether the request is one of the page's forms.
func isForm(c *gin.Context) bool {
	return wantsPage(c) && c.ContentType() == "application/x-www-form-urlencoded"
}

// pagesFor answers a browser with a page if there is no such invitation.
func pagesFor(h surface.Handler) surface.Handler {
	return func(c *gin.Context) error {
		err := h(c)
		if !errors.Is(err, errNoInvite) || !wantsPage(c) {
			return err
		}
		page := invitePage{inviteTexts: inviteTextsIn(c.GetHeader("Accept-Language")), Missing: true}
		return page.write(c, http.StatusNotFound)
	}
}

// toInvitePage redirects a form to the page, so that a reload does not send the form again.
func toInvitePage(c *gin.Context) error {
	c.Header("Location", (&url.URL{Path: invitePath(c)}).EscapedPath())
	c.Header("Referrer-Policy", "no-referrer")
	c.Status(http.StatusSeeOther)
	return nil
}

// submitForm is a submission by the page's form. An incomplete one is answered with the page and what was sent.
func (s *server) submitForm(c *gin.Context, id uuid.UUID) error {
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxForm)
	if err := c.Request.ParseForm(); err != nil {
		var exceeded *http.MaxBytesError
		if errors.As(err, &exceeded) {
			return surface.TooLarge(maxForm)
		}
		return surface.BadBody("The form is not valid")
	}
	i, err := loadInvite(c.Request.Context(), s.DB, id)
	if err != nil {
		return err
	}
	page := invitePageOf(i, time.Now())
	if !page.InProgress {
		return toInvitePage(c)
	}
	answers := make([]givenAnswer, len(page.Questions))
	page.Refused = c.Request.PostForm.Get("final") == ""
	for n := range page.Questions {
		q := &page.Questions[n]
		q.Answer = plainText(c.Request.PostForm.Get(q.Field))
		answers[n] = givenAnswer{q.Question, q.Answer}
		page.Refused = page.Refused || strings.TrimSpace(q.Answer) == ""
		if utf8.RuneCountInString(q.Answer) > maxAnswer {
			return surface.Invalid(q.Field, fmt.Sprintf("%s must have at most %d characters", q.Field, maxAnswer))
		}
	}
	if page.Refused {
		return page.write(c, http.StatusUnprocessableEntity)
	}
	return s.answerInvited(c, s.finish(answers))
}

// plainText returns a form's text with the line ends of a text area and without what PostgreSQL cannot store.
func plainText(s string) string {
	s = strings.NewReplacer("\r\n", "\n", "\x00", "").Replace(s)
	return strings.ToValidUTF8(s, "\uFFFD")
}
