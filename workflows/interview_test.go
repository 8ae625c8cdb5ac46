package workflows_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"greenroom/activities"
	"greenroom/db"
	"greenroom/db/catalog"
	"greenroom/db/pg"
	"greenroom/workflows"
)

func TestInterviewByTelephone(t *testing.T) {
	t.Parallel()
	t.Run("is_called_at_its_time_and_analysed", func(t *testing.T) {
		t.Parallel()
		i := setupInterview(t, db.Phone, time.Hour)
		i.calls = []func(uuid.UUID){i.completed}
		row := i.run()
		require.Equal(t, db.InterviewCompleted, row.Status)
		require.Equal(t, []string{
			catalog.InterviewScheduled,
			catalog.InterviewStarted,
			catalog.ParticipantJoined,
			catalog.ParticipantLeft,
			catalog.InterviewFinished,
			catalog.InterviewCompleted,
			catalog.AnalysisCompleted,
		}, i.events())
		require.Equal(t, []string{"POST calls", "POST analyses"}, i.asked)
		require.Equal(t, []time.Duration{time.Hour, time.Hour + ring + time.Minute}, i.askedAt)
	})
	t.Run("is_called_again_when_nobody_answers", func(t *testing.T) {
		t.Parallel()
		i := setupInterview(t, db.Phone, 0)
		i.calls = []func(uuid.UUID){i.unanswered, i.unanswered, i.completed}
		require.Equal(t, db.InterviewCompleted, i.run().Status)
		require.Equal(t, []string{"POST calls", "POST calls", "POST calls", "POST analyses"}, i.asked)
		again := ring + i.in.NoAnswerDelay
		require.Equal(t, []time.Duration{0, again, 2 * again}, i.askedAt[:3])
		require.Equal(t, []int{0, 1, 2}, i.retryNumbers())
	})
	t.Run("fails_when_nobody_ever_answers", func(t *testing.T) {
		t.Parallel()
		i := setupInterview(t, db.Phone, 0)
		i.calls = []func(uuid.UUID){i.unanswered}
		row := i.run()
		require.Equal(t, db.InterviewFailed, row.Status)
		require.Equal(t, db.ReasonNoAnswer, *row.StatusReason)
		require.Equal(t, []string{"POST calls", "POST calls", "POST calls"}, i.asked)
	})
	t.Run("is_not_called_again_when_the_retry_was_deleted", func(t *testing.T) {
		t.Parallel()
		i := setupInterview(t, db.Phone, 0)
		i.calls = []func(uuid.UUID){i.unanswered, i.completed}
		i.changeAfter(2*time.Minute, func(tx bun.Tx) error {
			c, err := db.LastCall(i.ctx, tx, i.row.ID)
			require.NoError(t, err)
			return db.DeleteCall(i.ctx, tx, i.row.ID, c.ID)
		})
		i.changeAfter(time.Hour, func(tx bun.Tx) error { return db.InvokeCall(i.ctx, tx, i.row.ID, i.Now(), 0) })
		require.Equal(t, db.InterviewCompleted, i.run().Status)
		require.Equal(t, []time.Duration{0, time.Hour}, i.askedAt[:2])
	})
	t.Run("is_called_at_the_new_time_when_it_was_moved", func(t *testing.T) {
		t.Parallel()
		i := setupInterview(t, db.Phone, time.Hour)
		i.calls = []func(uuid.UUID){i.completed}
		move := func(to time.Duration) func(tx bun.Tx) error {
			return func(tx bun.Tx) error {
				c, err := db.LastCall(i.ctx, tx, i.row.ID)
				require.NoError(t, err)
				return db.RescheduleCall(i.ctx, tx, i.row.ID, c.ID, i.start.Add(to))
			}
		}
		i.changeAfter(10*time.Minute, move(3*time.Hour))
		i.changeAfter(20*time.Minute, move(2*time.Hour))
		i.run()
		require.Equal(t, 2*time.Hour, i.askedAt[0])
		require.Equal(t, []string{"POST calls", "POST analyses"}, i.asked)
	})
	t.Run("fails_and_hangs_up_when_the_provider_falls_silent", func(t *testing.T) {
		t.Parallel()
		for name, goes := range map[string]func(i *interviewing) func(uuid.UUID){
			"before the answer": func(i *interviewing) func(uuid.UUID) { return i.silent },
			"after the answer":  func(i *interviewing) func(uuid.UUID) { return i.answered },
		} {
			i := setupInterview(t, db.Phone, 0)
			i.calls = []func(uuid.UUID){goes(i)}
			row := i.run()
			require.Equal(t, db.InterviewFailed, row.Status, name)
			require.Equal(t, db.ReasonMaxDuration, *row.StatusReason, name)
			require.Equal(t, []string{"POST calls", "DELETE calls"}, i.asked, name)
			require.Equal(t, 10*time.Hour, i.elapsed(), name)
		}
	})
	t.Run("waits_for_a_provider_that_is_back_soon", func(t *testing.T) {
		t.Parallel()
		i := setupInterview(t, db.Phone, 0)
		i.down.Store(true)
		i.after(2*time.Minute, func() { i.down.Store(false) })
		i.calls = []func(uuid.UUID){i.completed}
		require.Equal(t, db.InterviewCompleted, i.run().Status)
		require.Greater(t, len(i.asked), 6)
	})
	t.Run("fails_when_the_provider_stays_away", func(t *testing.T) {
		t.Parallel()
		i := setupInterview(t, db.Phone, 0)
		i.down.Store(true)
		row := i.run()
		require.Equal(t, db.InterviewFailed, row.Status)
		require.Equal(t, db.ReasonProvider, *row.StatusReason)
		require.Contains(t, i.asked, "DELETE calls", "it may have the call all the same")
		require.NotContains(t, i.asked[slices.Index(i.asked, "DELETE calls"):], "POST calls")
	})
	t.Run("hangs_up_a_call_that_was_replaced", func(t *testing.T) {
		t.Parallel()
		i := setupInterview(t, db.Phone, 0)
		i.calls = []func(uuid.UUID){i.silent, i.completed}
		i.changeAfter(time.Minute, func(tx bun.Tx) error { return db.InvokeCall(i.ctx, tx, i.row.ID, i.Now(), 0) })
		require.Equal(t, db.InterviewCompleted, i.run().Status)
		require.Equal(t, []string{"POST calls", "DELETE calls", "POST calls", "POST analyses"}, i.asked)
	})
}

