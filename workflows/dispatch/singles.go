package dispatch

import (
	"context"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"greenroom/db/delivery"
)

const (
	// singlesAtOnce bounds the deliveries of one transaction, which lasts as long as their workflows are started.
	singlesAtOnce = 2 * callsAtOnce
	// batchesPending is how many stored batches may wait for their start before no more are stored.
	batchesPending = 2
	// unhurriedAtOnce is how many workflows of retries that are not due yet are started at the same time. When many
	// receivers time out together, thousands of workflows would take the processors from first attempts.
	unhurriedAtOnce = 2
	// unhurriedPause bounds the pause after a round of them, which is as long as the round.
	unhurriedPause = 500 * time.Millisecond
	// dueSoon: a retry that is due within this time is started at once.
	dueSoon = time.Second
)

// pendingBatches are stored batches whose workflows were not started.
type pendingBatches struct {
	mu    sync.Mutex
	queue []batch
}

func (p *pendingBatches) add(bs []batch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = append(p.queue, bs...)
}

// first returns the oldest one; ok is false when there is none.
func (p *pendingBatches) first() (b batch, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == 0 {
		return batch{}, false
	}
	return p.queue[0], true
}

func (p *pendingBatches) dropFirst() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = p.queue[1:]
}

func (p *pendingBatches) full() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.queue) >= batchesPending
}

// dispatchSingles is a round of what waits for Temporal: it starts the stored batches, and a workflow for each delivery
// that rounds of deliveries have marked as single. One without a place goes back to these rounds. While all of them are
// retries for later, it leaves half of the time to others; stored batches are started in these pauses too.
func (d *Dispatcher) dispatchSingles(ctx context.Context) (r Result, err error) {
	full := d.batches.full()
	started := d.startPendingBatches(ctx)
	if full && !d.batches.full() {
		wake(d.deliveries)
	}
	if !started {
		return Result{Unavailable: true}, nil
	}
	if time.Now().Before(d.singlesAfter) {
		return Result{next: d.singlesAfter}, nil
	}
	began, hurry := time.Now(), true
	err = d.inTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		t, err := delivery.TakeSingles(ctx, tx, singlesAtOnce)
		r = Result{Taken: t.Taken, more: t.Taken > 0}
		if err != nil || t.Taken == 0 {
			return err
		}
		d.tokens.restore(t.Ready)
		alone, back := d.reserve(t.Ready)
		for i := range back {
			back[i].Single = false
		}
		atOnce := d.temporal.atOnce()
		if hurry = anyDue(alone, began.Add(dueSoon)); !hurry {
			atOnce = min(atOnce, unhurriedAtOnce)
		}
		failed, err := d.startEach(ctx, tx, alone, atOnce, &r)
		if err != nil {
			return err
		}
		back = append(back, failed...)
		r.Taken -= len(back)
		return delivery.PutBackDeliveries(ctx, tx, back)
	})
	if !hurry {
		now := time.Now()
		d.singlesAfter = now.Add(min(now.Sub(began), unhurriedPause))
	}
	return r, err
}

// anyDue reports whether one of the deliveries is due by then. Without deliveries it is true.
func anyDue(qs []delivery.QueuedDelivery, by time.Time) bool {
	for _, q := range qs {
		if q.NotBefore == nil || q.NotBefore.Before(by) {
			return true
		}
	}
	return len(qs) == 0
}
