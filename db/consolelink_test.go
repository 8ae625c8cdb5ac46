package db_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"greenroom/db"
	"greenroom/db/dbtest"
	"greenroom/db/pg"
)

func TestConsoleLink(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	create := func(hash string, life time.Duration) string {
		token, err := db.CreateConsoleLink(t.Context(), d, []byte(hash), life)
		require.NoError(t, err)
		return token
	}
	isValid := func(token string) bool {
		valid, err := db.ConsoleLinkIsValid(t.Context(), d, token)
		require.NoError(t, err)
		return valid
	}
	token, expired := create("key", time.Minute), create("key", -time.Second)
	require.NotEqual(t, token, expired)
	for range 2 {
		require.True(t, isValid(token), "asking does not use it")
	}
	hash, err := db.UseConsoleLink(t.Context(), d, token)
	require.NoError(t, err)
	require.Equal(t, "key", string(hash))
	for _, none := range []string{token, expired, "", "x"} {
		require.False(t, isValid(none))
		_, err = db.UseConsoleLink(t.Context(), d, none)
		require.ErrorIs(t, err, pg.ErrNotFound)
	}
	create("other", time.Minute)
	var left int
	require.NoError(t, d.NewRaw("SELECT count(*) FROM console_links").Scan(t.Context(), &left))
	require.Equal(t, 1, left, "expired links are deleted")
}
