// Package inflight decides how many deliveries each receiver gets. It bounds the attempts that this process has in
// flight at an endpoint, at a target host and for a company, and how many deliveries a round of the dispatcher takes.
// The dispatcher and the attempts share one Endpoints. Rate limits are counted in the database (db/delivery/rate.go).
//
// Waiting for a place is a condition. Attempts of batches wait in memory, for seconds. All others wait in the queue in
// PostgreSQL, where they hold no slot of Temporal's worker.
package inflight

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Limits bound the attempts that are in flight at the same time. 0 means no bound but the others.
type Limits struct {
	// PerEndpoint bounds the places of an endpoint, which adapt to its answers. PerHost bounds the attempts at the
	// webhooks of one target host. Both are divided among the live processes.
	PerEndpoint, PerHost int
	// Total bounds all attempts of this process, Single those of deliveries with a workflow of their own.
	Total, Single int
}

// Endpoints counts the attempts in flight per webhook, so that a slow receiver takes only its own places, per company
// and per target host. It also measures which endpoints are slow.
type Endpoints struct {
	limits Limits
	freed  func()

	mu sync.Mutex
	// processes are those among which the limits of endpoints and hosts are divided.
	processes int
	m         map[uuid.UUID]*endpoint
	// total and single are divided among companies, as each of hosts is.
	total, single *pool
	hosts         map[string]*pool
	// share is how many deliveries of one flow a round takes; see Quotas.
	share int
	// waiting counts the deliveries of batches that wait for a place. drained, when not nil, is closed when waiting has
	// fallen to drainedAt.
	waiting, drainedAt int
	drained            chan struct{}
}

type endpoint struct {
	// company and host are whose places its attempts take; see Describe.
	company   uuid.UUID
	host      string
	described bool
	window    window
	places    map[uuid.UUID]place // by delivery
	// retries are the attempts that are due and found no place, each with the time at which it counts as given to
	// another process. retriedLast: the last place went to one of them.
	retries     map[uuid.UUID]time.Time
	retriedLast bool
	// queue are the attempts of batches that wait for a place, the first first. blocked: a pool has the endpoint in its
	// list.
	queue   []*waiter
	blocked bool
	// average is an exponentially weighted mean of the attempts' durations.
	average time.Duration
	seen    time.Time
	// waiting counts the deliveries of batches that wait for a place. moved is when a place was last taken or released.
	// fullAt is when the last free place was taken.
	waiting int
	moved   time.Time
	fullAt  time.Time
	// leftOut is until when rounds leave the endpoint out; see PutBack.
	leftOut time.Time
}

// place is an attempt in flight, with what it counts for.
type place struct {
	company       uuid.UUID
	host          string
	single, retry bool
	// begun: the attempt itself has the place, not the dispatcher for it.
	begun  bool
	lapses time.Time // when the claim ends by itself; zero: never
}

// waiter is an attempt of a batch that waits for a place.
type waiter struct {
	delivery uuid.UUID
	granted  chan struct{} // closed when it has one
}

// SlowAbove is the mean duration of an endpoint's attempts above which it is slow: a second is a hundred times a
// healthy receiver's answer, and a local activity that takes longer makes its workflow task send heartbeats.
const SlowAbove = time.Second

const (
	// forgetAfter drops what is known of an endpoint that was not called for that long.
	forgetAfter = 10 * time.Minute
	// An endpoint all of whose places stay taken for stuckAttempts times the mean duration of its attempts gets no more
	// deliveries until one has ended: less than a hanging receiver takes, more than a busy one. What it was given by then
	// waits, and goes back to the queue. The time is at least stuckLeast, which also holds for an endpoint that has never
	// answered, and at most stuckMost.
	stuckAttempts = 8
	stuckLeast    = 30 * time.Millisecond
	stuckMost     = 250 * time.Millisecond
	// forgetRetry is how long a retry that waits in the queue has places kept for it. One that was not tried again for
	// that long counts as given to another process.
	forgetRetry = 10 * time.Second
)

// NewEndpoints allows at most perEndpoint attempts in flight per webhook, without other limits; see New.
func NewEndpoints(perEndpoint int, freed func()) *Endpoints {
	return New(Limits{PerEndpoint: perEndpoint}, freed)
}

// New returns Endpoints with these limits. freed, when not nil, is called after an endpoint that got no more
// deliveries has room again.
func New(l Limits, freed func()) *Endpoints {
	for _, n := range []*int{&l.PerEndpoint, &l.PerHost, &l.Total, &l.Single} {
		if *n == 0 {
			*n = math.MaxInt32
		}
	}
	return &Endpoints{
		limits: l, freed: freed, processes: 1, m: map[uuid.UUID]*endpoint{}, hosts: map[string]*pool{},
		total: newPool(l.Total), single: newPool(l.Single), share: minShare,
	}
}

// SetProcesses divides the places of each endpoint and host among n processes, rounded up. Attempts in flight keep
// their places.
func (e *Endpoints) SetProcesses(n int) {
	e.mu.Lock()
	more := max(1, n) < e.processes
	e.processes = max(1, n)
	for _, h := range e.hosts {
		h.size = e.perHost()
	}
	if more {
		e.grantAll(time.Now())
	}
	e.mu.Unlock()
	if more && e.freed != nil {
		e.freed()
	}
}

// Processes is the number that was last set.
func (e *Endpoints) Processes() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.processes
}

