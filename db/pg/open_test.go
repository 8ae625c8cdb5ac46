package pg_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/db/dbtest"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

func TestOpen(t *testing.T) {
	t.Parallel()
	d, url := dbtest.NewURL(t)
	show := func(setting string) (value string) {
		require.NoError(t, d.NewRaw("SHOW "+setting).Scan(t.Context(), &value))
		return value
	}
	t.Run("no_transaction_stands_still_for_ever", func(t *testing.T) {
		require.Equal(t, "15s", show("idle_in_transaction_session_timeout"))
	})
	t.Run("planners_choose_freely", func(t *testing.T) {
		for _, setting := range []string{"enable_seqscan", "enable_hashjoin", "enable_mergejoin"} {
			require.Equal(t, "on", show(setting))
		}
		require.Equal(t, "auto", show("plan_cache_mode"))
	})
	t.Run("keeps_no_statement_prepared", func(t *testing.T) {
		for range 10 {
			_, err := delivery.GetWebhook(t.Context(), d, pg.NewID())
			require.ErrorIs(t, err, pg.ErrNotFound)
		}
		var n int
		require.NoError(t, d.NewRaw("SELECT count(*) FROM pg_prepared_statements").Scan(t.Context(), &n))
		require.Zero(t, n)
	})
	t.Run("passes_over_a_server_that_is_read_only", func(t *testing.T) {
		_, err := d.ExecContext(t.Context(), `DO $$ BEGIN
			EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$`)
		require.NoError(t, err)
		_, err = pg.Open(t.Context(), pg.Options{URL: url, MaxConns: 1})
		require.ErrorContains(t, err, "read only")
	})
}
