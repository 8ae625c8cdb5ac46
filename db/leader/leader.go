// Package leader elects one process among many to do maintenance: reconciling, upkeep, deleting orphaned files. The
// election is a lease in PostgreSQL, so maintenance needs no other store. A task must be harmless when two processes
// run it at once: a leader that froze may finish a step after another one was elected.
//
// Processes also count each other through such leases, to divide limits among them (Join).
package leader

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Task is work that one process at a time does.
type Task struct {
	// Name completes the log line "maintenance fails": "reconcile".
	Name string
	// Every is the pause between the end of a run and the next.
	Every time.Duration
	// Run does the work once. Its context ends with the lease. After an error, which is logged, it runs again after Every
	// or retryAfter, whichever is shorter: a rare task must not wait for its next turn because a store was unavailable.
	Run func(ctx context.Context) error
}

// LeaseDuration is how long maintenance pauses after a leader was killed or froze. It is short because a batch whose
// start was lost waits as long.
const (
	LeaseDuration = 10 * time.Second
	leaseRenew    = LeaseDuration / 4
	retryAfter    = 10 * time.Second
)

// Run runs the tasks whenever this process holds the lease, until ctx ends. Then it waits for the tasks to end, and
// releases the lease.
func Run(ctx context.Context, db *bun.DB, lease string, logger *slog.Logger, tasks ...Task) {
	c := &contender{db: db, lease: lease, id: uuid.New(), log: logger.With("lease", lease), tasks: tasks}
	failed := false
	for ctx.Err() == nil {
		requestedAt := time.Now()
		held, err := acquire(ctx, db, lease, c.id, LeaseDuration)
		switch {
		case err != nil && ctx.Err() == nil && !failed:
			c.log.WarnContext(ctx, "no leader can be elected: maintenance may pause", "error", err)
		case held:
			c.lead(ctx, requestedAt)
		}
		failed = err != nil
		sleep(ctx, leaseRenew)
	}
}

type contender struct {
	db    *bun.DB
	lease string
	id    uuid.UUID
	log   *slog.Logger
	tasks []Task
}

// lead is one term: the tasks run until the lease is lost or ctx ends. A leader that cannot renew its lease stops the
// tasks before the lease expires for others.
func (c *contender) lead(ctx context.Context, renewed time.Time) {
	c.log.InfoContext(ctx, "this process leads the maintenance")
	leading, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for _, t := range c.tasks {
		wg.Go(func() { c.repeat(leading, t) })
	}
	err := c.renew(ctx, renewed)
	stop()
	wg.Wait()
	switch {
	case ctx.Err() != nil:
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = release(limited, c.db, c.lease, c.id) // it expires anyway
	case err != nil:
		c.log.WarnContext(ctx, "this process no longer leads the maintenance: the lease was not renewed", "error", err)
	default:
		c.log.WarnContext(ctx, "another process leads the maintenance now")
	}
}

// renew keeps the lease until it is lost or ctx ends. err is the last fault of PostgreSQL, nil when another process
// has the lease.
func (c *contender) renew(ctx context.Context, renewed time.Time) (err error) {
	for held := true; held && ctx.Err() == nil; {
		sleep(ctx, leaseRenew)
		requestedAt := time.Now()
		var ok bool
		if ok, err = acquire(ctx, c.db, c.lease, c.id, LeaseDuration); ok {
			renewed = requestedAt
		}
		held = ok || err != nil && time.Since(renewed) < LeaseDuration
	}
	return err
}

// repeat runs a task until ctx ends. It logs the first failure of a series, and the recovery.
func (c *contender) repeat(ctx context.Context, t Task) {
	failed := false
	for ctx.Err() == nil {
		err, pause := t.Run(ctx), t.Every
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failed:
			c.log.WarnContext(ctx, "maintenance fails and is tried again", "task", t.Name, "error", err)
		case err == nil && failed:
			c.log.InfoContext(ctx, "maintenance works again", "task", t.Name)
		}
		if failed = err != nil; failed {
			pause = min(pause, retryAfter)
		}
		sleep(ctx, pause)
	}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
