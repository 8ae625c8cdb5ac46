package db_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/pg"
)

// claim claims the key in a transaction of its own and stores answer when the claim succeeds.
func (b *bundle) claim(apiKey uuid.UUID, key, hash, answer string) (earlier *db.IdempotentAnswer, err error) {
	err = b.try(func(tx bun.Tx) error {
		if earlier, err = db.ClaimIdempotencyKey(b.ctx, tx, apiKey, key, []byte(hash)); err != nil || earlier != nil {
			return err
		}
		return db.StoreIdempotentAnswer(b.ctx, tx, apiKey, key, &db.IdempotentAnswer{StatusCode: 201, Response: answer})
	})
	return earlier, err
}

func TestClaimIdempotencyKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	apiKey := pg.NewID()
	earlier, err := b.claim(apiKey, "k", "hash", "first")
	require.NoError(t, err)
	require.Nil(t, earlier)

	t.Run("second_request_gets_the_first_answer_and_hash", func(t *testing.T) {
		earlier, err := b.claim(apiKey, "k", "another hash", "second")
		require.NoError(t, err)
		want := &db.IdempotentAnswer{RequestHash: []byte("hash"), StatusCode: 201, Response: "first"}
		require.Equal(t, want, earlier)
	})
	t.Run("key_belongs_to_one_api_key", func(t *testing.T) {
		earlier, err := b.claim(pg.NewID(), "k", "hash", "of another client")
		require.NoError(t, err)
		require.Nil(t, earlier)
	})
	t.Run("keys_differ_in_case", func(t *testing.T) {
		earlier, err := b.claim(apiKey, "K", "hash", "upper case")
		require.NoError(t, err)
		require.Nil(t, earlier)
	})
	t.Run("answer_needs_a_claim", func(t *testing.T) {
		err := b.try(func(tx bun.Tx) error {
			return db.StoreIdempotentAnswer(b.ctx, tx, apiKey, "unclaimed", &db.IdempotentAnswer{StatusCode: 201})
		})
		require.ErrorIs(t, err, pg.ErrNotFound)
	})
	t.Run("expired_key_is_free_and_loses_its_sealed_answer", func(t *testing.T) {
		b.exec("UPDATE idempotency_keys SET sealed = 'x' WHERE api_key_id = ?", apiKey)
		for age, free := range map[time.Duration]bool{
			db.IdempotencyTTL - time.Minute: false,
			db.IdempotencyTTL + time.Second: true,
		} {
			b.exec("UPDATE idempotency_keys SET created_at = ? WHERE api_key_id = ?", time.Now().Add(-age), apiKey)
			var earlier *db.IdempotentAnswer
			err := b.try(func(tx bun.Tx) (err error) {
				earlier, err = db.ClaimIdempotencyKey(b.ctx, tx, apiKey, "k", []byte("new"))
				if err == nil && earlier == nil {
					again, err := db.ClaimIdempotencyKey(b.ctx, tx, apiKey, "k", []byte("new"))
					require.Equal(t, &db.IdempotentAnswer{RequestHash: []byte("new")}, again)
					require.NoError(t, err)
				}
				return errRollback
			})
			require.ErrorIs(t, err, errRollback)
			require.Equal(t, free, earlier == nil, age)
		}
	})
}

// A request that arrives while the first one is processed waits for its end.
func TestClaimIdempotencyKeyWhileAnotherHoldsIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, commit := range []bool{true, false} {
		apiKey := pg.NewID()
		first := func(tx bun.Tx) error {
			earlier, err := db.ClaimIdempotencyKey(b.ctx, tx, apiKey, "k", []byte("hash"))
			require.Nil(t, earlier)
			require.NoError(t, err)
			return db.StoreIdempotentAnswer(b.ctx, tx, apiKey, "k", &db.IdempotentAnswer{StatusCode: 201, Response: "first"})
		}
		var earlier *db.IdempotentAnswer
		err := b.whileLocked(commit, first, func() (err error) {
			earlier, err = b.claim(apiKey, "k", "hash", "second")
			return err
		})
		require.NoError(t, err)
		if commit {
			require.NotNil(t, earlier, "the first request committed")
			require.Equal(t, "first", earlier.Response)
			continue
		}
		require.Nil(t, earlier, "the first request rolled back: the second one has the key")
		stored, err := b.claim(apiKey, "k", "hash", "third")
		require.NoError(t, err)
		require.Equal(t, "second", stored.Response)
	}
}

func TestDropIdempotencyKeys(t *testing.T) {
	t.Parallel()
	b := setup(t)
	apiKey := pg.NewID()
	for _, key := range []string{"before", "at", "after"} {
		_, err := b.claim(apiKey, key, "h", "")
		require.NoError(t, err)
	}
	limit := time.Now().UTC().Add(-time.Hour).Truncate(time.Microsecond)
	for key, at := range map[string]time.Time{
		"before": limit.Add(-time.Microsecond), "at": limit, "after": limit.Add(time.Microsecond),
	} {
		b.exec("UPDATE idempotency_keys SET created_at = ? WHERE key = ?", at, key)
	}
	n, err := db.DropIdempotencyKeys(b.ctx, b, limit)
	require.NoError(t, err)
	require.EqualValues(t, 1, n, "only the key from before the limit")
	require.Zero(t, b.count("SELECT count(*) FROM idempotency_keys WHERE key = 'before'"))
	n, err = db.DropIdempotencyKeys(b.ctx, b, time.Now().Add(time.Hour))
	require.NoError(t, err)
	require.EqualValues(t, 2, n)
}
