package db_test

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/catalog"
	"greenroom/db/pg"
)

// interview makes a candidate, a job, an agent and an interview of the given type.
func (b *bundle) interview(kind db.InterviewType) *db.Interview {
	b.t.Helper()
	candidate, job, agent := pg.NewID(), pg.NewID(), pg.NewID()
	for _, q := range []struct {
		sql string
		id  uuid.UUID
	}{
		{"INSERT INTO candidates (id, company_id, first_name, last_name) VALUES (?, ?, 'Ada', 'Byron')", candidate},
		{"INSERT INTO jobs (id, company_id, title) VALUES (?, ?, 'Engineer')", job},
		{"INSERT INTO agents (id, company_id, name, type) VALUES (?, ?, 'Agent', 'PHONE')", agent},
	} {
		_, err := b.ExecContext(b.ctx, q.sql, q.id, b.company)
		require.NoError(b.t, err)
	}
	i := &db.Interview{
		ID: pg.NewID(), CompanyID: b.company, CandidateID: candidate, JobID: &job, AgentID: agent, Type: kind,
		ScheduledAt: time.Now().UTC(), MaxMinutes: 120, Metadata: json.RawMessage("{}"),
	}
	b.tx(func(tx bun.Tx) error { return db.CreateInterview(b.ctx, tx, i) })
	return i
}

// events lists the company's event types in the order in which they were recorded.
func (b *bundle) events() []string {
	b.t.Helper()
	var types []string
	require.NoError(
		b.t,
		b.NewRaw("SELECT type FROM events WHERE company_id = ? ORDER BY id", b.company).Scan(b.ctx, &types),
	)
	return types
}

func (b *bundle) lastEvent(eventType string) map[string]any {
	b.t.Helper()
	var data string
	require.NoError(
		b.t,
		b.NewRaw("SELECT data FROM events WHERE type = ? ORDER BY id DESC LIMIT 1", eventType).Scan(b.ctx, &data),
	)
	var m map[string]any
	require.NoError(b.t, json.Unmarshal([]byte(data), &m))
	return m
}

func (b *bundle) get(id uuid.UUID) *db.Interview {
	b.t.Helper()
	i, err := db.GetInterview(b.ctx, b, pg.Scope{}, id)
	require.NoError(b.t, err)
	return i
}

func TestPhoneInterviewFromStartToAnalysis(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.interview(db.Phone)
	call, err := db.LastCall(b.ctx, b, i.ID)
	require.NoError(t, err)
	for range 2 { // a call-back that comes twice changes nothing
		b.tx(func(tx bun.Tx) error { return db.CallStarted(b.ctx, tx, call.ID) })
	}
	seconds := 42
	for range 2 {
		b.tx(func(tx bun.Tx) error {
			return db.CallEnded(b.ctx, tx, call.ID, db.CallEnd{
				Status: db.CallCompleted, DurationSeconds: &seconds,
				Finish: db.Finish{Transcript: json.RawMessage(`[{"role":"agent","content":"hi"}]`), AnalysisWithin: time.Hour},
			})
		})
	}
	got := b.get(i.ID)
	require.Equal(t, db.InterviewCompleted, got.Status)
	require.Equal(t, db.AnalysisPending, *got.AnalysisStatus)
	require.JSONEq(t, `[{"role":"agent","content":"hi"}]`, string(got.Transcript))
	b.tx(func(tx bun.Tx) error {
		_, err := db.CompleteAnalysis(b.ctx, tx, i.ID, json.RawMessage(`{"overallRating":80}`), nil)
		return err
	})
	require.Equal(t, []string{
		catalog.InterviewScheduled,
		catalog.InterviewStarted,
		catalog.ParticipantJoined,
		catalog.ParticipantLeft,
		catalog.InterviewFinished,
		catalog.InterviewCompleted,
		catalog.AnalysisCompleted,
	}, b.events())
	data := b.lastEvent(catalog.AnalysisCompleted)
	require.Equal(t, call.ID.String(), data["callAttemptId"])
	require.Equal(t, i.CandidateID.String(), data["candidateId"])
	require.Equal(t, "COMPLETED", data["status"])
	require.InDelta(t, 80, data["analysis"].(map[string]any)["general"].(map[string]any)["overallRating"], 0)
	err = b.RunInTx(b.ctx, nil, func(_ context.Context, tx bun.Tx) error {
		_, err := db.CompleteAnalysis(b.ctx, tx, i.ID, json.RawMessage(`{}`), nil)
		return err
	})
	require.ErrorIs(t, err, pg.ErrConflict, "an analysis arrives once")
}

