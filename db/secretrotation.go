package db

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// RehashKey stores the hash of a key under the current secret, when a request has shown the plain key while the secret
// is rotated. It sets the key's version. A key that was given another plain key or deleted since it was read is
// pg.ErrNotFound.
func RehashKey(ctx context.Context, db bun.IDB, k *APIKey, secret, hash []byte) error {
	id, version := SecretID(secret), ""
	err := db.NewRaw(`UPDATE api_keys SET hash = ?, secret_id = ? WHERE id = ? AND hash = ? RETURNING xmin::text`,
		hash, id, k.ID, k.Hash).Scan(ctx, &version)
	if err != nil {
		return fmt.Errorf("hash api key again: %w", pg.Translate(err))
	}
	k.Hash, k.SecretID, k.Version = hash, id, version
	return nil
}

// KeysOfSecret has the API keys and tokens that work, and whose hash is under one value of the secret.
type KeysOfSecret struct {
	SecretID []byte // nil: unknown, of an earlier version
	Keys     []uuid.UUID
}

// KeysBySecret groups the API keys and tokens that work by the secret of their hash.
func KeysBySecret(ctx context.Context, db bun.IDB) (groups []KeysOfSecret, err error) {
	var rows []struct {
		SecretID []byte
		ID       uuid.UUID
	}
	err = db.NewRaw(`SELECT secret_id, id FROM api_keys
		WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
		ORDER BY secret_id NULLS FIRST, id`).Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("list api keys by secret: %w", err)
	}
	for i, r := range rows {
		if i == 0 || string(rows[i-1].SecretID) != string(r.SecretID) {
			groups = append(groups, KeysOfSecret{SecretID: r.SecretID})
		}
		last := &groups[len(groups)-1]
		last.Keys = append(last.Keys, r.ID)
	}
	return groups, nil
}
