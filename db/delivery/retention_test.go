package delivery_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// TestRetention has 40 days of deliveries, of which 30 are kept.
func TestRetention(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := day0.AddDate(0, 0, -40)
	require.NoError(t, delivery.EnsurePartitions(b.ctx, b.DB, first, 40))
	ids := make([]uuid.UUID, 41)
	for i := range ids {
		status := delivery.Succeeded
		if i == 5 {
			status = delivery.Paused
		}
		ids[i] = b.deliver(first.AddDate(0, 0, i), status)
	}
	before := day0.AddDate(0, 0, -30)
	dropped, err := delivery.DropPartitions(b.ctx, b.DB, before)
	require.NoError(t, err)

	t.Run("what_ended_before_goes_but_for_a_day_with_something_to_do", func(t *testing.T) {
		require.Equal(t, names("deliveries", first, -1, 0, 1, 2, 3, 4, 6, 7, 8, 9), only(dropped, "deliveries"))
		require.Equal(t, names("attempts", first, -1, 0, 1, 2, 3, 4, 6, 7, 8, 9), only(dropped, "attempts"))
		require.Equal(t, 1+31, b.count("deliveries"))
		require.Equal(t, 1+31, b.count("attempts"))
		require.Equal(t, "deliveries_20200330", b.partitionOf(ids[5]))
	})
	t.Run("events_are_kept_as_long_as_deliveries_of_the_next_day", func(t *testing.T) {
		require.Equal(t, names("events", first, -1, 0, 1, 2, 3, 6, 7, 8), only(dropped, "events"))
	})
	t.Run("a_dropped_delivery_is_not_found_and_cannot_be_replayed", func(t *testing.T) {
		_, err := delivery.GetDelivery(b.ctx, b, pg.Scope{}, ids[0])
		require.ErrorIs(t, err, pg.ErrNotFound)
		err = pg.InTx(b.ctx, b, func(ctx context.Context, tx bun.Tx) error {
			_, err := delivery.RetryDelivery(ctx, tx, pg.Scope{}, ids[0])
			return err
		})
		require.ErrorIs(t, err, pg.ErrNotFound)
	})
	t.Run("a_replay_from_before_sends_what_is_left", func(t *testing.T) {
		r := &delivery.Replay{
			WebhookID: b.hook.ID,
			Since:     first,
			Until:     before.AddDate(0, 0, 1),
			Statuses:  []string{"succeeded"},
		}
		b.tx(func(tx bun.Tx) error { return delivery.CreateReplay(b.ctx, tx, r) })
		p, err := delivery.ReplayPage(b.ctx, b, r.ID, 100)
		require.NoError(t, err)
		require.Equal(t, 1, p.Requeued)
	})
	t.Run("what_was_paused_for_too_long_has_failed_and_its_day_goes_the_next_time", func(t *testing.T) {
		expired := b.delivery(ids[5])
		require.Equal(t, delivery.Failed, expired.Status)
		require.Equal(t, delivery.ExpiredWhilePaused, *expired.LastError)
		dropped, err := delivery.DropPartitions(b.ctx, b.DB, before)
		require.NoError(t, err)
		require.Equal(
			t,
			append(names("deliveries", first, 5), append(names("attempts", first, 5), names("events", first, 4, 5)...)...),
			dropped,
		)
	})
	t.Run("nothing_more_the_second_time", func(t *testing.T) {
		dropped, err := delivery.DropPartitions(b.ctx, b.DB, before)
		require.NoError(t, err)
		require.Empty(t, dropped)
	})
}

func names(table string, first time.Time, days ...int) (out []string) {
	for _, d := range days {
		out = append(out, table+"_"+first.AddDate(0, 0, d).Format("20060102"))
	}
	return out
}

func only(names []string, table string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !strings.HasPrefix(n, table+"_") })
}

