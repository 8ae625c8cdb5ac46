package db_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/pg"
)

func TestDropIdempotencyKeys(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.tx(func(tx bun.Tx) error {
		earlier, err := db.ClaimIdempotencyKey(b.ctx, tx, pg.NewID(), "k", []byte("h"))
		require.Nil(t, earlier)
		return err
	})
	n, err := db.DropIdempotencyKeys(b.ctx, b, time.Now().Add(-time.Hour))
	require.NoError(t, err)
	require.Zero(t, n)
	n, err = db.DropIdempotencyKeys(b.ctx, b, time.Now().Add(time.Hour))
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
}
