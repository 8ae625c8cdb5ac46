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

// sizes are the loads and durations of the scenarios.
type sizes struct {
	endpoints int           // at most
	warmUp    int           // deliveries of the warm-up
	saturated time.Duration // how long a saturated load is published
	least     int           // events of a load that is sized by its warm-up
	most      int           // most deliveries of any load
	offered   time.Duration
	idleTimes int
	idlePause time.Duration
	// idle is the length of the idle period; idleSettle comes before it, so that earlier work can finish.
	idleSettle, idle time.Duration
	// waiting deliveries are for the endpoints that hang, at least waitingEach for each of them.
	waiting, waitingEach int
	killMost, kills      int // events of a load that is interrupted by so many kills
	// backlog events are accepted while no worker runs. vacuumed events follow delivered events and a VACUUM ANALYZE.
	backlog, delivered, vacuumed int
	fresh                        int           // first events of a new database
	soakRate, heldRate           int           // events/s
	soakWindow                   time.Duration // length of the compared periods at the start and the end
	retries, interviews          int           // that wait
	ingest                       time.Duration
	quiet                        time.Duration // after this long without any arrival, the missing deliveries are lost
}

func sizesOf(quick bool) sizes {
	if quick {
		return sizes{
			endpoints:   5,
			warmUp:      10,
			saturated:   time.Second,
			least:       20,
			most:        50,
			offered:     time.Second,
			idleTimes:   2,
			idlePause:   50 * time.Millisecond,
			idle:        time.Second,
			waiting:     5,
			waitingEach: 1,
			killMost:    400,
			kills:       1,
			retries:     50,
			interviews:  5,
			ingest:      200 * time.Millisecond,
			quiet:       time.Minute,
			backlog:     100,
			delivered:   50,
			vacuumed:    100,
			fresh:       10,
			soakRate:    20,
			heldRate:    20,
			soakWindow:  time.Second,
		}
	}
	return sizes{
		endpoints:   100,
		warmUp:      500,
		saturated:   10 * time.Second,
		least:       1000,
		most:        100_000,
		offered:     20 * time.Second,
		idleTimes:   20,
		idlePause:   2 * time.Second,
		idleSettle:  15 * time.Second,
		idle:        time.Minute,
		waiting:     1000,
		waitingEach: 15,
		killMost:    100_000,
		kills:       5,
		retries:     1_000_000,
		interviews:  10_000,
		ingest:      10 * time.Second,
		quiet:       time.Minute,
		backlog:     100_000,
		delivered:   20_000,
		vacuumed:    30_000,
		fresh:       2000,
		soakRate:    1000,
		heldRate:    200,
		soakWindow:  time.Minute,
	}
}

// register creates the companies, their keys and their webhooks.
func (t *trial) register(ctx context.Context) error {
	t.client = newAPIClient(t.system.urls)
	t.client.keyed, t.client.subjects, t.client.ordered = t.scenario.keyed, t.scenario.subjects, t.scenario.ordered
	companies := min(t.scenario.companies, t.sizes.endpoints)
	for i := range companies {
		key, err := testbed.CreateCompany(ctx, t.system.db, t.system.stores.secret, fmt.Sprintf("Company %d", i+1))
		if err != nil {
			return err
		}
		t.keys = append(t.keys, key)
		hooks, hangs := t.scenario.fan, t.scenario.hanging > 0 && i == companies-1
		if hangs {
			hooks = min(t.scenario.hanging, t.sizes.endpoints*2)
		}
		for k := range hooks {
			endpoint, err := t.receiver.endpoint(k, hangs)
			if err != nil {
				return err
			}
			filters := []string{""}
			if t.scenario.filtered {
				filters = []string{filterOfAll, filterOfNone}
			}
			for _, filter := range filters {
				if err := t.client.createWebhook(ctx, key, endpoint, filter); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// phase starts a new count. Later arrivals of earlier phases are ignored.
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

// saturateFor is saturate with a time limit. It may publish fewer events than the phase has.
func (t *trial) saturateFor(ctx context.Context, tr *tracker, length time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	return t.saturate(ctx, tr)
}

// saturate publishes all events of the phase as fast as the API accepts them, until ctx ends. It waits for the API's
// responses but not for deliveries (open loop), so that a slow system gets a backlog instead of less load.
// Refused events are counted. It is an error if all are refused.
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
					_ = testbed.Sleep(ctx, refusedPause)
				}
			}
		})
	}
	group.Wait()
	return t.allRefused(tr, last.Load())
}

// refusedPause is how long a publisher waits after a refusal, as a client does, so that a load outlasts a restart.
const refusedPause = 10 * time.Millisecond

// offer publishes at a constant rate independent of the responses (open loop), so that a slow system cannot slow the
// load.
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

// warmUp publishes a first load that opens connections, fills caches and waits for the worker. It is an error if one of
// its deliveries does not arrive.
func (t *trial) warmUp(ctx context.Context, companies int) error {
	tr := t.phase(max(t.sizes.warmUp/t.scenario.fan, companies), companies)
	stop := t.show("warm-up", tr)
	defer stop()
	if err := t.saturate(ctx, tr); err != nil {
		return err
	}
	return t.awaitAll(ctx, tr, "the warm-up")
}

// awaitAll is await for a load before the measured one. It is an error if it is incomplete.
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

// measured runs a load and records all its figures.
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

// settle is the wait for the last records and ends of workflows, so that their cost is included.
const settle = time.Second

// processor returns the CPU time of each process so far.
func (t *trial) processor() map[string]time.Duration {
	pids := t.system.processes()
	used := map[string]time.Duration{}
	for name, pid := range pids {
		if d, ok := processorTime(pid); ok {
			used[name] = d
		}
	}
	if own, err := readStat(os.Getpid()); err == nil { // without its children, which are the servers
		used[driverName] = time.Duration(own.ticks) * tick
	}
	return used
}
