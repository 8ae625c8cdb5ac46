package bench

import (
	"context"
	"math"
	"time"

	"greenroom/cmd/internal/testbed"
)

// scenario describes one line of the table.
type scenario struct {
	name      string
	companies int  // each with its own key; events are spread over them in turn
	fan       int  // webhooks of each company, all for the same event
	hanging   int  // webhooks of the last company instead: their endpoints read and never respond
	keyed     bool // each event is published with a new Idempotency-Key
	filtered  bool // each webhook has a filter, and as many again have one that matches no event
	subjects  int  // events are about so many subjects in turn; 0: about none
	ordered   bool // webhooks have ordering
	delay     time.Duration
	onRequest bool // runs only if named
	processes int  // APIs, and as many workers, each on one processor; 0 is one of each on all processors
	run       func(ctx context.Context, t *trial) error
}

var scenarios = []scenario{
	{name: "saturated-1", companies: 1, fan: 1, run: saturated},
	{name: "saturated-10", companies: 10, fan: 1, run: saturated},
	{name: "saturated-10-keyed", companies: 10, fan: 1, keyed: true, run: saturated},
	{name: "subjects", companies: 10, fan: 1, subjects: 10_000, run: saturated},
	{name: "ordered", companies: 10, fan: 1, subjects: 10_000, ordered: true, run: saturated},
	{name: "ordered-offered-50", companies: 10, fan: 1, subjects: 10_000, ordered: true, run: offered(50)},
	{name: "saturated-100", companies: 100, fan: 1, run: saturated},
	{name: "fanout-10", companies: 1, fan: 10, run: saturated},
	{name: "fanout-5", companies: 1, fan: 5, run: saturated},
	{name: "filtered-10", companies: 1, fan: 5, filtered: true, run: saturated},
	{name: "fresh-fanout", companies: 1, fan: 10, run: fresh},
	{name: "backlog", companies: 10, fan: 1, run: backlog},
	{name: "backlog-after-vacuum", companies: 10, fan: 1, run: backlogAfterVacuum},
	{name: "offered-50", companies: 10, fan: 1, run: offered(50)},
	{name: "offered-200", companies: 10, fan: 1, run: offered(200)},
	{name: "slow-100ms", companies: 10, fan: 1, delay: 100 * time.Millisecond, run: saturated},
	{name: "hanging", companies: 100, fan: 1, hanging: 1, run: hanging(50)},
	{name: "hanging-company", companies: 2, fan: 10, hanging: 200, run: hanging(5)},
	{name: "idle-first", companies: 1, fan: 1, run: idleFirst},
	{name: "idle", companies: 10, fan: 1, run: idle},
	{name: "kill9", companies: 10, fan: 1, run: kill9},
	{name: "ingest", companies: 10, fan: 0, run: ingest},
	{name: "ingest-keyed", companies: 10, fan: 0, keyed: true, run: ingest},
	{name: "scale-1", companies: 100, fan: 1, onRequest: true, processes: 1, run: scaled},
	{name: "scale-2", companies: 100, fan: 1, onRequest: true, processes: 2, run: scaled},
	{name: "scale-4", companies: 100, fan: 1, onRequest: true, processes: 4, run: scaled},
	{name: "soak", companies: 10, fan: 1, onRequest: true, run: soak},
	{name: "waiting-retries", companies: 11, fan: 1, hanging: 10, onRequest: true, run: waitingRetries},
	{name: "waiting-interviews", companies: 10, fan: 1, onRequest: true, run: waitingInterviews},
	{name: "held-transaction", companies: 10, fan: 1, onRequest: true, run: heldTransaction},
}

// saturated publishes for a time as fast as the API accepts events, regardless of the backlog, and counts
// until the last delivery has arrived.
func saturated(ctx context.Context, t *trial) error {
	if err := t.warmUp(ctx, len(t.keys)); err != nil {
		return err
	}
	tr := t.phase(t.sizes.most/t.scenario.fan, len(t.keys))
	return t.measured(ctx, tr, func() error { return t.saturateFor(ctx, tr, t.sizes.saturated) })
}

// scaled is saturated with several APIs and workers. Its figures show how they share the load: the CPU time of all
// workers and APIs for each delivery, and the part of the worker that did the least. Claims that collide would show as
// CPU time.
func scaled(ctx context.Context, t *trial) error {
	if err := saturated(ctx, t); err != nil {
		return err
	}
	for _, kind := range []string{apiName, workerName} {
		sum, least := 0.0, math.Inf(1)
		for i := range t.system.urls {
			ms := t.result.ProcessorMS[numbered(kind, i)]
			sum, least = sum+ms, min(least, ms)
		}
		t.result.figure(kind+"s_ms", sum)
		t.result.figure("least_"+kind+"_share", least/sum)
	}
	return nil
}

// offered publishes at a fixed rate.
func offered(rate int) func(context.Context, *trial) error {
	return func(ctx context.Context, t *trial) error {
		if err := t.warmUp(ctx, len(t.keys)); err != nil {
			return err
		}
		return t.offered(ctx, rate, len(t.keys))
	}
}

func (t *trial) offered(ctx context.Context, rate, companies int) error {
	tr := t.phase(int(t.sizes.offered.Seconds()*float64(rate)), companies)
	return t.measured(ctx, tr, func() error { return t.offer(ctx, tr, rate) })
}

