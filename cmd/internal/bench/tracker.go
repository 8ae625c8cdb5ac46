package bench

import (
	"context"
	"math"
	"slices"
	"sync/atomic"
	"time"
)

// tracker records the accepted events and the arrivals of one phase of a trial. Times are nanoseconds since its start;
// 0 means not yet.
type tracker struct {
	phase     int
	companies int // an event belongs to company seq % companies
	fan       int // deliveries of each event
	start     time.Time
	events    []tracked
	arrivals  []arrival // of webhook k of an event: [event × fan + k]

	posted   atomic.Int64 // events whose POST began
	accepted atomic.Int64
	refused  atomic.Int64
	arrived  atomic.Int64 // deliveries, each once
	extra    atomic.Int64 // arrivals after the first
	lastPost atomic.Int64
	last     atomic.Int64 // last first arrival
}

type tracked struct {
	sent     atomic.Int64
	accepted atomic.Bool
}

type arrival struct{ at atomic.Int64 }

func newTracker(phase, events, companies, fan int) *tracker {
	return &tracker{
		phase: phase, companies: companies, fan: fan, start: time.Now(),
		events: make([]tracked, events), arrivals: make([]arrival, events*fan),
	}
}

func (t *tracker) now() int64 { return int64(time.Since(t.start)) + 1 }

// post records one POST of one or more events: call sends it and waits for the response.
func (t *tracker) post(call func() error, seqs ...int) error {
	t.posted.Add(int64(len(seqs)))
	for _, seq := range seqs {
		t.events[seq].sent.Store(t.now())
	}
	if err := call(); err != nil {
		t.refused.Add(int64(len(seqs)))
		return err
	}
	for _, seq := range seqs {
		t.events[seq].accepted.Store(true)
	}
	t.accepted.Add(int64(len(seqs)))
	t.lastPost.Store(t.now())
	return nil
}

// arrive records one arrival at webhook k of the event's company.
func (t *tracker) arrive(seq, k int) {
	if seq < 0 || seq >= len(t.events) || k >= t.fan {
		return
	}
	now := t.now()
	if !t.arrivals[seq*t.fan+k].at.CompareAndSwap(0, now) {
		t.extra.Add(1)
		return
	}
	t.arrived.Add(1)
	t.last.Store(now)
}

// missing counts deliveries of accepted events that have not arrived.
func (t *tracker) missing() int {
	missing := 0
	for seq := range t.events {
		if !t.events[seq].accepted.Load() {
			continue
		}
		for k := range t.fan {
			if t.arrivals[seq*t.fan+k].at.Load() == 0 {
				missing++
			}
		}
	}
	return missing
}

// wait returns when all accepted events have arrived, when nothing has arrived for the quiet time, or with broken's
// error.
func (t *tracker) wait(ctx context.Context, quiet time.Duration, broken func() error) error {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	seen, since := int64(-1), time.Now()
	for {
		arrived := t.arrived.Load()
		if arrived >= t.accepted.Load()*int64(t.fan) && t.missing() == 0 {
			return nil
		}
		if arrived != seen {
			seen, since = arrived, time.Now()
		}
		if time.Since(since) > quiet {
			return broken()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// latencies returns the times from POST to arrival, in milliseconds, sorted.
func (t *tracker) latencies() []float64 {
	var ms []float64
	for i := range t.arrivals {
		if at := t.arrivals[i].at.Load(); at != 0 {
			ms = append(ms, float64(at-t.events[i/t.fan].sent.Load())/1e6)
		}
	}
	slices.Sort(ms)
	return ms
}

// percentile returns a percentile of sorted values by the nearest rank, or 0 without values.
func percentile(sorted []float64, p float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[max(rank, 1)-1]
}
