package dispatch

import (
	"context"
	"math"
	"time"

	"github.com/google/uuid"

	"greenroom/activities/inflight"
	"greenroom/db/delivery"
)

// lane decides, round by round, how much is taken and which deliveries share a workflow. A workflow costs Temporal
// some 15 ms of processor time whatever it does, so the more deliveries come in, the longer a round lets them gather,
// within what a receiver would not notice; a delivery that comes alone is started at once.
type lane struct {
	// above is the number of deliveries per second, and of those taken at once, from which they share a workflow; 0:
	// never.
	above int
	// perEndpoint is how many attempts an endpoint may have in flight.
	perEndpoint int

	share int           // what one endpoint and company may take of a round
	next  delivery.Flow // whose turn it is
	more  bool          // the last round left something behind
	rate  float64       // deliveries per second, a mean over rateOver
	at    time.Time
	began time.Time // the last round
}

const (
	// batchMost bounds a batch: at the highest gap, 5,000 deliveries/s of one process.
	batchMost = 500
	// shareLeast is what an endpoint is given before it has shown that it keeps up.
	shareLeast = 32
	rateOver   = time.Second
	// Rounds begin gapLeast apart from gathersFrom deliveries/s on, and further with the rate, up to gapMost: 40 to 10
	// batches/s.
	gathersFrom = 100
	gapLeast    = 20 * time.Millisecond
	gapMost     = 100 * time.Millisecond
	gapPerRate  = 40 * time.Microsecond
)

func (l *lane) alone() bool { return l.above == 0 }

func (l *lane) options(e *inflight.Endpoints) delivery.TakeOptions {
	o := delivery.TakeOptions{Limit: batchMost, PerFlow: l.share, PerFailing: l.perEndpoint, After: l.next}
	if l.alone() {
		o.PerFlow, o.StartBlocked = l.perEndpoint, true
	}
	o.Room = e.Room(o.PerFlow, l.alone())
	return o
}

// saw adapts to what a round found. Where it had to leave some behind, the next one takes fewer of each endpoint when
// many endpoints wait, and more when few do; an endpoint of which nothing is known gets little, as it may hang.
func (l *lane) saw(t delivery.TakeResult, now time.Time) {
	counts := map[delivery.Flow]int{}
	largest := 0
	for i := range t.Ready {
		k := t.Ready[i].Flow()
		counts[k]++
		largest = max(largest, counts[k])
	}
	behind := l.next != delivery.Flow{} // the lanes before had no turn in this round
	l.next, l.more = t.Next, behind || t.Taken >= batchMost || largest >= l.share
	switch {
	case t.Taken >= batchMost:
		l.share = max(1, batchMost/max(1, len(counts)))
	case largest >= l.share:
		l.share = min(batchMost, 2*l.share)
	default:
		l.share = max(shareLeast, l.share*3/4)
	}
	l.rate = l.rate*math.Exp(-now.Sub(l.at).Seconds()/rateOver.Seconds()) + float64(len(t.Ready))/rateOver.Seconds()
	l.at = now
}

// split says which deliveries get a workflow each: few, or such as need one, because their endpoint is slow or
// failing, they go on from an earlier attempt, or somebody waits for the outcome.
func (l *lane) split(
	ready []delivery.QueuedDelivery,
	e *inflight.Endpoints,
) (alone, together []delivery.QueuedDelivery) {
	slow := map[uuid.UUID]bool{}
	for _, q := range ready {
		if _, known := slow[q.WebhookID]; !known {
			slow[q.WebhookID] = e.Slow(q.WebhookID)
		}
		if q.Attempt > 1 || q.IsTest || q.Probe || q.Redo || q.Failing || slow[q.WebhookID] {
			alone = append(alone, q)
		} else {
			together = append(together, q)
		}
	}
	// A batch of one costs Temporal as much as a workflow of the delivery's own, which shows more.
	if l.alone() || len(together) == 1 || len(together) <= l.above && l.rate <= float64(l.above) {
		return ready, nil
	}
	return alone, together
}

// gap is how long after the beginning of a round the next one begins.
func (l *lane) gap() time.Duration {
	if l.alone() || l.more || l.rate < gathersFrom {
		return 0
	}
	return min(gapMost, max(gapLeast, time.Duration(l.rate*float64(gapPerRate))))
}

// pacedDeliveries is a round of deliveries that begins when enough time has passed since the last one, and what that
// took is mostly attempted.
func (d *Dispatcher) pacedDeliveries(ctx context.Context) (Result, error) {
	sleep(ctx, time.Until(d.lane.began.Add(d.lane.gap())))
	for d.o.Endpoints.Waiting() > batchMost && ctx.Err() == nil {
		sleep(ctx, time.Millisecond)
	}
	if ctx.Err() != nil {
		return Result{}, ctx.Err()
	}
	d.lane.began = time.Now()
	return d.dispatchDeliveries(ctx)
}
