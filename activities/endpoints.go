package activities

import (
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/time/rate"
)

// Endpoints counts, per webhook, the attempts that this process has in flight, so that a slow receiver holds only its own
// share and the others never notice. It also remembers which endpoints are slow: those are attempted in the slow lane.
type Endpoints struct {
	perEndpoint int
	freed       func()

	mu sync.Mutex
	m  map[uuid.UUID]*endpoint
}

type endpoint struct {
	flying map[uuid.UUID]time.Time // delivery → when its claim lapses
	// average is an exponentially weighted mean of the attempts' durations.
	average time.Duration
	seen    time.Time
	// limit is the webhook's own rate; nil when it has none.
	limit *rate.Limiter
}

// SlowAbove is the mean duration of an endpoint's attempts from which it is slow: a second is some hundred times a healthy
// receiver's answer, and a local activity that takes longer makes its workflow task send heartbeats.
const SlowAbove = time.Second

// forgetAfter drops what is known of an endpoint that was not called for that long.
const forgetAfter = 10 * time.Minute

// NewEndpoints allows perEndpoint attempts in flight per webhook; freed is called, when not nil, after an endpoint that was
// full has room again.
func NewEndpoints(perEndpoint int, freed func()) *Endpoints {
	return &Endpoints{perEndpoint: perEndpoint, freed: freed, m: map[uuid.UUID]*endpoint{}}
}

// Acquire takes a place for a delivery's attempt, for at most lapse; it is false when the endpoint is full or has had its
// perSecond attempts (0: no such limit; of this process, up to one second's worth at once). A delivery that has a place
// already keeps it.
func (e *Endpoints) Acquire(webhook, delivery uuid.UUID, perSecond int, lapse time.Duration) bool {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.at(webhook, now)
	p.limitTo(perSecond)
	if _, has := p.flying[delivery]; !has {
		if len(p.flying) >= e.perEndpoint && p.expire(now) == 0 {
			return false
		}
		if p.limit != nil && !p.limit.AllowN(now, 1) {
			return false
		}
	}
	p.flying[delivery] = now.Add(lapse)
	return true
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
	full := len(p.flying) >= e.perEndpoint
	delete(p.flying, delivery)
	if took > 0 {
		p.average += (took - p.average) / 4
	}
	e.mu.Unlock()
	if full && e.freed != nil {
		e.freed()
	}
}

// Slow reports whether the endpoint's recent attempts took long.
func (e *Endpoints) Slow(webhook uuid.UUID) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.m[webhook]
	return p != nil && p.average > SlowAbove
}

// Room lists the webhooks that have attempts in flight, or a limit, with what they may begin now, and forgets those long
// unused.
func (e *Endpoints) Room() map[uuid.UUID]int {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	room := make(map[uuid.UUID]int, len(e.m))
	for id, p := range e.m {
		p.expire(now)
		switch {
		case len(p.flying) == 0 && now.Sub(p.seen) > forgetAfter:
			delete(e.m, id)
		case p.limit != nil:
			room[id] = max(0, min(e.perEndpoint-len(p.flying), int(p.limit.TokensAt(now))))
		case len(p.flying) > 0:
			room[id] = max(0, e.perEndpoint-len(p.flying))
		}
	}
	return room
}

func (e *Endpoints) at(webhook uuid.UUID, now time.Time) *endpoint {
	p := e.m[webhook]
	if p == nil {
		p = &endpoint{flying: map[uuid.UUID]time.Time{}}
		e.m[webhook] = p
	}
	p.seen = now
	return p
}

// expire frees the places of attempts that were not heard of again: another process made them.
func (p *endpoint) expire(now time.Time) (freed int) {
	for id, lapses := range p.flying {
		if now.After(lapses) {
			delete(p.flying, id)
			freed++
		}
	}
	return freed
}
