package dispatch

import (
	"context"
	"errors"
)

// RunOnce is one round of deliveries and one of commands, for tests that need no timers.
func RunOnce(ctx context.Context, d *Dispatcher) (Result, error) {
	r, err := d.dispatchDeliveries(ctx)
	c, err2 := d.dispatchCommands(ctx)
	return Result{Taken: r.Taken + c.Taken, Failed: r.Failed + c.Failed, Away: r.Away || c.Away}, errors.Join(err, err2)
}

// RecoverStale is one look after batches that nobody looked at lately.
var RecoverStale = (*Dispatcher).recoverStale
