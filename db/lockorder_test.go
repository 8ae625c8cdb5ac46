package db_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db"
)

// TestLocksAreTakenInOneOrder holds an interview until two transactions wait, the first for the interview. Whichever
// then has the interview must not need a row of the other one.
func TestLocksAreTakenInOneOrder(t *testing.T) {
	t.Parallel()
	type change func(b *bundle, tx bun.Tx, i *db.Interview) error
	complete := func(b *bundle, tx bun.Tx, i *db.Interview) error {
		_, err := db.CompleteAnalysis(b.ctx, tx, i.ID, json.RawMessage(`{"overallRating": 4}`), nil)
		return err
	}
	fail := func(b *bundle, tx bun.Tx, i *db.Interview) error { return db.FailAnalysis(b.ctx, tx, i.ID, "too late") }
	remove := func(b *bundle, tx bun.Tx, i *db.Interview) error { return db.DeleteCandidate(b.ctx, tx, i.CandidateID) }
	erase := func(b *bundle, tx bun.Tx, i *db.Interview) error {
		_, _, err := db.BeginErasure(b.ctx, tx, i.CandidateID, db.ErasureRequested)
		return err
	}
	for name, c := range map[string]struct{ first, second change }{
		"an_analysis_and_a_deletion":       {complete, remove},
		"an_analysis_and_an_erasure":       {complete, erase},
		"a_failed_analysis_and_a_deletion": {fail, remove},
		"a_failed_analysis_and_an_erasure": {fail, erase},
		"a_deletion_and_an_analysis":       {remove, fail},
		"an_erasure_and_a_failed_analysis": {erase, fail},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			i := b.finished()
			holder, err := b.BeginTx(b.ctx, nil)
			require.NoError(t, err)
			defer func() { _ = holder.Rollback() }()
			_, err = db.LockInterview(b.ctx, holder, i.ID)
			require.NoError(t, err)
			ended := make([]chan error, 2)
			for n, do := range []change{c.first, c.second} {
				ended[n] = make(chan error, 1)
				go func() { ended[n] <- b.try(func(tx bun.Tx) error { return do(b, tx, i) }) }()
				require.Eventually(t, func() bool {
					return b.count(`SELECT count(*) FROM pg_stat_activity
						WHERE datname = current_database() AND wait_event_type = 'Lock'`) == n+1
				}, time.Minute, 5*time.Millisecond)
			}
			require.NoError(t, holder.Rollback())
			for _, e := range ended {
				err := <-e
				var state interface{ SQLState() string }
				require.NotErrorAs(t, err, &state, "a deadlock") // a lost race is another error
			}
		})
	}
}
