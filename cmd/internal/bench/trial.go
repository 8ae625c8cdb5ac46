package bench

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"greenroom/cmd/internal/testbed"
)

// trial is one measurement of one scenario.
type trial struct {
	system   *system
	receiver *receiver
	client   *apiClient
	keys     []string // of the companies
	scenario scenario
	sizes    sizes
	log      io.Writer
	soak     time.Duration
	phases   int
	result   Result
}

// sizes say how long things go on.
type sizes struct {
	endpoints int           // at most
	warmUp    int           // deliveries before everything else
	saturated time.Duration // how long a saturated load is published
	least     int           // events of a load that is sized by its warm-up
	most      int           // deliveries of any
	offered   time.Duration
	idleTimes int
	idlePause time.Duration
	// idle is how long nothing is done, after a while in which what was before comes to its end.
	idleSettle, idle time.Duration
	waiting          int // events for the endpoint that hangs
	killMost         int // events of a load that a kill breaks off
	// backlog is accepted while no worker runs. After delivered events and a VACUUM ANALYZE come vacuumed more.
	backlog, delivered, vacuumed int
	fresh                        int           // events that are the first of a database
	soakRate                     int           // events/s
	soakWindow                   time.Duration // how much of the beginning and of the end is compared
	ingest                       time.Duration
	quiet                        time.Duration // what has not arrived after this long without any arrival is lost
}

func sizesOf(quick bool) sizes {
	if quick {
		return sizes{
			endpoints:  5,
			warmUp:     10,
			saturated:  time.Second,
			least:      20,
			most:       50,
			offered:    time.Second,
			idleTimes:  2,
			idlePause:  50 * time.Millisecond,
			idle:       time.Second,
			waiting:    5,
			killMost:   40,
			ingest:     200 * time.Millisecond,
			quiet:      time.Minute,
			backlog:    100,
			delivered:  50,
			vacuumed:   100,
			fresh:      10,
			soakRate:   20,
			soakWindow: time.Second,
		}
	}
	return sizes{
		endpoints:  100,
		warmUp:     500,
		saturated:  10 * time.Second,
		least:      1000,
		most:       100_000,
		offered:    20 * time.Second,
		idleTimes:  20,
		idlePause:  2 * time.Second,
		idleSettle: 15 * time.Second,
		idle:       time.Minute,
		waiting:    1000,
		killMost:   9800,
		ingest:     10 * time.Second,
		quiet:      time.Minute,
		backlog:    100_000,
		delivered:  20_000,
		vacuumed:   30_000,
		fresh:      2000,
		soakRate:   1000,
		soakWindow: time.Minute,
	}
}

// register makes the companies, their keys and their webhooks.
func (t *trial) register(ctx context.Context) error {
	t.client = newAPIClient(t.system.url)
	companies := min(t.scenario.companies, t.sizes.endpoints)
	for i := range companies {
		key, err := testbed.CreateCompany(ctx, t.system.db, t.system.stores.secret, fmt.Sprintf("Company %d", i+1))
		if err != nil {
			return err
		}
		t.keys = append(t.keys, key)
		hangs := t.scenario.lastHangs && i == companies-1
		for k := range t.scenario.fan {
			endpoint, err := t.receiver.endpoint(k, hangs)
			if err != nil {
				return err
			}
			if err := t.client.createWebhook(ctx, key, endpoint); err != nil {
				return err
			}
		}
	}
	return nil
}

// phase begins a new count; what still arrives of an earlier phase is ignored.
func (t *trial) phase(events, companies int) *tracker {
	t.phases++
	tracker := newTracker(t.phases, events, companies, t.scenario.fan)
	t.receiver.current.Store(tracker)
	return tracker
}

// publish posts one event of the tracker's phase.
func (t *trial) publish(ctx context.Context, tr *tracker, seq int) error {
	return tr.post(func() error { return t.client.publish(ctx, t.keys[seq%tr.companies], tr.phase, seq) }, seq)
}