func TestInterviewTransitionsAreGuarded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	moves := map[string]func(tx bun.Tx, id uuid.UUID) error{
		"start": func(tx bun.Tx, id uuid.UUID) error { _, err := db.StartInterview(b.ctx, tx, id); return err },
		"finish": func(tx bun.Tx, id uuid.UUID) error {
			_, err := db.FinishInterview(b.ctx, tx, id, db.Finish{})
			return err
		},
		"fail":   func(tx bun.Tx, id uuid.UUID) error { _, err := db.FailInterview(b.ctx, tx, id, "X", "x"); return err },
		"cancel": func(tx bun.Tx, id uuid.UUID) error { _, err := db.CancelInterview(b.ctx, tx, id, "X"); return err },
		"analyse": func(tx bun.Tx, id uuid.UUID) error {
			_, err := db.CompleteAnalysis(b.ctx, tx, id, json.RawMessage("{}"), nil)
			return err
		},
	}
	allowed := map[db.InterviewStatus][]string{
		db.InterviewScheduled:  {"start", "fail", "cancel"},
		db.InterviewInProgress: {"finish", "fail", "cancel"},
		db.InterviewCompleted:  {"analyse"},
		db.InterviewFailed:     {},
		db.InterviewCanceled:   {},
	}
	for status, want := range allowed {
		for name, move := range moves {
			i := b.interview(db.Online)
			_, err := b.ExecContext(
				b.ctx,
				`UPDATE interviews SET status = ?0, analysis_status = CASE WHEN ?0 = 'COMPLETED' THEN 'PENDING' END
				WHERE id = ?1`,
				status,
				i.ID,
			)
			require.NoError(t, err)
			err = b.RunInTx(b.ctx, nil, func(_ context.Context, tx bun.Tx) error { return move(tx, i.ID) })
			if contains(want, name) {
				require.NoError(t, err, "%s from %s", name, status)
				continue
			}
			var state *pg.StateError
			require.ErrorAs(t, err, &state, "%s from %s", name, status)
			require.Equal(t, string(status), state.State)
		}
	}
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func TestOnlyOneOfManyStartsAnInterview(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.interview(db.Online)
	var wg sync.WaitGroup
	errs := make(chan error, 8)
	for range 8 {
		wg.Go(func() {
			errs <- b.RunInTx(b.ctx, nil, func(_ context.Context, tx bun.Tx) error { _, err := db.StartInterview(b.ctx, tx, i.ID); return err })
		})
	}
	wg.Wait()
	close(errs)
	won := 0
	for err := range errs {
		if err == nil {
			won++
			continue
		}
		require.ErrorIs(t, err, pg.ErrConflict)
	}
	require.Equal(t, 1, won)
}

