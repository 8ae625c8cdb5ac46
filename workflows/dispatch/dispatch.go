// Package dispatch moves the outbox in PostgreSQL to Temporal: it starts and signals workflows. It is the only client
// of Temporal's start API.
//
// For a delivery or a command of its own, the row is taken, the workflow started, and the transaction committed, in
// this order. After a crash in between, the row is back and the same workflow id is started again, which is a no-op.
// A batch is written down and committed first, and started afterwards; its row is started again until it has ended.
// So nothing is lost and nothing runs twice. The dispatcher is part of the worker's process, because an eager start
// needs starter and worker to share a client.
package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/uptrace/bun"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"greenroom/activities/deliver"
	"greenroom/activities/inflight"
	"greenroom/db/delivery"
	"greenroom/db/leader"
	"greenroom/db/pg"
)

// Options of a Dispatcher. DB, Client, TaskQueue and Endpoints are required.
type Options struct {
	DB        *bun.DB
	Client    client.Client
	TaskQueue string
	Endpoints *inflight.Endpoints
	// Streams are those of this process's worker. nil: deliveries that share a workflow share one batch by batch.
	Streams *deliver.Streams
	Logger  *slog.Logger

	// PollInterval is how often the queue is read without a notification; 0 means 1 s.
	PollInterval time.Duration
	// BatchAbove is the number of deliveries per second, and of those waiting, above which first attempts share a
	// workflow; 0 means never: every delivery has its own.
	BatchAbove int
	// Versioned workers do not use eager starts: these go to this process's worker even if its version is not the
	// current one, which would then have to continue the workflow.
	Versioned bool
	// Traced: workflows continue the traces of the events that they deliver.
	Traced bool
	// Prepare, when not nil, makes sure that Temporal has what workflows need. The leader calls it before each
	// reconciliation, because Temporal's store may have come back empty.
	Prepare   func(ctx context.Context) error
	Reconcile ReconcileSettings
	Upkeep    UpkeepSettings
	// MailNotices, when not nil, mails changes of webhooks. The leader calls it every few seconds.
	MailNotices func(ctx context.Context) error
	// ConsoleURL is that of the console, for links in workflows; "": none.
	ConsoleURL string
	// Settings that enter workflows through their inputs.
	Circuit   CircuitSettings
	Interview InterviewSettings
}

// ReconcileSettings are how often, and after how long, lost work is looked for.
type ReconcileSettings struct {
	// Every is the pause between two reconciliations; 0 means 5 s. Grace is how long a row may be overdue, beyond its
	// receiver's time-out, before its workflow counts as lost; 0 means 25 s, the time of loading and recording on a slow
	// store. With the longest time-out of 30 s, lost work is found within a minute.
	Every, Grace time.Duration
}

// CircuitSettings go into Circuit workflows.
type CircuitSettings struct {
	Probe, ByProfile        bool
	Cooldown, CooldownLimit time.Duration
	ReleaseLimit            int
}

// InterviewSettings go into Interview workflows.
type InterviewSettings struct {
	NoAnswerRetries int
	NoAnswerDelay   time.Duration
}

// Dispatcher moves rows of the outbox to Temporal.
type Dispatcher struct {
	o Options
	// Each holds one hint that there may be something to take.
	deliveries, singles, commands, moved chan struct{}

	temporal congestion

	// These belong to the loop that dispatches deliveries.
	pacer        pacer
	limits       limits
	streamStarts streamStarts
	// extraordinary: the last round saw deliveries that express does not take.
	extraordinary bool

	// singlesAfter belongs to the loop of dispatchSingles: no singles are taken before.
	singlesAfter time.Time

	// lines belongs to the loop of moveLines.
	lines *delivery.Lines

	batches pendingBatches
	tokens  singleTokens
	blocked blockedWebhooks

	stuckAfter time.Duration // batchStuckAfter
	recovered  time.Time     // the last recovery of stale batches
}

// New returns a dispatcher, which works while Run does.
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
		o: o, deliveries: make(chan struct{}, 1), singles: make(chan struct{}, 1), commands: make(chan struct{}, 1),
		moved:      make(chan struct{}, 1),
		lines:      delivery.NewLines(o.DB),
		pacer:      pacer{above: o.BatchAbove, processes: o.Endpoints.Processes},
		limits:     newLimits(),
		blocked:    blockedWebhooks{hint: make(chan struct{}, 1)},
		stuckAfter: batchStuckAfter,
	}
}

// Wake makes Run read the queue now. It does not block.
func (d *Dispatcher) Wake() {
	wake(d.deliveries)
	wake(d.commands)
}

func wake(hint chan struct{}) {
	select {
	case hint <- struct{}{}:
	default:
	}
}

// Result is what one round did.
type Result struct {
	// Taken counts rows that left the queue, Failed those that were put back.
	Taken, Failed int
	// Unavailable: a store did not answer.
	Unavailable bool
	// more: the bounds of the round may have left something that can be taken. next is when a rate limit lets something
	// be taken; zero: nothing waits for one.
	more bool
	next time.Time
}

