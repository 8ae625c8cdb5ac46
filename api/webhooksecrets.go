package api

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"greenroom/activities/webhook"
	"greenroom/activities/webhook/profiles"
	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/delivery"
	"greenroom/db/pg"
	"greenroom/db/seal"
)

func (s *server) webhookSecretRoutes() []surface.Route {
	return []surface.Route{
		surface.Get("/webhooks/:id/secrets", "read:webhooks", s.listSecrets),
		surface.Post("/webhooks/:id/rotate-secret", "write:webhooks", s.rotateSecret),
		surface.Delete("/webhooks/:id/secrets/:fingerprint", "write:webhooks", s.revokeSecret),
		surface.Get("/webhooks/:id/jwks", surface.Public, s.showKeys).ByNetwork(),
	}
}

// SecretOverlap is how long an earlier secret signs by default.
const SecretOverlap = 24 * time.Hour

// SecretOverlapMost is how long an earlier secret signs at most.
const SecretOverlapMost = 7 * 24 * time.Hour

// rotateInput is the body of a rotation; it may be absent.
type rotateInput struct {
	// Secret is one that the caller brings.
	Secret string `json:"secret" validate:"max=200"`
	// OverlapSeconds is how long the secret before it signs too.
	OverlapSeconds *int `json:"overlapSeconds" validate:"gte=0,lte=604800"`
}

// WebhookSecret is a signing secret in use, without its value. ExpiresAt is nil for the current one. The public key is
// that of the private key which is replaced and ends with the secret, for a webhook with v1a signatures.
type WebhookSecret struct {
	Fingerprint string             `json:"fingerprint"`
	IsCurrent   bool               `json:"isCurrent"`
	CreatedAt   surface.Timestamp  `json:"createdAt"`
	ExpiresAt   *surface.Timestamp `json:"expiresAt"`
	PublicKey   string             `json:"publicKey,omitempty"`
	KeyID       string             `json:"keyId,omitempty"`
}

// WebhookSecrets lists the secrets with which a webhook's deliveries are signed now, the current one first.
func WebhookSecrets(box *seal.Box, w *delivery.Webhook) ([]WebhookSecret, error) {
	var shown []WebhookSecret
	for _, live := range w.LiveSecrets(time.Now()) {
		secret, err := box.Open(live.Sealed, w.ID, delivery.SecretField)
		if err != nil {
			return nil, fmt.Errorf("list signing secrets: %w", err)
		}
		s := WebhookSecret{
			Fingerprint: webhook.Fingerprint(secret), IsCurrent: live.ExpiresAt == nil,
			CreatedAt: surface.Timestamp(live.CreatedAt), ExpiresAt: surface.Maybe(live.ExpiresAt),
		}
		if live.SigningKey != nil {
			key, err := publicKey(box, w, live)
			if err != nil {
				return nil, err
			}
			s.PublicKey, s.KeyID = webhook.PublicKeyWhpk(key), webhook.JWKOf(key).KeyID
		}
		shown = append(shown, s)
	}
	return shown, nil
}

func publicKey(box *seal.Box, w *delivery.Webhook, live delivery.LiveSecret) (ed25519.PublicKey, error) {
	raw, err := box.Open(live.SigningKey, w.ID, delivery.SigningKeyField)
	if err != nil {
		return nil, fmt.Errorf("read signing key: %w", err)
	}
	key, err := webhook.ParseSigningKey(raw)
	if err != nil {
		return nil, fmt.Errorf("read signing key: %w", err)
	}
	return webhook.PublicKey(key), nil
}

// AuthorizationKey returns the key that the webhook's deliveries carry with its current secret; "" for a profile
// without one.
func AuthorizationKey(w *delivery.Webhook, secret []byte) string {
	p, err := profiles.ByName(w.Profile)
	if err != nil || p.KeyHeader == "" {
		return ""
	}
	return webhook.KeyOf(secret, w.HasDerivedKey())
}

// keysMaxAge is how long receivers may use the public keys of a webhook without reading them again. It delays the end
// of a key at such a receiver.
const keysMaxAge = "max-age=300"

// showKeys answers anyone with the public keys of a webhook's v1a signatures. A webhook without such signatures is not
// told from one that does not exist.
func (s *server) showKeys(c *gin.Context) error {
	none := surface.NotFound("WebhookKeys", c.Param("id"))
	id, valid := pg.ParseID(c.Param("id"))
	if !valid {
		return none
	}
	w, err := delivery.GetWebhook(c.Request.Context(), s.DB, id)
	if errors.Is(err, pg.ErrNotFound) || err == nil && w.SigningKey == nil {
		return none
	}
	if err != nil {
		return err
	}
	keys := []webhook.JWK{}
	for _, live := range w.LiveSecrets(time.Now()) {
		if live.SigningKey == nil { // replaced before the webhook had signatures of v1a
			continue
		}
		key, err := publicKey(s.Box, w, live)
		if err != nil {
			return err
		}
		keys = append(keys, webhook.JWKOf(key))
	}
	c.Header("Cache-Control", "public, "+keysMaxAge)
	c.Data(http.StatusOK, "application/jwk-set+json", surface.Encoded(gin.H{"keys": keys}))
	return nil
}

