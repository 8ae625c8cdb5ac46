package db_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/catalog"
)

// at puts an id's time there: a UUIDv7 is its time and chance.
func at(t time.Time) uuid.UUID {
	id, floor := uuid.New(), db.FloorID(t)
	copy(id[:6], floor[:6])
	return id
}

// deliver inserts a delivery with its event and one attempt, all made at that time.
func (b *bundle) deliver(when time.Time, status db.DeliveryStatus) uuid.UUID {
	b.t.Helper()
	event, delivery := at(when), at(when)
	for _, q := range []struct {
		sql  string
		args []any
	}{
		{"INSERT INTO events VALUES (?, ?, ?, '{}', ?)", []any{event, b.company, catalog.InterviewStarted, when}},
		{`INSERT INTO deliveries (id, event_id, webhook_id, company_id, event_type, status, created_at, updated_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, []any{delivery, event, b.hook.ID, b.company, catalog.InterviewStarted, status, when, when}},
		{`INSERT INTO attempts (delivery_id, run_id, attempt, workflow_id, started_at, duration_ms, outcome)
			VALUES (?, ?, 1, '', ?, 1, 'succeeded')`, []any{delivery, uuid.New(), when}},
	} {
		_, err := b.ExecContext(b.ctx, q.sql, q.args...)
		require.NoError(b.t, err)
	}
	return delivery
}

// partitionOf names the table that a delivery's row really lies in.
func (b *bundle) partitionOf(delivery uuid.UUID) (name string) {
	b.t.Helper()
	require.NoError(b.t, b.NewRaw("SELECT tableoid::regclass::text FROM deliveries WHERE id = ?", delivery).Scan(b.ctx, &name))
	return name
}

func TestPartitions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	noon := time.Date(2020, 5, 4, 12, 0, 0, 0, time.UTC)
	require.NoError(t, db.EnsurePartitions(b.ctx, b, noon, 3))
	require.NoError(t, db.EnsurePartitions(b.ctx, b, noon, 3), "it may be run again")

	t.Run("a_row_lies_in_the_day_of_its_id", func(t *testing.T) {
		require.Equal(t, "deliveries_20200504", b.partitionOf(b.deliver(noon, db.DeliverySucceeded)))
		midnight := noon.Truncate(24 * time.Hour)
		require.Equal(t, "deliveries_20200504", b.partitionOf(b.deliver(midnight, db.DeliverySucceeded)))
		require.Equal(t, "deliveries_20200503", b.partitionOf(b.deliver(midnight.Add(-time.Millisecond), db.DeliverySucceeded)))
	})
	t.Run("a_day_without_a_partition_is_kept_in_the_default", func(t *testing.T) {
		later := noon.AddDate(0, 1, 0)
		require.Equal(t, "deliveries_default", b.partitionOf(b.deliver(later, db.DeliverySucceeded)))
		require.NoError(t, db.EnsurePartitions(b.ctx, b, later, 1), "and does not stand in the way of the days around it")
	})
	t.Run("old_days_are_dropped_whole", func(t *testing.T) {
		before := b.count("attempts")
		dropped, err := db.DropPartitions(b.ctx, b, noon)
		require.NoError(t, err)
		require.ElementsMatch(t, []string{"events_20200503", "deliveries_20200503", "attempts_20200503"}, dropped)
		require.Equal(t, before-1, b.count("attempts"))
	})
	t.Run("a_day_with_something_to_do_is_kept", func(t *testing.T) {
		waiting := b.deliver(noon.AddDate(0, 0, 1), db.DeliveryPaused)
		dropped, err := db.DropPartitions(b.ctx, b, noon.AddDate(0, 0, 3))
		require.NoError(t, err)
		require.Contains(t, dropped, "deliveries_20200504")
		require.NotContains(t, dropped, "deliveries_20200505")
		require.Equal(t, "deliveries_20200505", b.partitionOf(waiting))
	})
	t.Run("an_event_is_kept_for_its_delivery_of_the_next_day", func(t *testing.T) {
		require.NoError(t, db.EnsurePartitions(b.ctx, b, noon.AddDate(1, 0, 0), 1))
		b.deliver(noon.AddDate(1, 0, 0).Truncate(24*time.Hour).Add(time.Second), db.DeliveryPaused)
		dropped, err := db.DropPartitions(b.ctx, b, noon.AddDate(1, 0, 0))
		require.NoError(t, err)
		require.NotContains(t, dropped, "events_20210503")
	})
}

func (b *bundle) count(table string) (n int) {
	b.t.Helper()
	require.NoError(b.t, b.NewRaw("SELECT count(*) FROM ?0", bun.Ident(table)).Scan(b.ctx, &n))
	return n
}