// Run dispatches until ctx ends. While PostgreSQL or Temporal is unavailable it logs once and tries again.
func (d *Dispatcher) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { d.listen(ctx) })
	wg.Go(func() { leader.Run(ctx, d.o.DB, workerLease, d.o.Logger, d.maintenance()...) })
	wg.Go(func() { d.loop(ctx, d.dispatchCommands, d.commands) })
	wg.Go(func() { d.loop(ctx, d.dispatchSingles, d.singles) })
	wg.Go(func() { d.loop(ctx, d.pauseBlocked, d.blocked.hint) })
	wg.Go(func() { d.loop(ctx, d.moveLines, d.moved) })
	// One round of deliveries at a time: concurrent rounds started more than the attempts could keep up with (measured).
	wg.Go(func() { d.loop(ctx, d.pacedDeliveries, d.deliveries) })
	wg.Wait()
	return nil
}

// backoffStep and backoffLimit are the pause after rounds in which a store did not answer: linear, with a limit.
const (
	backoffStep  = 250 * time.Millisecond
	backoffLimit = 5 * time.Second
)

// loop runs rounds while they leave something that can be taken. Otherwise it waits for a hint, for the next token of a
// rate limit or for PollInterval.
func (d *Dispatcher) loop(ctx context.Context, round func(context.Context) (Result, error), hint <-chan struct{}) {
	failed := 0
	for ctx.Err() == nil {
		r, err := round(ctx)
		if err != nil || r.Unavailable {
			if failed++; failed == 1 && ctx.Err() == nil {
				d.reportWaiting(ctx, r, err)
			}
			sleep(ctx, min(time.Duration(failed)*backoffStep, backoffLimit))
			continue
		}
		if failed > 0 {
			d.o.Logger.InfoContext(ctx, "dispatch continues", "failed_rounds", failed)
			failed = 0
		}
		if !r.more { // what is written from now on comes with a hint
			d.await(ctx, hint, r.next)
		}
	}
}

// reportWaiting logs which store is unavailable.
func (d *Dispatcher) reportWaiting(ctx context.Context, r Result, err error) {
	switch {
	case err == nil:
		d.o.Logger.WarnContext(ctx, "dispatch waits: Temporal does not answer; nothing is lost", "put_back", r.Failed)
	case pg.IsUnavailable(err):
		d.o.Logger.WarnContext(ctx, "dispatch waits: PostgreSQL does not answer", "error", err)
	default:
		d.o.Logger.ErrorContext(ctx, "dispatch failed and is retried", "error", err)
	}
}

func (d *Dispatcher) await(ctx context.Context, hint <-chan struct{}, next time.Time) {
	wait := d.o.PollInterval
	if !next.IsZero() {
		wait = min(wait, time.Until(next))
	}
	t := time.NewTimer(wait)
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

// inTx runs fn in a transaction that a shutdown does not interrupt: started workflows must be committed.
func (d *Dispatcher) inTx(ctx context.Context, fn func(ctx context.Context, tx bun.Tx) error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), roundLimit)
	defer cancel()
	if err := pg.InTx(ctx, d.o.DB, fn); err != nil {
		return fmt.Errorf("dispatch: %w", err)
	}
	return nil
}

// waitsForTemporal lets a transaction be idle during calls of Temporal.
func waitsForTemporal(ctx context.Context, tx bun.Tx) error {
	idle := (roundLimit + startLimit).Milliseconds()
	if _, err := tx.ExecContext(ctx, "SET LOCAL idle_in_transaction_session_timeout = ?", idle); err != nil {
		return fmt.Errorf("set the time limit of the transaction: %w", err)
	}
	return nil
}

// roundLimit bounds one round, so that a hanging Temporal does not hold a transaction for long. startLimit bounds one
// call of Temporal.
const (
	roundLimit = 30 * time.Second
	startLimit = 5 * time.Second
)

// isUnavailable reports whether a call failed because Temporal is unavailable or overloaded; false when it refused the
// call or the workflow is contended. A missing namespace counts as unavailable: a server with an empty store creates it
// after it begins to answer.
func isUnavailable(err error) bool {
	var none *serviceerror.NamespaceNotFound
	if errors.As(err, &none) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return true
	}
	if isContended(err) {
		return false
	}
	var s serviceerror.ServiceError
	if !errors.As(err, &s) {
		return isUnavailableCode(status.Code(err))
	}
	return isUnavailableCode(s.Status().Code())
}

func isUnavailableCode(c codes.Code) bool {
	return c == codes.Unavailable || c == codes.DeadlineExceeded || c == codes.ResourceExhausted || c == codes.Canceled
}

// isContended reports whether a call lost against other calls for the same workflow. It is made again, and says nothing
// about Temporal.
func isContended(err error) bool {
	var exhausted *serviceerror.ResourceExhausted
	if errors.As(err, &exhausted) {
		return exhausted.Cause == enumspb.RESOURCE_EXHAUSTED_CAUSE_BUSY_WORKFLOW
	}
	var s serviceerror.ServiceError
	return errors.As(err, &s) && s.Status().Code() == codes.Aborted
}
