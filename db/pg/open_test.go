package pg_test

import (
	"strings"
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
		require.Equal(t, "force_custom_plan", show("plan_cache_mode"))
	})
	t.Run("the_engine_plans_once_by_index", func(t *testing.T) {
		engine, err := pg.Open(t.Context(), pg.Options{URL: url, MaxConns: 1, Engine: true})
		require.NoError(t, err)
		defer func() { _ = engine.Close() }()
		for range 3 {
			_, err := pg.Direct(engine).ExecContext(t.Context(), "SELECT FROM deliveries WHERE id = $1", pg.NewID())
			require.NoError(t, err)
		}
		var generic, custom int
		require.NoError(t, engine.NewRaw("SELECT generic_plans, custom_plans FROM pg_prepared_statements").
			Scan(t.Context(), &generic, &custom))
		require.Equal(t, []int{3, 0}, []int{generic, custom})
		var plan []string
		require.NoError(t, engine.NewRaw("EXPLAIN SELECT FROM deliveries WHERE attempts = 7").Scan(t.Context(), &plan))
		require.Contains(t, strings.Join(plan, " "), "cost=100000", "a sequential scan is avoided")
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
