package bench

import (
	"context"
	"time"

	"greenroom/cmd/internal/testbed"
)

// scenario describes one line of the table.
type scenario struct {
	name      string
	companies int  // each with its own key; events are spread over them in turn
	fan       int  // webhooks of each company, all for the same event
	lastHangs bool // the last company's endpoint reads and never responds
	delay     time.Duration
	onRequest bool // runs only if named
	run       func(ctx context.Context, t *trial) error
}

var scenarios = []scenario{
	{name: "saturated-1", companies: 1, fan: 1, run: saturated},
	{name: "saturated-10", companies: 10, fan: 1, run: saturated},
	{name: "saturated-100", companies: 100, fan: 1, run: saturated},
	{name: "fanout-10", companies: 1, fan: 10, run: saturated},
	{name: "fresh-fanout", companies: 1, fan: 10, run: fresh},
	{name: "backlog", companies: 10, fan: 1, run: backlog},
	{name: "backlog-after-vacuum", companies: 10, fan: 1, run: backlogAfterVacuum},
	{name: "offered-50", companies: 10, fan: 1, run: offered(50)},
	{name: "offered-200", companies: 10, fan: 1, run: offered(200)},
	{name: "slow-100ms", companies: 100, fan: 1, delay: 100 * time.Millisecond, run: saturated},
	{name: "hanging", companies: 100, fan: 1, lastHangs: true, run: hanging},
	{name: "idle-first", companies: 1, fan: 1, run: idleFirst},
	{name: "idle", companies: 10, fan: 1, run: idle},
	{name: "kill9", companies: 10, fan: 1, run: kill9},
	{name: "ingest", companies: 10, fan: 0, run: ingest},
	{name: "soak", companies: 10, fan: 1, onRequest: true, run: soak},
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

// hanging measures the healthy endpoints at 50 events/s without and with an endpoint that never responds and has a
// backlog.
func hanging(ctx context.Context, t *trial) error {
	const rate = 50
	healthy := len(t.keys) - 1
	if err := t.warmUp(ctx, healthy); err != nil {
		return err
	}
	if err := t.offered(ctx, rate, healthy); err != nil {
		return err
	}
	alone := t.result.P99
	for seq := range t.sizes.waiting {
		if err := t.client.publish(ctx, t.keys[healthy], 0, seq); err != nil {
			return err
		}
	}
	if err := t.offered(ctx, rate, healthy); err != nil {
		return err
	}
	t.result.figure("p99_alone_ms", alone)
	t.result.figure("p99_ratio", t.result.P99/alone)
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
