package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/activities/webhook"
	"greenroom/api"
	"greenroom/api/client"
	"greenroom/db"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// RotatedSecret is the output for a webhook with a new signing secret.
type RotatedSecret struct {
	WebhookID uuid.UUID `json:"webhookId"`
	api.RotatedSecret
}

// RotateSecret replaces the signing secret of a webhook by text, or by a generated one for "". The one before it signs
// too until the overlap has passed.
func (a *Admin) RotateSecret(
	ctx context.Context, id uuid.UUID, text string, overlap time.Duration,
) (out RotatedSecret, err error) {
	if overlap < 0 || overlap > api.SecretOverlapMost {
		return out, errors.New("--overlap must be 0 to 7d")
	}
	if a.api != nil {
		seconds := int(overlap.Seconds())
		out.RotatedSecret, err = answered[api.RotatedSecret](a.api.RotateWebhookSecret(ctx, id.String(), nil,
			client.SecretRotation{Secret: given(text), OverlapSeconds: &seconds}))
		out.WebhookID = id
		return out, err
	}
	secret := webhook.GenerateSecret()
	if text != "" {
		if secret, err = webhook.ParseSecret(text); err != nil {
			return out, err
		}
	}
	err = pg.InTx(ctx, a.DB, func(ctx context.Context, tx bun.Tx) error {
		w, err := delivery.GetWebhook(ctx, tx, id)
		if err != nil {
			return describeMissing(err, "webhook", id)
		}
		out.WebhookID = id
		if out.RotatedSecret, err = api.RotateSecret(ctx, tx, a.Box, w, secret, overlap); err != nil {
			return err
		}
		return audit(ctx, tx, w.Company(), db.AuditRotated, db.AuditedWebhook, id)
	})
	if errors.Is(err, pg.ErrConflict) {
		err = fmt.Errorf("%d signing secrets are in use: revoke one, or wait until one expires", delivery.SecretsMost)
	}
	return out, err
}

// Secrets lists the signing secrets in use, the current one first.
func (a *Admin) Secrets(ctx context.Context, id uuid.UUID) ([]api.WebhookSecret, error) {
	if a.api != nil {
		return answered[[]api.WebhookSecret](a.api.ListWebhookSecrets(ctx, id.String()))
	}
	w, err := delivery.GetWebhook(ctx, a.DB, id)
	if err != nil {
		return nil, describeMissing(err, "webhook", id)
	}
	return api.WebhookSecrets(a.Box, w)
}

// RevokeSecret ends an earlier secret at once and returns those that are left.
func (a *Admin) RevokeSecret(
	ctx context.Context, id uuid.UUID, fingerprint string,
) (left []api.WebhookSecret, err error) {
	if a.api != nil {
		if err := done(a.api.RevokeWebhookSecret(ctx, id.String(), fingerprint)); err != nil {
			return nil, err
		}
		return a.Secrets(ctx, id)
	}
	err = pg.InTx(ctx, a.DB, func(ctx context.Context, tx bun.Tx) error {
		w, err := delivery.GetWebhook(ctx, tx, id)
		if err != nil {
			return describeMissing(err, "webhook", id)
		}
		w, err = api.RevokeSecret(ctx, tx, a.Box, w, fingerprint)
		if errors.Is(err, pg.ErrNotFound) {
			return fmt.Errorf("webhook %s has no earlier secret %s in use", id, fingerprint)
		}
		if err != nil {
			return err
		}
		if err := audit(ctx, tx, w.Company(), db.AuditRevoked, db.AuditedWebhook, id); err != nil {
			return err
		}
		left, err = api.WebhookSecrets(a.Box, w)
		return err
	})
	return left, err
}

// RotatedSecret prints a new signing secret.
func (p Printer) RotatedSecret(r RotatedSecret) error {
	return p.Value(r, func(out io.Writer) {
		row(out, "webhook", r.WebhookID)
		row(out, "signing secret", r.SigningSecret)
		row(out, "the same for Standard Webhooks", r.SigningSecretWhsec)
		if r.AuthorizationKey != "" {
			row(out, "key in Authorization", r.AuthorizationKey)
		}
		for _, s := range r.Secrets[1:] {
			row(out, "also signs", s.Fingerprint, "until", time.Time(*s.ExpiresAt))
		}
		fmt.Fprintln(out, "\nKeep the secret now: it cannot be shown again.")
	})
}

// SigningSecrets prints the signing secrets in use.
func (p Printer) SigningSecrets(secrets []api.WebhookSecret) error {
	return p.Value(secrets, func(out io.Writer) {
		row(out, "FINGERPRINT", "STATE", "CREATED", "EXPIRES")
		for _, s := range secrets {
			state := "earlier"
			if s.IsCurrent {
				state = "current"
			}
			row(out, s.Fingerprint, state, time.Time(s.CreatedAt), (*time.Time)(s.ExpiresAt))
		}
	})
}
