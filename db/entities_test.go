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

var page = pg.Page{Limit: 20}

func (b *bundle) position(title, status string) *db.Job {
	b.t.Helper()
	p := &db.Job{CompanyID: b.company, Title: title, Status: status}
	b.tx(func(tx bun.Tx) error { return db.CreateJob(b.ctx, tx, p) })
	return p
}

func (b *bundle) candidate(first, last, email string, jobs ...uuid.UUID) *db.Candidate {
	b.t.Helper()
	c := &db.Candidate{CompanyID: b.company, FirstName: first, LastName: last, Email: &email, JobIDs: jobs}
	b.tx(func(tx bun.Tx) error { return db.CreateCandidate(b.ctx, tx, c, false) })
	return c
}

func (b *bundle) agent(kind db.InterviewType) *db.Agent {
	b.t.Helper()
	a := &db.Agent{
		CompanyID:       b.company,
		Name:            "Agent",
		Type:            kind,
		Focus:           "SCREENING",
		Language:        "EN",
		DurationMinutes: 25,
		Questions:       []string{"Why?"},
	}
	require.NoError(b.t, db.CreateAgent(b.ctx, b, a))
	return a
}

func (b *bundle) interviewOf(c *db.Candidate, a *db.Agent, job *uuid.UUID) *db.Interview {
	b.t.Helper()
	i := &db.Interview{
		ID: pg.NewID(), CompanyID: b.company, CandidateID: c.ID, AgentID: a.ID, JobID: job, Type: a.Type,
		ScheduledAt: time.Now().UTC(), MaxMinutes: 120, Metadata: json.RawMessage("{}"),
	}
	b.tx(func(tx bun.Tx) error { return db.CreateInterview(b.ctx, tx, i) })
	return i
}

// elsewhere is a scope that sees none of the bundle's company.
func elsewhere() pg.Scope { id := pg.NewID(); return pg.Scope{Company: &id} }

