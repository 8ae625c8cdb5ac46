package delivery

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/uptrace/bun"
	"go.opentelemetry.io/otel/trace"

	"greenroom/db/pg"
)

// ErrPreconditionFailed means that a precondition of the submission no longer holds. Nothing was stored.
var ErrPreconditionFailed = errors.New("a precondition no longer holds")

const (
	// groupEvents, groupBytes and groupDeliveries limit a shared group: beyond them, adding a row costs as much as a
	// separate commit, and the other callers of the group wait for it. A thousand deliveries take some 25 ms.
	groupEvents     = 256
	groupBytes      = 1 << 20
	groupDeliveries = 1000
	// sharedDeliveries is the most deliveries of a submission that shares a group.
	sharedDeliveries = 100
	// groupsAtOnce limits concurrent groups: while one waits for the disk, the other executes.
	groupsAtOnce = 2
	// largeAtOnce limits concurrent large submissions, each of another company.
	largeAtOnce = 2
	// groupLimit is the time limit of a group. A caller's own deadline must not end the submissions of the others.
	groupLimit = 30 * time.Second
	// largeWait is how long a large submission may wait for its turn, and largeLimit is its time limit: 1,000 events for
	// 1,000 webhooks take some 25 s. Both together are shorter than the API's limit for a response.
	largeWait  = 20 * time.Second
	largeLimit = time.Minute
)

// EventGroup stores concurrent submissions in one transaction: a group commit. It needs no timer: a group
// is what arrived while the previous groups were committed, so a lone submission is stored at once. Record returns
// after the commit of its events. No goroutine runs while no submission waits, so there is nothing to close.
//
// A submission that is large by itself, or whose events have many deliveries (known from earlier events of their
// types) or filters that take long, does not share a group: it would delay the other callers. Large submissions have a
// queue and transactions of their own, one at a time for each company. One that has waited for largeWait fails with
// context.DeadlineExceeded.
//
// Submissions are independent: one whose preconditions fail is left out, and when the database refuses a group, each
// submission is tried alone.
type EventGroup struct {
	record  func(context.Context, []Submission) ([]submitResult, error)
	fanOuts *fanOuts

	mu      sync.Mutex
	waiting []*member
	running int
	keys    map[idempotencyKey]*member // of the members that are not done
	large   []*member                  // waiting large submissions
	largeOf map[uuid.UUID]bool         // the companies that have a large submission under way

	largeWait time.Duration
}

// member is a submission in a group. done is closed once result and err are set.
type member struct {
	Submission
	ctx    context.Context //nolint:containedctx // a submission canceled before its group begins is not stored
	done   chan struct{}
	result submitResult
	err    error

	expires time.Time // when a large submission has waited for too long; zero for the others
}

// NewEventGroup returns an EventGroup for a database.
func NewEventGroup(db *bun.DB) *EventGroup {
	return &EventGroup{
		record: func(ctx context.Context, ss []Submission) ([]submitResult, error) {
			return storeSubmissions(ctx, db, ss)
		},
		fanOuts: newFanOuts(db),
		keys:    map[idempotencyKey]*member{},
		largeOf: map[uuid.UUID]bool{}, largeWait: largeWait,
	}
}

