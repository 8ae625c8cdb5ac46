package service_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/durationpb"

	"greenroom/db/delivery"
)

// TestScheduleKeepsPartitions has 40 days of partitions and a retention of 30: a worker that starts sets up the
// schedule that drops the old ones and makes those of the coming days. The namespace is its own, since a namespace
// has one such schedule.
func TestScheduleKeepsPartitions(t *testing.T) {
	b := setup(t)
	b.cfg.Temporal.Namespace, b.cfg.Retention.Days = "upkeep-"+uuid.NewString(), 30
	b.makeNamespace()
	now := time.Now().UTC()
	require.NoError(t, delivery.EnsurePartitions(t.Context(), b.db, now.AddDate(0, 0, -39), 40))
	_, err := b.db.ExecContext(t.Context(), "DROP TABLE ?", bun.Ident(partition("deliveries", now, 7)))
	require.NoError(t, err)
	url := b.work()
	for _, table := range []string{"deliveries", "attempts", "events"} {
		b.eventually(func() bool { return !b.exists(partition(table, now, -31)) })
		require.False(t, b.exists(partition(table, now, -40)), table)
		require.True(t, b.exists(partition(table, now, -30)), "%s: it ended less than 30 days ago", table)
		require.True(t, b.exists(partition(table, now, 7)), table)
	}
	require.NotEmpty(t, b.log.find("dropped partitions"))
	_, shown := b.get(url + "/metrics")
	require.Contains(t, shown, "greenroom_oldest_day_age_days 30\n")
}

func partition(table string, now time.Time, days int) string {
	return table + "_" + now.AddDate(0, 0, days).Format("20060102")
}

func (b *bundle) exists(table string) (exists bool) {
	b.t.Helper()
	require.NoError(b.t, b.db.NewRaw("SELECT to_regclass(?) IS NOT NULL", table).Scan(b.t.Context(), &exists))
	return exists
}

func (b *bundle) makeNamespace() {
	b.t.Helper()
	c, err := client.NewNamespaceClient(client.Options{HostPort: b.cfg.Temporal.Address})
	require.NoError(b.t, err)
	defer c.Close()
	require.NoError(b.t, c.Register(b.t.Context(), &workflowservice.RegisterNamespaceRequest{
		Namespace: b.cfg.Temporal.Namespace, WorkflowExecutionRetentionPeriod: durationpb.New(24 * time.Hour),
	}))
}
