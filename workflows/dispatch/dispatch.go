// Package dispatch takes what the database says must be started or told, and starts and tells it: outbox → workflow starts
// and signals. It is the only client of Temporal's start API.
//
// A row is taken, the workflow started, and the transaction committed, in this order. A crash in between gives the row back
// and the redo starts the same workflow id, which is a no-op: nothing is lost and nothing runs twice. The dispatcher lives in
// the worker's process because an eager start needs starter and worker to share a client.
package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/uptrace/bun"
	"go.temporal.io/sdk/client"

	"greenroom/activities"
	"greenroom/db"
)

// Options of a Dispatcher. DB, Client, TaskQueue and Endpoints are required.
type Options struct {
	DB        *bun.DB
	Client    client.Client
	TaskQueue string
	Endpoints *activities.Endpoints
	Logger    *slog.Logger

	// PollInterval is how often the queue is looked at when nobody notifies; 0 means 1 s.
	PollInterval time.Duration
	// PerEndpoint is how many deliveries of one webhook may be in flight; 0 means 10.
	PerEndpoint int
	// Versioned workers start nothing eagerly: an eager start goes to this process's worker whether or not its version is the
	// current one, and what that began the current version would have to go on with.
	Versioned bool
	// Settings that enter workflows through their inputs.
	Circuit   CircuitSettings
	Interview InterviewSettings
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
	o    Options
	wake chan struct{}
}

// New returns a dispatcher; Run makes it work.
func New(o Options) *Dispatcher {
	if o.PollInterval == 0 {
		o.PollInterval = time.Second
	}
	if o.PerEndpoint == 0 {
		o.PerEndpoint = 10
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Dispatcher{o: o, wake: make(chan struct{}, 1)}
}

// Wake makes a waiting Run look at the queue now. It never blocks.
func (d *Dispatcher) Wake() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Result is what one round did.
type Result struct {
	// Taken counts rows that left the queue, Failed those that had to be put back.
	Taken, Failed int
}

// backoffLimit bounds the pause after rounds in which nothing could be started: Temporal is away, and is looked for again.
const backoffLimit = 5 * time.Second

// Run works until ctx ends. A fault of PostgreSQL or Temporal is logged once, waited out and never ends it.
func (d *Dispatcher) Run(ctx context.Context) error {
	go d.listen(ctx)
	failed := 0
	for ctx.Err() == nil {
		r, err := d.runOnce(ctx)
		switch {
		case err != nil || r.Failed > 0:
			if failed++; failed == 1 && ctx.Err() == nil {
				d.o.Logger.WarnContext(ctx, "dispatch waits for its stores", "error", err, "put_back", r.Failed)
			}
			sleep(ctx, min(time.Duration(failed)*250*time.Millisecond, backoffLimit))
			continue
		case failed > 0:
			d.o.Logger.InfoContext(ctx, "dispatch goes on", "failed_rounds", failed)
			failed = 0
		}
		if r.Taken == 0 {
			d.wait(ctx)
		}
	}
	return nil
}

func (d *Dispatcher) wait(ctx context.Context) {
	t := time.NewTimer(d.o.PollInterval)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-d.wake:
	case <-t.C:
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// runOnce takes and starts one round of deliveries and one of commands.
func (d *Dispatcher) runOnce(ctx context.Context) (Result, error) {
	deliveries, err := d.dispatchDeliveries(ctx)
	commands, err2 := d.dispatchCommands(ctx)
	return Result{Taken: deliveries.Taken + commands.Taken, Failed: deliveries.Failed + commands.Failed}, errors.Join(err, err2)
}

// inTx runs fn in a transaction that a shutdown does not tear in the middle: what was started must be committed.
func (d *Dispatcher) inTx(ctx context.Context, fn func(ctx context.Context, tx bun.Tx) error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), roundLimit)
	defer cancel()
	if err := db.InTx(ctx, d.o.DB, fn); err != nil {
		return fmt.Errorf("dispatch: %w", err)
	}
	return nil
}

// roundLimit bounds one round, so that a hanging Temporal holds no transaction for long; startLimit bounds one call of it.
const (
	roundLimit = 30 * time.Second
	startLimit = 5 * time.Second
)
