package inflight_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
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
	require.True(t, e.Acquire(hook, a, time.Minute))
	require.True(t, e.Acquire(hook, a, time.Minute), "a place is kept, not claimed twice")
	require.True(t, e.Acquire(hook, b, time.Nanosecond))
	require.Equal(t, map[uuid.UUID]int{hook: 1}, e.Quotas(false).Webhook, "a claim that lapsed is free")
	require.True(t, e.Acquire(hook, b, time.Minute))
	require.False(t, e.Acquire(hook, c, time.Minute))
	require.True(t, e.Acquire(uuid.New(), c, time.Minute), "another endpoint has its own places")
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
}

func TestReservesPlacesForRetries(t *testing.T) {
	t.Parallel()
	e := inflight.NewEndpoints(10, nil)
	hook, retry := uuid.New(), uuid.New()
	started := make([]uuid.UUID, 10)
	for i := range started {
		started[i] = uuid.New()
		require.True(t, e.Acquire(hook, started[i], time.Minute))
	}
	require.False(t, e.AcquireQueued(hook, retry, time.Minute))
	for i := range 3 {
		e.Release(hook, started[i], 0)
		require.False(t, e.Acquire(hook, uuid.New(), time.Minute), "the dispatcher leaves three places to retries")
		require.Equal(t, i+1, e.Quotas(false).Webhook[hook], "the dispatcher takes the retry from the queue")
	}
	e.Release(hook, started[3], 0)
	require.True(t, e.Acquire(hook, uuid.New(), time.Minute), "but no more")
	require.True(t, e.AcquireForRetry(hook, retry, time.Minute))
	require.True(t, e.Acquire(hook, uuid.New(), time.Minute), "no retry waits any more")
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

func TestProcessesShareThePlaces(t *testing.T) {
	t.Parallel()
	freed := 0
	e, hook := inflight.NewEndpoints(10, func() { freed++ }), uuid.New()
	fill := func() (n int) {
		for e.Acquire(hook, uuid.New(), time.Minute) {
			n++
		}
		return n
	}
	e.SetProcesses(3)
	require.Equal(t, 4, fill(), "rounded up")
	e.SetProcesses(4)
	require.Zero(t, fill(), "what is in flight keeps its places")
	require.Zero(t, freed)
	e.SetProcesses(1)
	require.Equal(t, 1, freed, "there is room again")
	require.Equal(t, 6, fill())
	e.SetProcesses(0)
	require.Zero(t, fill(), "a count that is not known yet is one")
	e.SetProcesses(100)
	require.True(t, e.Acquire(uuid.New(), uuid.New(), time.Minute), "one place at least")
}

// Attempts of batches that wait get the places of a process that has ended.
func TestBatchesGetThePlacesOfAnotherProcess(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		inflight.Limits
		first int
	}{
		"endpoint": {inflight.Limits{PerEndpoint: 6}, 2},
		"host":     {inflight.Limits{PerEndpoint: 100, PerHost: 8}, 3}, // one company gets three of three, six of eight
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e, hook := inflight.New(tt.Limits, nil), uuid.New()
				e.Describe(hook, uuid.New(), "host")
				e.SetProcesses(3)
				begun := 0
				var attempts sync.WaitGroup
				for range 6 {
					attempts.Go(func() {
						if e.AcquireForBatch(t.Context(), hook, uuid.New()) {
							begun++
						}
					})
					synctest.Wait()
				}
				require.Equal(t, tt.first, begun)
				e.SetProcesses(1)
				attempts.Wait()
				require.Equal(t, 6, begun)
			})
		})
	}
}

func TestBatchesAndSingleDeliveriesShareThePlaces(t *testing.T) {
	t.Parallel()
	e := inflight.NewEndpoints(2, nil)
	hook, a, b, c := uuid.New(), uuid.New(), uuid.New(), uuid.New()
	require.True(t, e.AcquireForBatch(t.Context(), hook, a))
	require.True(t, e.Acquire(hook, c, time.Minute))
	require.False(t, e.Acquire(hook, b, time.Minute))

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
	require.True(t, e.AcquireForBatch(t.Context(), hook, b), "what gave up holds no place")
}
