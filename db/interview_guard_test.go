package db_test

import (
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

// call returns the newest call of an interview.
func (b *bundle) call(i *db.Interview) *db.CallAttempt {
	b.t.Helper()
	c, err := db.LastCall(b.ctx, b, i.ID)
	require.NoError(b.t, err)
	require.NotNil(b.t, c)
	return c
}

// commands counts the commands for an interview's workflow.
func (b *bundle) commands(id uuid.UUID) int {
	b.t.Helper()
	return b.count("SELECT count(*) FROM commands WHERE subject_id = ?", id)
}

// state is what a refused operation must not change: the rows of the interview and its calls, and what was recorded.
func (b *bundle) state(id uuid.UUID) (s string) {
	b.t.Helper()
	err := b.NewRaw(`SELECT jsonb_build_array(
		(SELECT to_jsonb(i) FROM interviews i WHERE i.id = ?0),
		(SELECT jsonb_agg(to_jsonb(c) ORDER BY c.id) FROM call_attempts c WHERE c.interview_id = ?0),
		(SELECT jsonb_agg(to_jsonb(a)) FROM analyses a WHERE a.interview_id = ?0),
		(SELECT count(*) FROM events),
		(SELECT count(*) FROM commands WHERE subject_id = ?0))::text`, id).Scan(b.ctx, &s)
	require.NoError(b.t, err)
	return s
}

func TestCallTransitionsAreGuarded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	seconds := 7
	moves := map[string]func(tx bun.Tx, i, call uuid.UUID) error{
		"start": func(tx bun.Tx, _, call uuid.UUID) error { return db.CallStarted(b.ctx, tx, call) },
		"complete": func(tx bun.Tx, _, call uuid.UUID) error {
			return db.CallEnded(b.ctx, tx, call, db.CallEnd{Status: db.CallCompleted, DurationSeconds: &seconds})
		},
		"fail": func(tx bun.Tx, _, call uuid.UUID) error {
			return db.CallEnded(b.ctx, tx, call, db.CallEnd{Status: db.CallFailed, ReasonCode: db.ReasonTechnical})
		},
		"reschedule": func(tx bun.Tx, i, call uuid.UUID) error {
			return db.RescheduleCall(b.ctx, tx, i, call, time.Now())
		},
		"invoke": func(tx bun.Tx, i, _ uuid.UUID) error { return db.InvokeCall(b.ctx, tx, i, time.Now(), 0) },
		"delete": func(tx bun.Tx, i, call uuid.UUID) error { return db.DeleteCall(b.ctx, tx, i, call) },
	}
	// The interview's status is the one that it has with a call in this status.
	for status, c := range map[db.CallStatus]struct {
		interview db.InterviewStatus
		changes   []string
		repeats   []string // accepted again, without an effect
	}{
		db.CallScheduled: {
			interview: db.InterviewScheduled,
			changes:   []string{"start", "complete", "fail", "reschedule", "invoke", "delete"},
		},
		db.CallInProgress: {
			interview: db.InterviewInProgress,
			changes:   []string{"complete", "fail"},
			repeats:   []string{"start"},
		},
		db.CallCompleted: {
			interview: db.InterviewCompleted,
			changes:   []string{"delete"},
			repeats:   []string{"complete"},
		},
		db.CallFailed: {
			interview: db.InterviewFailed,
			changes:   []string{"delete"},
			repeats:   []string{"fail"},
		},
		db.CallCancelled: {
			interview: db.InterviewCanceled,
			changes:   []string{"delete"},
			repeats:   []string{"complete", "fail"},
		},
	} {
		for name, move := range moves {
			i := b.interview(db.Phone)
			call := b.call(i)
			b.exec("UPDATE interviews SET status = ?, started_at = now() WHERE id = ?", c.interview, i.ID)
			b.exec("UPDATE call_attempts SET status = ? WHERE id = ?", status, call.ID)
			before := b.state(i.ID)
			err := b.try(func(tx bun.Tx) error { return move(tx, i.ID, call.ID) })
			switch {
			case contains(c.changes, name):
				require.NoError(t, err, "%s a call that is %s", name, status)
				require.NotEqual(t, before, b.state(i.ID), "%s a call that is %s", name, status)
			case contains(c.repeats, name):
				require.NoError(t, err, "%s a call that is %s", name, status)
				require.Equal(t, before, b.state(i.ID), "%s a call that is %s", name, status)
			default:
				require.ErrorIs(t, err, pg.ErrConflict, "%s a call that is %s", name, status)
				require.Equal(t, before, b.state(i.ID), "%s a call that is %s", name, status)
			}
		}
	}
}

