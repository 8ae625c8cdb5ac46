package inflight_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/activities/inflight"
)

// hooks describes n webhooks of a company, each on a host of its own, or all on one.
func hooks(e *inflight.Endpoints, company uuid.UUID, n int, host string) (ids []uuid.UUID) {
	for i := range n {
		id, at := uuid.New(), host
		if at == "" {
			at = fmt.Sprintf("%s-%d:443", company, i)
		}
		e.Describe(id, company, at)
		ids = append(ids, id)
	}
	return ids
}

// occupy takes as many places as it gets, and returns how many.
func occupy(e *inflight.Endpoints, hooks []uuid.UUID) (n int) {
	for _, h := range hooks {
		n += len(fill(e, h))
	}
	return n
}

func TestCompaniesShareTheProcess(t *testing.T) {
	t.Parallel()
	for name, limits := range map[string]inflight.Limits{
		"all_attempts":         {PerEndpoint: 10, Total: 100},
		"those_with_workflows": {PerEndpoint: 10, Single: 100},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := inflight.New(limits, nil)
			one := hooks(e, uuid.New(), 200, "")
			require.Equal(t, 75, occupy(e, one), "one company alone leaves a quarter")
			require.Zero(t, withRoom(e.Quotas(false), one), "it gets no more deliveries")
			for range 2 {
				require.Equal(t, 10, occupy(e, hooks(e, uuid.New(), 1, "")), "other companies have room")
			}
		})
	}
}

// withRoom counts the webhooks that get deliveries in the next round.
func withRoom(q inflight.Quotas, hooks []uuid.UUID) (n int) {
	for _, h := range hooks {
		if room, listed := q.Webhook[h]; room > 0 || !listed {
			n++
		}
	}
	return n
}

func TestAHostHasACeiling(t *testing.T) {
	t.Parallel()
	e := inflight.New(inflight.Limits{PerEndpoint: 10, PerHost: 40}, nil)
	n := 0
	for range 100 {
		n += occupy(e, hooks(e, uuid.New(), 5, "receiver.test:443"))
	}
	require.LessOrEqual(t, n, 40)
	require.Greater(t, n, 35)
	require.Equal(t, 10, occupy(e, hooks(e, uuid.New(), 1, "other.test:443")))
}

func TestACompanyLeavesPlacesOfAHostToOthers(t *testing.T) {
	t.Parallel()
	e := inflight.New(inflight.Limits{PerEndpoint: 10, PerHost: 40}, nil)
	require.Equal(t, 30, occupy(e, hooks(e, uuid.New(), 50, "shared.test:443")))
	require.Positive(t, occupy(e, hooks(e, uuid.New(), 1, "shared.test:443")))
}

// A webhook that delivers the events of all companies counts for none of them.
func TestAWebhookOfSeveralCompaniesCountsForNone(t *testing.T) {
	t.Parallel()
	e := inflight.New(inflight.Limits{PerEndpoint: 10, Total: 40}, nil)
	company := uuid.New()
	require.Equal(t, 30, occupy(e, hooks(e, company, 10, "")))
	shared := uuid.New()
	e.Describe(shared, company, "shared.test:443")
	require.Empty(t, fill(e, shared))
	e.Describe(shared, uuid.New(), "shared.test:443")
	e.Describe(shared, company, "shared.test:443")
	require.NotEmpty(t, fill(e, shared))
}

// Attempts of batches that wait for their company's or host's places get them as they become free, the endpoints in
// turn, and hold up nobody else's.
func TestWaitingForAPlaceOfACompany(t *testing.T) {
	t.Parallel()
	for name, limits := range map[string]inflight.Limits{
		"of_the_process": {PerEndpoint: 10, Total: 40},
		"at_the_host":    {PerEndpoint: 10, PerHost: 40},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { waitingForAPlaceOfACompany(t, limits) })
		})
	}
}

func waitingForAPlaceOfACompany(t *testing.T, limits inflight.Limits) {
	t.Helper()
	freed := 0
	e := inflight.New(limits, func() { freed++ })
	const host = "shared.test:443"
	one := hooks(e, uuid.New(), 6, host)
	var held []uuid.UUID
	for _, h := range one[:3] {
		held = append(held, fill(e, h)...)
	}
	require.Len(t, held, 30)
	got := make(chan int, 100)
	for range 4 {
		for i := range 3 {
			go func() {
				if e.AcquireForBatch(t.Context(), one[3+i], uuid.New()) {
					got <- i
				}
			}()
			synctest.Wait()
		}
	}
	require.Empty(t, got)
	other := hooks(e, uuid.New(), 1, host)[0]
	require.True(t, e.AcquireForBatch(t.Context(), other, uuid.New()), "another company does not wait")
	for _, h := range one[3:] {
		e.AddWaiting(h, 200)
	}
	time.Sleep(time.Second)
	began := time.Now()
	e.AwaitBatches(t.Context(), 500)
	require.Zero(t, time.Since(began), "the dispatcher does not wait for them")

	for i, id := range held[:9] {
		e.Release(one[i/10], id, 0)
	}
	synctest.Wait()
	require.Len(t, got, 9)
	turns := map[int]int{}
	for range 9 {
		turns[<-got]++
	}
	require.Equal(t, map[int]int{0: 3, 1: 3, 2: 3}, turns)
	require.Positive(t, freed, "the dispatcher hears that the company has room")
	for i, id := range held[9:] {
		e.Release(one[(9+i)/10], id, 0)
	}
	synctest.Wait()
	require.Len(t, got, 3, "all have their place")
}

