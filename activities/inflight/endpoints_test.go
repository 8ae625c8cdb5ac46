package inflight_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/activities/inflight"
)

func TestEndpoints(t *testing.T) {
	t.Parallel()
	freed := 0
	e := inflight.NewEndpoints(2, func() { freed++ })
	hook, a, b, c := uuid.New(), uuid.New(), uuid.New(), uuid.New()
	require.True(t, e.Acquire(hook, a, 0, time.Minute))
	require.True(t, e.Acquire(hook, a, 0, time.Minute), "a place is kept, not claimed twice")
	require.True(t, e.Acquire(hook, b, 0, time.Nanosecond))
	require.Equal(t, map[uuid.UUID]int{hook: 1}, e.Quotas(false).Webhook, "a claim that lapsed is free")
	require.True(t, e.Acquire(hook, b, 0, time.Minute))
	require.False(t, e.Acquire(hook, c, 0, time.Minute))
	require.True(t, e.Acquire(uuid.New(), c, 0, time.Minute), "another endpoint has its own places")
	e.Release(hook, a, 0)
	require.Equal(t, 1, freed)
	e.Release(hook, uuid.New(), 0)
	require.Equal(t, 1, freed, "an endpoint that was not full wakes no dispatcher")
	require.False(t, e.Slow(hook))
	for range 8 {
		e.Release(hook, b, 5*time.Second)
	}
	require.True(t, e.Slow(hook))
	require.False(t, e.Slow(uuid.New()))

	limited := uuid.New()
	for i := range 5 {
		require.Equal(t, i < 1, e.Acquire(limited, uuid.New(), 1, time.Nanosecond), "one per second")
	}
	require.Zero(t, e.Quotas(false).Webhook[limited])
}

func TestReservesPlacesForRetries(t *testing.T) {
	t.Parallel()
	e := inflight.NewEndpoints(10, nil)
	hook, retry := uuid.New(), uuid.New()
	started := make([]uuid.UUID, 10)
	for i := range started {
		started[i] = uuid.New()
		require.True(t, e.Acquire(hook, started[i], 0, time.Minute))
	}
	ok, wait := e.AcquireForRetry(hook, retry, 0, time.Minute)
	require.False(t, ok)
	require.GreaterOrEqual(t, wait, time.Second)
	for i := range 3 {
		e.Release(hook, started[i], 0)
		require.False(t, e.Acquire(hook, uuid.New(), 0, time.Minute), "the dispatcher leaves three places to retries")
		require.Zero(t, e.Quotas(false).Webhook[hook])
	}
	e.Release(hook, started[3], 0)
	require.True(t, e.Acquire(hook, uuid.New(), 0, time.Minute), "but no more")
	ok, _ = e.AcquireForRetry(hook, retry, 0, time.Minute)
	require.True(t, ok)
	require.True(t, e.Acquire(hook, uuid.New(), 0, time.Minute), "no retry waits any more")
}

func TestRetriesAskAgainWhenAPlaceIsExpected(t *testing.T) {
	t.Parallel()
	e := inflight.NewEndpoints(10, nil)
	hook := uuid.New()
	for range 40 { // the mean is ten seconds
		e.Release(hook, uuid.New(), 10*time.Second)
	}
	for range 10 {
		require.True(t, e.Acquire(hook, uuid.New(), 0, time.Minute))
	}
	var waits []time.Duration
	for range 9 {
		ok, wait := e.AcquireForRetry(hook, uuid.New(), 0, time.Minute)
		require.False(t, ok)
		waits = append(waits, wait)
	}
	// Three places are kept for retries, so the first waits some 10/3 s and the ninth nine times as long, half more or
	// less.
	require.InDelta(t, 3.3, waits[0].Seconds(), 1.8)
	require.InDelta(t, 22.5, waits[8].Seconds(), 7.6)
}

