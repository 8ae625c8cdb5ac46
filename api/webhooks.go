package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/activities/webhook"
	"greenroom/activities/webhook/profiles"
	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

func (s *server) webhookRoutes() []surface.Route {
	return []surface.Route{
		surface.List("/webhooks", "read:webhooks", s.listWebhooks, "page", "limit").Weighs(surface.LargeList),
		surface.Post("/webhooks", "write:webhooks", s.createWebhook),
		surface.Get("/webhooks/:id", "read:webhooks", s.getWebhook),
		surface.Patch("/webhooks/:id", "write:webhooks", s.updateWebhook),
		surface.Delete("/webhooks/:id", "write:webhooks", s.deleteWebhook),
		surface.Post("/webhooks/:id/test", "write:webhooks", s.testWebhook).Weighs(0), // waits: see testsTotal
		surface.Post("/webhooks/:id/filter/test", "read:webhooks", s.testFilter).MaxBody(surface.SmallBody),
		surface.Post("/webhooks/:id/reset-circuit", "write:webhooks", s.resetCircuit),
	}
}

// webhookInput is the body of a create (reference §1.4). The reference does not have auth, profile, rateLimit and
// circuitRecovery.
type webhookInput struct {
	URL         string            `json:"url" validate:"required,max=2048"`
	Events      surface.EventRefs `json:"events" validate:"required"`
	Filter      json.RawMessage   `json:"filter"`
	Name        string            `json:"name" validate:"max=255"`
	Description string            `json:"description" validate:"max=10000"`
	CompanyID   *uuid.UUID        `json:"companyId"`
	Headers     []surface.Header  `json:"headers" validate:"max=50"`
	Auth        *surface.Auth     `json:"auth"`
	// IsActive has no effect: a new webhook is always active (reference §2.4).
	IsActive        *bool   `json:"isActive"`
	Profile         string  `json:"profile"`
	RateLimit       int     `json:"rateLimit" validate:"gte=0,lte=10000"`
	CircuitRecovery *string `json:"circuitRecovery" validate:"oneof=manual probe"`
	NotifyEmail     *string `json:"notifyEmail" validate:"max=254,email"`
	Ordering        *string `json:"ordering" validate:"oneof=subject"`
	// OrderingOnFailure is what follows a delivery that failed for good: skip, the default, or block.
	OrderingOnFailure *string `json:"orderingOnFailure" validate:"oneof=skip block"`
	// SignatureAlgorithms: [algorithms].
	SignatureAlgorithms []string `json:"signatureAlgorithms" validate:"max=2"`
	systemFields
}

// systemFields are read-only.
type systemFields struct {
	MaxRetries surface.Opt[json.RawMessage] `json:"maxRetries" null:"ok"`
	TimeoutMS  surface.Opt[json.RawMessage] `json:"timeoutMs" null:"ok"`
}

func (f systemFields) refuse() error {
	var faults []error
	if f.MaxRetries.Set {
		faults = append(faults, surface.Invalid("maxRetries", "maxRetries is set by the system"))
	}
	if f.TimeoutMS.Set {
		faults = append(faults, surface.Invalid("timeoutMs", "timeoutMs is set by the system"))
	}
	return surface.Faults(faults...)
}

