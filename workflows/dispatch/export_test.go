package dispatch

import (
	"context"
	"errors"
	"time"
)

// RunOnce is one round of deliveries and one of commands, for tests that need no timers.
func RunOnce(ctx context.Context, d *Dispatcher) (Result, error) {
	r, err := d.dispatchDeliveries(ctx)
	c, err2 := d.dispatchCommands(ctx)
	return Result{Taken: r.Taken + c.Taken, Failed: r.Failed + c.Failed, Away: r.Away || c.Away}, errors.Join(err, err2)
}

// RecoverStale is one look after batches that nobody looked at lately.
var RecoverStale = (*Dispatcher).recoverStale

// ReconcileOnce is one look for lost work.
func ReconcileOnce(ctx context.Context, d *Dispatcher) (Result, error) {
	return (&reconciler{Dispatcher: d}).runOnce(ctx)
}

// SetBatchStuckAfter replaces the time after which a batch without progress is given up.
func SetBatchStuckAfter(d *Dispatcher, after time.Duration) { d.stuckAfter = after }

// IsAway tells an unavailable Temporal from one that refuses.
var IsAway = isAway

// UpkeepOnce is one upkeep.
func UpkeepOnce(ctx context.Context, d *Dispatcher) error { return d.upkeep(ctx) }