func TestMeasuresHowSlowAnEndpointIs(t *testing.T) {
	t.Parallel()
	e, hook := inflight.NewEndpoints(10, nil), uuid.New()
	e.Release(hook, uuid.New(), 4*time.Second)
	require.False(t, e.Slow(hook), "a quarter of the latest attempt counts, and a mean of one second is not slow")
	e.Release(hook, uuid.New(), 2*time.Second)
	require.True(t, e.Slow(hook))
	for range 20 {
		e.Release(hook, uuid.New(), 0)
	}
	require.True(t, e.Slow(hook), "an attempt that was not made says nothing")
	e.Release(hook, uuid.New(), time.Millisecond)
	require.False(t, e.Slow(hook))
}

func TestMeasuresHowQuickAnEndpointIs(t *testing.T) {
	t.Parallel()
	e, hook := inflight.NewEndpoints(10, nil), uuid.New()
	require.True(t, e.Quick(hook), "one that was never called is taken for quick")
	e.Release(hook, uuid.New(), 4*(inflight.QuickBelow-time.Microsecond))
	require.True(t, e.Quick(hook))
	e.Release(hook, uuid.New(), 2*inflight.QuickBelow)
	require.False(t, e.Quick(hook))
	require.True(t, e.Quick(uuid.New()))
	exact := uuid.New()
	e.Release(exact, uuid.New(), 4*inflight.QuickBelow)
	require.False(t, e.Quick(exact), "the mean must be below the bound")
}

func TestReservesTurnsForRetries(t *testing.T) {
	t.Parallel()
	const perSecond = 20
	e := inflight.NewEndpoints(1000, nil)
	hook := uuid.New()
	for e.Acquire(hook, uuid.New(), perSecond, time.Minute) {
	}
	waits := map[uuid.UUID]time.Duration{}
	var longest time.Duration
	for range 10 {
		id := uuid.New()
		ok, wait := e.AcquireForRetry(hook, id, perSecond, time.Minute)
		require.False(t, ok)
		require.Greater(t, wait, longest, "each has a turn of its own")
		waits[id], longest = wait, wait
	}
	require.LessOrEqual(t, longest, time.Second)
	require.False(t, e.Acquire(hook, uuid.New(), perSecond, time.Minute), "the dispatcher does not get a reserved turn")
	require.False(t, e.Allow(hook, perSecond), "nor does a batch")
	<-time.After(longest)
	for id := range waits {
		ok, _ := e.AcquireForRetry(hook, id, perSecond, time.Minute)
		require.True(t, ok, "at its turn it goes")
	}
	for range 500 { // turns are not reserved far ahead
		_, wait := e.AcquireForRetry(hook, uuid.New(), perSecond, time.Minute)
		require.LessOrEqual(t, wait, 30*time.Second)
	}
}

func TestBatchesHavePlacesOfTheirOwn(t *testing.T) {
	t.Parallel()
	e := inflight.NewEndpoints(2, nil)
	hook, a, b, c := uuid.New(), uuid.New(), uuid.New(), uuid.New()
	require.True(t, e.AcquireForBatch(t.Context(), hook, a))
	require.True(t, e.AcquireForBatch(t.Context(), hook, b))
	require.True(t, e.Acquire(hook, c, 0, time.Minute), "a single delivery does not wait behind a batch")

	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.False(t, e.AcquireForBatch(short, hook, uuid.New()), "it gives up with its context")
	require.False(t, e.AcquireForBatch(short, uuid.New(), uuid.New()), "also where a place is free")

	var waiters sync.WaitGroup
	for range 5 {
		waiters.Go(func() {
			id := uuid.New()
			if e.AcquireForBatch(t.Context(), hook, id) {
				e.Release(hook, id, 0)
			}
		})
	}
	e.Release(hook, a, 0)
	waiters.Wait() // every waiter got its turn through one place
	e.Release(hook, c, 0)
	require.True(t, e.AcquireForBatch(t.Context(), hook, a))
	short, cancel = context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	require.False(t, e.AcquireForBatch(short, hook, uuid.New()), "releasing a single delivery frees no place of a batch")
}
