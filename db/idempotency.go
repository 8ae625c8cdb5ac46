package db

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// IdempotencyTTL is how long the answer to a request with an idempotency key is kept.
const IdempotencyTTL = 24 * time.Hour

// IdempotentAnswer is the stored answer to a request with an idempotency key.
type IdempotentAnswer struct {
	RequestHash []byte `bun:"request_hash"`
	StatusCode  int    `bun:"status_code"`
	Response    string `bun:"response"`
	// Sealed replaces Response when the response has a secret.
	Sealed []byte `bun:"sealed"`
}

// ClaimIdempotencyKey claims an API key's idempotency key for a request. Nil means that the caller has claimed it and
// must store the answer in the same transaction; otherwise it is the answer of the first request. While another
// transaction holds the key, the call waits for its end; when that rolls back, the caller has the key. A key older than
// IdempotencyTTL is free.
func ClaimIdempotencyKey(
	ctx context.Context,
	tx bun.Tx,
	apiKey uuid.UUID,
	key string,
	requestHash []byte,
) (*IdempotentAnswer, error) {
	var mine bool
	err := tx.NewRaw(`WITH lock AS MATERIALIZED (SELECT pg_advisory_xact_lock(?4))
		INSERT INTO idempotency_keys (api_key_id, key, request_hash, status_code, response)
		SELECT ?0, ?1, ?2, 0, '' FROM lock
		ON CONFLICT (api_key_id, key) DO UPDATE SET request_hash = EXCLUDED.request_hash, status_code = 0, response = '',
		sealed = NULL, created_at = now()
		WHERE idempotency_keys.created_at < now() - ?3 * interval '1 s'
		RETURNING true`, apiKey, key, requestHash, int(IdempotencyTTL.Seconds()),
		delivery.IdempotencyLock(apiKey, key)).
		Scan(ctx, &mine)
	if err = pg.Translate(err); err == nil {
		return nil, nil //nolint:nilnil // no earlier answer is the ordinary case
	}
	if !errors.Is(err, pg.ErrNotFound) {
		return nil, fmt.Errorf("claim idempotency key: %w", err)
	}
	a := new(IdempotentAnswer)
	err = tx.NewRaw("SELECT request_hash, status_code, response, sealed FROM idempotency_keys WHERE api_key_id = ? "+
		"AND key = ?", apiKey, key).
		Scan(ctx, a)
	if err != nil {
		return nil, fmt.Errorf("read idempotency key: %w", pg.Translate(err))
	}
	return a, nil
}

// FindIdempotentAnswer returns the answer that is stored under a key; ErrNotFound when there is none.
func FindIdempotentAnswer(ctx context.Context, db bun.IDB, apiKey uuid.UUID, key string) (*IdempotentAnswer, error) {
	a := new(IdempotentAnswer)
	err := db.NewRaw(`SELECT request_hash, status_code, response, sealed FROM idempotency_keys
		WHERE api_key_id = ? AND key = ? AND created_at >= now() - ? * interval '1 s'`, apiKey, key,
		int(IdempotencyTTL.Seconds())).Scan(ctx, a)
	if err != nil {
		return nil, fmt.Errorf("read idempotency key: %w", pg.Translate(err))
	}
	return a, nil
}

// StoreIdempotentAnswer stores the answer under a key that this transaction has claimed.
func StoreIdempotentAnswer(ctx context.Context, tx bun.Tx, apiKey uuid.UUID, key string, a *IdempotentAnswer) error {
	err := pg.One(
		tx.ExecContext(
			ctx,
			"UPDATE idempotency_keys SET status_code = ?, response = ?, sealed = ? WHERE api_key_id = ? AND key = ?",
			a.StatusCode,
			a.Response,
			a.Sealed,
			apiKey,
			key,
		),
	)
	if err != nil {
		return fmt.Errorf("store idempotent answer: %w", err)
	}
	return nil
}

// DropIdempotencyKeys deletes the answers from before that time and returns their number. Upkeep calls it.
func DropIdempotencyKeys(ctx context.Context, db bun.IDB, before time.Time) (int64, error) {
	res, err := db.ExecContext(ctx, "DELETE FROM idempotency_keys WHERE created_at < ?", before)
	if err != nil {
		return 0, fmt.Errorf("drop idempotency keys: %w", err)
	}
	return res.RowsAffected()
}
