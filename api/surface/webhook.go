package surface

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/activities/webhook"
	"greenroom/activities/webhook/profiles"
	"greenroom/db"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// WebhookSpec has the settings of a new webhook.
type WebhookSpec struct {
	// Profile is the contract of its deliveries: one of profiles.Names.
	Profile string
	URL     string
	// Events are domain event types: see [EventRefs.Resolve].
	Events  []string
	Filter  json.RawMessage // nil: none
	Headers []Header
	Auth    *Auth
	// Company nil: a global webhook, for all companies that the key's owner can access.
	Company           *uuid.UUID
	Name, Description string
	Inactive          bool
	// RateLimit limits deliveries per second; 0 = none.
	RateLimit       int
	CircuitRecovery *string
	// NotifyEmail gets mail about changes of the webhook; nil: its company's address does.
	NotifyEmail *string
	// Ordering and OrderingBlocks are as in delivery.Webhook.
	Ordering       *string
	OrderingBlocks bool
	// Secret is the signing secret; nil: a new one.
	Secret []byte
	// Asymmetric: deliveries have v1a signatures too.
	Asymmetric bool
}

// NewWebhook makes the row of a webhook. It checks the profile and the URL, and seals masked headers and the signing
// secret. It also returns the secret in plain text, to be shown once: see webhook.SecretHex. The row is not stored: see
// delivery.CreateWebhook.
func (s *Core) NewWebhook(key *db.APIKey, spec *WebhookSpec) (w *delivery.Webhook, secret []byte, err error) {
	profile, err := ProfileOf(spec.Profile)
	if err != nil {
		return nil, nil, err
	}
	now := time.Now().UTC()
	w = &delivery.Webhook{
		ID:              pg.NewID(),
		CompanyID:       spec.Company,
		OwnerCompanyID:  key.CompanyID,
		APIKeyID:        &key.ID,
		Profile:         profile.Name,
		Events:          spec.Events,
		Name:            spec.Name,
		Description:     spec.Description,
		IsActive:        !spec.Inactive,
		MaxRetries:      len(profile.Schedule),
		TimeoutMS:       int(profile.Timeout.Milliseconds()),
		RateLimit:       spec.RateLimit,
		CircuitRecovery: spec.CircuitRecovery,
		NotifyEmail:     spec.NotifyEmail,
		Ordering:        spec.Ordering,
		OrderingBlocks:  spec.OrderingBlocks,
		CreatedAt:       now,
		UpdatedAt:       now,
	}
	var faults [4]error
	faults[0] = SetFilter(w, spec.Filter)
	w.URL, faults[1] = s.CheckedURL(spec.URL)
	w.Headers, faults[2] = s.SealHeaders(profile, w.ID, spec.Headers)
	w.Auth, faults[3] = s.SealAuth(w.ID, spec.Auth)
	if err := Faults(faults[:]...); err != nil {
		return nil, nil, err
	}
	if err := CheckAuthorization(profile, w); err != nil {
		return nil, nil, err
	}
	if secret = spec.Secret; secret == nil {
		secret = webhook.GenerateSecret()
	}
	sealed, err := s.Box.Seal(secret, w.ID, delivery.SecretField)
	if err != nil {
		return nil, nil, err
	}
	w.SetSecret(sealed, now)
	if spec.Asymmetric {
		w.SigningKey, err = s.NewSigningKey(w.ID)
	}
	return w, secret, err
}

// NewSigningKey returns a new private key for v1a signatures, sealed for that webhook.
func (s *Core) NewSigningKey(id uuid.UUID) (sealed []byte, err error) {
	return s.Box.Seal(webhook.GenerateSigningKey(), id, delivery.SigningKeyField)
}

// CreateWebhook stores a new webhook within the quota of its company, which is the owner's for a global webhook. A
// platform key's global webhooks have no quota.
func (s *Core) CreateWebhook(ctx context.Context, tx bun.Tx, c *gin.Context, w *delivery.Webhook) error {
	if company := w.Company(); company != nil {
		if err := db.CheckWebhookQuota(ctx, tx, *company, s.Quota.Webhooks); err != nil {
			return err
		}
	}
	return storeWebhook(ctx, tx, c, w)
}

// SetFilter sets the filter of a webhook, or none for nil. It refuses an invalid one.
func SetFilter(w *delivery.Webhook, raw json.RawMessage) error {
	w.Filter, w.FilterPath = nil, nil
	if raw == nil {
		return nil
	}
	path, err := delivery.CompileFilter(raw)
	var refused *delivery.FilterError
	if errors.As(err, &refused) {
		e := Invalid("filter", refused.Error())
		e.Details["path"] = refused.Path
		return e
	}
	text := string(raw)
	w.Filter, w.FilterPath = &text, &path
	return err
}

// ProfileOf returns the profile with that name; the refusal of an unknown one lists all names.
func ProfileOf(name string) (*webhook.Profile, error) {
	p, err := profiles.ByName(name)
	if errors.Is(err, webhook.ErrUnknownProfile) {
		e := Invalid("profile", "Unknown profile")
		e.Details = Details{"field": "profile", "provided": Clip(name), "allowed": profiles.Names()}
		return nil, e
	}
	return p, err
}

// CheckedURL refuses an endpoint URL that the delivery client would refuse.
func (s *Core) CheckedURL(raw string) (string, error) {
	if err := s.CheckURL(raw); err != nil {
		return "", Invalid("url", err.Error())
	}
	return raw, nil
}
