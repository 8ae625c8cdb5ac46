package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/activities/webhook"
	"greenroom/activities/webhook/profiles"
	"greenroom/api"
	"greenroom/db"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// WebhookRequest describes a new webhook.
type WebhookRequest struct {
	// Company is a name or an id. It must be empty with Platform, which creates a webhook for the events of every company.
	Company  string
	Platform bool
	Profile  string
	URL      string
	Name     string
	// Events are names or numbers in the profile.
	Events []string
}

// Webhook is the output for a webhook. Only CreateWebhook sets SigningSecret.
type Webhook struct {
	ID        uuid.UUID  `json:"id"`
	CompanyID *uuid.UUID `json:"companyId"`
	// OwnerCompanyID is the company whose key created the webhook. A webhook without a company receives the events of its
	// owner, or of every company if it has none.
	OwnerCompanyID      *uuid.UUID `json:"ownerCompanyId"`
	Profile             string     `json:"profile"`
	URL                 string     `json:"url"`
	Name                string     `json:"name"`
	Events              []string   `json:"events"`
	State               string     `json:"state"`
	IsActive            bool       `json:"isActive"`
	DisabledReason      *string    `json:"disabledReason"`
	ConsecutiveFailures int        `json:"consecutiveFailures"`
	CircuitOpenedAt     *time.Time `json:"circuitOpenedAt"`
	CreatedAt           time.Time  `json:"createdAt"`
	SigningSecret       string     `json:"signingSecret,omitempty"`
	// SigningSecretWhsec is the same secret in the format of Standard Webhooks libraries.
	SigningSecretWhsec string `json:"signingSecretWhsec,omitempty"`
	// AuthorizationKey is the key in the Authorization header of deliveries, for profiles that have one.
	AuthorizationKey string `json:"authorizationKey,omitempty"`
}

func showWebhook(w *delivery.Webhook) Webhook {
	return Webhook{
		ID:                  w.ID,
		CompanyID:           w.CompanyID,
		OwnerCompanyID:      w.OwnerCompanyID,
		Profile:             w.Profile,
		URL:                 w.URL,
		Name:                w.Name,
		Events:              eventNames(w),
		State:               webhookState(w.CircuitOpenedAt, w.IsActive),
		IsActive:            w.IsActive,
		DisabledReason:      w.DisabledReason,
		ConsecutiveFailures: w.ConsecutiveFailures,
		CircuitOpenedAt:     w.CircuitOpenedAt,
		CreatedAt:           w.CreatedAt,
	}
}

// sourceCompany is the company whose events the webhook receives, or nil for every company.
func (w Webhook) sourceCompany() *uuid.UUID {
	if w.CompanyID != nil {
		return w.CompanyID
	}
	return w.OwnerCompanyID
}

// webhookState returns why nothing is sent, or "active".
func webhookState(circuitOpenedAt *time.Time, isActive bool) string {
	switch {
	case circuitOpenedAt != nil:
		return "circuit open"
	case !isActive:
		return "inactive"
	}
	return "active"
}

// eventNames returns the profile's names of the events, or the domain types if this version does not know the profile.
func eventNames(w *delivery.Webhook) []string {
	p, err := profiles.ByName(w.Profile)
	if err != nil {
		return w.Events
	}
	return p.NamesOf(w.Events)
}

// Profiles returns the names of all profiles, the default first.
func Profiles() []string { return profiles.Names() }

// CreateWebhook creates a webhook. The returned value has the signing secret; the row has it encrypted.
func (a *Admin) CreateWebhook(ctx context.Context, r WebhookRequest) (Webhook, error) {
	if a.api != nil {
		return a.remoteCreateWebhook(ctx, r)
	}
	w, err := a.newWebhook(ctx, r)
	if err != nil {
		return Webhook{}, err
	}
	secret := webhook.GenerateSecret()
	sealed, err := a.Box.Seal(secret, w.ID, delivery.SecretField)
	if err != nil {
		return Webhook{}, err
	}
	w.SetSecret(sealed, w.CreatedAt)
	err = pg.InTx(ctx, a.DB, func(ctx context.Context, tx bun.Tx) error {
		if err := delivery.CreateWebhook(ctx, tx, w); err != nil {
			return err
		}
		return audit(ctx, tx, w.Company(), db.AuditCreated, db.AuditedWebhook, w.ID)
	})
	if err != nil {
		return Webhook{}, err
	}
	shown := showWebhook(w)
	shown.SigningSecret, shown.SigningSecretWhsec = webhook.SecretHex(secret), webhook.SecretWhsec(secret)
	shown.AuthorizationKey = api.AuthorizationKey(w, secret)
	return shown, nil
}

