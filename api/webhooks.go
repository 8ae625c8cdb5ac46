package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/activities/webhook"
	"greenroom/db"
	"greenroom/db/catalog"
)

func (s *server) webhookRoutes() []route {
	return []route{
		{http.MethodGet, "/webhooks", "read:webhooks", s.listWebhooks},
		{http.MethodPost, "/webhooks", "write:webhooks", s.createWebhook},
		{http.MethodGet, "/webhooks/:id", "read:webhooks", s.getWebhook},
		{http.MethodPatch, "/webhooks/:id", "write:webhooks", s.updateWebhook},
		{http.MethodDelete, "/webhooks/:id", "write:webhooks", s.deleteWebhook},
		{http.MethodPost, "/webhooks/:id/test", "write:webhooks", s.testWebhook},
		{http.MethodPost, "/webhooks/:id/reset-circuit", "write:webhooks", s.resetCircuit},
	}
}

// webhookInput is the body of a create (reference §1.4). profile, rateLimit and circuitRecovery are this product's own.
type webhookInput struct {
	URL             string        `json:"url" validate:"required,max=2048"`
	Events          eventRefs     `json:"events" validate:"required"`
	Name            string        `json:"name" validate:"max=255"`
	Description     string        `json:"description" validate:"max=10000"`
	CompanyID       *uuid.UUID    `json:"companyId"`
	Headers         []headerInput `json:"headers" validate:"max=50"`
	IsActive        *bool         `json:"isActive"`
	Profile         string        `json:"profile"`
	RateLimit       int           `json:"rateLimit" validate:"gte=0,lte=10000"`
	CircuitRecovery *string       `json:"circuitRecovery" validate:"oneof=manual probe"`
	systemFields
}

// systemFields are shown but not taken.
type systemFields struct {
	MaxRetries opt[json.RawMessage] `json:"maxRetries" null:"ok"`
	TimeoutMS  opt[json.RawMessage] `json:"timeoutMs" null:"ok"`
}

func (f systemFields) refuse() error {
	switch {
	case f.MaxRetries.Set:
		return invalid("maxRetries", "maxRetries is set by the system")
	case f.TimeoutMS.Set:
		return invalid("timeoutMs", "timeoutMs is set by the system")
	}
	return nil
}

// webhookPatch is the body of an update: only what is sent changes, headers as a whole (reference §1.7).
type webhookPatch struct {
	URL             opt[string]          `json:"url" validate:"min=1,max=2048"`
	Events          opt[eventRefs]       `json:"events" validate:"min=1"`
	Name            opt[string]          `json:"name" validate:"max=255" null:"ok"`
	Description     opt[string]          `json:"description" validate:"max=10000" null:"ok"`
	Headers         opt[[]headerInput]   `json:"headers" validate:"max=50"`
	IsActive        opt[bool]            `json:"isActive"`
	RateLimit       opt[int]             `json:"rateLimit" validate:"gte=0,lte=10000"`
	CircuitRecovery opt[string]          `json:"circuitRecovery" validate:"oneof=manual probe" null:"ok"`
	CompanyID       opt[json.RawMessage] `json:"companyId" null:"ok"`
	Profile         opt[json.RawMessage] `json:"profile" null:"ok"`
	systemFields
}

type webhookOutput struct {
	ID                  uuid.UUID      `json:"id"`
	APIKeyID            *uuid.UUID     `json:"apiKeyId"`
	CompanyID           *uuid.UUID     `json:"companyId"`
	URL                 string         `json:"url"`
	Name                string         `json:"name"`
	Description         string         `json:"description"`
	Headers             []headerOutput `json:"headers"`
	Events              []string       `json:"events"`
	IsActive            bool           `json:"isActive"`
	DisabledReason      *string        `json:"disabledReason"`
	MaxRetries          int            `json:"maxRetries"`
	TimeoutMS           int            `json:"timeoutMs"`
	ConsecutiveFailures int            `json:"consecutiveFailures"`
	CircuitOpenedAt     *timestamp     `json:"circuitOpenedAt"`
	CircuitRecovery     *string        `json:"circuitRecovery"`
	Profile             string         `json:"profile"`
	RateLimit           int            `json:"rateLimit"`
	CreatedAt           timestamp      `json:"createdAt"`
	UpdatedAt           timestamp      `json:"updatedAt"`
	// SigningSecret is in the answer to a create alone and cannot be read again.
	SigningSecret string `json:"signingSecret,omitempty"`
}

