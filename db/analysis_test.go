package db_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/catalog"
	"greenroom/db/pg"
)

// finished is a completed interview whose analysis is pending.
func (b *bundle) finished() *db.Interview {
	b.t.Helper()
	i := b.interview(db.Online)
	b.tx(func(tx bun.Tx) error { _, err := db.StartInterview(b.ctx, tx, i.ID); return err })
	b.tx(func(tx bun.Tx) error {
		_, err := db.FinishInterview(b.ctx, tx, i.ID, db.Finish{AnalysisWithin: time.Hour})
		return err
	})
	return i
}

func (b *bundle) analyse(i *db.Interview, general string) error {
	return b.try(func(tx bun.Tx) error {
		_, err := db.CompleteAnalysis(b.ctx, tx, i.ID, json.RawMessage(general), nil)
		return err
	})
}

func TestAnalysisTransitionsAreGuarded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	fail := func(i *db.Interview) error {
		return b.try(func(tx bun.Tx) error { return db.FailAnalysis(b.ctx, tx, i.ID, "too late") })
	}
	complete := func(i *db.Interview) error { return b.analyse(i, `{}`) }
	for name, c := range map[string]struct {
		from  string // analysis_status
		move  func(*db.Interview) error
		state string // of the refusal; empty: accepted
	}{
		"complete a pending one":   {db.AnalysisPending, complete, ""},
		"complete a failed one":    {db.AnalysisFailed, complete, ""},
		"complete a completed one": {db.AnalysisCompleted, complete, db.AnalysisCompleted},
		"fail a pending one":       {db.AnalysisPending, fail, ""},
		"fail a failed one":        {db.AnalysisFailed, fail, db.AnalysisFailed},
		"fail a completed one":     {db.AnalysisCompleted, fail, db.AnalysisCompleted},
	} {
		i := b.finished()
		b.exec("UPDATE interviews SET analysis_status = ? WHERE id = ?", c.from, i.ID)
		before, commands := b.state(i.ID), b.commands(i.ID)
		err := c.move(i)
		if c.state == "" {
			require.NoError(t, err, name)
			require.Nil(t, b.get(i.ID).AnalysisDueAt, name)
			require.Equal(t, commands+1, b.commands(i.ID), "%s: the workflow waits for it", name)
			continue
		}
		var state *pg.StateError
		require.ErrorAs(t, err, &state, name)
		require.Equal(t, pg.StateError{Resource: "analysis", State: c.state}, *state, name)
		require.Equal(t, before, b.state(i.ID), name)
	}
	running := b.interview(db.Online)
	var state *pg.StateError
	require.ErrorAs(t, fail(running), &state)
	require.Equal(t, pg.StateError{Resource: "interview", State: "SCHEDULED"}, *state)
	require.ErrorIs(t, fail(&db.Interview{ID: pg.NewID()}), pg.ErrNotFound)
}

func TestLateAnalysisReplacesTheFailure(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.finished()
	b.tx(func(tx bun.Tx) error { return db.FailAnalysis(b.ctx, tx, i.ID, "took too long") })
	failed, err := db.GetAnalysis(b.ctx, b, i.ID)
	require.NoError(t, err)
	require.Equal(t, db.AnalysisFailed, failed.Status)
	require.Equal(t, "took too long", *failed.Error)
	require.Equal(t, "took too long", b.lastEvent(catalog.AnalysisFailed)["errorMessage"])

	require.NoError(t, b.analyse(i, `{"overallRating":0}`))
	late, err := db.GetAnalysis(b.ctx, b, i.ID)
	require.NoError(t, err)
	require.Equal(t, failed.ID, late.ID, "the analysis keeps its id")
	require.True(t, failed.CreatedAt.Equal(late.CreatedAt))
	require.Nil(t, late.Error)
	require.Equal(t, late.ID.String(), b.lastEvent(catalog.AnalysisCompleted)["analysis"].(map[string]any)["id"])
	c, err := db.GetCandidate(b.ctx, b, i.CandidateID)
	require.NoError(t, err)
	require.NotNil(t, c.OverallRating, "0 is a rating")
	require.Zero(t, *c.OverallRating)
}