// webhookPatch is the body of an update: omitted fields stay unchanged; headers (reference §1.7) and auth are replaced
// as a whole.
type webhookPatch struct {
	URL             surface.Opt[string]            `json:"url" validate:"min=1,max=2048"`
	Events          surface.Opt[surface.EventRefs] `json:"events" validate:"min=1"`
	Filter          surface.Opt[json.RawMessage]   `json:"filter" null:"ok"`
	Name            surface.Opt[string]            `json:"name" validate:"max=255" null:"ok"`
	Description     surface.Opt[string]            `json:"description" validate:"max=10000" null:"ok"`
	Headers         surface.Opt[[]surface.Header]  `json:"headers" validate:"max=50"`
	Auth            surface.Opt[surface.Auth]      `json:"auth" null:"ok"`
	IsActive        surface.Opt[bool]              `json:"isActive"`
	RateLimit       surface.Opt[int]               `json:"rateLimit" validate:"gte=0,lte=10000"`
	CircuitRecovery surface.Opt[string]            `json:"circuitRecovery" validate:"oneof=manual probe" null:"ok"`
	NotifyEmail     surface.Opt[string]            `json:"notifyEmail" validate:"max=254,email" null:"ok"`
	Ordering        surface.Opt[string]            `json:"ordering" validate:"oneof=subject" null:"ok"`
	// OrderingOnFailure: see webhookInput.
	OrderingOnFailure surface.Opt[string] `json:"orderingOnFailure" validate:"oneof=skip block"`
	// SignatureAlgorithms: [algorithms].
	SignatureAlgorithms surface.Opt[[]string]        `json:"signatureAlgorithms" validate:"max=2"`
	CompanyID           surface.Opt[json.RawMessage] `json:"companyId" null:"ok"`
	Profile             surface.Opt[json.RawMessage] `json:"profile" null:"ok"`
	systemFields
}

type webhookOutput struct {
	ID        uuid.UUID  `json:"id"`
	APIKeyID  *uuid.UUID `json:"apiKeyId"`
	CompanyID *uuid.UUID `json:"companyId"`
	// OwnerCompanyID is the company whose key created the webhook, whose events a webhook without a company receives.
	OwnerCompanyID *uuid.UUID      `json:"ownerCompanyId"`
	URL            string          `json:"url"`
	Name           string          `json:"name"`
	Description    string          `json:"description"`
	Headers        []headerOutput  `json:"headers"`
	Auth           *authOutput     `json:"auth"`
	Events         []string        `json:"events"`
	Filter         json.RawMessage `json:"filter"`
	IsActive       bool            `json:"isActive"`
	DisabledReason *string         `json:"disabledReason"`
	// HeldByPlatform: only the platform can activate it.
	HeldByPlatform      bool               `json:"heldByPlatform"`
	MaxRetries          int                `json:"maxRetries"`
	TimeoutMS           int                `json:"timeoutMs"`
	ConsecutiveFailures int                `json:"consecutiveFailures"`
	CircuitOpenedAt     *surface.Timestamp `json:"circuitOpenedAt"`
	CircuitRecovery     *string            `json:"circuitRecovery"`
	NotifyEmail         *string            `json:"notifyEmail"`
	Ordering            *string            `json:"ordering"`
	OrderingOnFailure   string             `json:"orderingOnFailure"`
	Profile             string             `json:"profile"`
	RateLimit           int                `json:"rateLimit"`
	SignatureAlgorithms []string           `json:"signatureAlgorithms"`
	// JWKSURL has the public keys of a webhook with v1a signatures.
	JWKSURL   *string           `json:"jwksUrl"`
	CreatedAt surface.Timestamp `json:"createdAt"`
	UpdatedAt surface.Timestamp `json:"updatedAt"`
	// SigningSecret and the same in the form of Standard Webhooks libraries are only in the answer to a create, or to an
	// update that replaced it, and cannot be read again.
	SigningSecret      string `json:"signingSecret,omitempty"`
	SigningSecretWhsec string `json:"signingSecretWhsec,omitempty"`
	// AuthorizationKey is in the same answers, for a profile whose deliveries carry a key.
	AuthorizationKey string `json:"authorizationKey,omitempty"`
}

// reveal adds a new signing secret to the output.
func (out *webhookOutput) reveal(w *delivery.Webhook, secret []byte) {
	out.SigningSecret, out.SigningSecretWhsec = webhook.SecretHex(secret), webhook.SecretWhsec(secret)
	out.AuthorizationKey = AuthorizationKey(w, secret)
}

// headerOutput omits the value, as the reference does. All values are sealed; isMasked is the reference's.
type headerOutput struct {
	Name     string `json:"name"`
	IsMasked bool   `json:"isMasked"`
}

func showHeader(h *delivery.WebhookHeader) headerOutput {
	return headerOutput{h.Name, surface.IsMasked(h.Name)}
}

