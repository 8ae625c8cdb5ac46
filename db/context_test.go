package db_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/catalog"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// contexts reads what the recorded events were about, by type; of several of a type the newest.
func contexts(t *testing.T, b *bundle) map[string]*catalog.Context {
	t.Helper()
	var rows []delivery.Event
	require.NoError(t, b.NewSelect().Model(&rows).Where("e.company_id = ?", b.company).Order("e.id").Scan(b.ctx))
	out := map[string]*catalog.Context{}
	for _, e := range rows {
		about := new(catalog.Context)
		require.NoError(t, json.Unmarshal(e.Context, about), "%s: %s", e.Type, e.Context)
		out[e.Type] = about
	}
	return out
}

func TestContextOfAnInterviewsLife(t *testing.T) {
	t.Parallel()
	b := setup(t)
	mail := "ada@example.com"
	job := &db.Job{CompanyID: b.company, Title: "Engineer"}
	agent := &db.Agent{CompanyID: b.company, Name: "Ada", Type: db.Online, Language: "EN", DurationMinutes: 20}
	candidate := &db.Candidate{CompanyID: b.company, FirstName: "Grace", LastName: "Hopper", Email: &mail}
	interview := &db.Interview{
		ID:          pg.NewID(),
		CompanyID:   b.company,
		Type:        db.Online,
		ScheduledAt: time.Now(),
		MaxMinutes:  60,
		Metadata:    []byte("{}"),
	}
	b.tx(func(tx bun.Tx) error {
		if err := db.CreateJob(b.ctx, tx, job); err != nil {
			return err
		}
		return db.CreateAgent(b.ctx, tx, agent)
	})
	b.tx(func(tx bun.Tx) error {
		candidate.JobIDs = []uuid.UUID{job.ID}
		if err := db.CreateCandidate(b.ctx, tx, candidate, true); err != nil {
			return err
		}
		interview.CandidateID, interview.AgentID, interview.JobID = candidate.ID, agent.ID, &job.ID
		return db.CreateInterview(b.ctx, tx, interview)
	})
	about := contexts(t, b)
	invited := about[catalog.CandidateInvited]
	require.True(t, invited.Created, "the candidate was added and invited at once")
	require.Equal(t, "Acme", invited.Company.Name)
	require.Equal(t, job.ID, invited.Job.ID)
	require.Equal(t, "Engineer", invited.Job.Title)
	require.Equal(t, "Grace Hopper", invited.Candidate.Name())
	require.Equal(t, &mail, invited.Candidate.Email)
	require.Equal(t, interview.ID, invited.Interview.ID)
	require.NotZero(t, invited.Interview.Number)
	require.Equal(t, "Ada", invited.Interview.AgentName)
	require.Equal(t, string(db.InterviewScheduled), invited.Interview.Status)
	require.Nil(t, invited.Analysis)

	step := func(do func(tx bun.Tx) error) { t.Helper(); b.tx(do) }
	step(func(tx bun.Tx) error { _, err := db.StartInterview(b.ctx, tx, interview.ID); return err })
	step(func(tx bun.Tx) error { return db.UpdateCandidate(b.ctx, tx, candidate, "last_name") })
	step(func(tx bun.Tx) error { _, err := db.FinishInterview(b.ctx, tx, interview.ID, db.Finish{}); return err })
	step(func(tx bun.Tx) error {
		_, err := db.CompleteAnalysis(b.ctx, tx, interview.ID, json.RawMessage(`{"summary":"good","rating":null}`), nil)
		return err
	})

	about = contexts(t, b)
	require.NotNil(t, about[catalog.InterviewStarted].Interview.StartedAt)
	require.Equal(t, string(db.InterviewInProgress), about[catalog.ParticipantJoined].Interview.Status)
	require.Equal(t, []string{"last_name"}, about[catalog.CandidateUpdated].Changed)
	require.False(t, about[catalog.CandidateUpdated].Created)
	require.Equal(t, job.ID, about[catalog.CandidateUpdated].Job.ID)
	require.NotNil(t, about[catalog.InterviewFinished].Interview.FinishedAt)
	require.Equal(t, interview.ID, about[catalog.ParticipantLeft].Interview.ID)
	require.JSONEq(t, `{"summary":"good","rating":null}`, string(about[catalog.InterviewCompleted].Analysis.General))

	step(func(tx bun.Tx) error { return db.DeleteInterview(b.ctx, tx, pg.Scope{}, interview.ID) })
	about = contexts(t, b)
	require.Equal(t, interview.ID, about[catalog.InterviewDeleted].Interview.ID)
	require.Equal(t, job.ID, about[catalog.CandidateUpdated].Job.ID)
	require.Empty(t, about[catalog.CandidateUpdated].Changed)
}

