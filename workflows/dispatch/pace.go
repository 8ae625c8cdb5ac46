package dispatch

import (
	"context"
	"math"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"greenroom/activities/inflight"
	"greenroom/db/delivery"
)

// pacer decides when a round begins and which deliveries share a workflow. A round costs some 2 ms of processor time
// whatever it does, and a workflow that it starts some 15 ms. So the more deliveries arrive, the longer a round lets
// them gather, within what a receiver does not notice; a single delivery is started at once.
type pacer struct {
	// above is the number of deliveries per second, and of those taken at once, above which they share a workflow;
	// 0: never.
	above int
	// processes is the number of live workers, each with a pacer of its own; nil: this one is alone.
	processes func() int

	next  delivery.Flow // whose turn it is
	more  bool          // the last round left deliveries behind
	rate  float64       // deliveries per second that this process took, a mean over rateOver
	at    time.Time     // when rate was measured
	began time.Time     // the last round
}

const (
	rateOver = time.Second
	// Rounds begin gapLeast apart from gathersFrom deliveries/s on: at 200/s, 8 ms instead cost a third more processor
	// time and 20 ms doubled the median latency (measured). The gap grows with the rate up to gapMost.
	gathersFrom = 100
	gapLeast    = 12 * time.Millisecond
	gapMost     = 100 * time.Millisecond
	gapPerRate  = 40 * time.Microsecond
)

// batches reports whether deliveries may share a workflow at all.
func (p *pacer) batches() bool { return p.above > 0 }

// observe notes what a round took. limited: its quotas may have left deliveries behind.
func (p *pacer) observe(t delivery.TakeResult, limited bool, now time.Time) {
	continued := p.next != delivery.Flow{} // the flows before next had no turn in this round
	p.next, p.more = t.Next, continued || limited
	p.rate = p.rate*math.Exp(-now.Sub(p.at).Seconds()/rateOver.Seconds()) + float64(len(t.Ready))/rateOver.Seconds()
	p.at = now
}

// split returns the deliveries that get a workflow each, and those that share one. A delivery is alone when it must be
// visible by itself or may hold up a batch: its endpoint is slow or failing, it had attempts before, or a caller waits
// for its outcome. When few are left for a batch, all are alone.
func (p *pacer) split(
	ready []delivery.QueuedDelivery, slow func(webhook uuid.UUID) bool,
) (alone, together []delivery.QueuedDelivery) {
	isSlow := map[uuid.UUID]bool{}
	for _, q := range ready {
		if _, known := isSlow[q.WebhookID]; !known {
			isSlow[q.WebhookID] = slow(q.WebhookID)
		}
		if q.Attempt > 1 || q.IsTest || q.Probe || q.EnsureWorkflow || q.Failing || isSlow[q.WebhookID] {
			alone = append(alone, q)
		} else {
			together = append(together, q)
		}
	}
	if !p.batches() || len(together) <= p.above && !p.shares() {
		return ready, nil
	}
	return alone, together
}

// shares reports whether so many deliveries arrive that they share workflows.
func (p *pacer) shares() bool { return p.batches() && p.rateOfAll() > float64(p.above) }

// rateOfAll estimates the deliveries per second of all workers: each takes its share.
func (p *pacer) rateOfAll() float64 { return p.rate * float64(p.live()) }

func (p *pacer) live() int {
	if p.processes == nil {
		return 1
	}
	return p.processes()
}

// gap is the time from the beginning of a round to that of the next. Several workers together make as many rounds as
// one would, not each: what one takes, the others would find missing. Their gaps vary, so that their rounds, which a
// notification begins at once, spread over the time.
func (p *pacer) gap() time.Duration {
	rate := p.rateOfAll()
	if !p.batches() || p.more || rate < gathersFrom {
		return 0
	}
	gap := min(gapMost, max(gapLeast, time.Duration(rate*float64(gapPerRate))))
	if n := p.live(); n > 1 {
		gap = time.Duration(float64(gap) * float64(n) * (0.5 + rand.Float64())) //nolint:gosec // spreading needs no secrecy
	}
	return gap
}

// pacedDeliveries is a round of deliveries. It begins when the gap since the last one has passed and most of what was
// taken is attempted.
func (d *Dispatcher) pacedDeliveries(ctx context.Context) (Result, error) {
	sleep(ctx, time.Until(d.pacer.began.Add(d.pacer.gap())))
	d.o.Endpoints.AwaitBatches(ctx, inflight.RoundLimit)
	if ctx.Err() != nil {
		return Result{}, ctx.Err()
	}
	d.pacer.began = time.Now()
	return d.dispatchDeliveries(ctx)
}
