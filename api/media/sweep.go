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

// sweepPage bounds the files of one round, to limit the load on a failing store.
const sweepPage = 100

// SweeperOptions configure a sweeper. DB and Store are required.
type SweeperOptions struct {
	DB    *bun.DB
	Store Store
	// Every is the interval between rounds; 0 means 10 s. It bounds how long a deleted candidate's videos remain.
	Every  time.Duration
	Logger *slog.Logger
}

// Sweeper deletes the files that no row refers to (db.StrayFiles): replaced files, deleted files and interrupted
// uploads. Any number of processes may sweep the same store, because deleting a file twice is not an error.
type Sweeper struct{ SweeperOptions }

// NewSweeper returns a sweeper; Run starts it.
func NewSweeper(o SweeperOptions) *Sweeper {
	if o.Every <= 0 {
		o.Every = 10 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Sweeper{o}
}

// Run sweeps at once and then at each interval until ctx ends. It logs an error and retries in the next round.
func (s *Sweeper) Run(ctx context.Context) {
	tick := time.NewTicker(s.Every)
	defer tick.Stop()
	failed := false
	for {
		_, err := s.RunOnce(ctx)
		switch {
		case err != nil && ctx.Err() == nil && !failed:
			s.Logger.WarnContext(ctx, "stray media files cannot be deleted; retrying", "error", err)
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

// RunOnce deletes one page of due files and returns how many. A file that cannot be deleted is postponed and does not
// block the others.
func (s *Sweeper) RunOnce(ctx context.Context) (deleted int, err error) {
	files, err := db.StrayFiles(ctx, s.DB, sweepPage)
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
