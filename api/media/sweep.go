package media

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/uptrace/bun"

	"greenroom/db"
)

// sweepPage bounds one round, so that a failing store is asked for little.
const sweepPage = 100

// SweeperOptions are what a sweeper works with. DB and Store are required.
type SweeperOptions struct {
	DB    *bun.DB
	Store Store
	// Every is the pause between two rounds; 0 means 10 s, in which a deleted candidate's videos are gone.
	Every  time.Duration
	Logger *slog.Logger
}

// Sweeper deletes the files that no row counts on (db.OrphanedFiles): what was replaced, deleted or never came to its
// end. Any number of processes may sweep the same store: deleting twice is no error.
type Sweeper struct{ SweeperOptions }

// NewSweeper returns a sweeper; it does nothing before it runs.
func NewSweeper(o SweeperOptions) *Sweeper {
	if o.Every <= 0 {
		o.Every = 10 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Sweeper{o}
}

// Run sweeps, at once and then until ctx ends. A fault is logged and tried again in the next round.
func (s *Sweeper) Run(ctx context.Context) {
	tick := time.NewTicker(s.Every)
	defer tick.Stop()
	failed := false
	for {
		_, err := s.RunOnce(ctx)
		switch {
		case err != nil && ctx.Err() == nil && !failed:
			s.Logger.WarnContext(ctx, "stray media files cannot be deleted; they are tried again", "error", err)
		case err == nil && failed:
			s.Logger.InfoContext(ctx, "stray media files can be deleted again")
		}
		failed = err != nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// RunOnce deletes the files that are due, and returns how many. One that cannot be deleted does not keep the others.
func (s *Sweeper) RunOnce(ctx context.Context) (deleted int, err error) {
	files, err := db.OrphanedFiles(ctx, s.DB, sweepPage)
	if err != nil {
		return 0, err
	}
	var faults []error
	for _, file := range files {
		if err := s.delete(ctx, file); err != nil {
			faults = append(faults, fmt.Errorf("delete %s: %w", file, err), db.PostponeFile(ctx, s.DB, file, err.Error()))
			continue
		}
		deleted++
	}
	return deleted, errors.Join(faults...)
}

func (s *Sweeper) delete(ctx context.Context, file string) error {
	if err := s.Store.Delete(ctx, file); err != nil {
		return err
	}
	return db.ForgetFile(ctx, s.DB, file)
}