// RotatedSecret is the only output that has the new secret.
type RotatedSecret struct {
	SigningSecret      string `json:"signingSecret"`
	SigningSecretWhsec string `json:"signingSecretWhsec"`
	// AuthorizationKey is sent in Authorization, for profiles that have a key.
	AuthorizationKey string          `json:"authorizationKey,omitempty"`
	Secrets          []WebhookSecret `json:"secrets"`
}

func (s *server) listSecrets(c *gin.Context) error {
	w, err := s.webhook(c)
	if err != nil {
		return err
	}
	secrets, err := WebhookSecrets(s.Box, w)
	if err != nil {
		return err
	}
	return ok(c, http.StatusOK, secrets)
}

func (s *server) rotateSecret(c *gin.Context) error {
	w, err := s.webhook(c)
	if err != nil {
		return err
	}
	raw := []byte("{}")
	if c.Request.ContentLength != 0 {
		if raw, err = surface.ReadBody(c); err != nil {
			return err
		}
	}
	in, err := surface.Decode[rotateInput](raw)
	if err != nil {
		return err
	}
	secret := webhook.GenerateSecret()
	if in.Secret != "" {
		if secret, err = webhook.ParseSecret(in.Secret); err != nil {
			return surface.Invalid("secret", "secret must be 24 to 64 bytes: whsec_ and Base64, or hex digits")
		}
	}
	overlap := SecretOverlap
	if in.OverlapSeconds != nil {
		overlap = time.Duration(*in.OverlapSeconds) * time.Second
	}
	return s.OnceSealed(c, raw, func(ctx context.Context, tx bun.Tx) (int, any, error) {
		out, err := RotateSecret(ctx, tx, s.Box, w, secret, overlap)
		switch {
		case errors.Is(err, pg.ErrNotFound):
			return 0, nil, webhookNotFound(w.ID.String())
		case errors.Is(err, errSecretInUse):
			return 0, nil, surface.Invalid("secret", "secret is in use by this webhook already")
		case errors.Is(err, pg.ErrConflict):
			return 0, nil, surface.InvalidState(fmt.Sprintf("%d signing secrets are in use: revoke one, or wait until one "+
				"expires", delivery.SecretsMost), nil)
		case err != nil:
			return 0, nil, err
		}
		return http.StatusOK, wrapped(out), surface.AuditWebhook(ctx, tx, c, w, db.AuditRotated)
	})
}

// errSecretInUse means that a secret is live already: a rotation to it would replace nothing.
var errSecretInUse = errors.New("the signing secret is in use already")

// RotateSecret seals a secret and makes it the current one of the webhook; see delivery.RotateSecret. It refuses a
// secret that the webhook uses.
func RotateSecret(
	ctx context.Context, tx bun.Tx, box *seal.Box, w *delivery.Webhook, secret []byte, overlap time.Duration,
) (out RotatedSecret, err error) {
	next := delivery.SealedSecret{}
	if next.Secret, err = box.Seal(secret, w.ID, delivery.SecretField); err != nil {
		return out, err
	}
	if next.SigningKey, err = box.Seal(webhook.GenerateSigningKey(), w.ID, delivery.SigningKeyField); err != nil {
		return out, err
	}
	rotated, err := delivery.RotateSecret(ctx, tx, w.ID, next, overlap, func(w *delivery.Webhook) error {
		live, err := WebhookSecrets(box, w)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(live, func(s WebhookSecret) bool { return s.Fingerprint == webhook.Fingerprint(secret) }) {
			return errSecretInUse
		}
		return nil
	})
	if err != nil {
		return out, err
	}
	out = RotatedSecret{
		SigningSecret: webhook.SecretHex(secret), SigningSecretWhsec: webhook.SecretWhsec(secret),
		AuthorizationKey: AuthorizationKey(rotated, secret),
	}
	out.Secrets, err = WebhookSecrets(box, rotated)
	return out, err
}

// RevokeSecret ends an earlier secret of a webhook, named by its fingerprint, and its private key at once.
// pg.ErrNotFound: there is no such earlier secret.
func RevokeSecret(
	ctx context.Context, tx bun.Tx, box *seal.Box, w *delivery.Webhook, fingerprint string,
) (*delivery.Webhook, error) {
	return delivery.RevokeSecret(ctx, tx, w.ID, func(w *delivery.Webhook, r delivery.RetiredSecret) (bool, error) {
		secret, err := box.Open(r.Sealed, w.ID, delivery.SecretField)
		if err != nil {
			return false, fmt.Errorf("revoke signing secret: %w", err)
		}
		return webhook.Fingerprint(secret) == fingerprint, nil
	})
}

func (s *server) revokeSecret(c *gin.Context) error {
	w, err := s.webhook(c)
	if err != nil {
		return err
	}
	fingerprint := c.Param("fingerprint")
	secrets, err := WebhookSecrets(s.Box, w)
	if err != nil {
		return err
	}
	if secrets[0].Fingerprint == fingerprint {
		return surface.InvalidState("This is the current signing secret: rotate it with overlapSeconds 0", nil)
	}
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		if _, err := RevokeSecret(ctx, tx, s.Box, w, fingerprint); err != nil {
			return err
		}
		e := surface.Audited(c, w.Company(), db.AuditRevoked, db.AuditedWebhook, w.ID)
		e.Before = map[string]any{"secret": fingerprint}
		return db.Audit(ctx, tx, e)
	})
	if errors.Is(err, pg.ErrNotFound) {
		return surface.NotFound("WebhookSecret", fingerprint)
	}
	if err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}
