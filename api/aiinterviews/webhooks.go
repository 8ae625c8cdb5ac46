package aiinterviews

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"unicode"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"greenroom/activities/webhook"
	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/catalog"
	"greenroom/db/delivery"
)

// profile is the delivery format of these settings' webhooks.
const profile = "ai-interviews"

// webhooksInput is the body of both writes; only the global one has UpdateAll.
type webhooksInput struct {
	Webhooks  webhooksFields `json:"webhooks" validate:"required"`
	UpdateAll bool           `json:"updateAll"`
}

type webhooksFields struct {
	Start      *targetInput `json:"start"`
	Submission *targetInput `json:"submission"`
	Auth       *authInput   `json:"auth"`
	// Misplaced is refused: ignoring it would leave the intended interviews unchanged without an error.
	Misplaced surface.Opt[json.RawMessage] `json:"updateAll" null:"ok"`
}

type targetInput struct {
	Status *bool   `json:"status"`
	URL    *string `json:"url" validate:"max=2048"`
}

type authInput struct {
	Type   string       `json:"type" validate:"required,oneof=basic apikey"`
	Status *bool        `json:"status"`
	Basic  *basicInput  `json:"basic"`
	APIKey *apiKeyInput `json:"apikey"`
}

type basicInput struct {
	Username *string `json:"username" validate:"min=1,max=255"`
	Password *string `json:"password" validate:"min=1,max=1024"`
}

// apiKeyInput accepts both spellings of the reference (Part 3, 1).
type apiKeyInput struct {
	Header *string `json:"header" validate:"min=1,max=255"`
	APIKey *string `json:"apikey" validate:"min=1,max=4096"`
	Key    *string `json:"key" validate:"min=1,max=255"`
	Value  *string `json:"value" validate:"min=1,max=4096"`
}

// webhooksOutput is the exact answer of reference Part 1: no secrets, no updateAll, no envelope.
type webhooksOutput struct {
	Webhooks struct {
		Start      targetOutput `json:"start"`
		Submission targetOutput `json:"submission"`
		Auth       authOutput   `json:"auth"`
	} `json:"webhooks"`
}

type targetOutput struct {
	Status bool    `json:"status"`
	URL    *string `json:"url"`
}

type authOutput struct {
	Type  *string `json:"type"`
	Basic struct {
		Username    *string `json:"username"`
		Password    *string `json:"password"`
		HasPassword bool    `json:"hasPassword"`
	} `json:"basic"`
	APIKey struct {
		Header *string `json:"header"`
		APIKey *string `json:"apikey"`
	} `json:"apikey"`
}

func showWebhooks(set *db.WebhookSet) (out webhooksOutput) {
	w := &out.Webhooks
	w.Start = targetOutput{set.StartStatus != nil && *set.StartStatus, set.StartURL}
	w.Submission = targetOutput{set.SubmissionStatus != nil && *set.SubmissionStatus, set.SubmissionURL}
	w.Auth.Type = set.AuthType
	w.Auth.Basic.Username, w.Auth.Basic.HasPassword = set.BasicUsername, set.BasicPassword != nil
	w.Auth.APIKey.Header = set.APIKeyHeader
	return out
}

func (s *server) getWebhooks(c *gin.Context) error {
	company, err := s.CallerCompany(c)
	if err != nil {
		return err
	}
	set, err := db.CompanyWebhooks(c.Request.Context(), s.DB, company)
	if err != nil {
		return err
	}
	c.JSON(http.StatusOK, showWebhooks(set))
	return nil
}

func (s *server) getJobWebhooks(c *gin.Context) error {
	job, err := s.job(c)
	if err != nil {
		return err
	}
	set, err := db.JobWebhooks(c.Request.Context(), s.DB, job.ID)
	if err != nil {
		return err
	}
	c.JSON(http.StatusOK, showWebhooks(set))
	return nil
}

// setWebhooks changes the settings of new AI interviews and, with updateAll, of all.
func (s *server) setWebhooks(c *gin.Context) error {
	company, err := s.CallerCompany(c)
	if err != nil {
		return err
	}
	in, change, err := s.bindWebhooks(c)
	if err != nil {
		return err
	}
	return s.changeWebhooks(c, func(ctx context.Context, tx bun.Tx) (*db.WebhookSet, error) {
		return db.ChangeCompanyWebhooks(ctx, tx, s.deps(c), company, change, in.UpdateAll)
	})
}

func (s *server) setJobWebhooks(c *gin.Context) error {
	job, err := s.job(c)
	if err != nil {
		return err
	}
	_, change, err := s.bindWebhooks(c)
	if err != nil {
		return err
	}
	return s.changeWebhooks(c, func(ctx context.Context, tx bun.Tx) (*db.WebhookSet, error) {
		return db.ChangeJobWebhooks(ctx, tx, s.deps(c), job, change)
	})
}

func (s *server) changeWebhooks(c *gin.Context, change func(context.Context, bun.Tx) (*db.WebhookSet, error)) error {
	var set *db.WebhookSet
	err := s.inTx(c, func(ctx context.Context, tx bun.Tx) (err error) {
		set, err = change(ctx, tx)
		return err
	})
	var missing *db.MissingFieldError
	if errors.As(err, &missing) {
		return surface.Missing("webhooks." + missing.Field)
	}
	if err != nil {
		return err
	}
	c.JSON(http.StatusOK, showWebhooks(set))
	return nil
}

