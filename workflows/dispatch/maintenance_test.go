package dispatch_test

import (
	"bytes"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"greenroom/db/delivery"
	"greenroom/db/pg"
	"greenroom/workflows/dispatch"
)

func TestUpkeep(t *testing.T) {
	b := setup(t)
	b.options.Upkeep = dispatch.UpkeepSettings{RetentionDays: 3, DisableAfter: time.Hour}
	now := time.Now().UTC()
	require.NoError(t, delivery.EnsurePartitions(t.Context(), b.db, now.AddDate(0, 0, -6), 7))
	b.exec("UPDATE webhooks SET circuit_opened_at = now() - interval '61 minutes'")
	for key, age := range map[string]string{"old": "25 hours", "recent": "23 hours"} {
		b.exec(
			`WITH k AS (INSERT INTO api_keys (id, name, prefix, hash, scopes) VALUES (gen_random_uuid(), '` + key + `', '` +
				key + `', '` + key + `', '{}') RETURNING id)
			INSERT INTO idempotency_keys (api_key_id, key, request_hash, status_code, response, created_at)
			SELECT id, '` + key + `', '', 200, '', now() - interval '` + age + `' FROM k`,
		)
	}

	b.exec(`INSERT INTO service_runs (id, company_id, kind, status, request, due_at, updated_at)
		SELECT gen_random_uuid(), id, 'sourcing', 'completed', jsonb_build_object('limit', days), now(),
			now() - days * interval '1 day' FROM companies, unnest(ARRAY[2, 4]) AS days LIMIT 2`)

	require.NoError(t, dispatch.UpkeepOnce(t.Context(), dispatch.New(b.options)))
	var sourcings []int
	require.NoError(t, b.db.NewRaw("SELECT (request->>'limit')::int FROM service_runs").Scan(t.Context(), &sourcings))
	require.Equal(t, []int{2}, sourcings, "sourcings are kept as long as events")
	days := func(from, to string) (n int) {
		require.NoError(t, b.db.NewRaw(`SELECT count(*) FROM pg_class WHERE relname ~ '^deliveries_\d{8}$'
			AND relname BETWEEN ? AND ?`, "deliveries_"+from, "deliveries_"+to).Scan(t.Context(), &n))
		return n
	}
	day := func(n int) string { return now.AddDate(0, 0, n).Format("20060102") }
	require.Zero(t, days(day(-10), day(-5)), "days that ended more than three days ago are dropped")
	require.Equal(t, 3, days(day(-3), day(-1)))
	require.Equal(t, delivery.PartitionDaysAhead, days(day(1), day(20)), "the coming week is made")
	var answers []string
	require.NoError(t, b.db.NewRaw("SELECT key FROM idempotency_keys").Scan(t.Context(), &answers))
	require.Equal(t, []string{"recent"}, answers)
	var active bool
	require.NoError(t, b.db.NewRaw("SELECT is_active FROM webhooks").Scan(t.Context(), &active))
	require.False(t, active, "a webhook whose circuit stays open is disabled")

	b.exec("UPDATE webhooks SET is_active = true, circuit_opened_at = now() - interval '61 minutes'")
	b.options.Upkeep.DisableAfter = 0
	require.NoError(t, dispatch.UpkeepOnce(t.Context(), dispatch.New(b.options)))
	require.NoError(t, b.db.NewRaw("SELECT is_active FROM webhooks").Scan(t.Context(), &active))
	require.True(t, active, "without a limit none is")
}

// TestUpkeepDisablesMoreWebhooksThanATransactionHas disables those that became abandoned while no worker ran.
func TestUpkeepDisablesMoreWebhooksThanATransactionHas(t *testing.T) {
	b := setup(t)
	b.options.Upkeep = dispatch.UpkeepSettings{RetentionDays: 3, DisableAfter: time.Hour}
	for range 119 {
		hook := *b.hook
		hook.ID, hook.Number = pg.NewID(), 0
		require.NoError(t, delivery.CreateWebhook(t.Context(), b.db, &hook))
	}
	b.exec("UPDATE webhooks SET circuit_opened_at = now() - interval '61 minutes'")
	require.NoError(t, dispatch.UpkeepOnce(t.Context(), dispatch.New(b.options)))
	active := -1
	require.NoError(t, b.db.NewRaw("SELECT count(*) FROM webhooks WHERE is_active").Scan(t.Context(), &active))
	require.Zero(t, active)
}

// TestUpkeepLeavesAPartitionThatIsInUse: a long query must not make upkeep fail, nor wait for it. The next upkeep drops
// the partition.
func TestUpkeepLeavesAPartitionThatIsInUse(t *testing.T) {
	b := setup(t)
	var logs bytes.Buffer
	b.options.Logger = slog.New(slog.NewTextHandler(&logs, nil))
	b.options.Upkeep = dispatch.UpkeepSettings{RetentionDays: 3}
	now := time.Now().UTC()
	require.NoError(t, delivery.EnsurePartitions(t.Context(), b.db, now.AddDate(0, 0, -6), 1))
	old := "attempts_" + now.AddDate(0, 0, -6).Format("20060102")
	exists := func() (yes bool) {
		require.NoError(t, b.db.NewRaw("SELECT to_regclass(?) IS NOT NULL", old).Scan(t.Context(), &yes))
		return yes
	}
	require.True(t, exists())
	reader, err := b.db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer func() { _ = reader.Rollback() }()
	_, err = reader.ExecContext(t.Context(), "SELECT FROM "+old)
	require.NoError(t, err)

	d := dispatch.New(b.options)
	require.NoError(t, dispatch.UpkeepOnce(t.Context(), d))
	require.True(t, exists())
	require.Contains(t, logs.String(), "partitions are left for the next upkeep")

	require.NoError(t, reader.Rollback())
	logs.Reset()
	require.NoError(t, dispatch.UpkeepOnce(t.Context(), d))
	require.False(t, exists())
	require.Contains(t, logs.String(), "dropped partitions")
	require.NotContains(t, logs.String(), "left for the next upkeep")

	logs.Reset()
	require.NoError(t, dispatch.UpkeepOnce(t.Context(), d))
	require.Empty(t, logs.String(), "an upkeep without work says nothing")
}
