package dispatch

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/db/delivery"
)

// found is the result of taking n deliveries from each of the given number of flows.
func found(flows, n int) (t delivery.TakeResult) {
	for range flows {
		hook := uuid.New()
		for range n {
			t.Ready = append(t.Ready, delivery.QueuedDelivery{DeliveryID: uuid.New(), WebhookID: hook, Attempt: 1})
		}
	}
	t.Taken = len(t.Ready)
	return t
}

func TestPacerSplits(t *testing.T) {
	t.Parallel()
	slow := uuid.New()
	isSlow := func(webhook uuid.UUID) bool { return webhook == slow }
	tests := map[string]struct {
		above, flows, each int
		rate               float64
		mod                func(q *delivery.QueuedDelivery) // of the first delivery
		alone, together    int
	}{
		"few":              {above: 20, flows: 2, each: 10, alone: 20},
		"one_too_many":     {above: 20, flows: 3, each: 7, together: 21},
		"few_but_often":    {above: 20, flows: 1, each: 2, rate: 21, together: 2},
		"one_at_a_rate":    {above: 20, flows: 1, each: 1, rate: 21, together: 1},
		"few_at_the_bound": {above: 20, flows: 1, each: 2, rate: 20, alone: 2},
		"never":            {above: 0, flows: 50, each: 10, rate: 5000, alone: 500},
		"none":             {above: 20, rate: 100},
		"goes_on": {
			above:    2,
			flows:    1,
			each:     5,
			mod:      func(q *delivery.QueuedDelivery) { q.Attempt = 2 },
			alone:    1,
			together: 4,
		},
		"test": {
			above:    2,
			flows:    1,
			each:     5,
			mod:      func(q *delivery.QueuedDelivery) { q.IsTest = true },
			alone:    1,
			together: 4,
		},
		"probe": {
			above:    2,
			flows:    1,
			each:     5,
			mod:      func(q *delivery.QueuedDelivery) { q.Probe = true },
			alone:    1,
			together: 4,
		},
		"redo": {
			above:    2,
			flows:    1,
			each:     5,
			mod:      func(q *delivery.QueuedDelivery) { q.EnsureWorkflow = true },
			alone:    1,
			together: 4,
		},
		"failing": {
			above:    2,
			flows:    1,
			each:     5,
			mod:      func(q *delivery.QueuedDelivery) { q.Failing = true },
			alone:    1,
			together: 4,
		},
		"slow": {
			above:    2,
			flows:    1,
			each:     5,
			mod:      func(q *delivery.QueuedDelivery) { q.WebhookID = slow },
			alone:    1,
			together: 4,
		},
		"those_that_cannot_count_less": {
			above: 4,
			flows: 1,
			each:  5,
			mod:   func(q *delivery.QueuedDelivery) { q.EnsureWorkflow = true },
			alone: 5,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := pacer{above: tt.above}
			p.rate = tt.rate
			ready := found(tt.flows, tt.each).Ready
			if tt.mod != nil {
				tt.mod(&ready[0])
			}
			alone, together := p.split(ready, isSlow)
			require.Len(t, alone, tt.alone)
			require.Len(t, together, tt.together)
			require.ElementsMatch(t, ready, append(alone, together...), "none is lost")
		})
	}
}

func TestPacerKeepsTheTurn(t *testing.T) {
	t.Parallel()
	next := delivery.Flow{Webhook: uuid.New()}
	tests := map[string]struct {
		from    delivery.Flow
		limited bool
		next    delivery.Flow
		more    bool
	}{
		"everything_was_taken":    {},
		"quotas_left_some_behind": {limited: true, more: true},
		"the_turn_continues":      {limited: true, next: next, more: true},
		"the_end_of_a_turn":       {from: next, more: true}, // the flows before next come again
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := pacer{above: 20, next: tt.from}
			got := found(1, 1)
			got.Next = tt.next
			p.observe(got, tt.limited, time.Now())
			require.Equal(t, tt.more, p.more)
			require.Equal(t, tt.next, p.next)
		})
	}
}

func TestCountFlows(t *testing.T) {
	t.Parallel()
	hook, company := uuid.New(), uuid.New()
	flows, largest := countFlows([]delivery.QueuedDelivery{
		{WebhookID: hook}, {WebhookID: hook}, {WebhookID: hook, CompanyID: &company}, {WebhookID: uuid.New()},
	})
	require.Equal(t, 3, flows)
	require.Equal(t, 2, largest)
	flows, largest = countFlows(nil)
	require.Zero(t, flows+largest)
}

func TestPacerRemembersTheRate(t *testing.T) {
	t.Parallel()
	p := pacer{above: 20}
	at := time.Now()
	p.observe(found(1, 30), false, at)
	require.InDelta(t, 30, p.rate, 0.1)
	for range 100 { // 300/s
		at = at.Add(100 * time.Millisecond)
		p.observe(found(1, 30), false, at)
	}
	require.InDelta(t, 300, p.rate, 30)
	p.observe(delivery.TakeResult{}, false, at.Add(5*time.Second))
	require.Less(t, p.rate, 5.0, "it is forgotten in seconds")
}

func TestPacerGap(t *testing.T) {
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
			p := pacer{above: tt.above}
			p.rate, p.more = tt.rate, tt.more
			require.Equal(t, tt.want, p.gap())
		})
	}
}

// TestPacerAmongSeveral has four workers, each of which takes a quarter.
func TestPacerAmongSeveral(t *testing.T) {
	t.Parallel()
	alone, several := pacer{above: 20, rate: 1000}, pacer{above: 20, rate: 250, processes: func() int { return 4 }}
	seen := map[time.Duration]bool{}
	for range 100 {
		gap := several.gap()
		require.InDelta(t, 4*alone.gap(), gap, 2*float64(alone.gap()), "as many rounds together as one makes")
		seen[gap] = true
	}
	require.Greater(t, len(seen), 50, "they do not stay in step")
	several.rate = 24
	require.Zero(t, several.gap(), "96/s together is quiet")
	several.rate = 6
	require.True(t, several.shares(), "24/s together share workflows")
}
