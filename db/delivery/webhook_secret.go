package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// RetiredSecret is an earlier signing secret of a webhook, sealed, which signs until it expires.
type RetiredSecret struct {
	Sealed    []byte    `json:"sealed"`
	CreatedAt time.Time `json:"createdAt"`
	ExpiresAt time.Time `json:"expiresAt"`
}

// LiveSecret is a signing secret in use, sealed. ExpiresAt is nil for the current one.
type LiveSecret struct {
	Sealed    []byte
	CreatedAt time.Time
	ExpiresAt *time.Time
}

// SecretsMost is how many secrets of a webhook sign at a time: each adds a signature to every request.
const SecretsMost = 5

// LiveSecrets returns the secrets that sign at a time, the current one first, then the newest.
func (w *Webhook) LiveSecrets(now time.Time) []LiveSecret {
	current := LiveSecret{Sealed: w.Secret, CreatedAt: w.CreatedAt}
	if w.SecretCreatedAt != nil {
		current.CreatedAt = *w.SecretCreatedAt
	}
	live := []LiveSecret{current}
	for _, r := range w.RetiredSecrets {
		if r.ExpiresAt.After(now) {
			live = append(live, LiveSecret{Sealed: r.Sealed, CreatedAt: r.CreatedAt, ExpiresAt: &r.ExpiresAt})
		}
	}
	return live
}

// RotateSecret makes sealed the current secret of a webhook. The one before it signs for the overlap too; 0: it ends at
// once. check may refuse the change; it sees the webhook as it is. pg.ErrConflict: SecretsMost are in use.
func RotateSecret(
	ctx context.Context, tx bun.Tx, id uuid.UUID, sealed []byte, overlap time.Duration, check func(*Webhook) error,
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
	if overlap > 0 {
		before := RetiredSecret{
			Sealed: w.Secret, CreatedAt: w.LiveSecrets(now)[0].CreatedAt.UTC(), ExpiresAt: now.Add(overlap),
		}
		w.RetiredSecrets = slices.Insert(w.RetiredSecrets, 0, before)
	}
	if len(w.RetiredSecrets) >= SecretsMost {
		return nil, pg.ErrConflict
	}
	w.Secret, w.SecretCreatedAt = sealed, &now
	return w, w.updateSecrets(ctx, tx)
}

// RevokeSecret ends an earlier secret at once: the first one that is matches. pg.ErrNotFound: it matches none.
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
	_, err = tx.NewUpdate().Model(w).Column("secret", "secret_created_at", "updated_at").
		Set("retired_secrets = ?", string(retired)).WherePK().Exec(ctx)
	if err != nil {
		return fmt.Errorf("update signing secrets: %w", err)
	}
	return nil
}

func (w *Webhook) dropExpired(now time.Time) {
	w.RetiredSecrets = slices.DeleteFunc(w.RetiredSecrets, func(r RetiredSecret) bool { return !r.ExpiresAt.After(now) })
}
