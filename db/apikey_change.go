package db

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// LockAPIKeys locks keys and all their ancestors against changes, and returns these keys in the order of ids. Changes
// of keys that depend on other keys lock them first, always in the order of their ids. An unknown id is ErrNotFound.
func LockAPIKeys(ctx context.Context, tx bun.Tx, ids ...uuid.UUID) ([]*APIKey, error) {
	rows := []*APIKey{}
	err := tx.NewSelect().
		Model(&rows).
		Where("k.id IN (?)", bun.List(ids)).
		WhereOr("k.id IN (SELECT unnest(c.ancestors) FROM api_keys AS c WHERE c.id IN (?))", bun.List(ids)).
		Order("k.id").
		For("NO KEY UPDATE OF k").
		Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("lock api keys: %w", pg.Translate(err))
	}
	out := make([]*APIKey, len(ids))
	for i, id := range ids {
		at := slices.IndexFunc(rows, func(k *APIKey) bool { return k.ID == id })
		if at < 0 {
			return nil, fmt.Errorf("lock api keys: %w", pg.ErrNotFound)
		}
		k := *rows[at] // a copy: the caller may change one of the keys and compare it with the others
		if err := k.adopt(rows); err != nil {
			return nil, err
		}
		out[i] = &k
	}
	return out, nil
}

// UpdateAPIKey writes the named columns of a key that is not revoked, and an entry in the audit log.
func UpdateAPIKey(
	ctx context.Context,
	tx bun.Tx,
	k *APIKey,
	action AuditAction,
	actor string,
	columns ...string,
) error {
	before := new(APIKey)
	if err := tx.NewSelect().Model(before).Where("k.id = ?", k.ID).For("NO KEY UPDATE").Scan(ctx); err != nil {
		return fmt.Errorf("lock api key: %w", pg.Translate(err))
	}
	k.UpdatedAt = time.Now().UTC()
	err := pg.One(
		tx.NewUpdate().
			Model(k).
			Column(append(slices.Clone(columns), "updated_at")...).
			Where("id = ? AND revoked_at IS NULL", k.ID).
			Exec(ctx),
	)
	if err != nil {
		return fmt.Errorf("update api key: %w", pg.Translate(err))
	}
	if err := touchDescendants(ctx, tx, k.ID); err != nil {
		return err
	}
	was, is := ChangedFields(before.audited(), k.audited(), columns)
	return Audit(ctx, tx, &AuditEntry{
		CompanyID: k.CompanyID, Actor: actor, Action: action, TargetType: AuditedKey, TargetID: k.ID.String(),
		Before: was, After: is,
	})
}

// RevokeAPIKey revokes a key permanently, and with it the keys made through it. A revoked key is ErrNotFound.
func RevokeAPIKey(ctx context.Context, tx bun.Tx, id uuid.UUID, actor string) error {
	k := new(APIKey)
	err := tx.NewRaw(`UPDATE api_keys SET revoked_at = now(), updated_at = now()
		WHERE id = ? AND revoked_at IS NULL RETURNING *`, id).Scan(ctx, k)
	if err != nil {
		return fmt.Errorf("revoke api key: %w", pg.Translate(err))
	}
	if err := touchDescendants(ctx, tx, id); err != nil {
		return err
	}
	return auditKey(ctx, tx, k, AuditRevoked, actor)
}

// RotateAPIKey replaces the secret part of a key that is not revoked: see APIKey.SetNew. The old
// plain key is unknown from the next request on. What the key may do, and the keys made through it, stay.
func RotateAPIKey(ctx context.Context, tx bun.Tx, k *APIKey, actor string) error {
	k.UpdatedAt = time.Now().UTC()
	err := pg.One(
		tx.NewUpdate().
			Model(k).
			Column("hash", "secret_id", "prefix", "updated_at").
			Where("id = ? AND revoked_at IS NULL", k.ID).
			Exec(ctx),
	)
	if err != nil {
		return fmt.Errorf("rotate api key: %w", pg.Translate(err))
	}
	return auditKey(ctx, tx, k, AuditRotated, actor)
}

// touchDescendants gives the keys made through a changed key another version, because they are bound by it: requests
// that rely on their remembered state are refused and read them again.
func touchDescendants(ctx context.Context, tx bun.Tx, id uuid.UUID) error {
	_, err := tx.ExecContext(ctx, `UPDATE api_keys SET ancestors = ancestors
		WHERE ancestors <> '{}' AND ancestors @> ARRAY[?]::uuid[]`, id)
	if err != nil {
		return fmt.Errorf("touch descendants of api key: %w", err)
	}
	return nil
}

// audited are the fields of a key that the audit log shows, by column.
func (k *APIKey) audited() map[string]any {
	return map[string]any{
		"scopes": k.Scopes, "allowed_ips": k.AllowedIPs, "expires_at": k.ExpiresAt, "rate_per_minute": k.RatePerMinute,
		"rate_per_hour": k.RatePerHour, "suspended_at": k.SuspendedAt, "suspended_by_platform": k.SuspendedByPlatform,
	}
}
