package plan_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db/dbtest"
	"greenroom/db/delivery"
	"greenroom/db/pg"
	"greenroom/db/plan"
)

func TestExplain(t *testing.T) {
	t.Parallel()
	d, url := dbtest.NewURL(t)
	past, err := plan.Fill(t.Context(), d, plan.Size{Deliveries: 3000, Days: 3, Companies: 2, Webhooks: 4}, nil)
	require.NoError(t, err)
	require.NoError(t, past.Wait(t.Context(), d, 10))
	traced, err := plan.Open(pg.Options{URL: url})
	require.NoError(t, err)
	defer traced.Close()
	explain := func(t *testing.T, sql string, args ...any) []plan.Plan {
		t.Helper()
		plans, err := traced.Explain(t.Context(), func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			_, err := tx.Tx.ExecContext(ctx, sql, append([]any{pgx.QueryExecModeCacheStatement}, args...)...)
			return err
		})
		require.NoError(t, err)
		return plans
	}
	t.Run("finds_sequential_scans", func(t *testing.T) {
		plans := explain(t, "SELECT count(*) FROM deliveries WHERE last_error = $1", "none")
		require.Len(t, plans, 1)
		for _, p := range plans {
			require.GreaterOrEqual(t, p.Partitions("deliveries"), 3)
			require.Len(t, p.SeqScans(), 3, "the large partitions")
			require.GreaterOrEqual(t, p.Rows(), 3000.0)
			require.Positive(t, p.Buffers)
		}
	})
	t.Run("ignores_nodes_never_executed", func(t *testing.T) {
		for _, p := range explain(t, "SELECT 1 FROM deliveries WHERE id = $1", pg.FloorID(past.Until)) {
			require.Equal(t, 1, p.Partitions("deliveries"))
			require.Empty(t, p.SeqScans())
		}
	})
	t.Run("changes_nothing", func(t *testing.T) {
		for _, p := range explain(t, "DELETE FROM delivery_queue WHERE webhook_id = ANY ($1)", past.Webhook) {
			require.InDelta(t, 10, p.Rows(), 0)
		}
		explain(t, "DELETE FROM commands")
		queue, err := delivery.QueueLength(t.Context(), d, 100)
		require.NoError(t, err)
		require.Equal(t, 10, queue.Deliveries)
	})
	t.Run("does_not_send_a_write_through_the_pool", func(t *testing.T) {
		plans, err := traced.ExplainUnsent(t.Context(), func(ctx context.Context, _ bun.Tx, pool *bun.DB) error {
			_, err := pool.ExecContext(ctx, "DELETE FROM delivery_queue")
			return err
		})
		require.NoError(t, err)
		require.NotEmpty(t, plans)
		queue, err := delivery.QueueLength(t.Context(), d, 100)
		require.NoError(t, err)
		require.Equal(t, 10, queue.Deliveries)
	})
}