func showWebhook(w *db.Webhook) webhookOutput {
	return webhookOutput{
		ID: w.ID, APIKeyID: w.APIKeyID, CompanyID: w.CompanyID, URL: w.URL, Name: w.Name, Description: w.Description,
		Headers: mapped(w.Headers, showHeader), Events: eventNames(w.Profile, w.Events), IsActive: w.IsActive,
		DisabledReason: w.DisabledReason, MaxRetries: w.MaxRetries, TimeoutMS: w.TimeoutMS,
		ConsecutiveFailures: w.ConsecutiveFailures, CircuitOpenedAt: maybe(w.CircuitOpenedAt), CircuitRecovery: w.CircuitRecovery,
		Profile: w.Profile, RateLimit: w.RateLimit, CreatedAt: timestamp(w.CreatedAt), UpdatedAt: timestamp(w.UpdatedAt),
	}
}

// listWebhooks answers {data, total} inside the envelope's data: that is what the reference's client unwraps (§3.1). With
// ?companyId= only webhooks of exactly that company; of another company than the key's there are none to be seen.
func (s *server) listWebhooks(c *gin.Context) error {
	company, err := queryID(c, "companyId")
	if err != nil {
		return err
	}
	hooks, err := db.ListWebhooks(c.Request.Context(), s.DB, caller(c).scope(), company)
	if err != nil {
		return err
	}
	return ok(c, http.StatusOK, gin.H{"data": mapped(hooks, showWebhook), "total": len(hooks)})
}

func (s *server) createWebhook(c *gin.Context) error {
	in, err := bind[webhookInput](c)
	if err != nil {
		return err
	}
	if err := in.refuse(); err != nil {
		return err
	}
	w, secret, err := s.newWebhook(c, &in)
	if err != nil {
		return err
	}
	if err := db.CreateWebhook(c.Request.Context(), s.DB, w); err != nil {
		return err
	}
	out := showWebhook(w)
	out.SigningSecret = webhook.SecretHex(secret)
	return ok(c, http.StatusCreated, out)
}

// newWebhook makes the row of a checked body, with its signing secret sealed.
func (s *server) newWebhook(c *gin.Context, in *webhookInput) (w *db.Webhook, secret []byte, err error) {
	if in.Profile == "" {
		in.Profile = catalog.ProfileInstaview
	}
	profile, err := profileOf(in.Profile)
	if err != nil {
		return nil, nil, err
	}
	now, key := time.Now().UTC(), caller(c).key
	w = &db.Webhook{
		ID: db.NewID(), OwnerCompanyID: key.CompanyID, APIKeyID: &key.ID, Profile: profile.Name, Name: in.Name,
		Description: in.Description, IsActive: in.IsActive == nil || *in.IsActive, MaxRetries: len(profile.Schedule),
		TimeoutMS: int(profile.Timeout.Milliseconds()), RateLimit: in.RateLimit, CircuitRecovery: in.CircuitRecovery,
		CreatedAt: now, UpdatedAt: now,
	}
	if w.URL, err = s.checkedURL(in.URL); err != nil {
		return nil, nil, err
	}
	if w.Events, err = in.Events.resolve(w.Profile); err != nil {
		return nil, nil, err
	}
	if w.Headers, err = s.sealHeaders(w.ID, in.Headers); err != nil {
		return nil, nil, err
	}
	if w.CompanyID, err = s.webhookCompany(c, in.CompanyID); err != nil {
		return nil, nil, err
	}
	secret = webhook.GenerateSecret()
	w.Secret, err = s.Box.Seal(secret, w.ID, db.SecretField)
	return w, secret, err
}

func profileOf(name string) (*webhook.Profile, error) {
	p, err := webhook.ProfileByName(name)
	if errors.Is(err, webhook.ErrUnknownProfile) {
		e := invalid("profile", "Unknown profile")
		e.Details = details{"field": "profile", "provided": name, "allowed": webhook.ProfileNames()}
		return nil, e
	}
	return p, err
}

func (s *server) checkedURL(raw string) (string, error) {
	if err := s.CheckURL(raw); err != nil {
		return "", invalid("url", err.Error())
	}
	return raw, nil
}

// webhookCompany is the company that a new webhook is tied to, or nil for a global one. A company's key may name its own
// alone; a platform key any that exists, in the body or as ?companyId=.
func (s *server) webhookCompany(c *gin.Context, sent *uuid.UUID) (*uuid.UUID, error) {
	p := caller(c)
	if !p.platform() {
		if sent != nil && *sent != *p.key.CompanyID {
			return nil, denied("company")
		}
		return sent, nil
	}
	if sent == nil {
		var err error
		if sent, err = queryID(c, "companyId"); sent == nil {
			return nil, err
		}
	}
	return sent, s.mustExist(c.Request.Context(), *sent)
}

