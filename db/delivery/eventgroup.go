package delivery

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// ErrPreconditionFailed means that a precondition of the submission no longer holds. Nothing was stored.
var ErrPreconditionFailed = errors.New("a precondition no longer holds")

const (
	// groupEvents and groupBytes limit a group: beyond them, adding a row costs as much as a separate commit. A larger
	// submission gets a group of its own.
	groupEvents = 256
	groupBytes  = 1 << 20
	// groupsAtOnce limits concurrent groups: while one waits for the disk, the other executes.
	groupsAtOnce = 2
	// groupLimit is the time limit of a group. A caller's own deadline must not end the submissions of the others.
	groupLimit = 30 * time.Second
)

// EventGroup stores concurrent submissions in one statement and one commit: a group commit. It needs no timer: a group
// is what arrived while the previous groups were committed, so a lone submission is stored at once. Record returns
// after the commit of its events. No goroutine runs while no submission waits, so there is nothing to close.
//
// Submissions are independent: one whose preconditions fail is left out, and when the database refuses a group, each
// submission is tried alone.
type EventGroup struct {
	record func(context.Context, []Submission) ([]submitResult, error)

	mu      sync.Mutex
	waiting []*member
	running int
}

// member is a submission in a group. done is closed once result and err are set.
type member struct {
	Submission
	ctx    context.Context //nolint:containedctx // a submission canceled before its group begins is not stored
	done   chan struct{}
	result submitResult
	err    error
}

// NewEventGroup returns an EventGroup for a database.
func NewEventGroup(db *bun.DB) *EventGroup {
	return &EventGroup{
		record: func(ctx context.Context, ss []Submission) ([]submitResult, error) { return insertEvents(ctx, db, ss) },
	}
}

// Record stores the submission's events as RecordEvents does, together with those of other callers, and returns the
// number of deliveries of each. It returns ErrPreconditionFailed, and stores nothing, when a precondition of the
// submission does not hold. When ctx ends first, Record returns its error and the events may be stored or not, as with
// any commit whose answer was lost; the caller must not modify them any more.
func (g *EventGroup) Record(ctx context.Context, s Submission) ([]int, error) {
	m := &member{Submission: s, ctx: ctx, done: make(chan struct{})}
	g.enqueue(m)
	select {
	case <-m.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if m.err == nil && m.result.stale {
		return nil, ErrPreconditionFailed
	}
	return m.result.deliveries, m.err
}

func (g *EventGroup) enqueue(m *member) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = append(g.waiting, m)
	if g.running < groupsAtOnce {
		g.running++
		go g.run()
	}
}

// run commits groups until no submission waits.
func (g *EventGroup) run() {
	for {
		group := g.next()
		if group == nil {
			return
		}
		g.commit(group)
	}
}

// next takes the next group. nil means that no submission waits and that the calling goroutine must end.
func (g *EventGroup) next() []*member {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) == 0 {
		g.running--
		return nil
	}
	n, events, bytes := 0, 0, 0
	for ; n < len(g.waiting); n++ {
		events += len(g.waiting[n].Events)
		bytes += g.waiting[n].bytes()
		if n > 0 && (events > groupEvents || bytes > groupBytes) {
			break
		}
	}
	group := g.waiting[:n:n]
	if g.waiting = g.waiting[n:]; len(g.waiting) == 0 {
		g.waiting = nil // lets the taken members be freed
	}
	return group
}

func (s *Submission) bytes() (n int) {
	for _, e := range s.Events {
		n += len(e.Data)
	}
	return n
}

// commit stores a group and closes done of every member, also on errors and panics.
func (g *EventGroup) commit(group []*member) {
	present := group[:0]
	for _, m := range group {
		if m.err = m.ctx.Err(); m.err != nil {
			close(m.done)
		} else {
			present = append(present, m)
		}
	}
	if len(present) == 0 {
		return
	}
	err := g.insert(present)
	if len(present) > 1 && refused(err) {
		for _, m := range present {
			m.err = g.insert([]*member{m})
			close(m.done)
		}
		return
	}
	for _, m := range present {
		m.err = err
		close(m.done)
	}
}

// insert stores the members in one statement. It returns a panic as an error, so that the process and the other groups
// continue.
func (g *EventGroup) insert(members []*member) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("record events: panic: %v\n%s", r, debug.Stack())
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), groupLimit)
	defer cancel()
	ss := make([]Submission, len(members))
	for i, m := range members {
		ss[i] = m.Submission
	}
	results, err := g.record(ctx, ss)
	if err != nil {
		return err
	}
	for i, m := range members {
		m.result = results[i]
	}
	return nil
}

// refused reports whether the database rejected the statement: nothing was stored, and one member may be the cause.
// When the database was unavailable instead, the result is unknown, and trying each member alone could store it twice.
func refused(err error) bool {
	var answer *pgconn.PgError
	return errors.As(err, &answer) && !pg.IsUnavailable(err)
}