func showFilter(filter *string) json.RawMessage {
	if filter == nil {
		return nil
	}
	return json.RawMessage(*filter)
}

func (s *server) showWebhook(w *delivery.Webhook) webhookOutput {
	out := webhookOutput{
		ID:                  w.ID,
		APIKeyID:            w.APIKeyID,
		CompanyID:           w.CompanyID,
		OwnerCompanyID:      w.OwnerCompanyID,
		URL:                 w.URL,
		Name:                w.Name,
		Description:         w.Description,
		Headers:             surface.Mapped(w.Headers, showHeader),
		Auth:                showAuth(w.Auth),
		Events:              surface.EventNames(w.Profile, w.Events),
		Filter:              showFilter(w.Filter),
		IsActive:            w.IsActive,
		DisabledReason:      w.DisabledReason,
		HeldByPlatform:      w.HeldByPlatform,
		MaxRetries:          w.MaxRetries,
		TimeoutMS:           w.TimeoutMS,
		ConsecutiveFailures: w.ConsecutiveFailures,
		CircuitOpenedAt:     surface.Maybe(w.CircuitOpenedAt),
		CircuitRecovery:     w.CircuitRecovery,
		NotifyEmail:         w.NotifyEmail,
		Ordering:            w.Ordering,
		OrderingOnFailure:   OrderingOnFailure(w),
		Profile:             w.Profile,
		RateLimit:           w.RateLimit,
		SignatureAlgorithms: SignatureAlgorithms(w),
		CreatedAt:           surface.Timestamp(w.CreatedAt),
		UpdatedAt:           surface.Timestamp(w.UpdatedAt),
	}
	if w.SigningKey != nil {
		url := s.PublicURL + "/webhooks/" + w.ID.String() + "/jwks"
		out.JWKSURL = &url
	}
	return out
}

// unpagedWebhooks is the number of webhooks in a list without page and limit.
const unpagedWebhooks = 1000

// listWebhooks answers {data, total} inside the envelope's data, because the reference's client unwraps that (§3.1).
// The reference has no pages here, so without page and limit the list has the first 1,000, the default quota of a
// company. ?companyId= selects the webhooks of exactly that company; a company's key sees none of another company.
func (s *server) listWebhooks(c *gin.Context) error {
	company, err := surface.QueryID(c, "companyId")
	if err != nil {
		return err
	}
	p, err := surface.PageOf(c)
	if err != nil {
		return err
	}
	unpaged := c.Query("page") == "" && c.Query("limit") == ""
	if unpaged {
		p.Limit = unpagedWebhooks
	}
	hooks, total, err := delivery.PageWebhooks(c.Request.Context(), s.DB, surface.Caller(c).Scope(),
		delivery.WebhookFilter{Company: company}, p.Window())
	if err != nil {
		return err
	}
	if unpaged {
		return ok(c, http.StatusOK, gin.H{"data": surface.Mapped(hooks, s.showWebhook), "total": total})
	}
	return okPage(c, p, hooks, total, s.showWebhook)
}

func (s *server) createWebhook(c *gin.Context) error {
	raw, err := surface.ReadBody(c)
	if err != nil {
		return err
	}
	in, err := surface.Decode[webhookInput](raw)
	if err != nil {
		return err
	}
	w, secret, refused := s.newWebhook(c, &in)
	refused = surface.Faults(in.refuse(), refused)
	return s.OnceSealed(c, raw, func(ctx context.Context, tx bun.Tx) (int, any, error) {
		if refused != nil { // the same request may have been answered while it was valid
			return 0, nil, refused
		}
		if err := s.CreateWebhook(ctx, tx, c, w); err != nil {
			return 0, nil, err
		}
		out := s.showWebhook(w)
		out.reveal(w, secret)
		return http.StatusCreated, wrapped(out), nil
	})
}

