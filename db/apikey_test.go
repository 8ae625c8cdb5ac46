package db_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/pg"
)

func TestAPIKeyIsKeptAsAHash(t *testing.T) {
	t.Parallel()
	b := setup(t)
	secret := []byte("s")
	plain, hash, prefix := db.GenerateKey(secret)
	require.Regexp(t, `^sk_[0-9A-Za-z]{43}$`, plain)
	require.Equal(t, hash, db.HashKey(secret, plain))
	require.NotEqual(t, hash, db.HashKey([]byte("other"), plain))
	k := &db.APIKey{
		CompanyID:     &b.company,
		Name:          "n",
		Hash:          hash,
		Prefix:        prefix,
		Scopes:        []string{"*"},
		RatePerMinute: 1,
		RatePerHour:   1,
	}
	b.tx(func(tx bun.Tx) error { return db.CreateAPIKey(b.ctx, tx, k, "cli") })
	found, err := db.FindAPIKey(b.ctx, b, db.HashKey(secret, plain))
	require.NoError(t, err)
	require.Equal(t, k.ID, found.ID)
	require.Equal(t, []string{"*"}, found.Scopes)
	require.True(t, found.Usable(time.Now()))
	b.tx(func(tx bun.Tx) error { return db.RevokeAPIKey(b.ctx, tx, k.ID, "cli") })
	found, err = db.FindAPIKey(b.ctx, b, hash)
	require.NoError(t, err)
	require.False(t, found.Usable(time.Now()))
	_, err = db.FindAPIKey(b.ctx, b, db.HashKey(secret, "sk_other"))
	require.ErrorIs(t, err, pg.ErrNotFound)
	var actors []string
	require.NoError(t, b.NewRaw("SELECT action || ' by ' || actor FROM audit_log ORDER BY id").Scan(b.ctx, &actors))
	require.Equal(t, []string{"created by cli", "revoked by cli"}, actors)
}