// saturateFor is saturate that ends after a time, with fewer events than the phase has room for.
func (t *trial) saturateFor(ctx context.Context, tr *tracker, length time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	return t.saturate(ctx, tr)
}

// saturate publishes all events of the phase as fast as the API takes them, until ctx ends. It waits for the API's
// answers and never for a delivery (open loop), so that a slow system has much waiting rather than little to do.
// Refused ones are counted; that all were is an error.
func (t *trial) saturate(ctx context.Context, tr *tracker) error {
	var next atomic.Int64
	var last atomic.Pointer[error]
	var group sync.WaitGroup
	for range publishers {
		group.Go(func() {
			for ctx.Err() == nil {
				seq := int(next.Add(1)) - 1
				if seq >= len(tr.events) {
					return
				}
				if err := t.publish(context.WithoutCancel(ctx), tr, seq); err != nil {
					last.Store(&err)
				}
			}
		})
	}
	group.Wait()
	return t.allRefused(tr, last.Load())
}

// offer publishes at a constant rate whatever the answers take (open loop), so that a slow system cannot slow the load.
func (t *trial) offer(ctx context.Context, tr *tracker, rate int) error {
	var last atomic.Pointer[error]
	var group sync.WaitGroup
	start := time.Now()
	for seq := range tr.events {
		if err := testbed.Sleep(ctx, time.Until(start.Add(time.Duration(seq)*time.Second/time.Duration(rate)))); err != nil {
			break
		}
		group.Go(func() {
			if err := t.publish(ctx, tr, seq); err != nil {
				last.Store(&err)
			}
		})
	}
	group.Wait()
	return t.allRefused(tr, last.Load())
}

func (t *trial) allRefused(tr *tracker, last *error) error {
	if tr.accepted.Load() == 0 && last != nil {
		return fmt.Errorf("no event was accepted: %w", *last)
	}
	return nil
}

func (t *trial) await(ctx context.Context, tr *tracker) error {
	return tr.wait(ctx, t.sizes.quiet, t.system.broken)
}

// warmUp sends a first load, so that connections, caches and the worker are there. It is an error when something of
// it does not arrive.
func (t *trial) warmUp(ctx context.Context, companies int) error {
	tr := t.phase(max(t.sizes.warmUp/t.scenario.fan, companies), companies)
	stop := t.show("warm-up", tr)
	defer stop()
	if err := t.saturate(ctx, tr); err != nil {
		return err
	}
	return t.awaitAll(ctx, tr, "the warm-up")
}

// awaitAll is await for what comes before the measured load and must be complete.
func (t *trial) awaitAll(ctx context.Context, tr *tracker, what string) error {
	if err := t.await(ctx, tr); err != nil {
		return err
	}
	if missing := tr.missing(); missing > 0 {
		return fmt.Errorf(
			"%d of %d deliveries of %s did not arrive; the logs are in %s",
			missing,
			len(tr.arrivals),
			what,
			t.system.stores.dir,
		)
	}
	return nil
}

// measured runs a load and takes every figure of it.
func (t *trial) measured(ctx context.Context, tr *tracker, load func() error) error {
	stop := t.show("", tr)
	defer stop()
	profiles := t.system.profile(ctx)
	before := t.processor()
	if err := load(); err != nil {
		return err
	}
	if err := t.await(ctx, tr); err != nil {
		return err
	}
	if err := testbed.Sleep(ctx, settle); err != nil {
		return err
	}
	t.result.fill(tr)
	t.result.charge(before, t.processor())
	return profiles()
}

// settle lets the last deliveries be recorded and their workflows end, so that their cost is counted.
const settle = time.Second

// processor is what each process has used so far.
func (t *trial) processor() map[string]time.Duration {
	pids := t.system.processes()
	used := map[string]time.Duration{}
	for name, pid := range pids {
		if d, ok := processorTime(pid); ok {
			used[name] = d
		}
	}
	if own, err := readStat(os.Getpid()); err == nil { // our children are the servers
		used[driverName] = time.Duration(own.ticks) * tick
	}
	return used
}