// newWebhook makes the row of a valid body, with a sealed signing secret.
func (s *server) newWebhook(c *gin.Context, in *webhookInput) (w *delivery.Webhook, secret []byte, err error) {
	if in.Profile == "" {
		in.Profile = profiles.Default
	}
	p, err := surface.ProfileOf(in.Profile)
	if err != nil {
		return nil, nil, err
	}
	if err := s.CheckRegistrar(c, p); err != nil {
		return nil, nil, err
	}
	isAsymmetric, wrongAlgorithms := algorithms(in.SignatureAlgorithms)
	key := surface.Caller(c).Key
	company, err := s.webhookCompany(c, in.CompanyID)
	if err != nil {
		return nil, nil, err
	}
	events, wrongEvents := s.ResolveFor(c.Request.Context(), in.Events, in.Profile, typesOf(company, key.CompanyID))
	w, secret, err = s.NewWebhook(key, &surface.WebhookSpec{
		Profile:         in.Profile,
		URL:             in.URL,
		Events:          events,
		Filter:          in.Filter,
		Headers:         in.Headers,
		Auth:            in.Auth,
		Company:         company,
		Name:            in.Name,
		Description:     in.Description,
		RateLimit:       in.RateLimit,
		CircuitRecovery: in.CircuitRecovery,
		NotifyEmail:     in.NotifyEmail,
		Ordering:        in.Ordering,
		OrderingBlocks:  in.OrderingOnFailure != nil && *in.OrderingOnFailure == BlockSubject,
		Asymmetric:      isAsymmetric,
	})
	return w, secret, surface.Faults(wrongAlgorithms, wrongEvents, err)
}

// typesOf returns the company whose custom event types a webhook may use: its own company, or else its owner.
func typesOf(company, owner *uuid.UUID) *uuid.UUID {
	if company != nil {
		return company
	}
	return owner
}

// webhookCompany returns the company of a new webhook, or nil for a global one. A company's key may only name its own;
// a platform key may name any that exists, in the body or as ?companyId=.
func (s *server) webhookCompany(c *gin.Context, sent *uuid.UUID) (*uuid.UUID, error) {
	p := surface.Caller(c)
	if !p.Platform() {
		if sent != nil && *sent != *p.Key.CompanyID {
			return nil, surface.Denied("company")
		}
		return sent, nil
	}
	if sent == nil {
		var err error
		if sent, err = surface.QueryID(c, "companyId"); sent == nil {
			return nil, err
		}
	}
	return sent, s.MustExist(c.Request.Context(), *sent)
}

// webhook loads the webhook named by the path; it must be visible to the caller.
func (s *server) webhook(c *gin.Context) (*delivery.Webhook, error) {
	raw := c.Param("id")
	id, valid := pg.ParseID(raw)
	if !valid {
		return nil, webhookNotFound(raw)
	}
	w, err := delivery.GetWebhook(c.Request.Context(), s.DB, id)
	switch {
	case errors.Is(err, pg.ErrNotFound):
		return nil, webhookNotFound(raw)
	case err != nil:
		return nil, err
	case !w.IsOf(surface.Caller(c).Scope()):
		return nil, surface.Denied("webhook configuration")
	}
	return w, nil
}

// webhookNotFound uses the message and resource type of the reference (§1.12).
func webhookNotFound(id string) *surface.Error {
	e := surface.NotFound("WebhookConfig", id)
	e.Message = "Webhook configuration not found"
	return e
}

func (s *server) getWebhook(c *gin.Context) error {
	w, err := s.webhook(c)
	if err != nil {
		return err
	}
	return ok(c, http.StatusOK, s.showWebhook(w))
}

func (s *server) updateWebhook(c *gin.Context) error {
	w, err := s.webhook(c)
	if err != nil {
		return err
	}
	in, err := surface.Bind[webhookPatch](c)
	if err != nil {
		return err
	}
	events, err := s.patchedEvents(c.Request.Context(), &in, w) // before the transaction: it needs a connection of its own
	if in.URL.Set {
		_, wrongURL := s.CheckedURL(in.URL.Value)
		err = surface.Faults(err, wrongURL)
	}
	if err != nil {
		return err
	}
	var secret []byte
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		if w, err = delivery.LockWebhook(ctx, tx, w.ID); err != nil {
			return err
		}
		before := *w
		columns, newSecret, err := s.applyWebhook(c, &in, events, w)
		if err != nil {
			return err
		}
		secret = newSecret
		return surface.UpdateWebhook(ctx, tx, c, &before, w, columns...)
	})
	if errors.Is(err, pg.ErrNotFound) { // deleted since it was read
		return webhookNotFound(c.Param("id"))
	}
	if err != nil {
		return err
	}
	out := s.showWebhook(w)
	if secret != nil {
		out.reveal(w, secret)
	}
	return ok(c, http.StatusOK, out)
}

