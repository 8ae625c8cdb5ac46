package db

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

const (
	// tokenBytes makes the 40 hex characters that clients of the interview suite expect of a token: 160 random bits.
	tokenBytes = 20
	// shownTokenDigits tell one token from another and are too few to use.
	shownTokenDigits = 6
	// liveTokens bounds how many tokens one user has at a time; the one that ends first makes room.
	liveTokens = 100
	// deadTokensFor is how long a token that ended can still be read about.
	deadTokensFor = 30 * 24 * time.Hour
)

// TokenRequest is the wish for a token.
type TokenRequest struct {
	Staff uuid.UUID
	// Secret keys the hash of the token.
	Secret []byte
	// IdleDays without use end the token; 0: it is permanent.
	IdleDays                   int
	RatePerMinute, RatePerHour int
	Actor                      string
}

// CreateToken makes a token for a user, an API key with the scopes of the user's account type, and returns its plain
// text. A user that is not active, or was deleted, is ErrNotFound. It locks the user's row: whoever ends the user's
// tokens comes before it, and refuses it, or after it, and finds it.
func CreateToken(ctx context.Context, tx bun.Tx, r TokenRequest) (plain string, err error) {
	m := new(Staff)
	err = tx.NewSelect().
		Model(m).
		Where("st.id = ? AND st.is_active AND st.deleted_at IS NULL", r.Staff).
		For("NO KEY UPDATE").
		Scan(ctx)
	if err != nil {
		return "", fmt.Errorf("lock staff user: %w", pg.Translate(err))
	}
	if err := clearTokens(ctx, tx, m.ID, r.Actor); err != nil {
		return "", err
	}
	var bits [tokenBytes]byte
	_, _ = rand.Read(bits[:]) // crypto/rand.Read never fails: it ends the program instead
	plain = hex.EncodeToString(bits[:])
	k := &APIKey{
		CompanyID:     &m.CompanyID,
		Name:          "Token of " + m.Username,
		Prefix:        plain[:shownTokenDigits],
		Hash:          HashKey(r.Secret, plain),
		Scopes:        m.AccountType.Scopes(),
		RatePerMinute: r.RatePerMinute,
		RatePerHour:   r.RatePerHour,
		StaffID:       &m.ID,
	}
	if r.IdleDays > 0 {
		end := now().AddDate(0, 0, r.IdleDays)
		k.IdleDays, k.ExpiresAt = &r.IdleDays, &end
	}
	if err := CreateAPIKey(ctx, tx, k, r.Actor); err != nil {
		return "", err
	}
	return plain, noteLogIn(ctx, tx, m.ID)
}

// noteLogIn keeps when the user logged in for the first time.
func noteLogIn(ctx context.Context, tx bun.Tx, staff uuid.UUID) error {
	_, err := tx.ExecContext(ctx, `UPDATE staff SET suite = suite || jsonb_build_object('confirmationdate',
			to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
		WHERE id = ? AND suite->>'confirmationdate' IS NULL`, staff)
	if err != nil {
		return fmt.Errorf("note log-in: %w", err)
	}
	return nil
}

// clearTokens removes the user's tokens that ended long ago and revokes those beyond the bound: each log-in makes one.
func clearTokens(ctx context.Context, tx bun.Tx, staff uuid.UUID, actor string) error {
	var dead []uuid.UUID
	err := tx.NewRaw(`SELECT k.id FROM api_keys k WHERE k.staff_id = ? AND LEAST(k.expires_at, k.revoked_at) < ?
		AND NOT EXISTS (SELECT 1 FROM webhooks w WHERE w.api_key_id = k.id)`, staff, now().Add(-deadTokensFor)).Scan(ctx, &dead)
	if err != nil {
		return fmt.Errorf("list ended tokens: %w", err)
	}
	if len(dead) > 0 {
		for _, table := range []string{"api_key_audit", "api_keys"} {
			column := map[string]string{"api_key_audit": "api_key_id", "api_keys": "id"}[table]
			if _, err := tx.ExecContext(
				ctx,
				"DELETE FROM ? WHERE ? IN (?)",
				bun.Ident(table),
				bun.Ident(column),
				bun.List(dead),
			); err != nil {
				return fmt.Errorf("remove ended tokens: %w", err)
			}
		}
	}
	return revokeWhere(
		ctx,
		tx,
		actor,
		`id IN (SELECT id FROM api_keys WHERE staff_id = ? AND revoked_at IS NULL AND idle_days IS NOT NULL
		ORDER BY expires_at DESC OFFSET ?)`,
		staff,
		liveTokens-1,
	)
}

// revokeTokens ends all tokens of a user.
func revokeTokens(ctx context.Context, tx bun.Tx, staff uuid.UUID, actor string) error {
	return revokeWhere(ctx, tx, actor, "staff_id = ?", staff)
}

func revokeWhere(ctx context.Context, tx bun.Tx, actor, where string, args ...any) error {
	var ids []uuid.UUID
	err := tx.NewRaw(`UPDATE api_keys SET revoked_at = now(), updated_at = now() WHERE revoked_at IS NULL AND `+where+` RETURNING id`, args...).
		Scan(ctx, &ids)
	if err != nil {
		return fmt.Errorf("revoke tokens: %w", err)
	}
	for _, id := range ids {
		if err := audit(ctx, tx, id, KeyRevoked, actor); err != nil {
			return err
		}
	}
	return nil
}

// limitTokens gives a user's tokens the scopes of its account type.
func limitTokens(ctx context.Context, tx bun.Tx, m *Staff) error {
	k := &APIKey{Scopes: m.AccountType.Scopes(), UpdatedAt: m.UpdatedAt}
	_, err := tx.NewUpdate().
		Model(k).
		Column("scopes", "updated_at").
		Where("staff_id = ? AND revoked_at IS NULL", m.ID).
		Exec(ctx)
	if err != nil {
		return fmt.Errorf("limit tokens: %w", err)
	}
	return nil
}

// keptFor is the part of a token's time that may pass before a use moves its end: a busy client writes its row ten
// times in the whole time, not with each request.
const keptFor = 10

// KeepToken moves the end of a token that dies without use, if it is one and a tenth of its time has passed.
func KeepToken(ctx context.Context, db bun.IDB, k *APIKey) error {
	if k.IdleDays == nil || k.ExpiresAt == nil {
		return nil
	}
	whole := time.Duration(*k.IdleDays) * 24 * time.Hour
	if time.Until(*k.ExpiresAt) > whole-whole/keptFor {
		return nil
	}
	// Not later than it is: another request may have moved it. Not after its end: then it is dead.
	_, err := db.ExecContext(ctx, `UPDATE api_keys SET expires_at = GREATEST(expires_at, ?)
		WHERE id = ? AND revoked_at IS NULL AND expires_at > clock_timestamp()`, now().Add(whole), k.ID)
	if err != nil {
		return fmt.Errorf("keep token: %w", err)
	}
	return nil
}
