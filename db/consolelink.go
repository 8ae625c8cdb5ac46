package db

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// CreateConsoleLink returns the token of a link that signs in to the console once, within life, with the key of that
// hash. Only the token's hash is stored. Expired links are deleted.
func CreateConsoleLink(ctx context.Context, db bun.IDB, keyHash []byte, life time.Duration) (token string, err error) {
	var bits [24]byte
	_, _ = rand.Read(bits[:]) // crypto/rand.Read never fails: it ends the program instead
	token = base64.RawURLEncoding.EncodeToString(bits[:])
	_, err = db.ExecContext(ctx, `WITH expired AS (DELETE FROM console_links WHERE expires_at < now())
		INSERT INTO console_links (id, key_hash, expires_at) VALUES (?, ?, now() + ? * interval '1 ms')`,
		linkID(token), keyHash, life.Milliseconds())
	if err != nil {
		return "", fmt.Errorf("create console link: %w", err)
	}
	return token, nil
}

// ConsoleLinkIsValid reports whether the link has neither been used nor expired. It does not use it.
func ConsoleLinkIsValid(ctx context.Context, db bun.IDB, token string) (valid bool, err error) {
	err = db.NewRaw("SELECT EXISTS (SELECT FROM console_links WHERE id = ? AND expires_at > now())", linkID(token)).
		Scan(ctx, &valid)
	if err != nil {
		return false, fmt.Errorf("check console link: %w", err)
	}
	return valid, nil
}

// UseConsoleLink uses a link and returns the hash of its key. ErrNotFound: it was used, has expired or never existed.
func UseConsoleLink(ctx context.Context, db bun.IDB, token string) (keyHash []byte, err error) {
	err = db.NewRaw("DELETE FROM console_links WHERE id = ? AND expires_at > now() RETURNING key_hash", linkID(token)).
		Scan(ctx, &keyHash)
	if err != nil {
		return nil, fmt.Errorf("use console link: %w", pg.Translate(err))
	}
	return keyHash, nil
}

func linkID(token string) []byte {
	id := sha256.Sum256([]byte(token))
	return id[:]
}
