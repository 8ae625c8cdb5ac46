package service_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/durationpb"

	"greenroom/db/delivery"
)

// TestUpkeepKeepsPartitions has 40 days of partitions and a retention of 30: a worker that starts drops the old ones
// and creates those of the next days. It also removes the schedule that ran the maintenance in older versions.
func TestUpkeepKeepsPartitions(t *testing.T) {
	b := setup(t)
	b.cfg.Temporal.Namespace, b.cfg.Retention.Days = "upkeep-"+uuid.NewString(), 30
	b.makeNamespace()
	schedule := b.makeFormerSchedule()
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
	_, err = schedule.Describe(t.Context())
	var none *serviceerror.NotFound
	require.ErrorAs(t, err, &none)
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

func (b *bundle) makeFormerSchedule() client.ScheduleHandle {
	b.t.Helper()
	c, err := client.Dial(client.Options{HostPort: b.cfg.Temporal.Address, Namespace: b.cfg.Temporal.Namespace})
	require.NoError(b.t, err)
	b.t.Cleanup(c.Close)
	h, err := c.ScheduleClient().Create(b.t.Context(), client.ScheduleOptions{
		ID: "greenroom-upkeep", Spec: client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: time.Hour}}},
		Action: &client.ScheduleWorkflowAction{Workflow: "KeepHouse", TaskQueue: b.cfg.Temporal.TaskQueue},
	})
	require.NoError(b.t, err)
	return h
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
