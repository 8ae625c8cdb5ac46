package db

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"greenroom/db/pg"
)

const (
	// tokenBytes gives the 40 hex characters that clients of the interview suite expect: 160 random bits.
	tokenBytes = 20
	// shownTokenDigits identify a token and are too few to use it.
	shownTokenDigits = 6
	// liveTokens is the maximum number of valid tokens per user; a new one replaces the one that expires first.
	liveTokens = 100
	// deadTokensFor is how long an expired or revoked token stays readable.
	deadTokensFor = 30 * 24 * time.Hour
)

// DefaultTokenAge is after how long a token expires although it is used: a quarter of a year.
const DefaultTokenAge = 90 * 24 * time.Hour

// TokenRequest asks for a token.
type TokenRequest struct {
	Staff uuid.UUID
	// Secret keys the hash of the token.
	Secret []byte
	// IdleDays without use expire the token; 0: it does not expire.
	IdleDays int
	// MaxAge is when a token with IdleDays expires although it is used; 0: DefaultTokenAge.
	MaxAge                     time.Duration
	RatePerMinute, RatePerHour int
	Actor                      string
}

// CreateToken creates a token for a user, an API key with the scopes of the account type, and returns its plain text.
// An inactive or deleted user is ErrNotFound. It locks the user's row, so that a concurrent revocation of the user's
// tokens either prevents it or includes it.
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
	if err := pruneTokens(ctx, tx, m.ID, r.Actor); err != nil {
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
		SecretID:      SecretID(r.Secret),
		Scopes:        m.AccountType.Scopes(),
		RatePerMinute: r.RatePerMinute,
		RatePerHour:   r.RatePerHour,
		StaffID:       &m.ID,
	}
	if r.IdleDays > 0 {
		end := now().Add(min(time.Duration(r.IdleDays)*24*time.Hour, cmp.Or(r.MaxAge, DefaultTokenAge)))
		k.IdleDays, k.ExpiresAt = &r.IdleDays, &end
	}
	if err := CreateAPIKey(ctx, tx, k, r.Actor); err != nil {
		return "", err
	}
	return plain, recordFirstLogin(ctx, tx, m.ID)
}

// recordFirstLogin stores the time of the user's first login.
func recordFirstLogin(ctx context.Context, tx bun.Tx, staff uuid.UUID) error {
	_, err := tx.ExecContext(ctx, `UPDATE staff SET suite = suite || jsonb_build_object('confirmationdate',
			to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
		WHERE id = ? AND suite->>'confirmationdate' IS NULL`, staff)
	if err != nil {
		return fmt.Errorf("note log-in: %w", err)
	}
	return nil
}

// pruneTokens deletes the user's tokens that ended long ago and revokes those above the maximum, since each login
// creates one.
func pruneTokens(ctx context.Context, tx bun.Tx, staff uuid.UUID, actor string) error {
	var dead []uuid.UUID
	err := tx.NewRaw(`SELECT k.id FROM api_keys k WHERE k.staff_id = ? AND LEAST(k.expires_at, k.revoked_at) < ?
		AND NOT EXISTS (SELECT 1 FROM webhooks w WHERE w.api_key_id =
		k.id)`, staff, now().Add(-deadTokensFor)).Scan(ctx, &dead)
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

// revokeTokens revokes all tokens of a user.
func revokeTokens(ctx context.Context, tx bun.Tx, staff uuid.UUID, actor string) error {
	return revokeWhere(ctx, tx, actor, "staff_id = ?", staff)
}

func revokeWhere(ctx context.Context, tx bun.Tx, actor, where string, args ...any) error {
	var ended []*APIKey
	err := tx.NewRaw(`UPDATE api_keys SET revoked_at = now(), updated_at = now() WHERE revoked_at IS NULL AND `+where+`
		RETURNING id, company_id`, args...).
		Scan(ctx, &ended)
	if err != nil {
		return fmt.Errorf("revoke tokens: %w", err)
	}
	for _, k := range ended {
		if err := auditKey(ctx, tx, k, AuditRevoked, actor); err != nil {
			return err
		}
	}
	return nil
}

// limitTokens takes from a user's tokens the scopes that its account type does not have. It adds none: a token keeps at
// most what the log-in gave it.
func limitTokens(ctx context.Context, tx bun.Tx, m *Staff) error {
	_, err := tx.ExecContext(ctx, `UPDATE api_keys SET updated_at = ?,
			scopes = ARRAY(SELECT s FROM unnest(scopes) AS s WHERE s = ANY (?))
		WHERE staff_id = ? AND revoked_at IS NULL`, m.UpdatedAt, pgdialect.Array(m.AccountType.Scopes()), m.ID)
	if err != nil {
		return fmt.Errorf("limit tokens: %w", err)
	}
	return nil
}

// keptFor is the fraction of a token's lifetime after which a use extends it: a busy client writes its row ten times
// per lifetime, not with each request.
const keptFor = 10

// KeepToken extends a token that expires without use, when a tenth of its lifetime has passed, to at most maxAge after
// its creation (0: DefaultTokenAge).
func KeepToken(ctx context.Context, db bun.IDB, k *APIKey, maxAge time.Duration) error {
	if k.IdleDays == nil || k.ExpiresAt == nil {
		return nil
	}
	whole := time.Duration(*k.IdleDays) * 24 * time.Hour
	end, last := now().Add(whole), k.CreatedAt.Add(cmp.Or(maxAge, DefaultTokenAge))
	if end.After(last) {
		end = last
	}
	if end.Sub(*k.ExpiresAt) < whole/keptFor && (!end.Equal(last) || !end.After(*k.ExpiresAt)) {
		return nil
	}
	// Not earlier than it is: a concurrent request may have extended it. Not after it has expired.
	_, err := db.ExecContext(ctx, `UPDATE api_keys SET expires_at = GREATEST(expires_at, ?)
		WHERE id = ? AND revoked_at IS NULL AND expires_at > clock_timestamp()`, end, k.ID)
	if err != nil {
		return fmt.Errorf("keep token: %w", err)
	}
	return nil
}
