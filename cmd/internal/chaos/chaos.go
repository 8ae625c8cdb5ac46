package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"greenroom/cmd/internal/devstack"
	"greenroom/cmd/internal/testbed"
	"greenroom/db"
	"greenroom/db/pg"
)

// Options configure a run. Program and Dir are required; Normalize sets the defaults of the
// others.
type Options struct {
	Program  string // the greenroom to run
	Version  string // of that program, for the report
	Seed     uint64 // 0: from the clock
	Faults   int    // number of faults
	Within   time.Duration
	Rate     float64 // events per second
	APIs     int
	Workers  int
	Settings []string // name=value, additional settings for API and worker
	Kinds    []string // kinds of faults; empty: all
	Least    time.Duration
	Most     time.Duration // the pause between two faults is from Least to Most
	Quiet    time.Duration // the run ends after this long without progress

	KeepLogs  bool // even if nothing was lost
	DevServer bool // Temporal's development server on SQLite instead of the full one on PostgreSQL

	Dir  string    // holds the data during the run, and the result; must be on a disk
	JSON string    // file of the result; empty: Dir/<time>-<seed>.json
	Out  io.Writer // the report
	Log  io.Writer // progress
}

const (
	stopLimit = 2 * time.Minute
	// warmUp is how long the load runs before the first fault, tail how long it continues after the last.
	warmUp = 3 * time.Second
	tail   = 8 * time.Second
)

// Normalize sets the defaults and refuses invalid options.
func (o *Options) Normalize() error {
	if o.Seed == 0 {
		o.Seed = uint64(time.Now().UnixNano())
	}
	o.Faults, o.APIs, o.Workers = orDefault(o.Faults, 40), orDefault(o.APIs, 2), orDefault(o.Workers, 2)
	o.Rate, o.Within = orDefault(o.Rate, 40), orDefault(o.Within, 45*time.Minute)
	o.Least, o.Most = orDefault(o.Least, time.Second), orDefault(o.Most, 8*time.Second)
	o.Quiet = orDefault(o.Quiet, 4*time.Minute)
	if o.Least > o.Most || o.Rate < 0 || o.Faults < 0 {
		return errors.New("rate and faults must be positive; the longest pause must not be shorter than the shortest")
	}
	_, err := chooseKinds(o.Kinds)
	return err
}

func orDefault[T comparable](value, def T) T {
	var zero T
	if value == zero {
		return def
	}
	return value
}

// run is the state of a run.
type run struct {
	opts      Options
	stores    *stores
	fleet     *fleet
	db        *bun.DB
	ledger    *ledger
	timeline  *timeline
	hooks     []*hook
	publisher *publisher
	operator  *operator
	witnesses *witnesses
	started   time.Time
}

// Run starts the system, injects faults and accounts for every event. It always removes the processes and their data,
// also on an error. It prints and writes the report. Report.Broken is true if an event was lost or is unexplained.
func Run(ctx context.Context, opts Options) (_ *Report, err error) {
	if err := opts.Normalize(); err != nil {
		return nil, err
	}
	r := &run{opts: opts}
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
		defer cancel()
		err = errors.Join(err, r.remove(stop))
	}()
	if err := r.start(ctx); err != nil {
		return nil, err
	}
	report, err := r.work(ctx)
	if err != nil {
		return nil, err
	}
	if report.Broken() || opts.KeepLogs {
		if report.Logs, err = keepLogs(r.stores.dir, opts.Dir, opts.Seed); err != nil {
			return nil, err
		}
	}
	report.print(opts.Out)
	return report, report.write(opts)
}

func (r *run) start(ctx context.Context) (err error) {
	if r.stores, err = openStores(ctx, r.opts); err != nil {
		return err
	}
	if r.db, err = pg.Open(ctx, pg.Options{URL: r.stores.postgres.URL(), MaxConns: 4}); err != nil {
		return err
	}
	if _, err := db.Migrate(ctx, r.db); err != nil {
		return err
	}
	if r.fleet, err = startFleet(r.opts, r.stores); err != nil {
		return err
	}
	if err := r.fleet.awaitReady(ctx); err != nil {
		return err
	}
	r.started = time.Now()
	r.ledger, r.timeline = &ledger{start: r.started}, &timeline{start: r.started}
	if r.hooks, err = register(ctx, r); err != nil {
		return err
	}
	if r.witnesses, err = r.callWitnesses(ctx); err != nil {
		return err
	}
	keys := make([]string, len(r.hooks))
	for i, h := range r.hooks {
		keys[i] = h.key
	}
	r.publisher = newPublisher(r.fleet.urls(), keys, r.ledger)
	r.operator = newOperator(r)
	return nil
}

// work runs the load, injects the faults, waits for the recovery and accounts for the events.
func (r *run) work(ctx context.Context) (*Report, error) {
	background, end := context.WithCancel(ctx)
	var wait sync.WaitGroup
	wait.Go(func() { r.fleet.supervise(background) })
	wait.Go(func() { r.operator.resetCircuits(background) })
	var readers sync.WaitGroup
	for _, f := range r.witnesses.readers {
		readers.Go(func() { f.run(background) })
	}
	var caughtUp sync.WaitGroup
	defer func() { end(); wait.Wait(); readers.Wait(); caughtUp.Wait() }()

	load, unload := context.WithCancel(ctx)
	defer unload()
	wait.Go(func() { r.publisher.run(load, r.opts.Rate) })
	caughtUp.Go(func() { r.catchUp(load) })
	if err := testbed.Sleep(ctx, warmUp); err != nil {
		return nil, err
	}
	if err := r.injectFaults(ctx); err != nil {
		return nil, err
	}
	fmt.Fprintln(r.opts.Log, "the last fault is over")
	if err := testbed.Sleep(ctx, tail); err != nil {
		return nil, err
	}
	unload()
	r.publisher.done()
	caughtUp.Wait()
	settled, err := r.settle(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.endFeed(ctx, &readers); err != nil {
		return nil, err
	}
	return r.account(ctx, settled)
}

// remove stops every process and removes the data.
func (r *run) remove(ctx context.Context) error {
	var errs []error
	if r.fleet != nil {
		errs = append(errs, r.fleet.close(ctx))
	}
	for _, h := range r.hooks {
		h.receiver.down()
	}
	r.witnesses.close()
	if r.db != nil {
		errs = append(errs, r.db.Close())
	}
	if r.stores != nil {
		errs = append(errs, r.stores.close(ctx), devstack.Remove(r.stores.dir))
	}
	return errors.Join(errs...)
}