// An endpoint whose attempts always wait does not keep the places of its host for ever.
func TestBlockedEndpointsTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := inflight.New(inflight.Limits{PerEndpoint: 10, PerHost: 4}, nil)
		two := hooks(e, uuid.New(), 2, "shared.test:443")
		ctx, stop := context.WithCancel(t.Context())
		var got [2]atomic.Int32
		var attempts sync.WaitGroup
		for i, h := range two {
			for range 20 {
				attempts.Go(func() {
					for id := uuid.New(); e.AcquireForBatch(ctx, h, id); id = uuid.New() {
						got[i].Add(1)
						time.Sleep(100 * time.Millisecond)
						e.Release(h, id, 0)
					}
				})
			}
			synctest.Wait()
		}
		time.Sleep(10 * time.Second)
		stop()
		attempts.Wait()
		first, second := got[0].Load(), got[1].Load()
		require.InDelta(t, first, second, float64(first)/2)
	})
}

func TestAnAttemptThatGivesUpLeavesTheQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, hook, first, second := inflight.NewEndpoints(1, nil), uuid.New(), uuid.New(), uuid.New()
		require.True(t, e.AcquireForBatch(t.Context(), hook, first))
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		gaveUp := make(chan bool, 1)
		go func() { gaveUp <- !e.AcquireForBatch(short, hook, uuid.New()) }()
		synctest.Wait()
		later := make(chan bool, 1)
		go func() { later <- e.AcquireForBatch(t.Context(), hook, second) }()
		time.Sleep(2 * time.Second)
		require.True(t, <-gaveUp)
		e.Release(hook, first, 0)
		require.True(t, <-later)
	})
}

// Where there is one place, first attempts and retries take turns.
func TestFirstAttemptsAndRetriesTakeTurnsAtOnePlace(t *testing.T) {
	t.Parallel()
	e, hook := inflight.NewEndpoints(1, nil), uuid.New()
	id, retry, again := uuid.New(), uuid.New(), uuid.New()
	require.True(t, e.Acquire(hook, id, time.Minute))
	for _, r := range []uuid.UUID{retry, again} {
		require.False(t, e.AcquireQueued(hook, r, time.Minute))
	}
	e.Release(hook, id, 0)
	require.False(t, e.Acquire(hook, id, time.Minute), "it is the retry's turn")
	require.True(t, e.AcquireForRetry(hook, retry, time.Minute))
	e.Release(hook, retry, 0)
	require.True(t, e.Acquire(hook, id, time.Minute), "it is the first attempt's turn")
	e.Release(hook, id, 0)
	require.False(t, e.Acquire(hook, id, time.Minute))
}

// An attempt that begins late, after its claim has lapsed, goes before deliveries that were only claimed for.
func TestAnAttemptTakesThePlaceOfOneThatHasNotBegun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, hook := inflight.NewEndpoints(2, nil), uuid.New()
		early := fillFor(e, hook, time.Second)
		time.Sleep(2 * time.Second)
		late := fillFor(e, hook, time.Second)
		require.Len(t, late, 2)
		for _, id := range early {
			require.True(t, e.AcquireForRetry(hook, id, time.Minute))
		}
		require.False(t, e.AcquireForRetry(hook, late[0], time.Minute), "those have begun")
		require.False(t, e.AcquireQueued(hook, late[1], time.Minute))
		e.Release(hook, early[0], 0)
		require.True(t, e.AcquireQueued(hook, late[1], time.Minute))
		require.False(t, e.AcquireQueued(hook, late[0], time.Minute), "the dispatcher takes over none")
	})
}

// fillFor takes all free places of an endpoint with claims that lapse.
func fillFor(e *inflight.Endpoints, hook uuid.UUID, lapse time.Duration) (ids []uuid.UUID) {
	for id := uuid.New(); e.Acquire(hook, id, lapse); id = uuid.New() {
		ids = append(ids, id)
	}
	return ids
}