// TestRetentionOfDaysWithoutAPartition has rows in the default partition, as after an upkeep that stood still.
func TestRetentionOfDaysWithoutAPartition(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ended, live, young := b.deliver(
		day0,
		delivery.Succeeded,
	), b.deliver(
		day0.AddDate(0, 0, 3),
		delivery.Retrying,
	), day0.AddDate(
		0,
		0,
		10,
	)
	beside := b.deliver(day0.AddDate(0, 0, 3), delivery.Succeeded)
	kept := b.deliver(young, delivery.Succeeded)
	require.Equal(t, "deliveries_default", b.partitionOf(ended))

	_, err := delivery.DropPartitions(b.ctx, b.DB, young)
	require.NoError(t, err)
	require.ElementsMatch(t, []uuid.UUID{live, beside, kept}, b.deliveries(), "a day is kept or goes as a whole")
	require.Equal(t, 3, b.count("attempts"))
	require.Equal(t, 3, b.count("events"))

	_, err = b.ExecContext(b.ctx, "UPDATE deliveries SET status = 'succeeded'")
	require.NoError(t, err)
	_, err = delivery.DropPartitions(b.ctx, b.DB, young)
	require.NoError(t, err)
	require.Equal(t, []uuid.UUID{kept}, b.deliveries())
	require.Equal(t, 1, b.count("attempts"))
	require.Equal(t, 1, b.count("events"))
}

func (b *bundle) deliveries() (ids []uuid.UUID) {
	b.t.Helper()
	require.NoError(b.t, b.NewRaw("SELECT id FROM deliveries").Scan(b.ctx, &ids))
	return ids
}

// TestUpkeepDoesNotBlock has a transaction that read deliveries and was forgotten. Upkeep must give up rather than
// wait for it with everybody else behind.
func TestUpkeepDoesNotBlock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, delivery.EnsurePartitions(b.ctx, b.DB, day0, 1))
	b.deliver(day0, delivery.Succeeded)
	reader, err := b.BeginTx(b.ctx, nil)
	require.NoError(t, err)
	for _, table := range []string{"events", "deliveries", "attempts"} {
		_, err = reader.ExecContext(b.ctx, "SELECT FROM ?", bun.Ident(table))
		require.NoError(t, err)
	}
	upkeep := make(chan []error, 1)
	go func() {
		_, drop := delivery.DropPartitions(b.ctx, b.DB, day0.AddDate(0, 0, 2))
		upkeep <- []error{drop, delivery.EnsurePartitions(b.ctx, b.DB, day0.AddDate(1, 0, 0), 0)}
	}()
	var longest time.Duration
	var errs []error
	for done := false; !done; {
		start := time.Now()
		b.publish("interview.started")
		_, err := delivery.ListDeliveries(b.ctx, b, pg.Scope{Company: &b.company}, delivery.Filter{Limit: 10})
		require.NoError(t, err)
		longest = max(longest, time.Since(start))
		select {
		case errs = <-upkeep:
			done = true
		default:
		}
	}
	require.Less(t, longest, time.Second, "a few times 100 ms at most")
	require.ErrorIs(t, errs[0], delivery.ErrPartitionBusy)
	require.ErrorIs(t, errs[1], delivery.ErrPartitionBusy, "the default partition was read too")
	require.Equal(t, "deliveries_20200504", b.partitionOf(b.deliver(day0, delivery.Succeeded)), "nothing was changed")

	require.NoError(t, reader.Rollback())
	dropped, err := delivery.DropPartitions(b.ctx, b.DB, day0.AddDate(0, 0, 2))
	require.NoError(t, err)
	require.Subset(
		t,
		dropped,
		[]string{"deliveries_20200504", "attempts_20200504", "events_20200504"},
		"the next time it works",
	)
	require.NoError(t, delivery.EnsurePartitions(b.ctx, b.DB, day0.AddDate(1, 0, 0), 0))
}

// TestDropBesideRecording: deliveries are recorded at full speed while days are dropped, and no statement fails.
func TestDropBesideRecording(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, delivery.EnsurePartitions(b.ctx, b.DB, day0, 20))
	id := b.deliver(day0.AddDate(0, 0, 20), delivery.Retrying)
	ctx, stop := context.WithCancel(b.ctx)
	failed := make(chan error, 4)
	for w := range cap(failed) {
		go func() {
			for n := 2; ; n++ {
				if ctx.Err() != nil {
					failed <- nil
					return
				}
				_, err := delivery.RecordAttempt(b.ctx, b, delivery.AttemptRecord{
					Attempt: delivery.Attempt{
						DeliveryID: id,
						RunID:      uuid.New(),
						Attempt:    n*10 + w,
						StartedAt:  day0,
						Outcome:    delivery.OutcomeRetry,
					},
					WebhookID: b.hook.ID,
				})
				if err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	dropped, err := delivery.DropPartitions(b.ctx, b.DB, day0.AddDate(0, 0, 15))
	stop()
	for range cap(failed) {
		require.NoError(t, <-failed)
	}
	require.NoError(t, err)
	require.Len(t, dropped, 3*16)
}
