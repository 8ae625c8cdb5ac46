package inflight_test

import (
	"context"
	"testing"
	"testing/synctest"
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
				e.Acquire(hook, uuid.New(), time.Minute)
			}
		}, 32, 6},
		"full": {func(e *inflight.Endpoints, hook uuid.UUID) {
			for range places {
				e.Acquire(hook, uuid.New(), time.Minute)
			}
		}, 0, 0},
		"slow": {func(e *inflight.Endpoints, hook uuid.UUID) {
			for range 8 {
				e.Release(hook, uuid.New(), 5*time.Second)
			}
			e.Acquire(hook, uuid.New(), time.Minute)
		}, 9, 9},
		"batches_wait":               {func(e *inflight.Endpoints, hook uuid.UUID) { e.AddWaiting(hook, 12) }, 20, places},
		"more_wait_than_it_may_have": {func(e *inflight.Endpoints, hook uuid.UUID) { e.AddWaiting(hook, 40) }, 0, places},
		"none_wait_any_more": {func(e *inflight.Endpoints, hook uuid.UUID) {
			e.AddWaiting(hook, 12)
			e.RemoveWaiting(hook, 12)
		}, 32, places},
		"all_places_of_batches_just_taken": {func(e *inflight.Endpoints, hook uuid.UUID) {
			for range places {
				e.AcquireForBatch(context.Background(), hook, uuid.New())
			}
		}, 32, 0},
		"stuck": {func(e *inflight.Endpoints, hook uuid.UUID) {
			for range places {
				e.AcquireForBatch(context.Background(), hook, uuid.New())
			}
			time.Sleep(31 * time.Millisecond)
		}, 0, 0},
		"at_the_bound_of_slow": {func(e *inflight.Endpoints, hook uuid.UUID) {
			e.Release(hook, uuid.New(), 4*time.Second)
			e.Acquire(hook, uuid.New(), time.Minute)
		}, 32, 9},
		"entered_twice": {func(e *inflight.Endpoints, hook uuid.UUID) {
			e.AddWaiting(hook, 5)
			e.AddWaiting(hook, 7)
			e.RemoveWaiting(hook, 2)
		}, 22, places},
		"a_retry_waits": {func(e *inflight.Endpoints, hook uuid.UUID) {
			ids := make([]uuid.UUID, places)
			for i := range ids {
				ids[i] = uuid.New()
				e.Acquire(hook, ids[i], time.Minute)
			}
			e.AcquireQueued(hook, uuid.New(), time.Minute)
			e.Release(hook, ids[0], 0)
		}, 1, 1},
		"few_were_put_back":  {func(e *inflight.Endpoints, hook uuid.UUID) { e.PutBack(hook, 31) }, 32, places},
		"many_were_put_back": {func(e *inflight.Endpoints, hook uuid.UUID) { e.PutBack(hook, 32) }, 0, 0},
		"many_were_put_back_a_while_ago": {func(e *inflight.Endpoints, hook uuid.UUID) {
			e.PutBack(hook, 500)
			time.Sleep(inflight.LeftOutFor)
		}, 32, places},
		"halved": {func(e *inflight.Endpoints, hook uuid.UUID) {
			e.Finish(hook, uuid.New(), time.Millisecond, inflight.Overloaded)
		}, 32, places / 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e, hook := inflight.NewEndpoints(places, nil), uuid.New()
				tt.prepare(e, hook)
				for batches, want := range map[bool]int{true: tt.batches, false: tt.without} {
					q := e.Quotas(batches)
					if got, bounded := q.Webhook[hook]; bounded {
						require.Equal(t, want, got, "with batches: %v", batches)
						require.NotEqual(t, got, q.Flow, "only what differs from a flow's share is listed")
					} else {
						require.Equal(t, want, q.Flow, "with batches: %v", batches)
					}
				}
			})
		})
	}
}

