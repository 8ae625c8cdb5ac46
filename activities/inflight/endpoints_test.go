package inflight_test

import (
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
	require.True(t, e.Acquire(hook, a, 0, time.Minute), "a place is kept, not taken twice")
	require.True(t, e.Acquire(hook, b, 0, time.Nanosecond))
	require.Equal(t, map[uuid.UUID]int{hook: 1}, e.Room(2, true), "a place that lapsed is free")
	require.True(t, e.Acquire(hook, b, 0, time.Minute))
	require.False(t, e.Acquire(hook, c, 0, time.Minute))
	require.True(t, e.Acquire(uuid.New(), c, 0, time.Minute), "another endpoint has its own")
	e.Release(hook, a, 0)
	require.Equal(t, 1, freed)
	require.False(t, e.Slow(hook))
	for range 8 {
		e.Release(hook, b, 5*time.Second)
	}
	require.True(t, e.Slow(hook))

	limited := uuid.New()
	for i := range 5 {
		require.Equal(t, i < 1, e.Acquire(limited, uuid.New(), 1, time.Nanosecond), "one per second")
	}
	require.Zero(t, e.Room(2, true)[limited])
}

func TestEndpointsKeepPlacesForThoseThatAskAgain(t *testing.T) {
	t.Parallel()
	e := inflight.NewEndpoints(10, nil)
	hook, retry := uuid.New(), uuid.New()
	started := make([]uuid.UUID, 10)
	for i := range started {
		started[i] = uuid.New()
		require.True(t, e.Acquire(hook, started[i], 0, time.Minute))
	}
	ok, wait := e.AcquireOrWait(hook, retry, 0, time.Minute)
	require.False(t, ok)
	require.GreaterOrEqual(t, wait, time.Second)
	for i := range 3 {
		e.Release(hook, started[i], 0)
		require.False(t, e.Acquire(hook, uuid.New(), 0, time.Minute), "the dispatcher leaves three to those that wait")
		require.Zero(t, e.Room(10, true)[hook])
	}
	e.Release(hook, started[3], 0)
	require.True(t, e.Acquire(hook, uuid.New(), 0, time.Minute), "but no more")
	ok, _ = e.AcquireOrWait(hook, retry, 0, time.Minute)
	require.True(t, ok)
	require.True(t, e.Acquire(hook, uuid.New(), 0, time.Minute), "none waits any more")
}

func TestEndpointsReserveTurns(t *testing.T) {
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
		ok, wait := e.AcquireOrWait(hook, id, perSecond, time.Minute)
		require.False(t, ok)
		require.Greater(t, wait, longest, "each has a turn of its own")
		waits[id], longest = wait, wait
	}
	require.LessOrEqual(t, longest, time.Second)
	require.False(t, e.Acquire(hook, uuid.New(), perSecond, time.Minute), "what is reserved is not the dispatcher's")
	<-time.After(longest)
	for id := range waits {
		ok, _ := e.AcquireOrWait(hook, id, perSecond, time.Minute)
		require.True(t, ok, "at its turn it goes")
	}
	for range 500 { // far ahead there is nothing to reserve
		_, wait := e.AcquireOrWait(hook, uuid.New(), perSecond, time.Minute)
		require.LessOrEqual(t, wait, 30*time.Second)
	}
}
