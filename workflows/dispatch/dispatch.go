// Package dispatch takes what the database says must be started or told, and starts and tells it: outbox → workflow
// starts and signals. It is the only client of Temporal's start API.
//
// A row is taken, the workflow started, and the transaction committed, in this order. A crash in between gives the
// row back and the redo starts the same workflow id, which is a no-op: nothing is lost and nothing runs twice. The
// dispatcher lives in the worker's process because an eager start needs starter and worker to share a client.
package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/uptrace/bun"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"greenroom/activities/inflight"
	"greenroom/db/leader"
	"greenroom/db/pg"
)

// Options of a Dispatcher. DB, Client, TaskQueue and Endpoints are required.
type Options struct {
	DB        *bun.DB
	Client    client.Client
	TaskQueue string
	Endpoints *inflight.Endpoints
	Logger    *slog.Logger

	// PollInterval is how often the queue is looked at when nobody notifies; 0 means 1 s.
	PollInterval time.Duration
	// BatchAbove is the number of deliveries per second, and of those waiting, from which first attempts share a
	// workflow; 0 means never: strictly every delivery has its own.
	BatchAbove int
	// Versioned workers start nothing eagerly: an eager start goes to this process's worker whether or not its version
	// is the current one, and what that began the current version would have to go on with.
	Versioned bool
	// Prepare, when not nil, makes sure that Temporal has what workflows need, as the leader does before each look for
	// lost work: its store may have come back empty.
	Prepare   func(ctx context.Context) error
	Reconcile ReconcileSettings
	Upkeep    UpkeepSettings
	// Settings that enter workflows through their inputs.
	Circuit   CircuitSettings
	Interview InterviewSettings
}

// ReconcileSettings are the pace of looking for lost work.
type ReconcileSettings struct {
	// Every is the pause between two looks; 0 means 5 s. Grace is how long a row may be overdue, beyond its receiver's
	// time-out, before its workflow counts as lost; 0 means 25 s: loading and recording may take as long when a store is
	// slow. Together with the longest time-out they keep lost work under a minute.
	Every, Grace time.Duration
}

// CircuitSettings go into Circuit workflows.
type CircuitSettings struct {
	Probe        bool
	Cooldown     time.Duration
	ReleaseLimit int
}

// InterviewSettings go into Interview workflows.
type InterviewSettings struct {
	NoAnswerRetries int
	NoAnswerDelay   time.Duration
}

// Dispatcher moves rows of the outbox to Temporal.
type Dispatcher struct {
	o Options
	// One hint waits in each: there is something to take.
	deliveries, commands chan struct{}

	// Of the loop that dispatches deliveries.
	pacer     pacer
	unstarted []batch

	stuckAfter time.Duration // batchStuckAfter
}

// New returns a dispatcher; Run makes it work.
func New(o Options) *Dispatcher {
	if o.PollInterval == 0 {
		o.PollInterval = time.Second
	}
	if o.Reconcile.Every == 0 {
		o.Reconcile.Every = 5 * time.Second
	}
	if o.Reconcile.Grace == 0 {
		o.Reconcile.Grace = 25 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Dispatcher{
		o: o, deliveries: make(chan struct{}, 1), commands: make(chan struct{}, 1),
		pacer:      pacer{above: o.BatchAbove},
		stuckAfter: batchStuckAfter,
	}
}

// Wake makes a waiting Run look at the queue now. It never blocks.
func (d *Dispatcher) Wake() {
	for _, hint := range []chan struct{}{d.deliveries, d.commands} {
		select {
		case hint <- struct{}{}:
		default:
		}
	}
}

// Result is what one round did.
type Result struct {
	// Taken counts rows that left the queue, Failed those that had to be put back.
	Taken, Failed int
	// Away: a store did not answer.
	Away bool
	// more: some had no turn yet.
	more bool
}

// Run works until ctx ends. A fault of PostgreSQL or Temporal is logged once, waited out and never ends it.
func (d *Dispatcher) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { d.listen(ctx) })
	wg.Go(func() { leader.Run(ctx, d.o.DB, workerLease, d.o.Logger, d.maintenance()...) })
	wg.Go(func() { d.loop(ctx, d.dispatchCommands, d.commands) })
	// One round of deliveries at a time: more of them were measured to start more than the attempts can keep up with.
	wg.Go(func() { d.loop(ctx, d.pacedDeliveries, d.deliveries) })
	wg.Wait()
	return nil
}