// TestCandidateOfTwoJobs: a change made through one job has that job in its event.
func TestCandidateOfTwoJobs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second := &db.Job{
		CompanyID: b.company,
		Title:     "First",
	}, &db.Job{
		CompanyID: b.company,
		Title:     "Second",
	}
	candidate := &db.Candidate{CompanyID: b.company, FirstName: "Grace", LastName: "Hopper"}
	b.tx(func(tx bun.Tx) error {
		for _, p := range []*db.Job{first, second} {
			if err := db.CreateJob(b.ctx, tx, p); err != nil {
				return err
			}
			candidate.JobIDs = append(candidate.JobIDs, p.ID)
		}
		return db.CreateCandidate(b.ctx, tx, candidate, false)
	})
	for _, through := range []*uuid.UUID{nil, &second.ID} {
		candidate.Through = through
		b.tx(func(tx bun.Tx) error { return db.UpdateCandidate(b.ctx, tx, candidate, "last_name") })
		want := "First"
		if through != nil {
			want = "Second"
		}
		require.Equal(t, want, contexts(t, b)[catalog.CandidateUpdated].Job.Title)
	}
}

// TestWebhookOfASet: a webhook with a set gets the events of the set's jobs alone.
func TestWebhookOfASet(t *testing.T) {
	t.Parallel()
	b := setup(t)
	set := pg.NewID()
	_, err := b.ExecContext(b.ctx, "INSERT INTO webhook_sets (id, company_id) VALUES (?, ?)", set, b.company)
	require.NoError(t, err)
	_, err = b.ExecContext(
		b.ctx,
		"UPDATE webhooks SET set_id = ?, events = ? WHERE id = ?",
		set,
		"{job.updated}",
		b.hook.ID,
	)
	require.NoError(t, err)
	mine, other := &db.Job{CompanyID: b.company, Title: "Mine"}, &db.Job{CompanyID: b.company, Title: "Other"}
	b.tx(func(tx bun.Tx) error {
		for _, p := range []*db.Job{mine, other} {
			if err := db.CreateJob(b.ctx, tx, p); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(b.ctx, "UPDATE jobs SET webhook_set_id = ? WHERE id = ?", set, mine.ID)
		return err
	})
	deliveries := func(change func(ctx context.Context, tx bun.Tx) error) int64 {
		before, err := b.NewSelect().Table("deliveries").Count(b.ctx)
		require.NoError(t, err)
		b.tx(func(tx bun.Tx) error { return change(b.ctx, tx) })
		after, err := b.NewSelect().Table("deliveries").Count(b.ctx)
		require.NoError(t, err)
		return after - before
	}
	require.Zero(
		t,
		deliveries(func(ctx context.Context, tx bun.Tx) error { return db.UpdateJob(ctx, tx, other, "title") }),
	)
	require.EqualValues(
		t,
		1,
		deliveries(func(ctx context.Context, tx bun.Tx) error { return db.UpdateJob(ctx, tx, mine, "title") }),
	)
	require.Zero(t, deliveries(func(ctx context.Context, tx bun.Tx) error {
		_, err := delivery.RecordEvent(
			ctx,
			tx,
			&delivery.Event{CompanyID: &b.company, Type: catalog.JobUpdated, Data: []byte("{}")},
		)
		return err
	}), "an event about no job")
}
