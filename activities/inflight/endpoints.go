// Package inflight decides how many deliveries each receiver gets. It bounds the attempts that this process has in
// flight at an endpoint, its attempts per second, and how many of its deliveries a round of the dispatcher takes. The
// dispatcher and the attempts share one Endpoints.
package inflight

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/time/rate"
)

// Endpoints counts the attempts in flight per webhook, so that a slow receiver takes only its own places. It also
// measures which endpoints are slow. Batches have places of their own, as many again: a retry does not wait behind a
// batch.
type Endpoints struct {
	perEndpoint int
	freed       func()

	mu sync.Mutex
	m  map[uuid.UUID]*endpoint
	// share is how many deliveries of one flow a round takes; see Quotas.
	share int
	// waiting counts the deliveries of batches that wait for a place. drained, when not nil, is closed when waiting has
	// fallen to drainedAt.
	waiting, drainedAt int
	drained            chan struct{}
}

type endpoint struct {
	// single are the attempts of deliveries with a workflow of their own, batch those of batches.
	single, batch places
	// retries are the attempts that are due and found no place.
	retries map[uuid.UUID]retry
	// average is an exponentially weighted mean of the attempts' durations.
	average time.Duration
	seen    time.Time
	// waiting counts the deliveries of batches that wait for a place. moved is when a place of a batch was last taken or
	// released. batchFreed, when not nil, is closed when one is released.
	waiting    int
	moved      time.Time
	batchFreed chan struct{}
	// limit is the webhook's own rate; nil when it has none.
	limit *rate.Limiter
}

// places are the deliveries whose attempts are in flight, each with the time at which its claim lapses; zero: never.
type places map[uuid.UUID]time.Time

// SlowAbove is the mean duration of an endpoint's attempts above which it is slow: a second is a hundred times a
// healthy receiver's answer, and a local activity that takes longer makes its workflow task send heartbeats.
const SlowAbove = time.Second

const (
	// forgetAfter drops what is known of an endpoint that was not called for that long.
	forgetAfter = 10 * time.Minute
	// stuckAfter is how long all of a batch's places stay taken until the endpoint gets no more deliveries: less than a
	// hanging receiver takes, more than a busy one.
	stuckAfter = 250 * time.Millisecond
)

// NewEndpoints allows perEndpoint attempts in flight per webhook. freed, when not nil, is called after a full
// endpoint has room again.
func NewEndpoints(perEndpoint int, freed func()) *Endpoints {
	return &Endpoints{perEndpoint: perEndpoint, freed: freed, m: map[uuid.UUID]*endpoint{}, share: shareLeast}
}

// Acquire claims a place for a delivery that the dispatcher is about to start. The claim lapses after lapse, unless
// the attempt renews it: another process may make the attempt. Acquire is false when the endpoint is full or has had
// its perSecond attempts (0: no limit; per process, with a burst of one second's worth). A delivery that has a place
// keeps it.
func (e *Endpoints) Acquire(webhook, delivery uuid.UUID, perSecond int, lapse time.Duration) bool {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.at(webhook, now)
	p.limitTo(perSecond)
	if _, has := p.single[delivery]; !has {
		p.expire(now)
		if len(p.single) >= e.open(p) || !p.allow(now) {
			return false
		}
	}
	p.single[delivery] = now.Add(lapse)
	return true
}

// AcquireForRetry claims a place for an attempt that is due, as Acquire does. When there is none, wait says when to
// ask again: at the delivery's turn where the webhook has a rate limit, otherwise when a place is expected to be free.
func (e *Endpoints) AcquireForRetry(
	webhook, delivery uuid.UUID, perSecond int, lapse time.Duration,
) (ok bool, wait time.Duration) {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.at(webhook, now)
	p.limitTo(perSecond)
	if _, has := p.single[delivery]; !has {
		p.expire(now)
		r := p.retries[delivery]
		wait = p.turn(now, &r)
		if wait == 0 && len(p.single) >= e.perEndpoint {
			wait = spread(askAgainMin, p.average*time.Duration(len(p.retries)+1)/time.Duration(e.reserved()))
		}
		if wait > 0 {
			r.forget = now.Add(wait + forgetRetry)
			p.retries[delivery] = r
			return false, wait
		}
	}
	delete(p.retries, delivery)
	p.single[delivery] = now.Add(lapse)
	return true, 0
}