func TestInterviewCanceled(t *testing.T) {
	t.Parallel()
	t.Run("by_an_engineers_signal_with_a_reason", func(t *testing.T) {
		t.Parallel()
		i := setupInterview(t, db.Phone, 0)
		i.calls = []func(uuid.UUID){i.silent}
		i.after(time.Minute, func() { i.SignalWorkflow(workflows.SignalInterviewCancel, "position filled") })
		i.tellOfActivity("CancelInterview")
		row := i.run()
		require.Equal(t, db.InterviewCanceled, row.Status)
		require.Equal(t, "position filled", *row.StatusReason)
		require.Equal(t, []string{"POST calls", "DELETE calls"}, i.asked)
		require.Equal(t, time.Minute, i.elapsed())
	})
	t.Run("by_an_engineers_bare_signal_while_the_provider_is_away", func(t *testing.T) {
		t.Parallel()
		i := setupInterview(t, db.Phone, 0)
		i.down.Store(true)
		i.after(time.Minute, func() { i.SignalWorkflow(workflows.SignalInterviewCancel, nil) })
		i.after(2*time.Minute, func() { i.down.Store(false) })
		i.tellOfActivity("CancelInterview")
		require.Equal(t, "CANCELED_BY_OPERATOR", *i.run().StatusReason)
		require.Len(t, i.asked, 6, "at 0, 1, 3, 7, 15 and 31 s; the try at 61 s saw that there is nothing to place")
	})
	t.Run("by_deletion_before_the_call", func(t *testing.T) {
		t.Parallel()
		i := setupInterview(t, db.Phone, time.Hour)
		i.changeAfter(time.Minute, func(tx bun.Tx) error { return db.DeleteInterview(i.ctx, tx, pg.Scope{}, i.row.ID) })
		require.Equal(t, db.InterviewCanceled, i.run().Status)
		require.Empty(t, i.asked)
	})
	t.Run("not_by_deletion_in_progress", func(t *testing.T) {
		t.Parallel()
		i := setupInterview(t, db.Phone, 0)
		i.calls = []func(uuid.UUID){i.completed}
		i.changeAfter(30*time.Second, func(tx bun.Tx) error { return db.DeleteInterview(i.ctx, tx, pg.Scope{}, i.row.ID) })
		require.Equal(t, db.InterviewCompleted, i.run().Status)
		require.Equal(t, []string{"POST calls"}, i.asked, "it is neither hung up nor analysed")
	})
	t.Run("too_late_changes_nothing", func(t *testing.T) {
		t.Parallel()
		i := setupInterview(t, db.Online, 0)
		i.tx(i.finished)
		i.tx(i.analysed)
		i.after(0, func() { i.SignalWorkflow(workflows.SignalInterviewCancel, "too late") })
		require.Equal(t, db.InterviewCompleted, i.run().Status)
	})
}

