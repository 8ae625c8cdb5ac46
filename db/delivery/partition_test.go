package delivery_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"golang.org/x/sync/errgroup"

	"greenroom/db/catalog"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// at puts an id's time there: a UUIDv7 is its time and chance.
func at(t time.Time) uuid.UUID {
	id, floor := uuid.New(), pg.FloorID(t)
	copy(id[:6], floor[:6])
	return id
}

// deliver inserts a delivery with its event and one attempt, all made at that time.
func (b *bundle) deliver(when time.Time, status delivery.Status) uuid.UUID {
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
	require.NoError(
		b.t,
		b.NewRaw("SELECT tableoid::regclass::text FROM deliveries WHERE id = ?", delivery).Scan(b.ctx, &name),
	)
	return name
}

// day0 is noon of a day long past, so that nothing of today is in the way.
var day0 = time.Date(2020, 5, 4, 12, 0, 0, 0, time.UTC)

func TestEnsurePartitions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, delivery.EnsurePartitions(b.ctx, b.DB, day0, 3))
	require.NoError(t, delivery.EnsurePartitions(b.ctx, b.DB, day0, 3), "it may be run again")

	t.Run("a_row_lies_in_the_day_of_its_id", func(t *testing.T) {
		require.Equal(t, "deliveries_20200504", b.partitionOf(b.deliver(day0, delivery.Succeeded)))
		midnight := day0.Truncate(24 * time.Hour)
		require.Equal(t, "deliveries_20200504", b.partitionOf(b.deliver(midnight, delivery.Succeeded)))
		require.Equal(t, "deliveries_20200503", b.partitionOf(b.deliver(midnight.Add(-time.Millisecond), delivery.Succeeded)))
	})
	t.Run("a_partition_is_like_its_parent", func(t *testing.T) {
		for _, table := range []string{"events", "deliveries", "attempts"} {
			require.Equal(t, b.indexes(table), b.indexes(table+"_20200504"), table)
			require.Positive(t, b.indexes(table), table)
		}
		_, err := b.ExecContext(b.ctx, "UPDATE deliveries_20200504 SET status = 'lost'")
		require.ErrorContains(t, err, "deliveries_status_check")
	})
	t.Run("a_day_without_a_partition_is_kept_in_the_default", func(t *testing.T) {
		later := day0.AddDate(0, 1, 0)
		require.Equal(t, "deliveries_default", b.partitionOf(b.deliver(later, delivery.Succeeded)))
		require.NoError(
			t,
			delivery.EnsurePartitions(b.ctx, b.DB, later, 1),
			"and does not stand in the way of the days around it",
		)
		require.Equal(t, "deliveries_20200605", b.partitionOf(b.deliver(later.AddDate(0, 0, 1), delivery.Succeeded)))
	})
	t.Run("many_processes_may_do_it_at_once", func(t *testing.T) {
		var group errgroup.Group
		for range 4 {
			group.Go(func() error { return delivery.EnsurePartitions(b.ctx, b.DB, day0.AddDate(2, 0, 0), 3) })
		}
		require.NoError(t, group.Wait())
	})
}

// indexes counts a table's indexes.
func (b *bundle) indexes(table string) (n int) {
	b.t.Helper()
	require.NoError(b.t, b.NewRaw("SELECT count(*) FROM pg_index WHERE indrelid = ?::regclass", table).Scan(b.ctx, &n))
	return n
}

func (b *bundle) count(table string) (n int) {
	b.t.Helper()
	require.NoError(b.t, b.NewRaw("SELECT count(*) FROM ?0", bun.Ident(table)).Scan(b.ctx, &n))
	return n
}