// deps creates webhook rows on behalf of the caller.
func (s *server) deps(c *gin.Context) db.SetDeps {
	names := map[string]string{
		catalog.InterviewStarted: "AI interviews: start", catalog.InterviewCompleted: "AI interviews: submission",
	}
	p := surface.Caller(c)
	return db.SetDeps{
		Box:         s.Box,
		Actor:       p.Actor(),
		Platform:    p.Platform(),
		MaxWebhooks: s.Quota.Webhooks,
		NewWebhook: func(event, url string) (*delivery.Webhook, error) {
			w, _, err := s.NewWebhook(
				surface.Caller(c).Key,
				&surface.WebhookSpec{Profile: profile, URL: url, Name: names[event]},
			)
			return w, err
		},
	}
}

// bindWebhooks reads a body and checks what does not depend on stored settings.
func (s *server) bindWebhooks(c *gin.Context) (in webhooksInput, change db.WebhookChange, err error) {
	if in, err = surface.BindKnown[webhooksInput](c); err != nil {
		return in, change, err
	}
	w := in.Webhooks
	switch {
	case w.Misplaced.Set:
		return in, change, surface.Invalid("webhooks.updateAll", "updateAll stands beside webhooks, not inside it")
	case w.Start == nil && w.Submission == nil && w.Auth == nil:
		return in, change, surface.Invalid("webhooks", "webhooks must have start, submission or auth")
	}
	if change.Start, err = s.target(w.Start, "webhooks.start"); err != nil {
		return in, change, err
	}
	if change.Submission, err = s.target(w.Submission, "webhooks.submission"); err != nil {
		return in, change, err
	}
	change.Auth, err = auth(w.Auth)
	return in, change, err
}

// target treats the empty URL of a webhook that is off as absent, since forms send it.
func (s *server) target(in *targetInput, path string) (*db.WebhookTarget, error) {
	if in == nil {
		return nil, nil //nolint:nilnil // absent is an ordinary case
	}
	t := &db.WebhookTarget{Status: in.Status, URL: in.URL}
	if t.URL == nil {
		return t, nil
	}
	off := t.Status != nil && !*t.Status
	if *t.URL == "" && off {
		t.URL = nil
		return t, nil
	}
	if err := s.CheckURL(*t.URL); err != nil {
		return nil, surface.Invalid(path+".url", path+"."+err.Error())
	}
	return t, nil
}

func auth(in *authInput) (*db.WebhookAuth, error) {
	switch {
	case in == nil:
		return nil, nil //nolint:nilnil // absent is an ordinary case
	case in.Type == db.AuthBasic && in.Basic == nil:
		return nil, surface.Missing("webhooks.auth.basic")
	case in.Type == db.AuthAPIKey && in.APIKey == nil:
		return nil, surface.Missing("webhooks.auth.apikey")
	}
	a := &db.WebhookAuth{Type: in.Type, Status: in.Status}
	if b := in.Basic; b != nil {
		a.Username, a.Password = b.Username, b.Password
	}
	if k := in.APIKey; k != nil {
		var err error
		if a.Header, err = either(k.Header, k.Key, "header", "key"); err != nil {
			return nil, err
		}
		if a.Value, err = either(k.APIKey, k.Value, "apikey", "value"); err != nil {
			return nil, err
		}
	}
	return a, checkAuth(a)
}

func either(a, b *string, nameA, nameB string) (*string, error) {
	if a != nil && b != nil && *a != *b {
		return nil, surface.Invalid(
			"webhooks.auth.apikey",
			"webhooks.auth.apikey has two different values, in "+nameA+" and in "+nameB,
		)
	}
	if a == nil {
		return b, nil
	}
	return a, nil
}

// checkAuth refuses values that a header cannot have. The error does not repeat them.
func checkAuth(a *db.WebhookAuth) error {
	const at = "webhooks.auth."
	var header error
	if a.Header != nil {
		header = webhook.CheckHeader(webhook.Header{Name: *a.Header, Value: "x"})
	}
	switch {
	case a.Username != nil && strings.ContainsRune(*a.Username, ':'): // RFC 7617 §2
		return surface.Invalid(at+"basic.username", at+"basic.username must not contain a colon")
	case control(a.Username) || control(a.Password):
		return surface.Invalid(at+"basic", at+"basic must not contain control characters")
	case errors.Is(header, webhook.ErrReservedHeader):
		return surface.Invalid(at+"apikey.header", at+"apikey.header is reserved: "+strconv.Quote(*a.Header))
	case header != nil:
		return surface.Invalid(at+"apikey.header", at+"apikey.header must be a valid HTTP header name")
	case a.Value != nil && webhook.CheckHeader(webhook.Header{Name: "X", Value: *a.Value}) != nil:
		return surface.Invalid(at+"apikey.apikey", at+"apikey.apikey must be a valid HTTP header value")
	}
	return nil
}

func control(s *string) bool { return s != nil && strings.ContainsFunc(*s, unicode.IsControl) }