func TestInterviewOnline(t *testing.T) {
	t.Parallel()
	t.Run("fails_at_the_invitations_deadline", func(t *testing.T) {
		t.Parallel()
		i := setupInterview(t, db.Online, 0)
		row := i.run()
		require.Equal(t, db.InterviewFailed, row.Status)
		require.Equal(t, db.ReasonInvitationExpired, *row.StatusReason)
		require.Equal(t, 48*time.Hour, i.elapsed())
	})
	t.Run("fails_after_its_maximum_duration", func(t *testing.T) {
		t.Parallel()
		i := setupInterview(t, db.Online, 0)
		i.changeAfter(time.Second, i.started)
		row := i.run()
		require.Equal(t, db.InterviewFailed, row.Status)
		require.Equal(t, db.ReasonMaxDuration, *row.StatusReason)
		require.Equal(t, 10*time.Hour, i.elapsed())
	})
	t.Run("started_at_the_last_moment_goes_on", func(t *testing.T) {
		t.Parallel()
		i := setupInterview(t, db.Online, 0)
		var a *activities.Activities
		raced := false
		i.OnActivity(a.FailInterview, mock.Anything, mock.Anything).
			Return(func(ctx context.Context, in activities.FailInterviewInput) error {
				if !raced { // between the decision and the write
					raced = true
					i.tx(i.finished)
				}
				return i.real.FailInterview(ctx, in)
			}).
			Once()
		require.Equal(t, db.InterviewCompleted, i.run().Status)
		require.True(t, raced)
		require.NotContains(t, i.events(), catalog.InterviewFailed)
	})
	t.Run("ended_is_a_look_and_no_more", func(t *testing.T) {
		t.Parallel()
		i := setupInterview(t, db.Online, 0)
		i.tx(i.finished)
		i.tx(func(tx bun.Tx) error { return db.FailAnalysis(i.ctx, tx, i.row.ID, "x") })
		i.after(0, func() { i.SignalWorkflow(workflows.SignalInterviewChanged, nil) })
		i.SetOnActivityStartedListener(func(info *activity.Info, _ context.Context, _ converter.EncodedValues) {
			t.Errorf("activity %s started", info.ActivityType.Name)
		})
		i.run()
		require.Zero(t, i.elapsed())
	})
	t.Run("told_of_a_change_while_it_ends_looks_again", func(t *testing.T) {
		t.Parallel()
		i := setupInterview(t, db.Online, 0)
		i.tx(func(tx bun.Tx) error { _, err := db.CancelInterview(i.ctx, tx, i.row.ID, "X"); return err })
		looks := 0
		var a *activities.Activities
		i.OnActivity(a.LoadInterview, mock.Anything, mock.Anything).Return(
			func(ctx context.Context, id uuid.UUID) (activities.InterviewState, error) {
				if looks++; looks == 1 {
					i.SignalWorkflow(workflows.SignalInterviewChanged, nil)
				}
				return i.real.LoadInterview(ctx, id)
			})
		i.run()
		require.Equal(t, 2, looks)
	})
	t.Run("not_there_is_refused", func(t *testing.T) {
		t.Parallel()
		i := setupInterview(t, db.Online, 0)
		i.in.InterviewID = pg.NewID()
		i.ExecuteWorkflow(workflows.Interview, i.in)
		require.True(t, i.IsWorkflowCompleted())
		require.ErrorContains(t, i.GetWorkflowError(), "there is no interview "+i.in.InterviewID.String())
	})
}