func TestCallOfAnotherInterviewIsNotFound(t *testing.T) {
	t.Parallel()
	b := setup(t)
	mine, other := b.interview(db.Phone), b.interview(db.Phone)
	call, before := b.call(other), b.state(other.ID)
	for name, move := range map[string]func(tx bun.Tx) error{
		"reschedule": func(tx bun.Tx) error { return db.RescheduleCall(b.ctx, tx, mine.ID, call.ID, time.Now()) },
		"delete":     func(tx bun.Tx) error { return db.DeleteCall(b.ctx, tx, mine.ID, call.ID) },
		"start of a missing call": func(tx bun.Tx) error {
			return db.CallStarted(b.ctx, tx, pg.NewID())
		},
		"end of a missing call": func(tx bun.Tx) error {
			return db.CallEnded(b.ctx, tx, pg.NewID(), db.CallEnd{Status: db.CallFailed})
		},
		"invoke for a missing interview": func(tx bun.Tx) error {
			return db.InvokeCall(b.ctx, tx, pg.NewID(), time.Now(), 0)
		},
	} {
		require.ErrorIs(t, b.try(move), pg.ErrNotFound, name)
		require.Equal(t, before, b.state(other.ID), name)
	}
}

func TestCallThatRings(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.interview(db.Phone)
	call := b.call(i)
	require.NoError(t, db.MarkCallPlaced(b.ctx, b, call.ID))
	placed := b.call(i).PlacedAt
	require.NotNil(t, placed)
	require.NoError(t, db.MarkCallPlaced(b.ctx, b, call.ID))
	require.Equal(t, placed, b.call(i).PlacedAt, "the first acceptance counts")

	err := b.try(func(tx bun.Tx) error { return db.RescheduleCall(b.ctx, tx, i.ID, call.ID, time.Now()) })
	require.Equal(t, &pg.StateError{Resource: "call attempt", State: "ringing"}, err)

	answered := time.Now().UTC().Add(-time.Minute).Truncate(time.Microsecond)
	b.tx(func(tx bun.Tx) error { return db.SetCalledAt(b.ctx, tx, call.ID, answered) })
	require.Nil(t, b.call(i).CalledAt, "a call that rings was not answered")
	b.tx(func(tx bun.Tx) error { return db.CallStarted(b.ctx, tx, call.ID) })
	b.tx(func(tx bun.Tx) error { return db.SetCalledAt(b.ctx, tx, call.ID, answered) })
	require.True(t, b.call(i).CalledAt.Equal(answered))
	b.tx(func(tx bun.Tx) error { return db.CallEnded(b.ctx, tx, call.ID, db.CallEnd{Status: db.CallCompleted}) })
	b.tx(func(tx bun.Tx) error { return db.SetCalledAt(b.ctx, tx, call.ID, answered.Add(time.Hour)) })
	require.True(t, b.call(i).CalledAt.Equal(answered), "an ended call does not change")
}

