package inflight_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/activities/inflight"
)

const places = 10

// grown returns Endpoints whose flows have a share of 32 doubled n times.
func grown(n int) *inflight.Endpoints {
	e := inflight.NewEndpoints(places, nil)
	for range n {
		e.Adapt(0, 1, inflight.RoundLimit)
	}
	return e
}

func TestShareOfAFlow(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		doubled               int
		taken, flows, largest int
		want                  int
		limited               bool
	}{
		"nothing":                   {want: 32},
		"little":                    {taken: 93, flows: 3, largest: 31, want: 32},
		"a_whole_share":             {taken: 32, flows: 1, largest: 32, want: 64, limited: true},
		"no_more_than_a_round":      {doubled: 3, taken: 256, flows: 1, largest: 256, want: 500, limited: true},
		"decays_when_little_waits":  {doubled: 3, taken: 10, flows: 1, largest: 10, want: 192},
		"not_below_the_least":       {doubled: 0, taken: 10, flows: 1, largest: 10, want: 32},
		"a_full_round_of_few":       {taken: 500, flows: 2, largest: 250, want: 250, limited: true},
		"a_full_round_of_many":      {doubled: 1, taken: 500, flows: 100, largest: 5, want: 5, limited: true},
		"a_full_round_of_one_each":  {taken: 500, flows: 500, largest: 1, want: 1, limited: true},
		"a_full_round_that_is_held": {taken: 500, want: 500, limited: true}, // all were paused
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := grown(tt.doubled)
			require.Equal(t, tt.limited, e.Adapt(tt.taken, tt.flows, tt.largest))
			require.Equal(t, inflight.Quotas{
				Round: inflight.RoundLimit, Flow: tt.want, Failing: places, Webhook: map[uuid.UUID]int{},
			}, e.Quotas(true))
			require.Equal(t, places, e.Quotas(false).Flow, "without batches the places bound a flow")
		})
	}
}

func TestRoomOfAWebhook(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		prepare          func(e *inflight.Endpoints, hook uuid.UUID)
		batches, without int // room with and without batches; the quota of a flow where there is no other bound
	}{
		"unknown": {func(*inflight.Endpoints, uuid.UUID) {}, 32, places},
		"some_in_flight": {func(e *inflight.Endpoints, hook uuid.UUID) {
			for range 4 {
				e.Acquire(hook, uuid.New(), 0, time.Minute)
			}
		}, 32, 6},
		"full": {func(e *inflight.Endpoints, hook uuid.UUID) {
			for range places {
				e.Acquire(hook, uuid.New(), 0, time.Minute)
			}
		}, 0, 0},
		"slow": {func(e *inflight.Endpoints, hook uuid.UUID) {
			for range 8 {
				e.Release(hook, uuid.New(), 5*time.Second)
			}
			e.Acquire(hook, uuid.New(), 0, time.Minute)
		}, 9, 9},
		"batches_wait":               {func(e *inflight.Endpoints, hook uuid.UUID) { e.Enter(hook, 12) }, 20, 0},
		"more_wait_than_it_may_have": {func(e *inflight.Endpoints, hook uuid.UUID) { e.Enter(hook, 40) }, 0, 0},
		"none_wait_any_more": {func(e *inflight.Endpoints, hook uuid.UUID) {
			e.Enter(hook, 12)
			e.Leave(hook, 12)
		}, 32, places},
		"a_rate": {func(e *inflight.Endpoints, hook uuid.UUID) {
			for range 2 {
				e.Allow(hook, 5)
			}
		}, 3, 3},
		"all_places_of_batches_just_taken": {func(e *inflight.Endpoints, hook uuid.UUID) {
			for range places {
				e.AcquireForBatch(context.Background(), hook, uuid.New())
			}
		}, 32, places},
		"stuck": {func(e *inflight.Endpoints, hook uuid.UUID) {
			for range places {
				e.AcquireForBatch(context.Background(), hook, uuid.New())
			}
			<-time.After(300 * time.Millisecond)
		}, 0, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, hook := inflight.NewEndpoints(places, nil), uuid.New()
			tt.prepare(e, hook)
			for batches, want := range map[bool]int{true: tt.batches, false: tt.without} {
				q := e.Quotas(batches)
				if got, bounded := q.Webhook[hook]; bounded {
					require.Equal(t, want, got, "with batches: %v", batches)
					require.Less(t, got, q.Flow, "only what is less than a flow's share is listed")
				} else {
					require.Equal(t, want, q.Flow, "with batches: %v", batches)
				}
			}
		})
	}
}

func TestAwaitBatches(t *testing.T) {
	t.Parallel()
	// awaits reports that AwaitBatches blocks until then has run.
	awaits := func(t *testing.T, e *inflight.Endpoints, most int, then func()) {
		t.Helper()
		returned := make(chan struct{})
		go func() {
			defer close(returned)
			e.AwaitBatches(t.Context(), most)
		}()
		select {
		case <-returned:
			t.Fatal("it did not wait")
		case <-time.After(30 * time.Millisecond):
		}
		then()
		<-returned
	}
	t.Run("returns_at_once_when_few_wait", func(t *testing.T) {
		t.Parallel()
		e := inflight.NewEndpoints(places, nil)
		e.Enter(uuid.New(), 5)
		e.AwaitBatches(t.Context(), 5)
	})
	t.Run("until_enough_left", func(t *testing.T) {
		t.Parallel()
		e, a, b := inflight.NewEndpoints(places, nil), uuid.New(), uuid.New()
		e.Enter(a, 5)
		e.Enter(b, 5)
		awaits(t, e, 5, func() {
			e.Leave(a, 3)
			e.Leave(b, 2)
		})
	})
	t.Run("without_those_at_a_stuck_endpoint", func(t *testing.T) {
		t.Parallel()
		e, stuck := inflight.NewEndpoints(1, nil), uuid.New()
		e.Enter(stuck, 100)
		require.True(t, e.AcquireForBatch(t.Context(), stuck, uuid.New()))
		e.AwaitBatches(t.Context(), 5) // it becomes stuck, and this returns
	})
	t.Run("until_its_context_ends", func(t *testing.T) {
		t.Parallel()
		e := inflight.NewEndpoints(places, nil)
		e.Enter(uuid.New(), 100)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		e.AwaitBatches(ctx, 5)
		require.Error(t, ctx.Err())
	})
}

func TestAStuckEndpointThatMovesWakesTheDispatcher(t *testing.T) {
	t.Parallel()
	freed := 0
	e, hook, a, b := inflight.NewEndpoints(2, func() { freed++ }), uuid.New(), uuid.New(), uuid.New()
	for _, id := range []uuid.UUID{a, b} {
		require.True(t, e.AcquireForBatch(t.Context(), hook, id))
	}
	e.Release(hook, a, 0)
	require.Zero(t, freed, "it was busy, not stuck")
	require.True(t, e.AcquireForBatch(t.Context(), hook, a))
	<-time.After(300 * time.Millisecond)
	e.Release(hook, b, 0)
	require.Equal(t, 1, freed)
}