// backoffStep and backoffLimit shape the pause after rounds that a store did not answer: it is looked for again.
const (
	backoffStep  = 250 * time.Millisecond
	backoffLimit = 5 * time.Second
)

// loop does rounds as long as they take something, and waits for a hint, or for the poll, when they do not.
func (d *Dispatcher) loop(ctx context.Context, round func(context.Context) (Result, error), hint <-chan struct{}) {
	away := 0
	for ctx.Err() == nil {
		r, err := round(ctx)
		if err != nil || r.Away {
			if away++; away == 1 && ctx.Err() == nil {
				d.reportWaiting(ctx, r, err)
			}
			sleep(ctx, min(time.Duration(away)*backoffStep, backoffLimit))
			continue
		}
		if away > 0 {
			d.o.Logger.InfoContext(ctx, "dispatch goes on", "failed_rounds", away)
			away = 0
		}
		if r.Taken == 0 && !r.more {
			d.await(ctx, hint)
		}
	}
}

// reportWaiting says which store dispatch waits for.
func (d *Dispatcher) reportWaiting(ctx context.Context, r Result, err error) {
	switch {
	case err == nil:
		d.o.Logger.WarnContext(ctx, "dispatch waits: Temporal does not answer; nothing is lost", "put_back", r.Failed)
	case pg.IsUnavailable(err):
		d.o.Logger.WarnContext(ctx, "dispatch waits: PostgreSQL does not answer", "error", err)
	default:
		d.o.Logger.ErrorContext(ctx, "dispatch fails and is tried again", "error", err)
	}
}

func (d *Dispatcher) await(ctx context.Context, hint <-chan struct{}) {
	t := time.NewTimer(d.o.PollInterval)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-hint:
	case <-t.C:
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// inTx runs fn in a transaction that a shutdown does not tear in the middle: what was started must be committed.
func (d *Dispatcher) inTx(ctx context.Context, fn func(ctx context.Context, tx bun.Tx) error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), roundLimit)
	defer cancel()
	err := pg.InTx(ctx, d.o.DB, func(ctx context.Context, tx bun.Tx) error {
		// Calls of Temporal are made in this transaction, which stands still for as long.
		_, err := tx.ExecContext(
			ctx,
			"SET LOCAL idle_in_transaction_session_timeout = ?",
			(roundLimit + startLimit).Milliseconds(),
		)
		if err != nil {
			return err
		}
		return fn(ctx, tx)
	})
	if err != nil {
		return fmt.Errorf("dispatch: %w", err)
	}
	return nil
}

// roundLimit bounds one round, so that a hanging Temporal holds no transaction for long; startLimit bounds one call
// of it.
const (
	roundLimit = 30 * time.Second
	startLimit = 5 * time.Second
)

// isAway reports whether a call failed because Temporal does not answer, or not now, as opposed to a call that it
// refuses. A namespace that is not there will be: a server that comes back with an empty store makes it after it
// began to answer.
func isAway(err error) bool {
	var none *serviceerror.NamespaceNotFound
	if errors.As(err, &none) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return true
	}
	var s serviceerror.ServiceError
	if !errors.As(err, &s) {
		return isAwayCode(status.Code(err))
	}
	return isAwayCode(s.Status().Code())
}

func isAwayCode(c codes.Code) bool {
	return c == codes.Unavailable || c == codes.DeadlineExceeded || c == codes.ResourceExhausted || c == codes.Canceled ||
		c == codes.Aborted
}
