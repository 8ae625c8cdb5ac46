package dispatch

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"greenroom/db/delivery"
)

// leaderLease is the lease of the one dispatcher that looks for lost work. leaseLife is how long that stops after a
// leader was killed or froze; it is short because a batch whose start got lost waits as long.
const (
	leaderLease = "leader"
	leaseLife   = 10 * time.Second
	leaseRenew  = leaseLife / 4
)

// lead waits for the lease, and looks for lost work as long as this process has it.
func (d *Dispatcher) lead(ctx context.Context) {
	me := uuid.New()
	said := false
	for ctx.Err() == nil {
		asked := time.Now()
		held, err := delivery.AcquireLease(ctx, d.o.DB, leaderLease, me, leaseLife)
		switch {
		case err != nil && ctx.Err() == nil && !said:
			d.o.Logger.WarnContext(ctx, "nobody may be looking for lost work", "error", err)
		case held:
			d.term(ctx, me, asked)
		}
		said = err != nil
		sleep(ctx, leaseRenew)
	}
}

// term is the time for which this process has the lease. A leader that could not renew it, or was frozen, stops at
// its next step; what it does in between is what the next leader does too, and harms nothing twice.
func (d *Dispatcher) term(ctx context.Context, me uuid.UUID, since time.Time) {
	d.o.Logger.InfoContext(ctx, "this worker looks for lost work")
	leading, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { d.recoverBatches(leading) })
	wg.Go(func() { d.reconcile(leading) })
	var err error
	for held := true; held && ctx.Err() == nil; {
		sleep(ctx, leaseRenew)
		asked := time.Now()
		var renewed bool
		renewed, err = delivery.AcquireLease(ctx, d.o.DB, leaderLease, me, leaseLife)
		if renewed {
			since = asked
		}
		held = renewed || err != nil && time.Since(since) < leaseLife
	}
	stop()
	wg.Wait()
	switch {
	case ctx.Err() != nil:
	case err != nil:
		d.o.Logger.WarnContext(ctx, "this worker no longer looks for lost work: the lease could not be renewed", "error", err)
		return
	default:
		d.o.Logger.WarnContext(ctx, "another worker looks for lost work now")
		return
	}
	release, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = delivery.ReleaseLease(release, d.o.DB, leaderLease, me) // it expires by itself
}