func TestPositions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	low, eur, city := 1000.5, "EUR", "Košice"
	p := &db.Job{
		CompanyID:            b.company,
		Title:                "Engineer",
		RequiredSkills:       []string{"Go", `a,"b"\`},
		Education:            []string{"BACHELOR_LEVEL"},
		LanguageRequirements: []db.LanguageRequirement{{Language: "EN", Proficiency: "B2"}},
		Location:             &db.JobLocation{City: &city},
		Salary:               &db.Salary{Min: &low, Currency: &eur},
	}
	b.tx(func(tx bun.Tx) error { return db.CreateJob(b.ctx, tx, p) })

	t.Run("reads_what_was_created", func(t *testing.T) {
		got, err := db.GetJob(b.ctx, b, p.ID)
		require.NoError(t, err)
		got.CreatedAt, got.UpdatedAt = got.CreatedAt.UTC(), got.UpdatedAt.UTC()
		require.JSONEq(t, "{}", string(got.Metadata))
		require.Equal(t, p, got)
		require.Equal(t, db.JobOpen, got.Status)
		require.Equal(t, []string{}, got.NiceToHaveSkills, "unsent skills come back as []")
	})
	t.Run("updates_named_columns_only", func(t *testing.T) {
		p.Title, p.Status = "Lead", "CLOSED"
		b.tx(func(tx bun.Tx) error { return db.UpdateJob(b.ctx, tx, p, "title") })
		got, err := db.GetJob(b.ctx, b, p.ID)
		require.NoError(t, err)
		require.Equal(t, "Lead", got.Title)
		require.Equal(t, db.JobOpen, got.Status)
		require.Equal(t, []string{catalog.JobCreated, catalog.JobUpdated}, b.events())
		require.Equal(t, p.ID.String(), b.lastEvent(catalog.JobUpdated)["jobId"])
	})
	t.Run("lists_newest_first_by_status_page_and_scope", func(t *testing.T) {
		closed := b.position("Closed", "CLOSED")
		open := b.position("Open", "OPEN")
		all, total, err := db.ListJobs(b.ctx, b, pg.Scope{Company: &b.company}, db.JobFilter{}, pg.Page{Limit: 2})
		require.NoError(t, err)
		require.EqualValues(t, 3, total)
		require.Equal(t, []uuid.UUID{open.ID, closed.ID}, []uuid.UUID{all[0].ID, all[1].ID})
		rest, _, err := db.ListJobs(
			b.ctx,
			b,
			pg.Scope{Company: &b.company},
			db.JobFilter{},
			pg.Page{Limit: 2, Offset: 2},
		)
		require.NoError(t, err)
		require.Len(t, rest, 1)
		some, total, err := db.ListJobs(b.ctx, b, pg.Scope{}, db.JobFilter{Status: "CLOSED"}, page)
		require.NoError(t, err)
		require.EqualValues(t, 1, total)
		require.Equal(t, closed.ID, some[0].ID)
		_, total, err = db.ListJobs(b.ctx, b, elsewhere(), db.JobFilter{}, page)
		require.NoError(t, err)
		require.Zero(t, total)
	})
	t.Run("deleted_is_gone", func(t *testing.T) {
		require.NoError(t, db.DeleteJob(b.ctx, b, p.ID))
		require.ErrorIs(t, db.DeleteJob(b.ctx, b, p.ID), pg.ErrNotFound)
		_, err := db.GetJob(b.ctx, b, p.ID)
		require.ErrorIs(t, err, pg.ErrNotFound)
		err = pg.InTx(b.ctx, b, func(_ context.Context, tx bun.Tx) error { return db.UpdateJob(b.ctx, tx, p, "title") })
		require.ErrorIs(t, err, pg.ErrNotFound)
	})
}

func TestAgents(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.agent(db.Phone)
	got, err := db.GetAgent(b.ctx, b, a.ID)
	require.NoError(t, err)
	got.CreatedAt, got.UpdatedAt = got.CreatedAt.UTC(), got.UpdatedAt.UTC()
	require.Equal(t, a, got)
	a.Questions, a.Name = nil, "Other"
	require.NoError(t, db.UpdateAgent(b.ctx, b, a, "questions"))
	got, err = db.GetAgent(b.ctx, b, a.ID)
	require.NoError(t, err)
	require.Empty(t, got.Questions)
	require.Equal(t, "Agent", got.Name)
	online := b.agent(db.Online)
	list, total, err := db.ListAgents(
		b.ctx,
		b,
		pg.Scope{Company: &b.company},
		db.AgentFilter{Type: db.Online, Focus: "SCREENING"},
		page,
	)
	require.NoError(t, err)
	require.EqualValues(t, 1, total)
	require.Equal(t, online.ID, list[0].ID)
	_, total, err = db.ListAgents(b.ctx, b, elsewhere(), db.AgentFilter{}, page)
	require.NoError(t, err)
	require.Zero(t, total)
	require.NoError(t, db.DeleteAgent(b.ctx, b, a.ID))
	_, err = db.GetAgent(b.ctx, b, a.ID)
	require.ErrorIs(t, err, pg.ErrNotFound)
}

func TestCandidates(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second, closed := b.position("First", "OPEN"), b.position("Second", "OPEN"), b.position("Closed", "CLOSED")
	c := b.candidate("Ada", "Byron", "ada_b@example.com", second.ID, first.ID, closed.ID)
	day := time.Date(2031, 2, 3, 0, 0, 0, 0, time.UTC)

	t.Run("jobs_keep_their_order", func(t *testing.T) {
		got, err := db.GetCandidate(b.ctx, b, c.ID)
		require.NoError(t, err)
		require.Equal(t, []uuid.UUID{second.ID, first.ID, closed.ID}, got.JobIDs)
		require.Equal(t, db.CandidateApplied, got.Status)
		open, err := db.OpenJobsOf(b.ctx, b, c.ID)
		require.NoError(t, err)
		require.Equal(t, []uuid.UUID{second.ID, first.ID}, open)
	})
	t.Run("date_has_no_time_zone", func(t *testing.T) {
		c.GDPRExpiryDate = &day
		b.tx(func(tx bun.Tx) error { return db.UpdateCandidate(b.ctx, tx, c, "gdpr_expiry_date") })
		got, err := db.GetCandidate(b.ctx, b, c.ID)
		require.NoError(t, err)
		require.Equal(t, "2031-02-03", got.GDPRExpiryDate.Format(time.DateOnly))
		require.Equal(
			t,
			[]any{second.ID.String(), first.ID.String(), closed.ID.String()},
			b.lastEvent(catalog.CandidateUpdated)["jobIds"],
		)
	})
	t.Run("filters", func(t *testing.T) {
		other := b.candidate("Grace", "Hopper", "grace@navy.test")
		for name, tc := range map[string]struct {
			f    db.CandidateFilter
			want []uuid.UUID
		}{
			"all":                   {db.CandidateFilter{}, []uuid.UUID{other.ID, c.ID}},
			"job":                   {db.CandidateFilter{JobID: &first.ID}, []uuid.UUID{c.ID}},
			"status":                {db.CandidateFilter{Status: "HIRED"}, nil},
			"search_full_name":      {db.CandidateFilter{Search: "ada byr"}, []uuid.UUID{c.ID}},
			"search_email":          {db.CandidateFilter{Search: "NAVY"}, []uuid.UUID{other.ID}},
			"percent_is_itself":     {db.CandidateFilter{Search: "%"}, nil},
			"underscore_is_itself":  {db.CandidateFilter{Search: "a_b"}, []uuid.UUID{c.ID}},
			"backslash_is_itself":   {db.CandidateFilter{Search: `\`}, nil},
			"job_and_other_person":  {db.CandidateFilter{JobID: &first.ID, Search: "grace"}, nil},
			"search_and_job_agree":  {db.CandidateFilter{JobID: &first.ID, Search: "ada"}, []uuid.UUID{c.ID}},
			"search_of_no_one":      {db.CandidateFilter{Search: "nobody"}, nil},
			"status_of_the_created": {db.CandidateFilter{Status: "APPLIED"}, []uuid.UUID{other.ID, c.ID}},
		} {
			list, total, err := db.ListCandidates(b.ctx, b, pg.Scope{Company: &b.company}, tc.f, page)
			require.NoError(t, err)
			var got []uuid.UUID
			for _, x := range list {
				got = append(got, x.ID)
			}
			require.Equal(t, tc.want, got, name)
			require.EqualValues(t, len(tc.want), total, name)
		}
		_, total, err := db.ListCandidates(b.ctx, b, elsewhere(), db.CandidateFilter{}, page)
		require.NoError(t, err)
		require.Zero(t, total)
	})
	t.Run("jobs_are_replaced_and_deleted_jobs_left_out", func(t *testing.T) {
		b.tx(func(tx bun.Tx) error { return db.ReplaceCandidateJobs(b.ctx, tx, c.ID, closed.ID, first.ID) })
		b.tx(func(tx bun.Tx) error { return db.AddCandidateJobs(b.ctx, tx, c.ID, first.ID, second.ID) })
		require.NoError(t, db.DeleteJob(b.ctx, b, first.ID))
		got, err := db.GetCandidate(b.ctx, b, c.ID)
		require.NoError(t, err)
		require.Equal(t, []uuid.UUID{closed.ID, second.ID}, got.JobIDs)
	})
}

func TestCandidateCountsAndRating(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c, a := b.candidate("Ada", "Byron", "a@example.com"), b.agent(db.Online)
	i := b.interviewOf(c, a, nil)
	gone := b.interviewOf(c, a, nil)
	b.tx(func(tx bun.Tx) error { return db.DeleteInterview(b.ctx, tx, pg.Scope{}, gone.ID) })
	b.tx(func(tx bun.Tx) error { _, err := db.StartInterview(b.ctx, tx, i.ID); return err })
	b.tx(func(tx bun.Tx) error {
		_, err := db.FinishInterview(b.ctx, tx, i.ID, db.Finish{AnalysisWithin: time.Hour})
		return err
	})
	b.tx(func(tx bun.Tx) error {
		_, err := db.CompleteAnalysis(b.ctx, tx, i.ID, json.RawMessage(`{"overallRating":72.5}`), nil)
		return err
	})
	got, err := db.GetCandidate(b.ctx, b, c.ID)
	require.NoError(t, err)
	require.Equal(t, 1, got.InterviewCount)
	require.Equal(t, 1, got.AnalysisCount)
	require.InDelta(t, 72.5, *got.OverallRating, 0)
	as, total, err := db.ListAnalyses(b.ctx, b, c.ID, page)
	require.NoError(t, err)
	require.EqualValues(t, 1, total)
	require.Equal(t, i.ID, as[0].InterviewID)
	as, err = db.AnalysesOf(b.ctx, b, i.ID, gone.ID)
	require.NoError(t, err)
	require.Len(t, as, 1)
}

func TestRatingInAnotherFormIsNoRating(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.interview(db.Online)
	b.tx(func(tx bun.Tx) error { _, err := db.StartInterview(b.ctx, tx, i.ID); return err })
	b.tx(func(tx bun.Tx) error { _, err := db.FinishInterview(b.ctx, tx, i.ID, db.Finish{}); return err })
	b.tx(func(tx bun.Tx) error {
		_, err := db.CompleteAnalysis(b.ctx, tx, i.ID, json.RawMessage(`{"overallRating":"good"}`), nil)
		return err
	})
	c, err := db.GetCandidate(b.ctx, b, i.CandidateID)
	require.NoError(t, err)
	require.Nil(t, c.OverallRating)
}

func TestDeletedCandidateIsNotCalled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c, a := b.candidate("Ada", "Byron", "a@example.com"), b.agent(db.Phone)
	waiting, running := b.interviewOf(c, a, nil), b.interviewOf(c, a, nil)
	call, err := db.LastCall(b.ctx, b, running.ID)
	require.NoError(t, err)
	b.tx(func(tx bun.Tx) error { return db.CallStarted(b.ctx, tx, call.ID) })
	b.tx(func(tx bun.Tx) error { return db.DeleteCandidate(b.ctx, tx, c.ID) })
	got := b.get(waiting.ID)
	require.Equal(t, db.InterviewCanceled, got.Status)
	require.Equal(t, db.ReasonCandidateDeleted, *got.StatusReason)
	require.Equal(t, db.InterviewInProgress, b.get(running.ID).Status)
	err = pg.InTx(b.ctx, b, func(_ context.Context, tx bun.Tx) error {
		return db.CreateInterview(b.ctx, tx, &db.Interview{
			ID:          pg.NewID(),
			CompanyID:   b.company,
			CandidateID: c.ID,
			AgentID:     a.ID,
			Type:        db.Phone,
			ScheduledAt: time.Now(),
			MaxMinutes:  1,
			Metadata:    json.RawMessage("{}"),
		})
	})
	require.ErrorIs(t, err, pg.ErrNotFound, "no interview for a deleted candidate")
}

func TestListInterviews(t *testing.T) {
	t.Parallel()
	b := setup(t)
	job := b.position("Job", "OPEN")
	c, other, a := b.candidate("A", "B", "a@example.com"), b.candidate("C", "D", "c@example.com"), b.agent(db.Online)
	first, second := b.interviewOf(c, a, &job.ID), b.interviewOf(other, a, nil)
	b.tx(func(tx bun.Tx) error { _, err := db.StartInterview(b.ctx, tx, second.ID); return err })
	nobody := pg.NewID()
	for name, tc := range map[string]struct {
		f    db.InterviewFilter
		want []uuid.UUID
	}{
		"all":       {db.InterviewFilter{}, []uuid.UUID{second.ID, first.ID}},
		"status":    {db.InterviewFilter{Status: db.InterviewInProgress}, []uuid.UUID{second.ID}},
		"candidate": {db.InterviewFilter{CandidateID: &c.ID}, []uuid.UUID{first.ID}},
		"job":       {db.InterviewFilter{JobID: &job.ID}, []uuid.UUID{first.ID}},
		"agent":     {db.InterviewFilter{AgentID: &a.ID}, []uuid.UUID{second.ID, first.ID}},
		"no_agent":  {db.InterviewFilter{AgentID: &nobody}, nil},
	} {
		list, total, err := db.ListInterviews(b.ctx, b, pg.Scope{Company: &b.company}, tc.f, page)
		require.NoError(t, err)
		var got []uuid.UUID
		for _, x := range list {
			got = append(got, x.ID)
			require.Equal(t, 25, x.DurationMinutes)
		}
		require.Equal(t, tc.want, got, name)
		require.EqualValues(t, len(tc.want), total, name)
	}
	_, total, err := db.ListInterviews(b.ctx, b, elsewhere(), db.InterviewFilter{}, page)
	require.NoError(t, err)
	require.Zero(t, total)
}

func TestCallOfCanceledInterviewEndsWithIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.interview(db.Phone)
	call, err := db.LastCall(b.ctx, b, i.ID)
	require.NoError(t, err)
	b.tx(func(tx bun.Tx) error { return db.CallStarted(b.ctx, tx, call.ID) })
	b.tx(func(tx bun.Tx) error {
		_, err := db.CancelInterview(b.ctx, tx, i.ID, db.ReasonCanceledByClient)
		return err
	})
	before := b.events()
	b.tx(func(tx bun.Tx) error { return db.CallEnded(b.ctx, tx, call.ID, db.CallEnd{Status: db.CallCompleted}) })
	got, err := db.GetCall(b.ctx, b, call.ID)
	require.NoError(t, err)
	require.Equal(t, db.CallCancelled, got.Status, "it was ended with its interview")
	require.Equal(t, db.InterviewCanceled, b.get(i.ID).Status)
	require.Equal(t, before, b.events())
}

func TestReportOnEndedCallNamesItsState(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.interview(db.Phone)
	call, err := db.LastCall(b.ctx, b, i.ID)
	require.NoError(t, err)
	b.tx(func(tx bun.Tx) error { return db.InvokeCall(b.ctx, tx, i.ID, time.Now(), 0) })
	err = pg.InTx(b.ctx, b, func(_ context.Context, tx bun.Tx) error {
		return db.CallEnded(b.ctx, tx, call.ID, db.CallEnd{Status: db.CallFailed, ReasonCode: db.ReasonNoAnswer})
	})
	var state *pg.StateError
	require.ErrorAs(t, err, &state)
	require.Equal(t, string(db.CallCancelled), state.State)
}

// A provider that repeats its reports, while the client cancels and reschedules, must never be answered with a
// deadlock.
func TestReportsAndCancellationsDoNotDeadlock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 10 {
		i := b.interview(db.Phone)
		call, err := db.LastCall(b.ctx, b, i.ID)
		require.NoError(t, err)
		var wg sync.WaitGroup
		errs := make(chan error, 5)
		for _, act := range []func(tx bun.Tx) error{
			func(tx bun.Tx) error { return db.CallStarted(b.ctx, tx, call.ID) },
			func(tx bun.Tx) error { return db.CallEnded(b.ctx, tx, call.ID, db.CallEnd{Status: db.CallCompleted}) },
			func(tx bun.Tx) error { _, err := db.CancelInterview(b.ctx, tx, i.ID, "X"); return err },
			func(tx bun.Tx) error { return db.RescheduleCall(b.ctx, tx, i.ID, call.ID, time.Now()) },
			func(tx bun.Tx) error { return db.InvokeCall(b.ctx, tx, i.ID, time.Now(), 0) },
		} {
			wg.Go(func() { errs <- pg.InTx(b.ctx, b, func(_ context.Context, tx bun.Tx) error { return act(tx) }) })
		}
		wg.Wait()
		close(errs)
		for err := range errs {
			if err != nil {
				require.ErrorIs(t, err, pg.ErrConflict)
			}
		}
	}
}