func TestBriefings(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.finished()
	b.exec("UPDATE jobs SET description = 'Builds', required_skills = '{Go,SQL}' WHERE id = ?", *i.JobID)
	b.exec("UPDATE candidates SET phone_number = '+421900000001' WHERE id = ?", i.CandidateID)

	t.Run("of_an_analysis", func(t *testing.T) {
		got, err := db.BriefAnalysis(b.ctx, b, i.ID)
		require.NoError(t, err)
		require.Equal(t, "Engineer", got.JobTitle)
		require.Equal(t, "Builds", got.JobDescription)
		require.Equal(t, []string{"Go", "SQL"}, got.RequiredSkills)
	})
	t.Run("of_an_analysis_without_a_job", func(t *testing.T) {
		other := b.finished()
		b.exec("UPDATE interviews SET job_id = NULL WHERE id = ?", other.ID)
		got, err := db.BriefAnalysis(b.ctx, b, other.ID)
		require.NoError(t, err)
		require.Empty(t, got.JobTitle)
		require.Empty(t, got.RequiredSkills)
	})
	t.Run("no_analysis_is_asked_for", func(t *testing.T) {
		done, deleted := b.finished(), b.finished()
		require.NoError(t, b.analyse(done, "{}"))
		b.tx(func(tx bun.Tx) error { return db.DeleteInterview(b.ctx, tx, pg.Scope{}, deleted.ID) })
		for name, other := range map[string]*db.Interview{
			"analysed": done, "deleted": deleted, "not held": b.interview(db.Online), "missing": {ID: pg.NewID()},
		} {
			_, err := db.BriefAnalysis(b.ctx, b, other.ID)
			require.ErrorIs(t, err, pg.ErrNotFound, name)
		}
	})
	t.Run("of_a_call_lacks_the_number_of_a_deleted_candidate", func(t *testing.T) {
		got, err := db.BriefCall(b.ctx, b, i.ID)
		require.NoError(t, err)
		require.Equal(t, "+421900000001", *got.PhoneNumber)
		b.tx(func(tx bun.Tx) error { return db.DeleteCandidate(b.ctx, tx, i.CandidateID) })
		got, err = db.BriefCall(b.ctx, b, i.ID)
		require.NoError(t, err)
		require.Nil(t, got.PhoneNumber)
	})
}

func TestEndGeneration(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, c := range map[string]struct {
		created, asked bool
		reason         string
		status         db.GenerationStatus
		message        string
	}{
		"failed without a job":   {false, false, "no", db.GenerationFailed, "The AI interview could not be created"},
		"failed with a job":      {true, false, "no", db.GenerationFailed, "was created, but without questions"},
		"completed":              {true, true, "", db.GenerationCompleted, "The AI interview is ready"},
		"completed, not written": {true, false, "", db.GenerationCompleted, "no generator is configured"},
	} {
		g := &db.Generation{CompanyID: b.company, JobRole: "Receptionist"}
		b.tx(func(tx bun.Tx) error { return db.CreateGeneration(b.ctx, tx, g) })
		require.Equal(t, "The AI interview is being created", g.Message())
		if c.created {
			b.tx(func(tx bun.Tx) error { return db.CreateGenerated(b.ctx, tx, g.ID) })
		}
		if c.asked {
			b.tx(func(tx bun.Tx) error { return db.KeepQuestions(b.ctx, tx, g.ID, []string{"Why?"}) })
		}
		b.tx(func(tx bun.Tx) error { return db.EndGeneration(b.ctx, tx, g.ID, c.reason) })
		b.tx(func(tx bun.Tx) error { return db.EndGeneration(b.ctx, tx, g.ID, "another end") })
		got, err := db.GetGeneration(b.ctx, b, g.ID)
		require.NoError(t, err)
		require.Equal(t, c.status, got.Status, name)
		require.Contains(t, got.Message(), c.message, name)
		if c.reason != "" {
			require.Equal(t, c.reason, *got.Error, "%s: the first end counts", name)
		}
	}
	missing := b.try(func(tx bun.Tx) error { return db.EndGeneration(b.ctx, tx, pg.NewID(), "") })
	require.ErrorIs(t, missing, pg.ErrNotFound)
}

// Questions that a person wrote while the generator worked stay the only ones.
func TestKeepQuestionsLeavesQuestionsThatThereAre(t *testing.T) {
	t.Parallel()
	b := setup(t)
	g := &db.Generation{CompanyID: b.company, JobRole: "Receptionist"}
	b.tx(func(tx bun.Tx) error { return db.CreateGeneration(b.ctx, tx, g) })
	b.tx(func(tx bun.Tx) error { return db.CreateGenerated(b.ctx, tx, g.ID) })
	got, err := db.GetGeneration(b.ctx, b, g.ID)
	require.NoError(t, err)
	job, err := db.GetJob(b.ctx, b, *got.JobID)
	require.NoError(t, err)
	own := &db.Question{Text: "Written by hand?"}
	b.tx(func(tx bun.Tx) error { return db.CreateQuestion(b.ctx, tx, job, own) })
	b.tx(func(tx bun.Tx) error { return db.KeepQuestions(b.ctx, tx, g.ID, []string{"Generated?"}) })
	agent, err := db.GetAgent(b.ctx, b, *job.AgentID)
	require.NoError(t, err)
	require.Equal(t, []string{"Written by hand?"}, agent.Questions)
}