// Record stores the submission's events as RecordEvents does, together with those of other callers, and returns the
// number of deliveries of each. It returns ErrPreconditionFailed, and stores nothing, when a precondition of the
// submission does not hold. When ctx ends first, Record returns its error and the events may be stored or not, as with
// any commit whose answer was lost; the caller must not modify them any more.
//
// With an idempotency key, the transaction of the events also stores the answer. It returns ErrKeyTaken, and stores
// nothing, when the key has an answer or another process is storing one. While another call of this process has the
// key, Record first waits for its end.
func (g *EventGroup) Record(ctx context.Context, s Submission) (deliveries []int, err error) {
	ctx, span := startPublish(ctx, s.Events)
	defer func() { endPublish(span, s.Events, err) }()
	setOrigin(ctx, s.Events)
	if g.fanOuts.uncertain(s.Events) {
		if err := g.fanOuts.lookUp(ctx, s.Events); err != nil {
			return nil, err
		}
	}
	m := &member{Submission: s, ctx: ctx, done: make(chan struct{})}
	first := g.enqueue(m)
	select {
	case <-first.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	switch {
	case first != m:
		return nil, ErrKeyTaken
	case m.err != nil:
		return nil, m.err
	case m.result.stale:
		return nil, ErrPreconditionFailed
	case m.result.taken:
		return nil, ErrKeyTaken
	}
	noteStored(ctx, s.Events, m.result.deliveries...)
	return m.result.deliveries, nil
}

// enqueue adds m to the waiting members and returns it. When a member has the same idempotency key, it returns that
// member instead.
func (g *EventGroup) enqueue(m *member) *member {
	g.mu.Lock()
	defer g.mu.Unlock()
	if m.Idempotency != nil {
		if first := g.keys[m.Idempotency.id()]; first != nil {
			return first
		}
		g.keys[m.Idempotency.id()] = m
	}
	g.waiting = append(g.waiting, m)
	if g.running < groupsAtOnce {
		g.running++
		go g.run()
	}
	return m
}

// finish lets Record return the result of m.
func (g *EventGroup) finish(m *member) {
	if m.Idempotency != nil {
		g.mu.Lock()
		delete(g.keys, m.Idempotency.id())
		g.mu.Unlock()
	}
	close(m.done)
}

// run commits groups until no submission waits.
func (g *EventGroup) run() {
	for {
		group := g.next()
		if group == nil {
			return
		}
		g.commit(group, groupLimit)
	}
}

// next takes the next group, and moves the large submissions before it to their own queue. nil means that no other
// submission waits and that the calling goroutine must end.
func (g *EventGroup) next() []*member {
	g.mu.Lock()
	defer g.mu.Unlock()
	var group []*member
	var sum load
	for _, m := range g.waiting {
		l := g.loadOf(&m.Submission)
		if l.isLarge() {
			m.expires = time.Now().Add(g.largeWait)
			g.large = append(g.large, m)
		} else if sum = sum.plus(l); len(group) > 0 && sum.exceedsGroup() {
			break
		} else {
			group = append(group, m)
		}
		g.waiting = g.waiting[1:]
	}
	if len(g.waiting) == 0 {
		g.waiting = nil // lets the taken members be freed
	}
	g.startLarge()
	if len(group) == 0 {
		g.running--
	}
	return group
}

// startLarge starts large submissions in their order, but for those of a company that has one under way. The caller
// holds g.mu.
func (g *EventGroup) startLarge() {
	for i := 0; i < len(g.large) && len(g.largeOf) < largeAtOnce; {
		m := g.large[i]
		company := fanOutKeyOf(m.Events[0]).company
		if g.largeOf[company] {
			i++
			continue
		}
		g.large = slices.Delete(g.large, i, i+1)
		g.largeOf[company] = true
		go func() {
			g.commit([]*member{m}, largeLimit)
			g.mu.Lock()
			defer g.mu.Unlock()
			delete(g.largeOf, company)
			g.startLarge()
		}()
	}
}

// load is what a submission or a group costs. bytes are those of data that are stored and that filters read.
type load struct{ events, bytes, deliveries int }

func (g *EventGroup) loadOf(s *Submission) load {
	deliveries, filtered := g.fanOuts.estimate(s.Events)
	return load{len(s.Events), s.bytes() + filtered, deliveries}
}

func (l load) plus(other load) load {
	return load{l.events + other.events, l.bytes + other.bytes, l.deliveries + other.deliveries}
}

func (l load) exceedsGroup() bool {
	return l.events > groupEvents || l.bytes > groupBytes || l.deliveries > groupDeliveries
}

// isLarge reports whether a submission must not share a group.
func (l load) isLarge() bool { return l.exceedsGroup() || l.deliveries > sharedDeliveries }

func (s *Submission) bytes() (n int) {
	for _, e := range s.Events {
		n += len(e.Data)
	}
	return n
}

// commit stores a group and finishes every member, also on errors and panics.
func (g *EventGroup) commit(group []*member, limit time.Duration) {
	present := group[:0]
	for _, m := range group {
		if m.err = m.ended(); m.err != nil {
			g.finish(m)
		} else {
			present = append(present, m)
		}
	}
	if len(present) == 0 {
		return
	}
	err := g.insert(present, limit)
	if len(present) > 1 && refused(err) {
		for _, m := range present {
			m.err = g.insert([]*member{m}, limit)
			g.finish(m)
		}
		return
	}
	for _, m := range present {
		m.err = err
		g.finish(m)
	}
}

// ended returns an error when the caller has gone or has waited for too long.
func (m *member) ended() error {
	if !m.expires.IsZero() && time.Now().After(m.expires) {
		return fmt.Errorf("wait for other large submissions: %w", context.DeadlineExceeded)
	}
	return m.ctx.Err()
}

// insert stores the members in one transaction. It returns a panic as an error, so that the process and the other
// groups continue.
func (g *EventGroup) insert(members []*member, limit time.Duration) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("record events: panic: %v\n%s", r, debug.Stack())
		}
	}()
	ctx, cancel := context.WithTimeout(withFirstTrace(context.Background(), members), limit)
	defer cancel()
	ss := make([]Submission, len(members))
	for i, m := range members {
		ss[i] = m.Submission
	}
	began := time.Now()
	results, err := g.record(ctx, ss)
	if time.Since(began) > slowGroup {
		for _, m := range members {
			g.fanOuts.tookLong(m.Events)
		}
	}
	if err != nil {
		return err
	}
	for i, m := range members {
		m.result = results[i]
		if r := m.result; !r.stale && !r.taken {
			g.fanOuts.observe(m.Events, r.deliveries)
		}
	}
	return nil
}

// withFirstTrace returns ctx with the span of the first member that is traced: the statements of the group show in its
// trace.
func withFirstTrace(ctx context.Context, members []*member) context.Context {
	for _, m := range members {
		if span := trace.SpanFromContext(m.ctx); span.IsRecording() {
			return trace.ContextWithSpan(ctx, span)
		}
	}
	return ctx
}

// refused reports whether the group was rejected: nothing was stored, and one member may be the cause. When the
// database was unavailable instead, the result is unknown, and trying each member alone could store it twice.
func refused(err error) bool {
	if errors.Is(err, errAnswer) || errors.Is(err, errTakenMeanwhile) {
		return true
	}
	var answer *pgconn.PgError
	return errors.As(err, &answer) && !pg.IsUnavailable(err)
}
