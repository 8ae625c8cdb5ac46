// Package inflight counts what this process has in flight for each receiver. The dispatcher and the attempts share it.
package inflight

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/time/rate"
)

// Endpoints counts, per webhook, the attempts that this process has in flight, so that a slow receiver holds only its
// own share and the others never notice. It also remembers which endpoints are slow: those are attempted in the slow
// lane. Batches have places of their own, as many again: a delivery that goes on alone does not wait behind a batch.
type Endpoints struct {
	perEndpoint int
	freed       func()

	mu sync.Mutex
	m  map[uuid.UUID]*endpoint
}

type endpoint struct {
	flying map[uuid.UUID]time.Time // delivery → when its claim lapses
	// queued are the deliveries that came to an attempt and found no place.
	queued map[uuid.UUID]queued
	// average is an exponentially weighted mean of the attempts' durations.
	average time.Duration
	seen    time.Time
	// What batches do here: the places of their attempts in flight, how many deliveries wait for one, and when a place
	// was last taken or given back.
	places  chan struct{}
	waiting int
	moved   time.Time
	// limit is the webhook's own rate; nil when it has none.
	limit *rate.Limiter
}

// SlowAbove is the mean duration of an endpoint's attempts from which it is slow: a second is some hundred times a
// healthy receiver's answer, and a local activity that takes longer makes its workflow task send heartbeats.
const SlowAbove = time.Second

// forgetAfter drops what is known of an endpoint that was not called for that long.
const forgetAfter = 10 * time.Minute

// NewEndpoints allows perEndpoint attempts in flight per webhook; freed is called, when not nil, after an endpoint
// that was full has room again.
func NewEndpoints(perEndpoint int, freed func()) *Endpoints {
	return &Endpoints{perEndpoint: perEndpoint, freed: freed, m: map[uuid.UUID]*endpoint{}}
}

// queued is a delivery whose workflow asks again for a place.
type queued struct {
	forget time.Time // when it is taken to ask another process, or no more
	turn   time.Time // the attempt per second that is reserved for it; zero for none
}

// Acquire takes a place for a delivery that the dispatcher is about to start, for at most lapse; it is false when the
// endpoint is full or has had its perSecond attempts (0: no such limit; of this process, up to one second's worth at
// once). A delivery that has a place already keeps it.
func (e *Endpoints) Acquire(webhook, delivery uuid.UUID, perSecond int, lapse time.Duration) bool {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.at(webhook, now)
	p.limitTo(perSecond)
	if _, has := p.flying[delivery]; !has {
		p.expire(now)
		if len(p.flying) >= e.open(p) || p.limit != nil && !p.limit.AllowN(now, 1) {
			return false
		}
	}
	p.flying[delivery] = now.Add(lapse)
	return true
}

// AcquireOrWait takes a place for an attempt that is due, as Acquire does. Where there is none, it says when to ask
// again: at the delivery's turn where the webhook has a limit per second, otherwise when its turn is to be expected.
func (e *Endpoints) AcquireOrWait(
	webhook, delivery uuid.UUID,
	perSecond int,
	lapse time.Duration,
) (ok bool, wait time.Duration) {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.at(webhook, now)
	p.limitTo(perSecond)
	if _, has := p.flying[delivery]; !has {
		p.expire(now)
		q := p.queued[delivery]
		wait = p.turn(now, &q)
		if wait == 0 && len(p.flying) >= e.perEndpoint {
			wait = between(askAgainMin, p.average*time.Duration(len(p.queued)+1)/time.Duration(e.kept()))
		}
		if wait > 0 {
			q.forget = now.Add(wait + forgetQueued)
			p.queued[delivery] = q
			return false, wait
		}
	}
	delete(p.queued, delivery)
	p.flying[delivery] = now.Add(lapse)
	return true, 0
}

const (
	// reserveAhead is how far ahead attempts per second are reserved: a delivery that does not come for its turn,
	// because its retry was given to another process, wastes no more.
	reserveAhead = 5 * time.Second
	askAgainMin  = time.Second
	askAgainMax  = 30 * time.Second
	forgetQueued = 10 * time.Second
)

// turn reserves one of the attempts per second for a delivery and says how long it is until then, or until it should
// ask again.
func (p *endpoint) turn(now time.Time, q *queued) time.Duration {
	if p.limit == nil {
		return 0
	}
	if q.turn.IsZero() {
		r := p.limit.ReserveN(now, 1)
		delay := r.DelayFrom(now)
		if delay > reserveAhead {
			r.CancelAt(now)
			return between(reserveAhead, time.Duration(float64(len(p.queued))/float64(p.limit.Limit())*float64(time.Second)))
		}
		q.turn = now.Add(delay)
	}
	return max(0, q.turn.Sub(now))
}

// between spreads a wait over half to one and a half of what is expected, so that not all ask at the same time.
func between(least, expected time.Duration) time.Duration {
	spread := time.Duration((0.5 + rand.Float64()) * float64(expected)) //nolint:gosec // spreading needs no secrecy
	return min(max(spread, least), askAgainMax)
}

// kept is how many places wait for deliveries that ask again, as long as there are any: the dispatcher takes a place
// that is freed at once, while they come by now and then.
func (e *Endpoints) kept() int { return max(1, e.perEndpoint*3/10) }

