package media

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"greenroom/db"
)

// sweepPage bounds the files of one round, to limit the load on a failing store.
const sweepPage = 100

// SweepEvery is the pause between two sweeps. It bounds how long a deleted candidate's videos remain.
const SweepEvery = 10 * time.Second

// Sweeper deletes orphaned files, to which no row refers (db.OrphanedFiles): replaced, deleted, or never completed. Two
// processes may sweep the same store at once: deleting twice is no error.
type Sweeper struct {
	DB    *bun.DB
	Store Store
}

// Sweep deletes up to 100 files that are due, and returns how many. A file that cannot be deleted is postponed and does
// not hold up the others.
func (s *Sweeper) Sweep(ctx context.Context) (deleted int, err error) {
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
