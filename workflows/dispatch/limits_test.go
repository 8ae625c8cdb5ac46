package dispatch_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db/delivery"
	"greenroom/workflows/dispatch"
)

// taken runs a round and returns how many deliveries it took, and when the next token comes.
func (b *bundle) taken(d *dispatch.Dispatcher) (n int, next time.Duration) {
	b.t.Helper()
	r, next, err := dispatch.LimitedDeliveries(b.t.Context(), d)
	require.NoError(b.t, err)
	require.Zero(b.t, r.Failed)
	return r.Taken, next
}

// TestTakesWhatTheRateLimitAllows: the others stay in the queue, and the dispatcher knows when to come again.
func TestTakesWhatTheRateLimitAllows(t *testing.T) {
	for above, want := range map[int]string{0: "of_their_own", 1: "shared"} {
		t.Run(want, func(t *testing.T) {
			b := setup(t)
			b.options.BatchAbove = above
			b.exec("UPDATE webhooks SET rate_limit = 2")
			b.publishMany(8)
			d := dispatch.New(b.options)
			n, next := b.taken(d)
			require.Equal(t, 1, n, "half a second's worth")
			require.Equal(t, 7, b.queued())
			require.GreaterOrEqual(t, next, time.Duration(0))
			require.LessOrEqual(t, next, 500*time.Millisecond)
			n, again := b.taken(d)
			require.Zero(t, n)
			require.LessOrEqual(t, again, next, "a round before that time asks for nothing")
			b.exec("UPDATE webhook_rates SET tat = tat - interval '1 day'")
			other := dispatch.New(b.options)
			n, next = b.taken(other)
			require.Zero(t, n, "one dispatcher at a time")
			require.InDelta(t, 3, next.Seconds(), 0.5)
			time.Sleep(again)
			n, _ = b.taken(d)
			require.Equal(t, 1, n)

			b.exec("UPDATE webhooks SET rate_limit = 0")
			n, next = b.taken(d)
			require.Equal(t, 6, n, "a limit that was removed acts at once")
			require.Negative(t, next)
		})
	}
}

// TestWaitsForAPlaceAtALimitedEndpoint: while a receiver with a rate limit has no place, its next token is no reason for
// a round. A place that is freed is one.
func TestWaitsForAPlaceAtALimitedEndpoint(t *testing.T) {
	b := setup(t)
	b.options.BatchAbove = 0
	b.exec("UPDATE webhooks SET rate_limit = 4")
	b.publishMany(8)
	d := dispatch.New(b.options)
	n, next := b.taken(d)
	require.Equal(t, 2, n)
	require.LessOrEqual(t, next, 500*time.Millisecond)
	var hanging []uuid.UUID
	for id := uuid.New(); b.options.Endpoints.Acquire(b.hook.ID, id, time.Minute); id = uuid.New() {
		hanging = append(hanging, id)
	}
	time.Sleep(next + 10*time.Millisecond)
	n, next = b.taken(d)
	require.Zero(t, n)
	require.Negative(t, next, "the round would be repeated without a pause")
	for _, id := range hanging {
		b.options.Endpoints.Release(b.hook.ID, id, 0)
	}
	n, _ = b.taken(d)
	require.Positive(t, n)
}

// TestALockedLimitStopsNoOther holds the row of one webhook's limit.
func TestALockedLimitStopsNoOther(t *testing.T) {
	b := setup(t)
	other := *b.hook
	other.ID, other.Number = uuid.New(), 0
	require.NoError(t, delivery.CreateWebhook(t.Context(), b.db, &other))
	b.exec("UPDATE webhooks SET rate_limit = 100")
	b.exec("INSERT INTO webhook_rates (webhook_id) VALUES (?)", b.hook.ID)
	b.publish()
	b.tx(func(tx bun.Tx) error {
		_, err := tx.ExecContext(t.Context(), "SELECT FROM webhook_rates FOR UPDATE")
		require.NoError(t, err)
		n, next := b.taken(dispatch.New(b.options))
		require.Equal(t, 1, n)
		require.GreaterOrEqual(t, next, time.Duration(0), "it asks again")
		return nil
	})
	require.Equal(t, 1, b.queued())
}