// applyWebhook writes the sent fields to the row and returns their columns, and the new signing secret if the change
// needs one.
func (s *server) applyWebhook(
	c *gin.Context,
	in *webhookPatch,
	events []string,
	w *delivery.Webhook,
) (columns []string, secret []byte, err error) {
	switch {
	case in.CompanyID.Set:
		return nil, nil, surface.Invalid("companyId", "companyId cannot be changed: delete the webhook and create another")
	case in.Profile.Set:
		return nil, nil, surface.Invalid("profile", "profile cannot be changed: delete the webhook and create another")
	case w.SetID != nil && (in.URL.Set || in.Events.Set || in.Filter.Set || in.Headers.Set || in.Auth.Set):
		return nil, nil, surface.InvalidState(
			"This webhook follows from the settings of AI interviews: change its address and credentials there",
			nil,
		)
	}
	if err := in.refuse(); err != nil {
		return nil, nil, err
	}
	var u surface.Update
	surface.Set(&u, "name", &w.Name, in.Name)
	surface.Set(&u, "description", &w.Description, in.Description)
	surface.Set(&u, "rate_limit", &w.RateLimit, in.RateLimit)
	surface.SetNull(&u, "circuit_recovery", &w.CircuitRecovery, in.CircuitRecovery)
	surface.SetNull(&u, "notify_email", &w.NotifyEmail, in.NotifyEmail)
	surface.SetNull(&u, "ordering", &w.Ordering, in.Ordering)
	surface.Set(&u, "ordering_blocks", &w.OrderingBlocks, surface.Opt[bool]{
		Set: in.OrderingOnFailure.Set, Value: in.OrderingOnFailure.Value == BlockSubject,
	})
	if in.IsActive.Set {
		columns, err := surface.ActivateWebhook(c, w, in.IsActive.Value)
		if err != nil {
			return nil, nil, err
		}
		u.Columns = append(u.Columns, columns...)
	}
	surface.Set(&u, "events", &w.Events, surface.Opt[[]string]{Set: in.Events.Set, Value: events})
	if in.Filter.Set {
		if err := surface.SetFilter(w, in.Filter.Value); err != nil {
			return nil, nil, err
		}
		u.Columns = append(u.Columns, "filter", "filter_path")
	}
	if err := s.applyAlgorithms(in, w, &u); err != nil {
		return nil, nil, err
	}
	secret, err = s.applyReceiver(in, w, &u)
	return u.Columns, secret, err
}

// What a webhook with ordering does with the later events of a subject when a delivery failed for good.
const (
	SkipSubject  = "skip"
	BlockSubject = "block"
)

// OrderingOnFailure returns SkipSubject or BlockSubject.
func OrderingOnFailure(w *delivery.Webhook) string {
	if w.OrderingBlocks {
		return BlockSubject
	}
	return SkipSubject
}

// The signatures of Standard Webhooks.
const (
	symmetric  = "v1"  // HMAC-SHA256
	asymmetric = "v1a" // Ed25519
)

// SignatureAlgorithms are those by which the webhook's deliveries are signed.
func SignatureAlgorithms(w *delivery.Webhook) []string {
	if w.SigningKey == nil {
		return []string{symmetric}
	}
	return []string{symmetric, asymmetric}
}

// algorithms reads a webhook's signature algorithms: v1, which is always there, and v1a if wanted. Without any they are
// v1, so that a receiver gets the headers that its contract has.
func algorithms(names []string) (isAsymmetric bool, err error) {
	for _, name := range names {
		if name != symmetric && name != asymmetric {
			return false, surface.Invalid("signatureAlgorithms", "signatureAlgorithms has v1 and v1a only")
		}
	}
	if len(names) > 0 && !slices.Contains(names, symmetric) {
		return false, surface.Invalid("signatureAlgorithms", "signatureAlgorithms always has v1")
	}
	return slices.Contains(names, asymmetric), nil
}