// webhook loads the webhook of the path, which must be the caller's.
func (s *server) webhook(c *gin.Context) (*db.Webhook, error) {
	raw := c.Param("id")
	id, valid := db.ParseID(raw)
	if !valid {
		return nil, webhookNotFound(raw)
	}
	w, err := db.GetWebhook(c.Request.Context(), s.DB, id)
	switch {
	case errors.Is(err, db.ErrNotFound):
		return nil, webhookNotFound(raw)
	case err != nil:
		return nil, err
	case !caller(c).scope().Owns(w):
		return nil, denied("webhook configuration")
	}
	return w, nil
}

// webhookNotFound has the reference's own message and type (§1.12).
func webhookNotFound(id string) *apiError {
	e := notFound("WebhookConfig", id)
	e.Message = "Webhook configuration not found"
	return e
}

func (s *server) getWebhook(c *gin.Context) error {
	w, err := s.webhook(c)
	if err != nil {
		return err
	}
	return ok(c, http.StatusOK, showWebhook(w))
}

func (s *server) updateWebhook(c *gin.Context) error {
	w, err := s.webhook(c)
	if err != nil {
		return err
	}
	in, err := bind[webhookPatch](c)
	if err != nil {
		return err
	}
	columns, err := s.applyWebhook(&in, w)
	if err != nil {
		return err
	}
	err = db.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		return db.UpdateWebhook(ctx, tx, w, columns...)
	})
	if errors.Is(err, db.ErrNotFound) { // deleted meanwhile
		return webhookNotFound(w.ID.String())
	}
	if err != nil {
		return err
	}
	return ok(c, http.StatusOK, showWebhook(w))
}

// applyWebhook writes what was sent into the row and names the columns.
func (s *server) applyWebhook(in *webhookPatch, w *db.Webhook) ([]string, error) {
	switch {
	case in.CompanyID.Set:
		return nil, invalid("companyId", "companyId cannot be changed: delete the webhook and create another")
	case in.Profile.Set:
		return nil, invalid("profile", "profile cannot be changed: delete the webhook and create another")
	}
	if err := in.refuse(); err != nil {
		return nil, err
	}
	var u update
	put(&u, "name", &w.Name, in.Name)
	put(&u, "description", &w.Description, in.Description)
	put(&u, "rate_limit", &w.RateLimit, in.RateLimit)
	putNull(&u, "circuit_recovery", &w.CircuitRecovery, in.CircuitRecovery)
	put(&u, "is_active", &w.IsActive, in.IsActive)
	if in.IsActive.Set {
		w.DisabledReason, u.columns = nil, append(u.columns, "disabled_reason")
	}
	err := s.applyChecked(in, w, &u)
	return u.columns, err
}

// applyChecked writes what needs more than its form to be checked.
func (s *server) applyChecked(in *webhookPatch, w *db.Webhook, u *update) (err error) {
	if in.URL.Set {
		if in.URL.Value, err = s.checkedURL(in.URL.Value); err != nil {
			return err
		}
		put(u, "url", &w.URL, in.URL)
	}
	if in.Events.Set {
		events, err := in.Events.Value.resolve(w.Profile)
		if err != nil {
			return err
		}
		put(u, "events", &w.Events, opt[[]string]{Set: true, Value: events})
	}
	if in.Headers.Set {
		headers, err := s.sealHeaders(w.ID, in.Headers.Value)
		if err != nil {
			return err
		}
		put(u, "headers", &w.Headers, opt[[]db.WebhookHeader]{Set: true, Value: headers})
	}
	return nil
}

func (s *server) deleteWebhook(c *gin.Context) error {
	w, err := s.webhook(c)
	if err != nil {
		return err
	}
	err = db.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		return db.DeleteWebhook(ctx, tx, w.ID)
	})
	if errors.Is(err, db.ErrNotFound) {
		return webhookNotFound(w.ID.String())
	}
	if err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}

// resetCircuit closes the circuit and makes the webhook active again; what waited is released at a ramp.
func (s *server) resetCircuit(c *gin.Context) error {
	w, err := s.webhook(c)
	if err != nil {
		return err
	}
	err = db.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		w, err = db.ResetCircuit(ctx, tx, w.ID)
		return err
	})
	if errors.Is(err, db.ErrNotFound) {
		return webhookNotFound(c.Param("id"))
	}
	if err != nil {
		return err
	}
	return ok(c, http.StatusOK, showWebhook(w))
}