func TestAwaitBatches(t *testing.T) {
	t.Parallel()
	// elapsed is how long AwaitBatches blocks while then runs a second after it began.
	elapsed := func(t *testing.T, e *inflight.Endpoints, most int, then func()) (d time.Duration) {
		t.Helper()
		began, done := time.Now(), make(chan struct{})
		go func() {
			defer close(done)
			time.Sleep(time.Second)
			then()
		}()
		e.AwaitBatches(t.Context(), most)
		d = time.Since(began)
		<-done
		return d
	}
	nothing := func() {}
	t.Run("returns_at_once_when_few_wait", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			e := inflight.NewEndpoints(places, nil)
			e.AddWaiting(uuid.New(), 5)
			require.Zero(t, elapsed(t, e, 5, nothing))
		})
	})
	t.Run("until_enough_have_left", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			e, a, b := inflight.NewEndpoints(places, nil), uuid.New(), uuid.New()
			e.AddWaiting(a, 5)
			e.AddWaiting(b, 4)
			e.AddWaiting(b, 1)
			require.Equal(t, time.Second, elapsed(t, e, 5, func() {
				e.RemoveWaiting(a, 3)
				e.RemoveWaiting(b, 2)
			}), "it is woken, and does not poll")
		})
	})
	t.Run("without_those_at_a_stuck_endpoint", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			e, stuck := inflight.NewEndpoints(1, nil), uuid.New()
			e.AddWaiting(stuck, 100)
			e.AddWaiting(uuid.New(), 5)
			require.True(t, e.AcquireForBatch(t.Context(), stuck, uuid.New()))
			require.LessOrEqual(t, elapsed(t, e, 5, nothing), 500*time.Millisecond)
		})
	})
	t.Run("those_at_a_stuck_endpoint_need_not_leave", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			e, stuck, busy := inflight.NewEndpoints(1, nil), uuid.New(), uuid.New()
			e.AddWaiting(stuck, 100)
			e.AddWaiting(busy, 8)
			require.True(t, e.AcquireForBatch(t.Context(), stuck, uuid.New()))
			require.Equal(t, time.Second, elapsed(t, e, 5, func() { e.RemoveWaiting(busy, 3) }))
		})
	})
	t.Run("until_its_context_ends", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			e := inflight.NewEndpoints(places, nil)
			e.AddWaiting(uuid.New(), 100)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			e.AwaitBatches(ctx, 5)
			require.Error(t, ctx.Err())
		})
	})
}

// An endpoint is stuck when its places stay taken for eight times the mean duration of its attempts.
func TestAStuckEndpointThatMovesWakesTheDispatcher(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ mean, stuckAfter time.Duration }{
		"never_answered": {0, 30 * time.Millisecond},
		"quick":          {time.Millisecond, 30 * time.Millisecond},
		"not_so_quick":   {10 * time.Millisecond, 80 * time.Millisecond},
		"slow":           {100 * time.Millisecond, 250 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for after, wakes := range map[time.Duration]int{tt.stuckAfter: 0, tt.stuckAfter + 1: 1} {
				synctest.Test(t, func(t *testing.T) {
					freed := 0
					e, hook, a, b := inflight.NewEndpoints(2, func() { freed++ }), uuid.New(), uuid.New(), uuid.New()
					e.Release(hook, uuid.New(), 4*tt.mean) // a quarter of the latest attempt counts
					for _, id := range []uuid.UUID{a, b} {
						require.True(t, e.AcquireForBatch(t.Context(), hook, id))
					}
					time.Sleep(after)
					e.Release(hook, b, 0)
					require.Equal(t, wakes, freed)
					time.Sleep(time.Second)
					e.Release(hook, a, 0)
					require.Equal(t, wakes, freed, "an endpoint with a free place is not stuck")
				})
			}
		})
	}
}

func TestForgetsIdleEndpoints(t *testing.T) {
	t.Parallel()
	nothing := func(*inflight.Endpoints, uuid.UUID) {}
	tests := map[string]struct {
		use   func(e *inflight.Endpoints, hook uuid.UUID)
		after time.Duration
		known bool
	}{
		"used_lately":    {nothing, 10 * time.Minute, true},
		"not_used":       {nothing, 10*time.Minute + 1, false},
		"an_attempt":     {func(e *inflight.Endpoints, h uuid.UUID) { e.Acquire(h, h, time.Hour) }, time.Hour, true},
		"a_lapsed_claim": {func(e *inflight.Endpoints, h uuid.UUID) { e.Acquire(h, h, time.Minute) }, time.Hour, false},
		"a_batch_attempt": {
			func(e *inflight.Endpoints, h uuid.UUID) { e.AcquireForBatch(context.Background(), h, h) },
			time.Hour,
			true,
		},
		"a_batch_waits": {func(e *inflight.Endpoints, h uuid.UUID) { e.AddWaiting(h, 1) }, time.Hour, true},
		"a_batch_has_left": {
			func(e *inflight.Endpoints, h uuid.UUID) { e.AddWaiting(h, 2); e.RemoveWaiting(h, 2) },
			time.Hour,
			false,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e, hook, other := inflight.NewEndpoints(places, nil), uuid.New(), uuid.New()
				e.Release(hook, uuid.New(), time.Minute)
				e.Release(other, uuid.New(), time.Minute)
				tt.use(e, hook)
				time.Sleep(tt.after)
				e.Quotas(true)
				require.Equal(t, tt.known, e.Slow(hook), "what is known of it is that it is slow")
				require.Equal(t, tt.after == 10*time.Minute, e.Slow(other))
			})
		})
	}
}