// applyAlgorithms makes the private key of a webhook that gets v1a signatures, and drops those of one that has no more.
func (s *server) applyAlgorithms(in *webhookPatch, w *delivery.Webhook, u *surface.Update) (err error) {
	if !in.SignatureAlgorithms.Set {
		return nil
	}
	isAsymmetric, err := algorithms(in.SignatureAlgorithms.Value)
	switch {
	case err != nil || isAsymmetric == (w.SigningKey != nil):
		return err
	case !isAsymmetric:
		u.Columns = append(u.Columns, w.DropSigningKeys()...)
		return nil
	}
	u.Columns = append(u.Columns, "signing_key")
	w.SigningKey, err = s.NewSigningKey(w.ID)
	return err
}

// patchedEvents returns the event types of a change that has some.
func (s *server) patchedEvents(ctx context.Context, in *webhookPatch, w *delivery.Webhook) ([]string, error) {
	if !in.Events.Set {
		return nil, nil
	}
	return s.ResolveFor(ctx, in.Events.Value, w.Profile, typesOf(w.CompanyID, w.OwnerCompanyID), w.Events...)
}

// applyReceiver writes the URL, the headers and the credentials. The URL comes first, because a new one may drop the
// others.
func (s *server) applyReceiver(
	in *webhookPatch,
	w *delivery.Webhook,
	u *surface.Update,
) (secret []byte, err error) {
	if in.URL.Set {
		checked, err := s.CheckedURL(in.URL.Value)
		if err != nil {
			return nil, err
		}
		moved, newSecret, err := surface.MoveWebhook(s.Box, w, checked)
		if err != nil {
			return nil, err
		}
		u.Columns, secret = append(u.Columns, moved...), newSecret
	}
	if !in.Headers.Set && !in.Auth.Set {
		return secret, nil
	}
	p, err := surface.ProfileOf(w.Profile)
	if err != nil {
		return nil, err
	}
	if in.Headers.Set {
		headers, err := s.SealHeaders(p, w.ID, in.Headers.Value)
		if err != nil {
			return nil, err
		}
		surface.Set(u, "headers", &w.Headers, surface.Opt[[]delivery.WebhookHeader]{Set: true, Value: headers})
	}
	if in.Auth.Set {
		if w.Auth, err = s.SealAuth(w.ID, in.Auth.Ptr()); err != nil {
			return nil, err
		}
		u.Add("auth")
	}
	return secret, surface.CheckAuthorization(p, w)
}

func (s *server) deleteWebhook(c *gin.Context) error {
	w, err := s.webhook(c)
	if err != nil {
		return err
	}
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		return surface.DeleteWebhook(ctx, tx, c, w)
	})
	if errors.Is(err, pg.ErrNotFound) {
		return webhookNotFound(w.ID.String())
	}
	if err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}

// resetCircuit closes the circuit and activates the webhook; its paused deliveries are released gradually.
func (s *server) resetCircuit(c *gin.Context) error {
	w, err := s.webhook(c)
	if err != nil {
		return err
	}
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		if w, err = delivery.LockWebhook(ctx, tx, w.ID); err != nil {
			return err
		}
		if w.HeldByPlatform && !surface.Caller(c).Platform() {
			return surface.HeldWebhook()
		}
		if w, err = delivery.ResetCircuit(ctx, tx, w.ID); err != nil {
			return err
		}
		return surface.AuditWebhook(ctx, tx, c, w, db.AuditCircuitReset)
	})
	if errors.Is(err, pg.ErrNotFound) {
		return webhookNotFound(c.Param("id"))
	}
	if err != nil {
		return err
	}
	s.Logger.InfoContext(c.Request.Context(), "circuit closed by the API", "webhook_id", w.ID)
	return ok(c, http.StatusOK, s.showWebhook(w))
}