func TestCallAttempts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.interview(db.Phone)
	last := func() *db.CallAttempt {
		c, err := db.LastCall(b.ctx, b, i.ID)
		require.NoError(t, err)
		return c
	}
	try := func(fn func(tx bun.Tx) error) error {
		return b.RunInTx(b.ctx, nil, func(_ context.Context, tx bun.Tx) error { return fn(tx) })
	}
	first := last()
	later := time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
	require.NoError(t, try(func(tx bun.Tx) error { return db.RescheduleCall(b.ctx, tx, i.ID, first.ID, later) }))
	require.True(t, last().ScheduledAt.Equal(later))
	require.True(t, b.get(i.ID).ScheduledAt.Equal(later))

	require.NoError(t, try(func(tx bun.Tx) error { return db.InvokeCall(b.ctx, tx, i.ID, time.Now(), 0) }))
	second := last()
	require.NotEqual(t, first.ID, second.ID)
	replaced, err := db.GetCall(b.ctx, b, first.ID)
	require.NoError(t, err)
	require.Equal(t, db.CallCancelled, replaced.Status)

	require.NoError(t, try(func(tx bun.Tx) error {
		return db.CallEnded(b.ctx, tx, second.ID, db.CallEnd{Status: db.CallFailed, ReasonCode: db.ReasonNoAnswer})
	}))
	require.Equal(t, db.InterviewScheduled, b.get(i.ID).Status, "nobody answered: the workflow decides")

	require.NoError(t, try(func(tx bun.Tx) error { return db.InvokeCall(b.ctx, tx, i.ID, time.Now(), 1) }))
	third := last()
	require.NoError(t, try(func(tx bun.Tx) error { return db.CallStarted(b.ctx, tx, third.ID) }))
	require.ErrorIs(t, try(func(tx bun.Tx) error { return db.InvokeCall(b.ctx, tx, i.ID, time.Now(), 0) }), pg.ErrConflict)
	require.ErrorIs(t, try(func(tx bun.Tx) error { return db.DeleteCall(b.ctx, tx, i.ID, third.ID) }), pg.ErrConflict)
	require.ErrorIs(
		t,
		try(func(tx bun.Tx) error { return db.RescheduleCall(b.ctx, tx, i.ID, third.ID, later) }),
		pg.ErrConflict,
	)
	require.NoError(t, try(func(tx bun.Tx) error {
		return db.CallEnded(
			b.ctx,
			tx,
			third.ID,
			db.CallEnd{Status: db.CallFailed, ReasonCode: db.ReasonTechnical, Message: "line broke"},
		)
	}))
	require.Equal(t, db.InterviewFailed, b.get(i.ID).Status)
	require.Equal(t, "line broke", b.lastEvent(catalog.InterviewFailed)["errorMessage"])
}

// TestDeleteInterview_changes_the_candidate: in each status, one event of the candidate reports that an interview is
// deleted.
func TestDeleteInterview_changes_the_candidate(t *testing.T) {
	t.Parallel()
	type step func(b *bundle, tx bun.Tx, id uuid.UUID) error
	begin := func(b *bundle, tx bun.Tx, id uuid.UUID) error {
		_, err := db.StartInterview(b.ctx, tx, id)
		return err
	}
	finish := func(b *bundle, tx bun.Tx, id uuid.UUID) error {
		_, err := db.FinishInterview(b.ctx, tx, id, db.Finish{})
		return err
	}
	fail := func(b *bundle, tx bun.Tx, id uuid.UUID) error {
		_, err := db.FailInterview(b.ctx, tx, id, db.ReasonInvitationExpired, "expired")
		return err
	}
	cancel := func(b *bundle, tx bun.Tx, id uuid.UUID) error {
		_, err := db.CancelInterview(b.ctx, tx, id, db.ReasonCanceledByClient)
		return err
	}
	updated := []string{catalog.InterviewDeleted, catalog.CandidateUpdated}
	for name, row := range map[string]struct {
		before []step
		want   []string
	}{
		"scheduled":   {nil, []string{catalog.InterviewCanceled, catalog.InterviewDeleted}},
		"in_progress": {[]step{begin}, updated},
		"completed":   {[]step{begin, finish}, updated},
		"failed":      {[]step{fail}, updated},
		"canceled":    {[]step{cancel}, updated},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			i := b.interview(db.Online)
			for _, step := range row.before {
				b.tx(func(tx bun.Tx) error { return step(b, tx, i.ID) })
			}
			before := b.events()
			b.tx(func(tx bun.Tx) error { return db.DeleteInterview(b.ctx, tx, pg.Scope{Company: &b.company}, i.ID) })
			require.Equal(t, row.want, b.events()[len(before):])
		})
	}
}

func TestDeletedInterviewInProgressRecordsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.interview(db.Online)
	b.tx(func(tx bun.Tx) error { _, err := db.StartInterview(b.ctx, tx, i.ID); return err })
	b.tx(func(tx bun.Tx) error { return db.DeleteInterview(b.ctx, tx, pg.Scope{Company: &b.company}, i.ID) })
	before := b.events()
	b.tx(func(tx bun.Tx) error {
		_, err := db.FinishInterview(b.ctx, tx, i.ID, db.Finish{Answers: json.RawMessage(`["secret"]`)})
		return err
	})
	require.Equal(t, before, b.events())
	var answers string
	var analysis *string
	require.NoError(
		t,
		b.NewRaw("SELECT answers::text, analysis_status FROM interviews WHERE id = ?", i.ID).Scan(b.ctx, &answers, &analysis),
	)
	require.Equal(t, "[]", answers)
	require.Nil(t, analysis)
}