// open is how many places the dispatcher may fill.
func (e *Endpoints) open(p *endpoint) int {
	if len(p.queued) == 0 {
		return e.perEndpoint
	}
	return e.perEndpoint - e.kept()
}

// Allow takes one of the webhook's attempts per second; it is false when there is none.
func (e *Endpoints) Allow(webhook uuid.UUID, perSecond int) bool {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.at(webhook, now)
	p.limitTo(perSecond)
	return p.limit == nil || p.limit.AllowN(now, 1)
}

func (p *endpoint) limitTo(perSecond int) {
	switch {
	case perSecond == 0:
		p.limit = nil
	case p.limit == nil || p.limit.Burst() != perSecond:
		p.limit = rate.NewLimiter(rate.Limit(perSecond), perSecond)
	}
}

// Release gives the place back and notes how long the attempt took; 0 notes nothing.
func (e *Endpoints) Release(webhook, delivery uuid.UUID, took time.Duration) {
	now := time.Now()
	e.mu.Lock()
	p := e.at(webhook, now)
	full := len(p.flying) >= e.open(p)
	delete(p.flying, delivery)
	p.note(took)
	e.mu.Unlock()
	if full && e.freed != nil {
		e.freed()
	}
}

func (p *endpoint) note(took time.Duration) {
	if took > 0 {
		p.average += (took - p.average) / 4
	}
}

// Slow reports whether the endpoint's recent attempts took long.
func (e *Endpoints) Slow(webhook uuid.UUID) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.m[webhook]
	return p != nil && p.average > SlowAbove
}

// Room lists the webhooks of which fewer deliveries than most may be taken now, with how many, and forgets those long
// unused. Endpoints that are slow or full and, where each delivery has a workflow of its own (alone), all others are
// bounded by their places.
func (e *Endpoints) Room(most int, alone bool) map[uuid.UUID]int {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	room := make(map[uuid.UUID]int)
	for id, p := range e.m {
		p.expire(now)
		if p.idle() && now.Sub(p.seen) > forgetAfter {
			delete(e.m, id)
			continue
		}
		n := most - p.waiting
		if alone || p.average > SlowAbove || len(p.flying) >= e.open(p) {
			n = min(n, e.open(p)-len(p.flying))
		}
		if p.limit != nil {
			n = min(n, int(p.limit.TokensAt(now)))
		}
		if p.stuck(now) {
			n = 0
		}
		if n < most {
			room[id] = max(0, n)
		}
	}
	return room
}

func (p *endpoint) idle() bool {
	return len(p.flying) == 0 && len(p.queued) == 0 && len(p.places) == 0 && p.waiting == 0
}

// stuckAfter is how long all of an endpoint's places stay taken until it is given no more: less than what a receiver
// that hangs takes, more than one that is busy.
const stuckAfter = 250 * time.Millisecond

func (p *endpoint) stuck(now time.Time) bool {
	return len(p.places) == cap(p.places) && now.Sub(p.moved) > stuckAfter
}

// Enter says that n deliveries of a batch wait for their attempts at an endpoint; Leave, that n of them do not any
// more.
func (e *Endpoints) Enter(webhook uuid.UUID, n int) {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.at(webhook, now).waiting += n
}

// Leave is the opposite of Enter.
func (e *Endpoints) Leave(webhook uuid.UUID, n int) { e.Enter(webhook, -n) }

// Begin takes a place for an attempt of a batch, and waits for one until ctx ends: then it is false.
func (e *Endpoints) Begin(ctx context.Context, webhook uuid.UUID) bool {
	e.mu.Lock()
	places := e.at(webhook, time.Now()).places
	e.mu.Unlock()
	select {
	case places <- struct{}{}:
		e.move(webhook, 0)
		return true
	case <-ctx.Done():
		return false
	}
}

// End gives the place back that Begin took, and notes how long the attempt took; 0 notes nothing.
func (e *Endpoints) End(webhook uuid.UUID, took time.Duration) {
	<-e.move(webhook, took).places
}

// move notes that a place was taken or is about to be given back.
func (e *Endpoints) move(webhook uuid.UUID, took time.Duration) *endpoint {
	now := time.Now()
	e.mu.Lock()
	p := e.at(webhook, now)
	stuck := p.stuck(now)
	p.moved = now
	p.note(took)
	e.mu.Unlock()
	if stuck && e.freed != nil {
		e.freed()
	}
	return p
}

// Waiting counts the deliveries of batches that wait for their attempts, but not those at endpoints that hang.
func (e *Endpoints) Waiting() (n int) {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range e.m {
		if !p.stuck(now) {
			n += p.waiting
		}
	}
	return n
}

func (e *Endpoints) at(webhook uuid.UUID, now time.Time) *endpoint {
	p := e.m[webhook]
	if p == nil {
		p = &endpoint{
			flying: map[uuid.UUID]time.Time{},
			queued: map[uuid.UUID]queued{},
			places: make(chan struct{}, e.perEndpoint),
		}
		e.m[webhook] = p
	}
	p.seen = now
	return p
}

// expire frees the places of attempts that were not heard of again, because another process made them, and forgets
// those that asked for one and did not come back.
func (p *endpoint) expire(now time.Time) {
	for id, lapses := range p.flying {
		if now.After(lapses) {
			delete(p.flying, id)
		}
	}
	for id, q := range p.queued {
		if now.After(q.forget) {
			delete(p.queued, id)
		}
	}
}