// Describe names the company and the target host whose places the webhook's attempts take. A webhook that delivers the
// events of several companies takes the places of none of them.
func (e *Endpoints) Describe(webhook, company uuid.UUID, host string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.at(webhook, time.Now())
	if p.described && p.company != company {
		company = uuid.Nil
	}
	p.company, p.host, p.described = company, host, true
}

// Acquire claims a place for a delivery that the dispatcher is about to start. The claim lapses after lapse, unless
// the attempt renews it: another process may make the attempt. Acquire is false when the endpoint, its company or its
// host has no free place. A delivery that has a place keeps it.
func (e *Endpoints) Acquire(webhook, delivery uuid.UUID, lapse time.Duration) bool {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.at(webhook, now)
	if _, has := p.places[delivery]; !has {
		e.expire(p, now)
		if !e.open(p) || e.refusing(p, true) != nil {
			return false
		}
	}
	e.claim(p, delivery, place{single: true, lapses: now.Add(lapse)}, now)
	return true
}

// AcquireForRetry claims a place for an attempt that begins. When it is false, the delivery must wait in the queue, and
// the endpoint keeps places for it.
//
// An attempt takes the place of a delivery whose attempt has not begun: otherwise claims that lapse before their
// attempts begin would keep an overloaded process from making any.
func (e *Endpoints) AcquireForRetry(webhook, delivery uuid.UUID, lapse time.Duration) bool {
	return e.acquireRetry(webhook, delivery, lapse, true)
}

// AcquireQueued claims a place for a delivery that waits in the queue for its attempt, and whose workflow the
// dispatcher is about to wake. The claim lapses as that of Acquire does.
func (e *Endpoints) AcquireQueued(webhook, delivery uuid.UUID, lapse time.Duration) bool {
	return e.acquireRetry(webhook, delivery, lapse, false)
}

func (e *Endpoints) acquireRetry(webhook, delivery uuid.UUID, lapse time.Duration, begins bool) bool {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.at(webhook, now)
	if _, has := p.places[delivery]; !has {
		e.expire(p, now)
		full := !e.free(p) || e.refusing(p, true) != nil
		if full && (!begins || !p.takeOver(delivery)) {
			p.retries[delivery] = now.Add(forgetRetry)
			return false
		}
	}
	delete(p.retries, delivery)
	e.claim(p, delivery, place{single: true, retry: true, begun: begins, lapses: now.Add(lapse)}, now)
	e.grant(p, now) // the places that were kept for it
	return true
}

// AcquireForBatch claims a place for an attempt of a batch. It waits for one until ctx ends; then it is false.
func (e *Endpoints) AcquireForBatch(ctx context.Context, webhook, delivery uuid.UUID) bool {
	if ctx.Err() != nil {
		return false
	}
	w := &waiter{delivery: delivery, granted: make(chan struct{})}
	e.mu.Lock()
	now := time.Now()
	p := e.at(webhook, now)
	p.queue = append(p.queue, w)
	e.grant(p, now)
	e.mu.Unlock()
	select {
	case <-w.granted:
		return true
	case <-ctx.Done():
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	i := slices.Index(p.queue, w)
	if i >= 0 {
		p.queue = slices.Delete(p.queue, i, i+1)
	}
	return i < 0 // it was granted
}

// Release ends a delivery's claim and records how long its attempt took; 0 records nothing. A delivery without a
// claim is ignored.
func (e *Endpoints) Release(webhook, delivery uuid.UUID, took time.Duration) {
	e.Finish(webhook, delivery, took, Unclear)
}

// Finish is Release, and adapts the endpoint's places to how its attempt ended.
func (e *Endpoints) Finish(webhook, delivery uuid.UUID, took time.Duration, f Feedback) {
	now := time.Now()
	e.mu.Lock()
	p := e.at(webhook, now)
	had, has := p.places[delivery]
	var wasFull bool
	if has {
		wasFull = e.stuck(p, now) || e.refusing(p, had.single) != nil || !e.open(p) && (had.single || len(p.retries) > 0)
	}
	if took > 0 {
		p.average += (took - p.average) / 4
		full := !e.free(p) || !p.fullAt.Before(now.Add(-took))
		p.window.learn(f, full, took, now, e.ceiling())
	}
	if has {
		e.drop(p, delivery, now)
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

// ceiling is the most places that an endpoint may have in this process.
func (e *Endpoints) ceiling() int { return e.divided(e.limits.PerEndpoint) }

// perHost is the most places that a host may have in this process.
func (e *Endpoints) perHost() int { return e.divided(e.limits.PerHost) }

func (e *Endpoints) divided(limit int) int { return (limit + e.processes - 1) / e.processes }

func (e *Endpoints) at(webhook uuid.UUID, now time.Time) *endpoint {
	p := e.m[webhook]
	if p == nil {
		p = &endpoint{
			places: map[uuid.UUID]place{}, retries: map[uuid.UUID]time.Time{},
			window: window{places: float64(min(startPlaces, e.limits.PerEndpoint))},
		}
		e.m[webhook] = p
	}
	p.seen = now
	return p
}

// expire drops claims that were not renewed, because another process made the attempt, and retries that did not ask
// again.
func (e *Endpoints) expire(p *endpoint, now time.Time) {
	for id, c := range p.places {
		if !c.lapses.IsZero() && now.After(c.lapses) {
			e.drop(p, id, now)
		}
	}
	for id, forget := range p.retries {
		if now.After(forget) {
			delete(p.retries, id)
			e.grant(p, now)
		}
	}
}

func (p *endpoint) idle() bool {
	return len(p.places) == 0 && len(p.retries) == 0 && len(p.queue) == 0 && p.waiting == 0 && !p.blocked
}
