package delivery

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"
)

// InsertEventsSQL is exported to test its plan.
var InsertEventsSQL = insertEventsSQL

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

// LookAtDay looks what holds the partitions of a day.
func LookAtDay(ctx context.Context, db bun.IDB, at time.Time) error {
	for _, table := range dayTables {
		if _, err := (day{table, dayOf(at)}).isHeld(ctx, db); err != nil {
			return err
		}
	}
	return nil
}
