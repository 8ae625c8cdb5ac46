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

// ErrChanged means that what the caller had read, and asked to be still so, is not so any more. Nothing was stored.
var ErrChanged = errors.New("changed meanwhile")

const (
	// groupEvents and groupBytes end a group: beyond them another row costs as much as another commit saves. A
	// submission that is larger by itself is a group of its own.
	groupEvents = 256
	groupBytes  = 1 << 20
	// groupsAtOnce is how many groups are on their way to the database: while one waits for the disk, the other is
	// executed.
	groupsAtOnce = 2
	// groupLimit is how long a group may take. It cannot be the callers' own limit, since none may end the others'.
	groupLimit = 30 * time.Second
)

// EventGroup records what callers submit at the same time in one statement and one commit: a group commit. Its rule
// needs no timer and delays nobody: a group is what has gathered while the groups before it were committed, so a lone
// caller is served at once. Each caller is answered after the commit that has its events. Nothing runs while nobody
// waits, so there is nothing to close: when the callers have their answers, it is done.
//
// Submissions do not know of each other: one whose conditions do not hold is left out, and when the database refuses
// a group, each of it is tried alone.
type EventGroup struct {
	record func(context.Context, []Submission) ([]submitResult, error)

	mu      sync.Mutex
	waiting []*member
	running int
}

// member is a submission on its way; done is closed when the rest is set.
type member struct {
	Submission
	ctx    context.Context //nolint:containedctx // a caller that is gone before its group begins is not recorded
	done   chan struct{}
	result submitResult
	err    error
}

// NewEventGroup returns a group of its own on that database.
func NewEventGroup(db *bun.DB) *EventGroup {
	return &EventGroup{
		record: func(ctx context.Context, ss []Submission) ([]submitResult, error) { return insertEvents(ctx, db, ss) },
	}
}

// Record stores the submission's events as RecordEvents does, together with those of other callers, and returns how
// many deliveries each has. ErrChanged means that a condition of the submission does not hold and nothing of it was
// stored. When ctx ends first, its error is returned and the events, which are then not the caller's to touch, may be
// stored or not, as with any commit whose answer did not arrive.
func (g *EventGroup) Record(ctx context.Context, s Submission) ([]int, error) {
	m := &member{Submission: s, ctx: ctx, done: make(chan struct{})}
	g.join(m)
	select {
	case <-m.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if m.err == nil && m.result.stale {
		return nil, ErrChanged
	}
	return m.result.deliveries, m.err
}

func (g *EventGroup) join(m *member) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = append(g.waiting, m)
	if g.running < groupsAtOnce {
		g.running++
		go g.run()
	}
}

// run commits groups until nobody waits.
func (g *EventGroup) run() {
	for {
		group := g.next()
		if group == nil {
			return
		}
		g.commit(group)
	}
}

// next takes the next group; nil: nobody waits, and the caller has to end.
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
		g.waiting = nil // so that the taken ones can be freed
	}
	return group
}

func (s *Submission) bytes() (n int) {
	for _, e := range s.Events {
		n += len(e.Data)
	}
	return n
}

// commit records a group and answers every member, whatever happens.
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
	err := g.together(present)
	if len(present) > 1 && refused(err) {
		for _, m := range present {
			m.err = g.together([]*member{m})
			close(m.done)
		}
		return
	}
	for _, m := range present {
		m.err = err
		close(m.done)
	}
}

// together records the members in one statement. A panic is an error like another: the process and the other groups
// go on.
func (g *EventGroup) together(members []*member) (err error) {
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

// refused reports whether the database has looked at a statement and would not have it, so that it is known that
// nothing was stored and that one member may be to blame. When it is unavailable instead, trying each alone could
// store some of them twice.
func refused(err error) bool {
	var answer *pgconn.PgError
	return errors.As(err, &answer) && !pg.IsUnavailable(err)
}
