package db_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/catalog"
	"greenroom/db/pg"
)

func TestGenerations(t *testing.T) {
	t.Parallel()
	b := setup(t)
	g := &db.Generation{CompanyID: b.company, JobRole: "Receptionist", JobDescription: "Greets people"}
	b.tx(func(tx bun.Tx) error { return db.CreateGeneration(b.ctx, tx, g) })
	var kinds []string
	require.NoError(t, b.NewRaw("SELECT kind FROM commands WHERE subject_id = ?", g.ID).Scan(b.ctx, &kinds))
	require.Equal(t, []string{string(db.GenerationRequested)}, kinds)

	b.tx(func(tx bun.Tx) error { return db.KeepQuestions(b.ctx, tx, g.ID, []string{"too early"}) })
	for _, questions := range [][]string{{"Why?", "How?"}, {"Anything else?"}} { // again, as after a crash; a generator need not repeat itself
		b.tx(func(tx bun.Tx) error { return db.CreateGenerated(b.ctx, tx, g.ID) })
		b.tx(func(tx bun.Tx) error { return db.KeepQuestions(b.ctx, tx, g.ID, questions) })
	}
	got, err := db.GetGeneration(b.ctx, b, g.ID)
	require.NoError(t, err)
	require.Equal(t, 2, *got.Questions)
	jobs, n, err := db.ListJobs(b.ctx, b, pg.Scope{Company: &b.company}, db.JobFilter{}, page)
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	require.Equal(t, jobs[0].ID, *got.JobID)
	require.Equal(t, jobs[0].Number, *got.JobNumber)
	require.Equal(t, "Greets people", *jobs[0].Description)
	agent, err := db.GetAgent(b.ctx, b, *jobs[0].AgentID)
	require.NoError(t, err)
	require.Equal(t, []string{"Why?", "How?"}, agent.Questions)

	b.tx(func(tx bun.Tx) error { return db.EndGeneration(b.ctx, tx, g.ID, "") })
	b.tx(func(tx bun.Tx) error { return db.EndGeneration(b.ctx, tx, g.ID, "too late to fail") })
	got, err = db.GetGeneration(b.ctx, b, g.ID)
	require.NoError(t, err)
	require.Equal(t, db.GenerationCompleted, got.Status)
	require.Nil(t, got.Error)
	var created int
	require.NoError(t, b.NewRaw("SELECT count(*) FROM events WHERE type = ?", catalog.JobCreated).Scan(b.ctx, &created))
	require.Equal(t, 1, created)
}
