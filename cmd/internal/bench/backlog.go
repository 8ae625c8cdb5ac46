package bench

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"greenroom/cmd/internal/testbed"
)

// drainLimit ends the wait for a backlog that drains slowly: its rate is known by then.
const drainLimit = 4 * time.Minute

// fresh is the first load of a database, without statistics and without a warm-up.
func fresh(ctx context.Context, t *trial) error {
	tr := t.phase(t.sizes.fresh, len(t.keys))
	return t.drained(ctx, tr, func() error { return t.saturate(ctx, tr) })
}

// backlog accepts events while no worker runs and measures how fast a worker delivers them. The rate counts from the
// worker's start.
func backlog(ctx context.Context, t *trial) error {
	if err := t.warmUp(ctx, len(t.keys)); err != nil {
		return err
	}
	if err := t.system.stopWorker(ctx); err != nil {
		return err
	}
	tr := t.phase(t.sizes.backlog, len(t.keys))
	if err := t.saturate(ctx, tr); err != nil {
		return err
	}
	from := tr.now()
	if err := t.system.startWorker(); err != nil {
		return err
	}
	err := t.drained(ctx, tr, func() error { return nil })
	t.drainedSince(tr, from)
	return err
}

// drainedSince computes the rate from the time when the backlog could drain, not from the first POST.
func (t *trial) drainedSince(tr *tracker, from int64) {
	t.result.DeliveredPerSecond = perSecond(int(tr.arrived.Load()), tr.last.Load()-from)
	t.result.figure("drain_per_s", t.result.DeliveredPerSecond)
}

// backlogAfterVacuum floods the queue after statistics of an empty queue were collected, as autovacuum does:
// a plan based on them is wrong as soon as many deliveries wait.
func backlogAfterVacuum(ctx context.Context, t *trial) error {
	before := t.phase(t.sizes.delivered, len(t.keys))
	if err := t.saturate(ctx, before); err != nil {
		return err
	}
	if err := t.awaitAll(ctx, before, "the load before the vacuum"); err != nil {
		return err
	}
	if err := testbed.Sleep(ctx, settle); err != nil {
		return err
	}
	if err := t.system.vacuum(ctx); err != nil {
		return err
	}
	tr := t.phase(t.sizes.vacuumed, len(t.keys))
	err := t.drained(ctx, tr, func() error { return t.flood(ctx, tr) })
	t.drainedSince(tr, tr.events[0].sent.Load())
	return err
}

// floodArray is the number of events in a request of a flood; floodAtOnce is the number of concurrent requests.
const (
	floodArray  = 100
	floodAtOnce = 4
)

// flood publishes all events of the phase in arrays, so that they wait within seconds: before new statistics are
// collected, and before a worker has delivered many.
func (t *trial) flood(ctx context.Context, tr *tracker) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(floodAtOnce)
	for company := range tr.companies {
		var own []int
		for seq := company; seq < len(tr.events); seq += tr.companies {
			own = append(own, seq)
		}
		for seqs := range slices.Chunk(own, floodArray) {
			group.Go(func() error {
				return tr.post(func() error { return t.client.publishArray(ctx, t.keys[company], tr.phase, seqs) }, seqs...)
			})
		}
	}
	return group.Wait()
}

// drained measures a load with the rates of the first and the last tenth of the arrivals. They are alike if the rate
// does not depend on the backlog. Deliveries that have not arrived after drainLimit count as waiting, not as lost.
func (t *trial) drained(ctx context.Context, tr *tracker, load func() error) error {
	limited, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	err := t.measured(limited, tr, load)
	if err != nil && errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		t.result.fill(tr)
		t.result.figure("waiting_at_limit", float64(t.result.Lost))
		t.result.Lost, err = 0, nil
	}
	first, last := tenths(tr.arrivalTimes())
	t.result.figure("first_tenth_per_s", first)
	t.result.figure("last_tenth_per_s", last)
	if first > 0 {
		t.result.figure("last_to_first_tenth", last/first)
	}
	return err
}

// tenths returns the rates, per second, of the first and the last tenth of sorted times in nanoseconds; 0 for fewer
// than 20.
func tenths(at []int64) (first, last float64) {
	n := len(at) / 10
	if n < 2 {
		return 0, 0
	}
	return perSecond(n, at[n]-at[0]), perSecond(n, at[len(at)-1]-at[len(at)-1-n])
}

// soak publishes at a constant rate for minutes and compares the last minute with the first: tables, statistics and
// caches change within them.
func soak(ctx context.Context, t *trial) error {
	if err := t.warmUp(ctx, len(t.keys)); err != nil {
		return err
	}
	return t.publishFor(ctx, t.soak, t.sizes.soakRate)
}

// heldTransaction is soak at a lower rate while a transaction stays open that keeps PostgreSQL from removing any dead
// row, as a dump does.
func heldTransaction(ctx context.Context, t *trial) error {
	if err := t.warmUp(ctx, len(t.keys)); err != nil {
		return err
	}
	release, err := t.system.holdSnapshot(ctx)
	if err != nil {
		return err
	}
	defer release()
	return t.publishFor(ctx, t.soak, t.sizes.heldRate)
}

// publishFor publishes at a constant rate, and compares the end of the time with its beginning.
func (t *trial) publishFor(ctx context.Context, length time.Duration, rate int) error {
	tr := t.phase(int(length.Seconds()*float64(rate)), len(t.keys))
	if err := t.measured(ctx, tr, func() error { return t.offer(ctx, tr, rate) }); err != nil {
		return err
	}
	window, end := int64(t.sizes.soakWindow), int64(length)
	for name, from := range map[string]int64{"first_minute_": 0, "last_minute_": end - window} {
		arrived, ms := tr.between(from, from+window)
		t.result.figure(name+"per_s", perSecond(arrived, window))
		t.result.figure(name+"p50_ms", percentile(ms, 50))
		t.result.figure(name+"p99_ms", percentile(ms, 99))
	}
	return nil
}

// soakTime returns the length of soak and heldTransaction.
func soakTime(opts Options) time.Duration {
	if opts.Quick {
		return 3 * time.Second
	}
	if opts.Minutes > 0 {
		return time.Duration(opts.Minutes) * time.Minute
	}
	return 10 * time.Minute
}

// arrivalTimes returns the first arrivals of all deliveries, sorted.
func (t *tracker) arrivalTimes() []int64 {
	var at []int64
	for i := range t.arrivals {
		if v := t.arrivals[i].at.Load(); v != 0 {
			at = append(at, v)
		}
	}
	slices.Sort(at)
	return at
}

// between counts the deliveries that arrived in a period and returns the sorted latencies of the events
// posted in it.
func (t *tracker) between(from, to int64) (arrived int, ms []float64) {
	for i := range t.arrivals {
		at, sent := t.arrivals[i].at.Load(), t.events[i/t.fan].sent.Load()
		if at >= from && at < to && at != 0 {
			arrived++
		}
		if at != 0 && sent >= from && sent < to {
			ms = append(ms, float64(at-sent)/1e6)
		}
	}
	slices.Sort(ms)
	return arrived, ms
}
