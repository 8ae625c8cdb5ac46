package dispatch

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/activities/inflight"
	"greenroom/db/delivery"
)

// found is a taking of n deliveries from each of the given number of lanes.
func found(lanes, n int) (t delivery.TakeResult) {
	for range lanes {
		hook := uuid.New()
		for range n {
			t.Ready = append(t.Ready, delivery.QueuedDelivery{DeliveryID: uuid.New(), WebhookID: hook, Attempt: 1})
		}
	}
	t.Taken = len(t.Ready)
	return t
}

func newLane(above int) lane { return lane{above: above, perEndpoint: 10, share: shareLeast} }

func TestLaneSplits(t *testing.T) {
	t.Parallel()
	slow := uuid.New()
	e := inflight.NewEndpoints(10, nil)
	for range 8 {
		e.Release(slow, uuid.New(), 5*time.Second)
	}
	tests := map[string]struct {
		above, lanes, each int
		rate               float64
		mod                func(q *delivery.QueuedDelivery) // of the first delivery
		alone, together    int
	}{
		"few":              {above: 20, lanes: 2, each: 10, alone: 20},
		"one_too_many":     {above: 20, lanes: 3, each: 7, together: 21},
		"few_but_often":    {above: 20, lanes: 1, each: 2, rate: 21, together: 2},
		"a_batch_of_one":   {above: 20, lanes: 1, each: 1, rate: 21, alone: 1},
		"few_at_the_bound": {above: 20, lanes: 1, each: 1, rate: 20, alone: 1},
		"never":            {above: 0, lanes: 50, each: 10, rate: 5000, alone: 500},
		"none":             {above: 20, rate: 100},
		"goes_on": {
			above:    2,
			lanes:    1,
			each:     5,
			mod:      func(q *delivery.QueuedDelivery) { q.Attempt = 2 },
			alone:    1,
			together: 4,
		},
		"test": {
			above:    2,
			lanes:    1,
			each:     5,
			mod:      func(q *delivery.QueuedDelivery) { q.IsTest = true },
			alone:    1,
			together: 4,
		},
		"probe": {
			above:    2,
			lanes:    1,
			each:     5,
			mod:      func(q *delivery.QueuedDelivery) { q.Probe = true },
			alone:    1,
			together: 4,
		},
		"redo": {
			above:    2,
			lanes:    1,
			each:     5,
			mod:      func(q *delivery.QueuedDelivery) { q.Redo = true },
			alone:    1,
			together: 4,
		},
		"failing": {
			above:    2,
			lanes:    1,
			each:     5,
			mod:      func(q *delivery.QueuedDelivery) { q.Failing = true },
			alone:    1,
			together: 4,
		},
		"slow": {
			above:    2,
			lanes:    1,
			each:     5,
			mod:      func(q *delivery.QueuedDelivery) { q.WebhookID = slow },
			alone:    1,
			together: 4,
		},
		"those_that_cannot_count_less": {
			above: 4,
			lanes: 1,
			each:  5,
			mod:   func(q *delivery.QueuedDelivery) { q.Redo = true },
			alone: 5,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLane(tt.above)
			l.rate = tt.rate
			ready := found(tt.lanes, tt.each).Ready
			if tt.mod != nil {
				tt.mod(&ready[0])
			}
			alone, together := l.split(ready, e)
			require.Len(t, alone, tt.alone)
			require.Len(t, together, tt.together)
			require.ElementsMatch(t, ready, append(alone, together...), "none is lost")
		})
	}
}

func TestLaneShares(t *testing.T) {
	t.Parallel()
	next := delivery.Flow{Webhook: uuid.New()}
	taking := func(lanes, n int, next delivery.Flow) delivery.TakeResult {
		got := found(lanes, n)
		got.Next = next
		return got
	}
	tests := map[string]struct {
		share int
		from  delivery.Flow
		got   delivery.TakeResult
		want  int
		more  bool
	}{
		"nothing":                   {share: 32, got: delivery.TakeResult{}, want: 32},
		"little":                    {share: 32, got: found(3, 31), want: 32},
		"all_of_a_share":            {share: 32, got: found(1, 32), want: 64, more: true},
		"no_more_than_a_batch":      {share: 400, got: found(1, 400), want: 500, more: true},
		"falls_when_little_waits":   {share: 400, got: found(1, 10), want: 300},
		"but_not_below_the_least":   {share: 40, got: found(1, 10), want: shareLeast},
		"a_batch_of_few_endpoints":  {share: 250, got: taking(2, 250, next), want: 250, more: true},
		"a_batch_of_many_endpoints": {share: 64, got: taking(100, 5, next), want: 5, more: true},
		"one_of_each":               {share: 32, got: taking(500, 1, next), want: 1, more: true},
		"the_last_of_the_turn":      {share: 32, from: next, got: found(2, 3), want: 32, more: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLane(20)
			l.share, l.next = tt.share, tt.from
			l.saw(tt.got, time.Now())
			require.Equal(t, tt.want, l.share)
			require.Equal(t, tt.more, l.more)
			require.Equal(t, tt.got.Next, l.next)
			o := l.options(inflight.NewEndpoints(10, nil))
			require.Equal(t, delivery.TakeOptions{
				Limit: batchMost, PerFlow: tt.want, PerFailing: 10, After: tt.got.Next, Room: map[uuid.UUID]int{},
			}, o)
		})
	}
	t.Run("of_those_that_have_their_own_workflows_are_the_places", func(t *testing.T) {
		t.Parallel()
		l := newLane(0)
		require.Equal(t, 10, l.options(inflight.NewEndpoints(10, nil)).PerFlow)
	})
	t.Run("counts_what_was_held_as_taken", func(t *testing.T) {
		t.Parallel()
		l := newLane(20)
		l.saw(delivery.TakeResult{Taken: batchMost}, time.Now()) // all paused
		require.Equal(t, batchMost, l.share)
		require.True(t, l.more)
	})
}

func TestLaneRemembersTheRate(t *testing.T) {
	t.Parallel()
	l := newLane(20)
	at := time.Now()
	l.saw(found(1, 30), at)
	require.InDelta(t, 30, l.rate, 0.1)
	for range 100 { // 300/s
		at = at.Add(100 * time.Millisecond)
		l.saw(found(1, 30), at)
	}
	require.InDelta(t, 300, l.rate, 30)
	l.saw(delivery.TakeResult{}, at.Add(5*time.Second))
	require.Less(t, l.rate, 5.0, "it is forgotten in seconds")
}

func TestLaneGap(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		above int
		rate  float64
		more  bool
		want  time.Duration
	}{
		"idle":                   {above: 20, want: 0},
		"quiet":                  {above: 20, rate: 99, want: 0},
		"gathers":                {above: 20, rate: 100, want: gapLeast},
		"with_the_rate":          {above: 20, rate: 1000, want: 40 * time.Millisecond},
		"within_bounds":          {above: 20, rate: 50000, want: gapMost},
		"not_while_others_wait":  {above: 20, rate: 1000, more: true, want: 0},
		"not_when_none_share_it": {above: 0, rate: 1000, want: 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLane(tt.above)
			l.rate, l.more = tt.rate, tt.more
			require.Equal(t, tt.want, l.gap())
		})
	}
}