func (a *Admin) newWebhook(ctx context.Context, r WebhookRequest) (*delivery.Webhook, error) {
	profile, err := profiles.ByName(r.Profile)
	if err != nil {
		return nil, fmt.Errorf("--profile must be one of %s, not %q", strings.Join(profiles.Names(), ", "), r.Profile)
	}
	if err := a.CheckURL(r.URL); err != nil {
		return nil, asFlag(err)
	}
	now := time.Now().UTC()
	w := &delivery.Webhook{
		ID: pg.NewID(), Profile: profile.Name, URL: r.URL, Name: r.Name, Headers: []delivery.WebhookHeader{}, IsActive: true,
		MaxRetries: len(profile.Schedule), TimeoutMS: int(profile.Timeout.Milliseconds()), CreatedAt: now, UpdatedAt: now,
	}
	if err := api.CheckWebhook(w); err != nil {
		return nil, asFlag(err)
	}
	if w.Events, err = eventTypes(profile, r.Events); err != nil {
		return nil, err
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	w.CompanyID, err = a.companyID(ctx, r.Company)
	w.OwnerCompanyID = w.CompanyID
	return w, err
}

// asFlag names the flag in an error that begins with the name of a field.
func asFlag(err error) error {
	if rest, isURL := strings.CutPrefix(err.Error(), "url "); isURL {
		return errors.New("--endpoint " + rest)
	}
	return fmt.Errorf("--%w", err)
}

func (r WebhookRequest) check() error {
	switch {
	case r.Platform && r.Company != "":
		return errors.New("--platform creates a webhook for every company and cannot be used with --company")
	case !r.Platform && r.Company == "":
		return errors.New("--company NAME_OR_ID is required, or --platform for the events of every company")
	}
	return nil
}

// eventTypes returns the domain types for names or numbers of a profile's events, without duplicates.
func eventTypes(p *webhook.Profile, given []string) ([]string, error) {
	var types []string
	for _, text := range given {
		found, err := eventType(p, text)
		if err != nil {
			return nil, fmt.Errorf("profile %s has no event %q; it has: %s", p.Name, text, strings.Join(p.Names(), ", "))
		}
		for _, t := range found {
			if !slices.Contains(types, t) {
				types = append(types, t)
			}
		}
	}
	if len(types) == 0 {
		return nil, fmt.Errorf("--event is required; profile %s has: %s", p.Name, strings.Join(p.Names(), ", "))
	}
	return types, nil
}

func eventType(p *webhook.Profile, text string) ([]string, error) {
	if id, err := strconv.Atoi(text); err == nil {
		return p.ByNumber(id)
	}
	return p.ByName(text)
}

// ListWebhooks returns the webhooks that receive events of one company, or all webhooks for "".
func (a *Admin) ListWebhooks(ctx context.Context, company string) ([]Webhook, error) {
	id, err := a.companyID(ctx, company)
	if err != nil {
		return nil, err
	}
	if a.api != nil {
		return a.remoteWebhooks(ctx, id)
	}
	hooks, err := delivery.ListWebhooks(ctx, a.DB, pg.Scope{Company: id})
	if err != nil {
		return nil, err
	}
	shown := make([]Webhook, len(hooks))
	for i := range hooks {
		shown[i] = showWebhook(&hooks[i])
	}
	return shown, nil
}

// ResetCircuit closes a webhook's circuit and activates the webhook. Its paused deliveries are sent at a rising rate.
func (a *Admin) ResetCircuit(ctx context.Context, id uuid.UUID) (Webhook, error) {
	if a.api != nil {
		return shownWebhook(answered[remoteWebhook](a.api.ResetCircuit(ctx, id.String())))
	}
	var shown Webhook
	err := pg.InTx(ctx, a.DB, func(ctx context.Context, tx bun.Tx) error {
		w, err := delivery.ResetCircuit(ctx, tx, id)
		if err != nil {
			return describeMissing(err, "webhook", id)
		}
		shown = showWebhook(w)
		return audit(ctx, tx, w.Company(), db.AuditCircuitReset, db.AuditedWebhook, id)
	})
	return shown, err
}

// DeleteWebhook deletes a webhook and cancels its deliveries that have not ended. It returns the deleted webhook.
func (a *Admin) DeleteWebhook(ctx context.Context, id uuid.UUID) (Webhook, error) {
	if a.api != nil {
		return a.remoteDeleteWebhook(ctx, id)
	}
	var shown Webhook
	err := pg.InTx(ctx, a.DB, func(ctx context.Context, tx bun.Tx) error {
		w, err := delivery.GetWebhook(ctx, tx, id)
		if err == nil {
			shown = showWebhook(w)
			err = delivery.DeleteWebhook(ctx, tx, id)
		}
		if err == nil {
			err = audit(ctx, tx, w.Company(), db.AuditDeleted, db.AuditedWebhook, id)
		}
		shown.State = "deleted"
		return describeMissing(err, "webhook", id)
	})
	return shown, err
}

// NewWebhook prints a created webhook with its secret.
func (p Printer) NewWebhook(w Webhook) error {
	return p.Value(w, func(out io.Writer) {
		row(out, "webhook", w.ID)
		row(out, "url", w.URL)
		row(out, "profile", w.Profile)
		row(out, "events", w.Events)
		row(out, "company", companyText(w.sourceCompany()))
		row(out, "signing secret", w.SigningSecret)
		row(out, "the same for Standard Webhooks", w.SigningSecretWhsec)
		if w.AuthorizationKey != "" {
			row(out, "key in Authorization", w.AuthorizationKey)
		}
		fmt.Fprintf(out, "\nKeep the secret now: it cannot be shown again. If it is lost, replace it: greenroom webhooks "+
			"rotate-secret %s\n", w.ID)
	})
}

// Webhooks prints a list of webhooks.
func (p Printer) Webhooks(hooks []Webhook) error {
	return p.Value(hooks, func(out io.Writer) {
		row(out, "ID", "NAME", "URL", "PROFILE", "STATE", "FAILURES", "CIRCUIT OPENED", "COMPANY", "EVENTS")
		for _, w := range hooks {
			row(out, w.ID, w.Name, w.URL, w.Profile, w.State, w.ConsecutiveFailures, w.CircuitOpenedAt,
				companyText(w.sourceCompany()), w.Events)
		}
	})
}

// Webhook prints the new state of a webhook.
func (p Printer) Webhook(w Webhook) error {
	return p.Value(w, func(out io.Writer) { row(out, "webhook", w.ID, "is "+w.State) })
}