// NO_ANSWER leaves the interview to its workflow only while the call was not answered.
func TestAnsweredCallThatReportsNoAnswerFailsItsInterview(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.interview(db.Phone)
	call := b.call(i)
	b.tx(func(tx bun.Tx) error { return db.CallStarted(b.ctx, tx, call.ID) })
	b.tx(func(tx bun.Tx) error {
		return db.CallEnded(b.ctx, tx, call.ID, db.CallEnd{Status: db.CallFailed, ReasonCode: db.ReasonNoAnswer})
	})
	got := b.get(i.ID)
	require.Equal(t, db.InterviewFailed, got.Status)
	require.Equal(t, db.ReasonNoAnswer, *got.StatusReason)
}

func TestCompletedCallWithoutAStart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.interview(db.Phone)
	url, seconds := "https://records.test/1.wav", 61
	b.tx(func(tx bun.Tx) error {
		return db.CallEnded(b.ctx, tx, b.call(i).ID, db.CallEnd{
			Status: db.CallCompleted, RecordingURL: &url, DurationSeconds: &seconds,
			Finish: db.Finish{AnalysisWithin: time.Hour},
		})
	})
	require.Equal(t, []string{
		catalog.InterviewScheduled, catalog.InterviewStarted, catalog.ParticipantJoined,
		catalog.ParticipantLeft, catalog.InterviewFinished, catalog.RecordingCompleted,
	}, b.events())
	require.Equal(t, url, b.lastEvent(catalog.RecordingCompleted)["recordingUrl"])
	got := b.get(i.ID)
	require.NotNil(t, got.StartedAt)
	require.WithinDuration(t, got.FinishedAt.Add(time.Hour), *got.AnalysisDueAt, time.Second)
	require.Equal(t, &seconds, b.call(i).DurationSeconds)
}

func TestDeleteCallSignalsTheWorkflow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.interview(db.Phone)
	commands := b.commands(i.ID)
	b.tx(func(tx bun.Tx) error { return db.DeleteCall(b.ctx, tx, i.ID, b.call(i).ID) })
	last, err := db.LastCall(b.ctx, b, i.ID)
	require.NoError(t, err)
	require.Nil(t, last)
	require.Equal(t, commands+1, b.commands(i.ID))
	b.tx(func(tx bun.Tx) error { return db.InvokeCall(b.ctx, tx, i.ID, time.Now(), 0) })
	require.Equal(t, db.CallScheduled, b.call(i).Status, "an interview without calls can get one")
}

