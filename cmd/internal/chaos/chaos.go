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

// Options say what to run and how much to break. Program and Dir are required; Normalize gives the others their
// defaults.
type Options struct {
	Program  string // the greenroom to run
	Version  string // of that program, for the report
	Seed     uint64 // 0: from the clock
	Faults   int    // how many
	Within   time.Duration
	Rate     float64 // events per second
	APIs     int
	Workers  int
	Settings []string // name=value, for API and worker beside what the run sets itself
	Kinds    []string // kinds of faults; empty: all
	Least    time.Duration
	Most     time.Duration // pause between two faults, from Least to Most
	Quiet    time.Duration // at the end: the run gives up after this long without any progress

	KeepLogs  bool // also of a run that lost nothing
	DevServer bool // Temporal's development server on SQLite instead of the full one on PostgreSQL

	Dir  string    // on a disk: holds the data while it runs, and the result
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

// Normalize fills in the defaults and refuses what cannot be run.
func (o *Options) Normalize() error {
	if o.Seed == 0 {
		o.Seed = uint64(time.Now().UnixNano())
	}
	o.Faults, o.APIs, o.Workers = orDefault(o.Faults, 40), orDefault(o.APIs, 2), orDefault(o.Workers, 2)
	o.Rate, o.Within = orDefault(o.Rate, 40), orDefault(o.Within, 45*time.Minute)
	o.Least, o.Most = orDefault(o.Least, time.Second), orDefault(o.Most, 8*time.Second)
	o.Quiet = orDefault(o.Quiet, 4*time.Minute)
	if o.Least > o.Most || o.Rate < 0 || o.Faults < 0 {
		return errors.New("rate and faults must be positive, and the longest pause no shorter than the shortest")
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

// run is one run under way.
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
	started   time.Time
}

// Run starts the system, breaks it, and accounts for every event. It removes everything again, also on an error and
// when ctx ends. The report is printed and written; it says in Broken whether anything was lost or is unexplained.
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
	keys := make([]string, len(r.hooks))
	for i, h := range r.hooks {
		keys[i] = h.key
	}
	r.publisher = newPublisher(r.fleet.urls(), keys, r.ledger)
	r.operator = newOperator(r)
	return nil
}

// work is the run itself: load, faults, recovery, account.
func (r *run) work(ctx context.Context) (*Report, error) {
	background, end := context.WithCancel(ctx)
	var wait sync.WaitGroup
	wait.Go(func() { r.fleet.supervise(background) })
	wait.Go(func() { r.operator.resetCircuits(background) })
	defer wait.Wait()
	defer end()

	load, unload := context.WithCancel(ctx)
	defer unload()
	wait.Go(func() { r.publisher.run(load, r.opts.Rate) })
	if err := testbed.Sleep(ctx, warmUp); err != nil {
		return nil, err
	}
	if err := r.breakThings(ctx); err != nil {
		return nil, err
	}
	fmt.Fprintln(r.opts.Log, "the last fault is over")
	if err := testbed.Sleep(ctx, tail); err != nil {
		return nil, err
	}
	unload()
	r.publisher.done()
	settled, err := r.settle(ctx)
	if err != nil {
		return nil, err
	}
	return r.account(ctx, settled)
}

// remove ends every process and takes the data away.
func (r *run) remove(ctx context.Context) error {
	var errs []error
	if r.fleet != nil {
		errs = append(errs, r.fleet.close(ctx))
	}
	for _, h := range r.hooks {
		h.receiver.down()
	}
	if r.db != nil {
		errs = append(errs, r.db.Close())
	}
	if r.stores != nil {
		errs = append(errs, r.stores.close(ctx), devstack.Remove(r.stores.dir))
	}
	return errors.Join(errs...)
}
