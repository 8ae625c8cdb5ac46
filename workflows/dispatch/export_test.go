package dispatch

import (
	"context"
	"errors"
	"time"

	"greenroom/db/delivery"
)

// RunOnce is one round of deliveries and one of commands, for tests that need no timers.
func RunOnce(ctx context.Context, d *Dispatcher) (Result, error) {
	r, _, err := Deliveries(ctx, d)
	c, err2 := d.dispatchCommands(ctx)
	sum := Result{
		Taken: r.Taken + c.Taken, Failed: r.Failed + c.Failed, Unavailable: r.Unavailable || c.Unavailable,
	}
	return sum, errors.Join(err, err2)
}

// RecoverStale recovers batches once.
var RecoverStale = (*Dispatcher).recoverStale

// ReconcileOnce is one reconciliation.
func ReconcileOnce(ctx context.Context, d *Dispatcher) (Result, error) {
	return (&reconciler{Dispatcher: d}).runOnce(ctx)
}

// SetBatchStuckAfter replaces the time after which a batch without progress is abandoned.
func SetBatchStuckAfter(d *Dispatcher, after time.Duration) { d.stuckAfter = after }

// IsUnavailable tells an unavailable Temporal from a refused call.
var IsUnavailable = isUnavailable

// UpkeepOnce is one upkeep.
func UpkeepOnce(ctx context.Context, d *Dispatcher) error { return d.upkeep(ctx) }

// Deliveries is one round of deliveries and of what it leaves to dispatchSingles, and whether the next one begins at
// once although this one took none.
func Deliveries(ctx context.Context, d *Dispatcher) (r Result, again bool, err error) {
	r, err = d.dispatchDeliveries(ctx)
	again = r.more
	s, err2 := d.dispatchSingles(ctx)
	return Result{
		Taken: r.Taken + s.Taken, Failed: r.Failed + s.Failed, Unavailable: r.Unavailable || s.Unavailable,
	}, again, errors.Join(err, err2)
}

// PauseBlocked is one page of the deliveries of blocked webhooks, and whether there may be more.
func PauseBlocked(ctx context.Context, d *Dispatcher) (r Result, again bool, err error) {
	r, err = d.pauseBlocked(ctx)
	return r, r.more, err
}

// SetTurn lets the next round begin after a flow.
func SetTurn(d *Dispatcher, after delivery.Flow) { d.pacer.next = after }

// LimitedDeliveries is one round of deliveries and of what it leaves to dispatchSingles, and the time until a rate limit
// lets the next one be taken; negative: none waits for it.
func LimitedDeliveries(ctx context.Context, d *Dispatcher) (r Result, next time.Duration, err error) {
	r, err = d.dispatchDeliveries(ctx)
	next = -1
	if !r.next.IsZero() {
		next = max(0, time.Until(r.next))
	}
	s, err2 := d.dispatchSingles(ctx)
	return Result{Taken: r.Taken + s.Taken, Failed: r.Failed + s.Failed}, next, errors.Join(err, err2)
}
