package db_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/pg"
)

// TestErasureRefusesALateAnalysis, which waits for the candidate while the person is erased.
func TestErasureRefusesALateAnalysis(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.finished()
	b.tx(func(tx bun.Tx) error { return db.FailAnalysis(b.ctx, tx, i.ID, "took too long") })
	err := b.whileLocked(true, func(tx bun.Tx) error {
		_, _, err := db.BeginErasure(b.ctx, tx, i.CandidateID, db.ErasureRequested)
		return err
	}, func() error { return b.analyse(i, `{"overallRating":4,"summary":"Zyxwvuta is fluent"}`) })
	var state *pg.StateError
	require.ErrorAs(t, err, &state)
	require.Equal(t, pg.StateError{Resource: "interview", State: "deleted"}, *state)
	b.finishErasures()
	require.NotContains(t, b.dump(), "Zyxwvuta")
	require.Zero(t, b.count("SELECT count(*) FROM candidates WHERE id = ? AND overall_rating IS NOT NULL", i.CandidateID))
}
