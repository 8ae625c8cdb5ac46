package inflight

import (
	"context"
	"time"

	"github.com/google/uuid"
)

const (
	// RoundLimit bounds the deliveries of one round of the dispatcher, and so a batch: with ten rounds a second, 5,000
	// deliveries/s of one process.
	RoundLimit = 500
	// minShare is what a flow gets before it has shown that it keeps up.
	minShare = 32
)

// Quotas bound how many deliveries one round of the dispatcher takes. A flow is the deliveries of one company to one
// webhook. The smallest bound that applies counts.
type Quotas struct {
	// Round bounds the deliveries in all, Flow those of one flow, Failing those of a flow whose webhook failed its last
	// attempt.
	Round, Flow, Failing int
	// Webhook replaces Flow for the webhooks that have another room.
	Webhook map[uuid.UUID]int
	// Slow: some endpoint is slow.
	Slow bool
}

// Quotas returns the bounds of the next round, and forgets endpoints that were not used for long. With batches a
// healthy endpoint may get more deliveries than it has places, because a batch waits for places; a slow or full one is
// bounded by its places. Without batches every endpoint is. An endpoint whose company or host has no free place gets
// none.
func (e *Endpoints) Quotas(batches bool) Quotas {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	start := min(startPlaces, e.ceiling())
	q := Quotas{Round: RoundLimit, Flow: start, Failing: start, Webhook: map[uuid.UUID]int{}}
	if batches {
		q.Flow = e.share
	}
	for id, p := range e.m {
		e.expire(p, now)
		if p.idle() && now.Sub(p.seen) > forgetAfter {
			delete(e.m, id)
			continue
		}
		q.Slow = q.Slow || p.average > SlowAbove
		if n := e.room(p, batches, now); n != q.Flow {
			q.Webhook[id] = max(0, n)
		}
	}
	for name, h := range e.hosts {
		if h.idle() {
			delete(e.hosts, name)
		}
	}
	return q
}

// room is how many deliveries of an endpoint may be taken; it may be negative.
func (e *Endpoints) room(p *endpoint, batches bool, now time.Time) int {
	if e.stuck(p, now) || e.refusing(p, false) != nil || now.Before(p.leftOut) {
		return 0
	}
	n, free := e.share-p.waiting, e.size(p)-len(p.places)
	if e.refusing(p, true) != nil {
		free = 0
	}
	switch {
	case !batches:
		n = free
	case len(p.retries) > 0: // their places are free although deliveries of batches wait
		n = min(n+e.share, free)
	case p.average > SlowAbove || p.singles() >= e.size(p):
		n = min(n, free)
	}
	return n
}

// Adapt changes the share of a flow after a round that took so many deliveries, of so many flows, the largest of which
// had largest. A full round divides RoundLimit among the flows that wait. A flow that used its whole share gets twice
// as much. Otherwise the share decays by a quarter. limited: the bounds may have left deliveries behind.
func (e *Endpoints) Adapt(taken, flows, largest int) (limited bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	limited = taken >= RoundLimit || largest >= e.share
	switch {
	case taken >= RoundLimit:
		e.share = max(1, RoundLimit/max(1, flows))
	case largest >= e.share:
		e.share = min(RoundLimit, 2*e.share)
	default:
		e.share = max(minShare, e.share*3/4)
	}
	return limited
}

const (
	// crowdedAbove is how many deliveries of an endpoint a round puts back until the next ones leave it out.
	crowdedAbove = 32
	// LeftOutFor is for how long: ten rounds a second fill the places of an endpoint that answers within 100 ms.
	LeftOutFor = 100 * time.Millisecond
)

// PutBack reports that so many of an endpoint's deliveries were taken and had no place. A round takes the room of an
// endpoint from each of its flows: a webhook with a thousand companies would cost a thousand deliveries, taken and put
// back, for each place that is freed. crowded: the rounds of the next LeftOutFor leave the endpoint out.
func (e *Endpoints) PutBack(webhook uuid.UUID, deliveries int) (crowded bool) {
	if deliveries < crowdedAbove {
		return false
	}
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.at(webhook, now).leftOut = now.Add(LeftOutFor)
	return true
}

// AddWaiting announces n deliveries of a batch that will wait for places; RemoveWaiting withdraws them.
func (e *Endpoints) AddWaiting(webhook uuid.UUID, n int) {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.at(webhook, now).waiting += n
	e.waiting += n
	if e.drained != nil && e.waiting <= e.drainedAt {
		close(e.drained)
		e.drained = nil
	}
}

// RemoveWaiting withdraws n deliveries that AddWaiting announced: they got their places, or were given up.
func (e *Endpoints) RemoveWaiting(webhook uuid.UUID, n int) { e.AddWaiting(webhook, -n) }

// AwaitBatches blocks while more than most deliveries of batches wait for a place, or until ctx ends. Deliveries at
// stuck endpoints do not count: they would hold up all others.
func (e *Endpoints) AwaitBatches(ctx context.Context, most int) {
	for ctx.Err() == nil {
		drained := e.awaitDrained(time.Now(), most)
		if drained == nil {
			return
		}
		select {
		case <-ctx.Done():
		case <-drained:
		case <-time.After(stuckLeast): // an endpoint may have become stuck
		}
	}
}

// awaitDrained returns nil when at most most deliveries wait, otherwise what is closed when that may be so.
func (e *Endpoints) awaitDrained(now time.Time, most int) <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	excess := e.waiting - most
	for _, p := range e.m {
		if e.stuck(p, now) {
			excess -= p.waiting
		}
	}
	if excess <= 0 {
		return nil
	}
	if e.drained == nil {
		e.drained = make(chan struct{})
	}
	e.drainedAt = e.waiting - excess
	return e.drained
}