func TestInterviewAnalysis(t *testing.T) {
	t.Parallel()
	later := func(w http.ResponseWriter) { w.WriteHeader(http.StatusAccepted) }
	t.Run("arrives_by_call_back", func(t *testing.T) {
		t.Parallel()
		i := setupInterview(t, db.Online, 0)
		i.analysis = later
		i.changeAfter(time.Second, i.finished)
		i.changeAfter(20*time.Minute, func(bun.Tx) error { return nil }) // a signal without a change asks nothing again
		i.changeAfter(30*time.Minute, i.analysed)
		row := i.run()
		require.Equal(t, db.AnalysisCompleted, *row.AnalysisStatus)
		require.Equal(t, []string{"POST analyses"}, i.asked)
		require.Equal(t, 30*time.Minute, i.elapsed())
	})
	t.Run("fails_when_it_does_not_arrive_in_time", func(t *testing.T) {
		t.Parallel()
		i := setupInterview(t, db.Online, 0)
		i.analysis = later
		i.changeAfter(time.Second, i.finished)
		row := i.run()
		require.Equal(t, db.InterviewCompleted, row.Status)
		require.Equal(t, db.AnalysisFailed, *row.AnalysisStatus)
		require.Equal(t, 10*time.Hour, i.elapsed())
		require.Equal(t, catalog.AnalysisFailed, i.events()[len(i.events())-1])
	})
	t.Run("waits_for_an_analyser_that_is_back_in_time", func(t *testing.T) {
		t.Parallel()
		i := setupInterview(t, db.Online, 0)
		i.down.Store(true)
		i.changeAfter(time.Second, i.finished)
		i.after(2*time.Minute, func() { i.down.Store(false) })
		require.Equal(t, db.AnalysisCompleted, *i.run().AnalysisStatus)
		require.Equal(t, 2*time.Minute, i.elapsed())
	})
	t.Run("fails_when_the_analyser_stays_away", func(t *testing.T) {
		t.Parallel()
		i := setupInterview(t, db.Online, 0)
		i.down.Store(true)
		i.changeAfter(time.Second, i.finished)
		require.Equal(t, db.AnalysisFailed, *i.run().AnalysisStatus)
		require.Equal(t, 10*time.Hour, i.elapsed())
	})
	t.Run("is_posted_to_the_api_without_an_analyser", func(t *testing.T) {
		t.Parallel()
		i := setupInterview(t, db.Online, 0)
		i.real.Analyser.URL = ""
		i.changeAfter(time.Second, i.finished)
		i.changeAfter(10*time.Minute, i.analysed)
		require.Equal(t, db.AnalysisCompleted, *i.run().AnalysisStatus)
		require.Empty(t, i.asked)
	})
}

func TestInterviewEndures(t *testing.T) {
	t.Parallel()
	t.Run("a_database_that_is_away", func(t *testing.T) {
		t.Parallel()
		i := setupInterview(t, db.Online, 0)
		var a *activities.Activities
		i.OnActivity(a.LoadInterview, mock.Anything, mock.Anything).
			Return(activities.InterviewState{}, errors.New("no database")).
			Times(8)
		i.OnActivity(a.LoadInterview, mock.Anything, mock.Anything).Return(i.real.LoadInterview)
		require.Equal(t, db.InterviewFailed, i.run().Status)
	})
	t.Run("a_long_history_by_continuing_as_new", func(t *testing.T) {
		t.Parallel()
		i := setupInterview(t, db.Phone, 0)
		i.calls = []func(uuid.UUID){i.silent}
		i.changeAfter(time.Minute, func(bun.Tx) error {
			i.SetContinueAsNewSuggested(true)
			return nil
		})
		i.ExecuteWorkflow(workflows.Interview, i.in)
		require.True(t, i.IsWorkflowCompleted())
		var again *workflow.ContinueAsNewError
		require.ErrorAs(t, i.GetWorkflowError(), &again)
		var in workflows.InterviewInput
		require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(again.Input, &in))
		call, err := db.LastCall(i.ctx, i.db, i.row.ID)
		require.NoError(t, err)
		i.in.PlacedCall = call.ID
		require.Equal(t, i.in, in, "the next run remembers the call that the provider has")
	})
	t.Run("its_own_cancellation_in_temporal", func(t *testing.T) {
		t.Parallel()
		i := setupInterview(t, db.Online, 0)
		i.after(time.Minute, i.CancelWorkflow)
		i.ExecuteWorkflow(workflows.Interview, i.in)
		require.True(t, i.IsWorkflowCompleted())
		require.ErrorContains(t, i.GetWorkflowError(), "canceled")
	})
}
