package inflight

import (
	"slices"
	"time"

	"github.com/google/uuid"
)

// size is how many places the endpoint has now.
func (e *Endpoints) size(p *endpoint) int { return min(int(p.window.places), e.ceiling()) }

// free reports whether the endpoint has a free place.
func (e *Endpoints) free(p *endpoint) bool { return len(p.places) < e.size(p) }

// singles counts the places of deliveries with a workflow of their own.
func (p *endpoint) singles() (n int) {
	for _, c := range p.places {
		if c.single {
			n++
		}
	}
	return n
}

// open reports whether a first attempt may take a place. While retries wait, it leaves three of ten places to them: a
// first attempt takes a free place at once, a retry only after the dispatcher has woken its workflow. Where there is
// one place only, they take turns.
func (e *Endpoints) open(p *endpoint) bool {
	if !e.free(p) || len(p.retries) == 0 {
		return e.free(p)
	}
	if e.size(p) == 1 {
		return p.retriedLast
	}
	first := 0
	for _, c := range p.places {
		if !c.retry {
			first++
		}
	}
	return first < e.size(p)-max(1, e.size(p)*3/10)
}

// refusing returns the pool that has no place for an attempt at the endpoint, or nil.
func (e *Endpoints) refusing(p *endpoint, single bool) *pool {
	if h := e.hosts[p.host]; h != nil && !h.has(p.company) {
		return h
	}
	if !e.total.has(p.company) {
		return e.total
	}
	if single && !e.single.has(p.company) {
		return e.single
	}
	return nil
}

// claim gives a delivery a place, or renews its claim.
func (e *Endpoints) claim(p *endpoint, delivery uuid.UUID, c place, now time.Time) {
	if had, has := p.places[delivery]; has {
		had.lapses, had.begun = c.lapses, had.begun || c.begun
		p.places[delivery] = had
		return
	}
	c.company, c.host = p.company, p.host
	p.places[delivery], p.moved, p.retriedLast = c, now, c.retry
	if !e.free(p) {
		p.fullAt = now
	}
	for _, pool := range e.poolsOf(c) {
		pool.take(c.company)
	}
}

// takeOver gives a delivery the place of another one whose attempt has not begun.
func (p *endpoint) takeOver(delivery uuid.UUID) bool {
	for id, c := range p.places {
		if c.single && !c.begun {
			delete(p.places, id)
			c.retry = true
			p.places[delivery] = c
			return true
		}
	}
	return false
}

// drop ends a claim, and gives the place to attempts that wait for it: first to those of endpoints that their company's
// or host's share has blocked, so that an endpoint whose attempts always wait does not keep its places for ever.
func (e *Endpoints) drop(p *endpoint, delivery uuid.UUID, now time.Time) {
	c := p.places[delivery]
	delete(p.places, delivery)
	p.moved = now
	pools := e.poolsOf(c)
	for _, pool := range pools {
		pool.put(c.company)
	}
	for _, pool := range pools {
		e.unblock(pool, now)
	}
	e.grant(p, now)
}

// poolsOf are the pools that a place counts in.
func (e *Endpoints) poolsOf(c place) []*pool {
	pools := make([]*pool, 0, 3)
	pools = append(pools, e.total)
	if c.single {
		pools = append(pools, e.single)
	}
	if c.host == "" { // it was not described
		return pools
	}
	h := e.hosts[c.host]
	if h == nil {
		h = newPool(e.perHost())
		e.hosts[c.host] = h
	}
	return append(pools, h)
}

// grant gives free places to the attempts of batches that wait at the endpoint, in their order.
func (e *Endpoints) grant(p *endpoint, now time.Time) {
	for !p.blocked && len(p.queue) > 0 && e.open(p) {
		if !e.grantOne(p, now) {
			return
		}
	}
}

// grantAll gives free places to all attempts of batches that wait for one.
func (e *Endpoints) grantAll(now time.Time) {
	for _, p := range e.m {
		e.grant(p, now)
	}
	for _, h := range e.hosts {
		for before := -1; before != h.used; {
			before = h.used
			e.unblock(h, now)
		}
	}
}

// grantOne gives the first waiting attempt a place, or enters the endpoint in the list of the pool that has none.
func (e *Endpoints) grantOne(p *endpoint, now time.Time) bool {
	if pool := e.refusing(p, false); pool != nil {
		pool.blocked = append(pool.blocked, p)
		p.blocked = true
		return false
	}
	w := p.queue[0]
	p.queue = slices.Delete(p.queue, 0, 1)
	e.claim(p, w.delivery, place{}, now)
	close(w.granted)
	return true
}

// unblock gives a free place of a pool to the endpoint that has been blocked for longest and whose company may have it.
// An endpoint with more waiting attempts goes to the end of the list, so that the endpoints take turns.
func (e *Endpoints) unblock(pool *pool, now time.Time) {
	for range len(pool.blocked) {
		if pool.used >= pool.size {
			return
		}
		p := pool.blocked[0]
		pool.blocked = slices.Delete(pool.blocked, 0, 1)
		p.blocked = false
		if len(p.queue) == 0 || !e.open(p) {
			continue
		}
		granted := e.grantOne(p, now)
		if granted && len(p.queue) > 0 && e.open(p) {
			pool.blocked = append(pool.blocked, p)
			p.blocked = true
		}
		if granted {
			return
		}
	}
}

// stuck reports whether all places of the endpoint have been taken for longer than a healthy receiver needs, or whether
// attempts wait for its company's or its host's places for that long.
func (e *Endpoints) stuck(p *endpoint, now time.Time) bool {
	return (!e.free(p) || p.blocked) &&
		now.Sub(p.moved) > min(max(stuckAttempts*p.average, stuckLeast), stuckMost)
}