// The row, its event and the command for its workflow commit together: without the event nothing changes.
func TestNothingChangesWithoutItsEvent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	job := b.position("Job", "")
	candidate, agent := b.candidate("Ada", "Byron", "ada@example.com", job.ID), b.agent(db.Online)
	waiting, running := b.interview(db.Phone), b.interview(db.Phone)
	done := b.interview(db.Online)
	b.tx(func(tx bun.Tx) error { return db.CallStarted(b.ctx, tx, b.call(running).ID) })
	b.tx(func(tx bun.Tx) error { _, err := db.StartInterview(b.ctx, tx, done.ID); return err })
	b.tx(func(tx bun.Tx) error { _, err := db.FinishInterview(b.ctx, tx, done.ID, db.Finish{}); return err })
	b.refuseEvents()
	snapshot := func() (s string) {
		require.NoError(t, b.NewRaw(`SELECT (SELECT jsonb_agg(to_jsonb(x) ORDER BY x.id) FROM candidates x)::text ||
			(SELECT jsonb_agg(to_jsonb(x) ORDER BY x.id) FROM jobs x)::text ||
			(SELECT count(*) FROM interviews) || ' ' || (SELECT count(*) FROM commands)`).Scan(b.ctx, &s))
		return s + b.state(waiting.ID) + b.state(running.ID) + b.state(done.ID)
	}
	before := snapshot()
	for name, move := range map[string]func(tx bun.Tx) error{
		"create interview": func(tx bun.Tx) error {
			return db.CreateInterview(b.ctx, tx, &db.Interview{
				ID: pg.NewID(), CompanyID: b.company, CandidateID: candidate.ID, AgentID: agent.ID, Type: db.Online,
				ScheduledAt: time.Now(), MaxMinutes: 1, Metadata: json.RawMessage("{}"),
			})
		},
		"start call":  func(tx bun.Tx) error { return db.CallStarted(b.ctx, tx, b.call(waiting).ID) },
		"invoke call": func(tx bun.Tx) error { return db.InvokeCall(b.ctx, tx, waiting.ID, time.Now(), 0) },
		"reschedule call": func(tx bun.Tx) error {
			return db.RescheduleCall(b.ctx, tx, waiting.ID, b.call(waiting).ID, time.Now())
		},
		"end call": func(tx bun.Tx) error {
			return db.CallEnded(b.ctx, tx, b.call(running).ID, db.CallEnd{Status: db.CallCompleted})
		},
		"fail interview":   func(tx bun.Tx) error { _, err := db.FailInterview(b.ctx, tx, running.ID, "X", ""); return err },
		"cancel interview": func(tx bun.Tx) error { _, err := db.CancelInterview(b.ctx, tx, waiting.ID, "X"); return err },
		"delete interview": func(tx bun.Tx) error { return db.DeleteInterview(b.ctx, tx, pg.Scope{}, waiting.ID) },
		"complete analysis": func(tx bun.Tx) error {
			_, err := db.CompleteAnalysis(b.ctx, tx, done.ID, json.RawMessage(`{"overallRating":1}`), nil)
			return err
		},
		"fail analysis": func(tx bun.Tx) error { return db.FailAnalysis(b.ctx, tx, done.ID, "too late") },
		"create candidate": func(tx bun.Tx) error {
			return db.CreateCandidate(b.ctx, tx, &db.Candidate{CompanyID: b.company, FirstName: "Grace"}, false)
		},
		"update candidate": func(tx bun.Tx) error {
			c := *candidate
			c.LastName = "King"
			return db.UpdateCandidate(b.ctx, tx, &c, "last_name")
		},
		"delete candidate": func(tx bun.Tx) error { return db.DeleteCandidate(b.ctx, tx, waiting.CandidateID) },
		"create job": func(tx bun.Tx) error {
			return db.CreateJob(b.ctx, tx, &db.Job{CompanyID: b.company, Title: "Another"})
		},
		"update job": func(tx bun.Tx) error {
			j := *job
			j.Title = "Renamed"
			return db.UpdateJob(b.ctx, tx, &j, "title")
		},
	} {
		require.ErrorContains(t, b.try(move), "refused", name)
		require.Equal(t, before, snapshot(), name)
	}
}