// AcquireForBatch claims a place for an attempt of a batch. It waits for one until ctx ends; then it is false.
func (e *Endpoints) AcquireForBatch(ctx context.Context, webhook, delivery uuid.UUID) bool {
	for ctx.Err() == nil {
		free := e.tryBatch(webhook, delivery)
		if free == nil {
			return true
		}
		select {
		case <-free:
		case <-ctx.Done():
		}
	}
	return false
}

// tryBatch claims a place, or returns what is closed when one is released.
func (e *Endpoints) tryBatch(webhook, delivery uuid.UUID) (free <-chan struct{}) {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.at(webhook, now)
	if len(p.batch) < e.perEndpoint {
		p.batch[delivery], p.moved = time.Time{}, now
		return nil
	}
	if p.batchFreed == nil {
		p.batchFreed = make(chan struct{})
	}
	return p.batchFreed
}

// Release ends a delivery's claim and records how long its attempt took; 0 records nothing. A delivery without a
// claim is ignored.
func (e *Endpoints) Release(webhook, delivery uuid.UUID, took time.Duration) {
	now := time.Now()
	e.mu.Lock()
	p := e.at(webhook, now)
	var wasFull bool
	if _, inBatch := p.batch[delivery]; inBatch {
		wasFull = e.stuck(p, now)
		delete(p.batch, delivery)
		p.moved = now
		if p.batchFreed != nil {
			close(p.batchFreed)
			p.batchFreed = nil
		}
	} else {
		wasFull = len(p.single) >= e.open(p)
		delete(p.single, delivery)
	}
	if took > 0 {
		p.average += (took - p.average) / 4
	}
	e.mu.Unlock()
	if wasFull && e.freed != nil {
		e.freed()
	}
}

// Slow reports whether the endpoint's recent attempts took longer than SlowAbove.
func (e *Endpoints) Slow(webhook uuid.UUID) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.m[webhook]
	return p != nil && p.average > SlowAbove
}

// QuickBelow is the mean duration of an endpoint's attempts below which it is quick: as long as a process may wait for
// each of them.
const QuickBelow = 5 * time.Millisecond

// Quick reports whether the endpoint's recent attempts took less than QuickBelow, or none was made.
func (e *Endpoints) Quick(webhook uuid.UUID) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.m[webhook]
	return p == nil || p.average < QuickBelow
}

// reserved is how many places are kept for retries while any wait: the dispatcher claims a freed place at once, while
// a retry asks for one only now and then.
func (e *Endpoints) reserved() int { return max(1, e.perEndpoint*3/10) }

// open is how many places the dispatcher may fill.
func (e *Endpoints) open(p *endpoint) int {
	if len(p.retries) == 0 {
		return e.perEndpoint
	}
	return e.perEndpoint - e.reserved()
}

// stuck reports whether all places of batches have been taken for longer than a healthy receiver needs.
func (e *Endpoints) stuck(p *endpoint, now time.Time) bool {
	return len(p.batch) >= e.perEndpoint && now.Sub(p.moved) > stuckAfter
}

func (e *Endpoints) at(webhook uuid.UUID, now time.Time) *endpoint {
	p := e.m[webhook]
	if p == nil {
		p = &endpoint{single: places{}, batch: places{}, retries: map[uuid.UUID]retry{}}
		e.m[webhook] = p
	}
	p.seen = now
	return p
}

// expire drops claims that were not renewed, because another process made the attempt, and retries that did not ask
// again.
func (p *endpoint) expire(now time.Time) {
	for id, lapses := range p.single {
		if now.After(lapses) {
			delete(p.single, id)
		}
	}
	for id, r := range p.retries {
		if now.After(r.forget) {
			delete(p.retries, id)
		}
	}
}

func (p *endpoint) idle() bool {
	return len(p.single) == 0 && len(p.batch) == 0 && len(p.retries) == 0 && p.waiting == 0
}
