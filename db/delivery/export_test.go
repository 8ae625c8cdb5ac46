package delivery

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"
)

// InsertEventsSQL is exported to test its plan.
var InsertEventsSQL = insertEventsSQL

// InsertEvents is exported to test submissions of several origins in one statement.
func InsertEvents(ctx context.Context, db bun.IDB, ss []Submission) error {
	_, err := insertEvents(ctx, db, ss)
	return err
}

// Publish does what storing an event does about its origin.
func Publish(ctx context.Context, es []*Event) {
	ctx, span := startPublish(ctx, es)
	setOrigin(ctx, es)
	noteStored(ctx, es, 1)
	endPublish(span, es, nil)
}

// PanicOnce makes the next group panic where it would go to the database.
func (g *EventGroup) PanicOnce() {
	var done atomic.Bool
	record := g.record
	g.record = func(ctx context.Context, ss []Submission) ([]submitResult, error) {
		if done.CompareAndSwap(false, true) {
			panic("boom")
		}
		return record(ctx, ss)
	}
}

// Waiting is how many callers no group has taken yet.
func (g *EventGroup) Waiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting)
}

// Running is how many groups are being committed.
func (g *EventGroup) Running() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.running
}

// Large is how many large submissions are being committed, and how many wait.
func (g *EventGroup) Large() (running, waiting int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.largeOf), len(g.large)
}

// SetLargeWait sets how long a large submission may wait for its turn.
func (g *EventGroup) SetLargeWait(d time.Duration) { g.largeWait = d }

// Estimate returns the estimated number of deliveries of several events.
func (g *EventGroup) Estimate(ctx context.Context, events []*Event) (int, error) {
	if err := g.fanOuts.lookUp(ctx, events); err != nil {
		return 0, err
	}
	n, _ := g.fanOuts.estimate(events)
	return n, nil
}

// Filtered returns the estimated bytes of data that the filters of the events' webhooks read.
func (g *EventGroup) Filtered(events []*Event) int {
	_, n := g.fanOuts.estimate(events)
	return n
}

// Store stores submissions in a transaction, as a group does, and returns how many it left out.
func Store(ctx context.Context, tx bun.Tx, ss []Submission) (leftOut int, err error) {
	results, err := storeWithAnswers(ctx, tx, ss)
	for _, r := range results {
		if r.stale || r.taken {
			leftOut++
		}
	}
	return leftOut, err
}

// LookAtDay looks what holds the partitions of a day.
func LookAtDay(ctx context.Context, db bun.IDB, at time.Time) error {
	for _, table := range dayTables {
		if _, err := (day{table, dayOf(at)}).isHeld(ctx, db); err != nil {
			return err
		}
	}
	return nil
}

// Running reports whether a goroutine looks at the feed.
func (w *FeedWatch) Running() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.running
}

// LookForNews is the look at the feed that wakes its readers.
func LookForNews(ctx context.Context, db bun.IDB, from, to int64) (companies int, err error) {
	news, err := changesOfFeed(ctx, db, from, to)
	return len(news.companies), err
}

// MoveIn moves lines in a transaction.
func MoveIn(ctx context.Context, tx bun.Tx, pool *bun.DB, limit int) (heads int, err error) {
	m, err := NewLines(pool).move(ctx, tx, limit)
	return m.Heads, err
}

// LateBy is how long passes over the changes of lines begin with a change again.
const LateBy = lateBy
