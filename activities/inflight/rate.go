package inflight

import (
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"golang.org/x/time/rate"
)

// retry is an attempt that is due and asks again for a place.
type retry struct {
	forget time.Time // when it counts as given to another process
	turn   time.Time // the attempt per second that is reserved for it; zero for none
}

const (
	// reserveAhead is how far ahead attempts per second are reserved. A retry that went to another process wastes its
	// reservation, so it is short.
	reserveAhead = 5 * time.Second
	askAgainMin  = time.Second
	askAgainMax  = 30 * time.Second
	forgetRetry  = 10 * time.Second
)

// Allow takes one of the webhook's attempts per second for a delivery of a batch; false when none is left.
func (e *Endpoints) Allow(webhook uuid.UUID, perSecond int) bool {
	if perSecond == 0 {
		return true
	}
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.at(webhook, now)
	p.limitTo(perSecond)
	return p.allow(now)
}

func (p *endpoint) allow(now time.Time) bool { return p.limit == nil || p.limit.AllowN(now, 1) }

func (p *endpoint) limitTo(perSecond int) {
	switch {
	case perSecond == 0:
		p.limit = nil
	case p.limit == nil || p.limit.Burst() != perSecond:
		p.limit = rate.NewLimiter(rate.Limit(perSecond), perSecond)
	}
}

// turn reserves one of the attempts per second for a retry. It returns how long to wait for it, or until asking again.
func (p *endpoint) turn(now time.Time, r *retry) time.Duration {
	if p.limit == nil {
		return 0
	}
	if r.turn.IsZero() {
		reservation := p.limit.ReserveN(now, 1)
		delay := reservation.DelayFrom(now)
		if delay > reserveAhead {
			reservation.CancelAt(now)
			return spread(reserveAhead, time.Duration(float64(len(p.retries))/float64(p.limit.Limit())*float64(time.Second)))
		}
		r.turn = now.Add(delay)
	}
	return max(0, r.turn.Sub(now))
}

// spread draws a wait from half to one and a half of what is expected, so that retries do not ask all at once.
func spread(least, expected time.Duration) time.Duration {
	wait := time.Duration((0.5 + rand.Float64()) * float64(expected)) //nolint:gosec // spreading needs no secrecy
	return min(max(wait, least), askAgainMax)
}