// hanging measures the healthy endpoints at a fixed rate without and with endpoints of another company that never
// respond and have a backlog.
func hanging(rate int) func(context.Context, *trial) error {
	return func(ctx context.Context, t *trial) error { return t.besideHanging(ctx, rate) }
}

func (t *trial) besideHanging(ctx context.Context, rate int) error {
	healthy := len(t.keys) - 1
	if err := t.warmUp(ctx, healthy); err != nil {
		return err
	}
	if err := t.offered(ctx, rate, healthy); err != nil {
		return err
	}
	alone := t.result.P99
	for seq := range max(t.sizes.waitingEach, t.sizes.waiting/t.scenario.hanging) {
		if err := t.client.publish(ctx, t.keys[healthy], 0, seq); err != nil {
			return err
		}
	}
	if err := t.warmUp(ctx, healthy); err != nil { // both measurements follow the same load
		return err
	}
	if err := t.offered(ctx, rate, healthy); err != nil {
		return err
	}
	t.result.figure("p99_alone_ms", alone)
	t.result.figure("p99_ratio", t.result.P99/alone)
	t.receiver.close() // a worker that stops waits for the attempts that hang
	return nil
}

// idleFirst measures the latency of a single event after an idle period.
func idleFirst(ctx context.Context, t *trial) error {
	if err := t.warmUp(ctx, len(t.keys)); err != nil {
		return err
	}
	tr := t.phase(t.sizes.idleTimes, 1)
	return t.measured(ctx, tr, func() error {
		for seq := range tr.events {
			if err := testbed.Sleep(ctx, t.sizes.idlePause); err != nil {
				return err
			}
			if err := t.publish(ctx, tr, seq); err != nil {
				return err
			}
			if err := t.await(ctx, tr); err != nil {
				return err
			}
		}
		return nil
	})
}

// idle measures the cost of an idle system after a load, and checks that it still delivers afterwards.
func idle(ctx context.Context, t *trial) error {
	if err := t.warmUp(ctx, len(t.keys)); err != nil {
		return err
	}
	if err := testbed.Sleep(ctx, t.sizes.idleSettle); err != nil {
		return err
	}
	own, all, err := t.system.transactions(ctx)
	if err != nil {
		return err
	}
	before, start := t.processor(), time.Now()
	if err := testbed.Sleep(ctx, t.sizes.idle); err != nil {
		return err
	}
	after, took := t.processor(), time.Since(start).Seconds()
	ownAfter, allAfter, err := t.system.transactions(ctx)
	if err != nil {
		return err
	}
	for name, used := range after {
		if name != driverName {
			t.result.figure(name+"_ms_per_s", float64(used-before[name])/float64(time.Millisecond)/took)
		}
	}
	t.result.figure("transactions_per_s", float64(ownAfter-own)/took)
	t.result.figure("transactions_with_temporal_per_s", float64(allAfter-all)/took)
	tr := t.phase(1, 1)
	if err := t.publish(ctx, tr, 0); err != nil {
		return err
	}
	if err := t.await(ctx, tr); err != nil {
		return err
	}
	t.result.fill(tr)
	return nil
}

// kill9 kills API and worker several times in the middle of a load that continues, and restarts them at once. All
// accepted events must arrive. The figure twice_worst is the most deliveries that one kill repeated.
func kill9(ctx context.Context, t *trial) error {
	if err := t.warmUp(ctx, len(t.keys)); err != nil {
		return err
	}
	tr := t.phase(t.sizes.killMost, len(t.keys))
	stop := t.show("", tr)
	defer stop()
	loaded := make(chan error, 1)
	go func() { loaded <- t.saturate(ctx, tr) }()
	var twice, worst int64
	since := func() int64 {
		before := twice
		twice = tr.extra.Load()
		return twice - before
	}
	for kill := range t.sizes.kills {
		for share := len(tr.events) * (kill + 1) / (t.sizes.kills + 1); tr.posted.Load() < int64(share); {
			if err := testbed.Sleep(ctx, time.Millisecond); err != nil {
				return err
			}
		}
		worst = max(worst, since())
		t.system.kill()
		if err := t.system.launch(ctx); err != nil {
			return err
		}
	}
	if err := <-loaded; err != nil {
		return err
	}
	if err := t.await(ctx, tr); err != nil {
		return err
	}
	if err := testbed.Sleep(ctx, settle); err != nil {
		return err
	}
	t.result.fill(tr)
	t.result.figure("kills", float64(t.sizes.kills))
	t.result.figure("twice_worst", float64(max(worst, since())))
	return nil
}

// ingest publishes events without subscribers.
func ingest(ctx context.Context, t *trial) error {
	warm := t.phase(t.sizes.warmUp, len(t.keys))
	if err := t.saturate(ctx, warm); err != nil {
		return err
	}
	rate := float64(warm.accepted.Load()) / time.Duration(warm.lastPost.Load()).Seconds()
	events := min(max(int(rate*t.sizes.ingest.Seconds()), t.sizes.least), t.sizes.most)
	tr := t.phase(events, len(t.keys))
	return t.measured(ctx, tr, func() error { return t.saturate(ctx, tr) })
}