func TestDeleteInterview(t *testing.T) {
	t.Parallel()
	b := setup(t)
	remove := func(i *db.Interview) error {
		return b.try(func(tx bun.Tx) error { return db.DeleteInterview(b.ctx, tx, pg.Scope{Company: &b.company}, i.ID) })
	}
	start := func(tx bun.Tx, i *db.Interview) error { _, err := db.StartInterview(b.ctx, tx, i.ID); return err }

	t.Run("cancels_a_scheduled_one_with_its_call", func(t *testing.T) {
		i := b.interview(db.Phone)
		require.NoError(t, remove(i))
		life, err := db.InterviewLife(b.ctx, b, i.ID, false)
		require.NoError(t, err)
		require.Equal(t, db.InterviewCanceled, life.Status)
		require.NotNil(t, life.DeletedAt)
		require.Equal(t, db.CallCancelled, b.call(i).Status)
	})
	t.Run("of_another_company_is_not_found", func(t *testing.T) {
		i := b.interview(db.Online)
		before := b.state(i.ID)
		err := b.try(func(tx bun.Tx) error { return db.DeleteInterview(b.ctx, tx, elsewhere(), i.ID) })
		require.ErrorIs(t, err, pg.ErrNotFound)
		require.Equal(t, before, b.state(i.ID))
	})
	t.Run("many_at_once_delete_it_once", func(t *testing.T) {
		i := b.interview(db.Online)
		errs := make(chan error, 6)
		var wg sync.WaitGroup
		for range cap(errs) {
			wg.Go(func() { errs <- remove(i) })
		}
		wg.Wait()
		close(errs)
		deleted := 0
		for err := range errs {
			if err == nil {
				deleted++
				continue
			}
			require.ErrorIs(t, err, pg.ErrNotFound)
		}
		require.Equal(t, 1, deleted)
		require.Equal(t, 1, b.count("SELECT count(*) FROM events WHERE type = ? AND data::text LIKE ?",
			catalog.InterviewDeleted, "%"+i.ID.String()+"%"))
	})
	t.Run("does_not_cancel_one_that_started_first", func(t *testing.T) {
		i := b.interview(db.Online)
		err := b.whileLocked(true, func(tx bun.Tx) error { return start(tx, i) }, func() error { return remove(i) })
		require.NoError(t, err)
		life, err := db.InterviewLife(b.ctx, b, i.ID, false)
		require.NoError(t, err)
		require.Equal(t, db.InterviewInProgress, life.Status)
		require.NotNil(t, life.DeletedAt)
		require.Equal(t, "IN_PROGRESS", b.lastEvent(catalog.InterviewDeleted)["status"])
	})
	t.Run("deletes_one_that_failed_first", func(t *testing.T) {
		i := b.interview(db.Online)
		fail := func(tx bun.Tx) error { _, err := db.FailInterview(b.ctx, tx, i.ID, "X", ""); return err }
		require.NoError(t, b.whileLocked(true, fail, func() error { return remove(i) }))
		_, err := db.GetInterview(b.ctx, b, pg.Scope{}, i.ID)
		require.ErrorIs(t, err, pg.ErrNotFound)
	})
}

// A deletion of the candidate and a new interview exclude each other: no person who asked to be removed is called.
func TestDeletedCandidateBesideANewInterview(t *testing.T) {
	t.Parallel()
	b := setup(t)
	agent := b.agent(db.Phone)
	create := func(tx bun.Tx, c *db.Candidate) error {
		return db.CreateInterview(b.ctx, tx, &db.Interview{
			ID: pg.NewID(), CompanyID: b.company, CandidateID: c.ID, AgentID: agent.ID, Type: db.Phone,
			ScheduledAt: time.Now(), MaxMinutes: 1, Metadata: json.RawMessage("{}"),
		})
	}
	remove := func(tx bun.Tx, c *db.Candidate) error { return db.DeleteCandidate(b.ctx, tx, c.ID) }

	t.Run("deletion_first", func(t *testing.T) {
		c := b.candidate("Ada", "Byron", "a@example.com")
		err := b.whileLocked(true, func(tx bun.Tx) error { return remove(tx, c) },
			func() error { return b.try(func(tx bun.Tx) error { return create(tx, c) }) })
		require.ErrorIs(t, err, pg.ErrNotFound)
		require.Zero(t, b.count("SELECT count(*) FROM interviews WHERE candidate_id = ?", c.ID))
	})
	t.Run("interview_first", func(t *testing.T) {
		c := b.candidate("Ada", "Byron", "b@example.com")
		err := b.whileLocked(true, func(tx bun.Tx) error { return create(tx, c) },
			func() error { return b.try(func(tx bun.Tx) error { return remove(tx, c) }) })
		require.NoError(t, err)
		require.Equal(t, 1, b.count("SELECT count(*) FROM interviews WHERE candidate_id = ? AND status = 'CANCELED'", c.ID))
		require.Equal(t, 1, b.count(`SELECT count(*) FROM call_attempts WHERE status = 'CANCELLED'
			AND interview_id IN (SELECT id FROM interviews WHERE candidate_id = ?)`, c.ID))
	})
}
