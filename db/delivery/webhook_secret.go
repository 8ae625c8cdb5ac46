package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/catalog"
	"greenroom/db/pg"
)

// RetiredSecret is an earlier signing secret of a webhook, sealed, which signs until it expires. SigningKey is the
// private key that was replaced with it, sealed; nil: none.
type RetiredSecret struct {
	Sealed     []byte    `json:"sealed"`
	SigningKey []byte    `json:"signingKey,omitempty"`
	CreatedAt  time.Time `json:"createdAt"`
	ExpiresAt  time.Time `json:"expiresAt"`
}

// LiveSecret is a signing secret in use, sealed, with its private key, if any. ExpiresAt is nil for the current one.
type LiveSecret struct {
	Sealed     []byte
	SigningKey []byte
	CreatedAt  time.Time
	ExpiresAt  *time.Time
}

// SecretsMost is how many secrets of a webhook sign at a time: each adds a signature to every request.
const SecretsMost = 5

// LiveSecrets returns the secrets that sign at a time, the current one first, then the newest.
func (w *Webhook) LiveSecrets(now time.Time) []LiveSecret {
	current := LiveSecret{Sealed: w.Secret, SigningKey: w.SigningKey, CreatedAt: w.CreatedAt}
	if w.SecretCreatedAt != nil {
		current.CreatedAt = *w.SecretCreatedAt
	}
	live := []LiveSecret{current}
	for _, r := range w.RetiredSecrets {
		if r.ExpiresAt.After(now) {
			live = append(live, LiveSecret{
				Sealed: r.Sealed, SigningKey: r.SigningKey, CreatedAt: r.CreatedAt, ExpiresAt: &r.ExpiresAt,
			})
		}
	}
	return live
}

// SetSecret makes sealed the current secret, from which the key of a profile with a KeyHeader is derived. The columns
// are secret, secret_created_at and key_derived_at.
func (w *Webhook) SetSecret(sealed []byte, at time.Time) {
	at = at.UTC().Truncate(time.Microsecond)
	w.Secret, w.SecretCreatedAt, w.KeyDerivedAt = sealed, &at, &at
}

// HasDerivedKey reports whether the key of a profile with a KeyHeader is derived from the secret; otherwise it is the
// secret itself, which earlier versions sent. The mark is the secret's time: a process of an earlier version that
// replaces the secret changes the time alone, and gives the receiver the secret.
func (w *Webhook) HasDerivedKey() bool {
	return w.KeyDerivedAt != nil && w.SecretCreatedAt != nil && w.KeyDerivedAt.Equal(*w.SecretCreatedAt)
}

// DropSigningKeys ends all private keys of the webhook, and returns the columns to update.
func (w *Webhook) DropSigningKeys() []string {
	w.SigningKey = nil
	for i := range w.RetiredSecrets {
		w.RetiredSecrets[i].SigningKey = nil
	}
	return []string{"signing_key", "retired_secrets"}
}

// SealedSecret is a new secret of a webhook. SigningKey replaces the private key of a webhook that has one.
type SealedSecret struct{ Secret, SigningKey []byte }

// RotateSecret makes next the current secret of a webhook. The one before it signs for the overlap too, as does its
// private key; 0: they end at once. check may refuse the change; it sees the webhook as it is. pg.ErrConflict:
// SecretsMost are in use.
func RotateSecret(
	ctx context.Context, tx bun.Tx, id uuid.UUID, next SealedSecret, overlap time.Duration, check func(*Webhook) error,
) (*Webhook, error) {
	w, err := LockWebhook(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	if err := check(w); err != nil {
		return nil, err
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	w.dropExpired(now)
	rotated := secretRotated{namedWebhook: w.named()}
	if overlap > 0 {
		before := RetiredSecret{
			Sealed: w.Secret, SigningKey: w.SigningKey, CreatedAt: w.LiveSecrets(now)[0].CreatedAt.UTC(),
			ExpiresAt: now.Add(overlap),
		}
		w.RetiredSecrets = slices.Insert(w.RetiredSecrets, 0, before)
		rotated.PreviousUntil = &before.ExpiresAt
	}
	if len(w.RetiredSecrets) >= SecretsMost {
		return nil, pg.ErrConflict
	}
	w.SetSecret(next.Secret, now)
	if w.SigningKey != nil {
		w.SigningKey = next.SigningKey
	}
	if err := w.updateSecrets(ctx, tx); err != nil {
		return nil, err
	}
	return w, recordAbout(ctx, tx, w, catalog.SecretRotated, rotated)
}

// RevokeSecret ends an earlier secret and its private key at once: the first one that is matches. pg.ErrNotFound: it
// matches none.
func RevokeSecret(
	ctx context.Context, tx bun.Tx, id uuid.UUID, matches func(*Webhook, RetiredSecret) (bool, error),
) (*Webhook, error) {
	w, err := LockWebhook(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	w.dropExpired(time.Now())
	for i, r := range w.RetiredSecrets {
		if found, err := matches(w, r); err != nil {
			return nil, err
		} else if found {
			w.RetiredSecrets = slices.Delete(w.RetiredSecrets, i, i+1)
			return w, w.updateSecrets(ctx, tx)
		}
	}
	return nil, pg.ErrNotFound
}

func (w *Webhook) updateSecrets(ctx context.Context, tx bun.Tx) error {
	retired, err := json.Marshal(append([]RetiredSecret{}, w.RetiredSecrets...)) // not null
	if err != nil {
		return fmt.Errorf("encode signing secrets: %w", err)
	}
	w.UpdatedAt = time.Now().UTC()
	_, err = tx.NewUpdate().Model(w).Column("secret", "secret_created_at", "key_derived_at", "signing_key", "updated_at").
		Set("retired_secrets = ?", string(retired)).WherePK().Exec(ctx)
	if err != nil {
		return fmt.Errorf("update signing secrets: %w", err)
	}
	return nil
}

func (w *Webhook) dropExpired(now time.Time) {
	w.RetiredSecrets = slices.DeleteFunc(w.RetiredSecrets, func(r RetiredSecret) bool { return !r.ExpiresAt.After(now) })
}
