package workflows_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"greenroom/activities"
	"greenroom/workflows"
)

// interviewScript has the activities of Interview, and the row that they read and change.
type interviewScript struct {
	*script
	in  workflows.InterviewInput
	row activities.InterviewState
	// refused: the provider takes no call.
	refused bool
}

func newInterviewScript(t *testing.T, row activities.InterviewState) *interviewScript {
	t.Helper()
	s := &interviewScript{script: newScript(t), row: row}
	s.in = workflows.InterviewInput{InterviewID: uuid.New(), NoAnswerRetries: 2, NoAnswerDelay: 5 * time.Minute}
	s.row.MaxDuration = time.Hour
	s.RegisterActivity(&activities.Activities{})
	var a *activities.Activities
	s.OnActivity(a.LoadInterview, mock.Anything, mock.Anything).Maybe().Return(
		func(ctx context.Context, id uuid.UUID) (activities.InterviewState, error) {
			err := s.script.run(ctx, id)
			return s.row, err
		})
	s.OnActivity(a.PlaceCall, mock.Anything, mock.Anything).Maybe().Return(
		func(ctx context.Context, in activities.PlaceCallInput) (activities.PlaceCallResult, error) {
			return activities.PlaceCallResult{Placed: !s.refused}, s.script.run(ctx, in)
		})
	byID := func(ctx context.Context, id uuid.UUID) error { return s.script.run(ctx, id) }
	s.OnActivity(a.HangUp, mock.Anything, mock.Anything).Maybe().Return(byID)
	s.OnActivity(a.RequestAnalysis, mock.Anything, mock.Anything).Maybe().Return(byID)
	s.OnActivity(a.SendInvitation, mock.Anything, mock.Anything).Maybe().Return(byID)
	s.OnActivity(a.RetryCall, mock.Anything, mock.Anything).Maybe().Return(
		func(ctx context.Context, in activities.RetryCallInput) error { return s.script.run(ctx, in) })
	s.OnActivity(a.FailInterview, mock.Anything, mock.Anything).Maybe().Return(
		func(ctx context.Context, in activities.FailInterviewInput) error { return s.script.run(ctx, in) })
	s.OnActivity(a.FailAnalysis, mock.Anything, mock.Anything).Maybe().Return(
		func(ctx context.Context, in activities.FailAnalysisInput) error { return s.script.run(ctx, in) })
	s.OnActivity(a.CancelInterview, mock.Anything, mock.Anything).Maybe().Return(
		func(ctx context.Context, in activities.CancelInterviewInput) error { return s.script.run(ctx, in) })
	s.on["FailInterview"] = func(any) error { s.row.Status = activities.InterviewFailed; return nil }
	s.on["FailAnalysis"] = func(any) error { s.row.Analysis = activities.AnalysisFailed; return nil }
	s.on["CancelInterview"] = func(any) error {
		s.row.Status = activities.InterviewCanceled
		s.SignalWorkflow(workflows.SignalInterviewChanged, nil) // as the outbox does
		return nil
	}
	return s
}

// run runs the workflow to its end and returns its error.
func (s *interviewScript) run() error {
	s.t.Helper()
	s.ExecuteWorkflow(workflows.Interview, s.in)
	require.True(s.t, s.IsWorkflowCompleted())
	return s.GetWorkflowError()
}

// change changes the row after a while and signals it, as the outbox does.
func (s *interviewScript) change(after time.Duration, fn func(*activities.InterviewState)) {
	s.after(after, func() {
		fn(&s.row)
		s.SignalWorkflow(workflows.SignalInterviewChanged, nil)
	})
}

func canceled(row *activities.InterviewState) { row.Status = activities.InterviewCanceled }

func (s *interviewScript) elapsed() time.Duration { return s.Now().Sub(s.start).Truncate(time.Second) }

func (s *interviewScript) details() string {
	s.t.Helper()
	return currentDetails(s.t, s.TestWorkflowEnvironment)
}

// online is an interview whose candidate has not started.
func online() activities.InterviewState {
	return activities.InterviewState{Type: activities.Online, Status: activities.InterviewScheduled, Version: "7"}
}

// due is an interview by telephone whose call is to be placed now.
func due() activities.InterviewState {
	return activities.InterviewState{
		Type: activities.Phone, Status: activities.InterviewScheduled, Version: "7",
		Call: activities.CallState{ID: uuid.New(), Status: activities.CallScheduled},
	}
}

// analysing is an interview that has taken place, whose analysis is due in two hours.
func analysing() activities.InterviewState {
	return activities.InterviewState{
		Type: activities.Online, Status: activities.InterviewCompleted, Version: "7",
		Analysis: activities.AnalysisPending, AnalysisDueAt: time.Date(2026, 1, 2, 5, 4, 5, 0, time.UTC), HasAnalyser: true,
	}
}

// TestInterviewLimits has how often and how long each service is asked that cannot be reached.
func TestInterviewLimits(t *testing.T) {
	t.Parallel()
	requests := seconds(1, 2, 4, 8, 16, 30, 30, 30, 30)
	t.Run("a_call_is_placed_within_ten_minutes_or_not_at_all", func(t *testing.T) {
		t.Parallel()
		s := newInterviewScript(t, due())
		s.on["PlaceCall"] = fails
		require.NoError(t, s.run())
		s.requireLimits("PlaceCall", 75*time.Second, 10*time.Minute)
		require.Equal(t, requests, s.waits("PlaceCall"))
		require.Equal(t, activities.FailInterviewInput{
			InterviewID: s.in.InterviewID, Version: "7", Reason: activities.ReasonProvider,
		}, s.tries["FailInterview"][0].input)
		require.Equal(t, s.row.Call.ID, s.tries["HangUp"][0].input, "the provider may have the call nevertheless")
	})
	t.Run("hanging_up_is_given_up_after_ten_minutes", func(t *testing.T) {
		t.Parallel()
		s := newInterviewScript(t, due())
		s.row.Status = activities.InterviewCanceled
		s.in.PlacedCall = s.row.Call.ID
		s.on["HangUp"] = fails
		require.NoError(t, s.run())
		s.requireLimits("HangUp", 75*time.Second, 10*time.Minute)
		require.Equal(t, requests, s.waits("HangUp"))
		require.Equal(t, []string{"call not ended at the provider"}, s.warnings)
		require.Equal(t, "ended: interview CANCELED", s.details())
	})
	t.Run("an_analyser_is_asked_until_the_analysis_is_due", func(t *testing.T) {
		t.Parallel()
		s := newInterviewScript(t, analysing())
		s.on["RequestAnalysis"] = fails
		require.NoError(t, s.run())
		s.requireLimits("RequestAnalysis", 75*time.Second, 2*time.Hour)
		require.Equal(t, requests, s.waits("RequestAnalysis"))
		require.Equal(t, []string{"analyser not reached"}, s.warnings)
		require.Equal(t, 2*time.Hour, s.elapsed())
		require.Equal(t, activities.FailAnalysisInput{InterviewID: s.in.InterviewID, Version: "7"},
			s.tries["FailAnalysis"][0].input)
		require.Equal(t, "ended: interview COMPLETED, analysis FAILED", s.details())
	})
	t.Run("an_analyser_that_was_reached_is_not_asked_again", func(t *testing.T) {
		t.Parallel()
		s := newInterviewScript(t, analysing())
		s.change(time.Hour, func(row *activities.InterviewState) { row.Analysis = activities.AnalysisCompleted })
		require.NoError(t, s.run())
		require.Len(t, s.tries["RequestAnalysis"], 1)
		require.Equal(t, time.Hour, s.elapsed())
		require.Empty(t, s.warnings)
	})
	t.Run("an_invitation_is_sent_until_its_deadline", func(t *testing.T) {
		t.Parallel()
		for deadline, limit := range map[time.Time]time.Duration{
			time.Date(2026, 1, 4, 3, 4, 5, 0, time.UTC): 48 * time.Hour,
			{}: 87600 * time.Hour, // ten years are what the environment takes for no limit
		} {
			s := newInterviewScript(t, online())
			s.row.InvitationDue, s.row.DeadlineAt = true, deadline
			s.on["SendInvitation"] = fails
			s.change(time.Hour, func(*activities.InterviewState) {})
			s.change(47*time.Hour, canceled)
			require.NoError(t, s.run())
			s.requireLimits("SendInvitation", 75*time.Second, limit)
			require.Equal(t, seconds(5, 10, 20, 40, 80, 160, 320, 600, 600), s.waits("SendInvitation"))
			require.Equal(t, []string{"invitation not sent"}, s.warnings)
		}
	})
	t.Run("an_invitation_is_sent_once_while_the_row_still_wants_it", func(t *testing.T) {
		t.Parallel()
		s := newInterviewScript(t, online())
		s.row.InvitationDue = true
		s.change(time.Minute, func(*activities.InterviewState) {})
		s.change(time.Hour, canceled)
		require.NoError(t, s.run())
		require.Len(t, s.tries["SendInvitation"], 1)
		require.Empty(t, s.warnings)
	})
	t.Run("no_invitation_is_sent_that_the_row_does_not_want", func(t *testing.T) {
		t.Parallel()
		s := newInterviewScript(t, online())
		s.change(time.Hour, canceled)
		require.NoError(t, s.run())
		require.Empty(t, s.tries["SendInvitation"])
	})
	t.Run("a_row_that_can_be_read_costs_no_activity_task", func(t *testing.T) {
		t.Parallel()
		s := newInterviewScript(t, online())
		canceled(&s.row)
		require.NoError(t, s.run())
		require.Len(t, s.tries["LoadInterview"], 1)
		require.True(t, s.tries["LoadInterview"][0].info.IsLocalActivity)
	})
	t.Run("an_outage_of_the_database_is_waited_for_by_an_activity", func(t *testing.T) {
		t.Parallel()
		s := newInterviewScript(t, online())
		canceled(&s.row)
		s.on["LoadInterview"] = func(any) error {
			if s.Now().Sub(s.start) < 20*time.Second {
				return errUnavailable
			}
			return nil
		}
		require.NoError(t, s.run())
		last := s.tries["LoadInterview"][len(s.tries["LoadInterview"])-1]
		require.False(t, last.info.IsLocalActivity)
		require.Equal(t, 30*time.Second, last.info.StartToCloseTimeout)
		require.Less(t, last.at, 26*time.Second, "it is noticed within five seconds that the database is back")
	})
}

// TestInterviewRetriesACall: each unanswered call is followed by another, after the delay and with the next number.
func TestInterviewRetriesACall(t *testing.T) {
	t.Parallel()
	s := newInterviewScript(t, due())
	s.row.Call.Status, s.row.Call.Reason, s.row.Call.RetryNumber = activities.CallFailed, activities.ReasonNoAnswer, 1
	first := s.row.Call.ID
	s.on["RetryCall"] = func(in any) error {
		at := in.(activities.RetryCallInput).At
		s.row.Call = activities.CallState{
			ID: uuid.New(), Status: activities.CallScheduled, ScheduledAt: at, RetryNumber: 2,
		}
		return nil
	}
	s.on["PlaceCall"] = func(any) error { s.row.Call.PlacedAt = s.Now(); return nil }
	s.change(6*time.Minute, func(row *activities.InterviewState) {
		row.Call.Status, row.Status = activities.CallCompleted, activities.InterviewCompleted
	})
	require.NoError(t, s.run())
	require.Equal(t, activities.RetryCallInput{
		InterviewID: s.in.InterviewID, Version: "7", RetryNumber: 2, At: s.start.Add(5 * time.Minute),
	}, s.tries["RetryCall"][0].input)
	require.Len(t, s.tries["PlaceCall"], 1)
	require.Equal(t, 5*time.Minute, s.tries["PlaceCall"][0].at)
	require.NotEqual(t, first, s.tries["PlaceCall"][0].input.(activities.PlaceCallInput).CallID)
	require.Empty(t, s.tries["HangUp"], "the provider ended the call")
}

// TestInterviewHangsUpWhatWasPlaced: a call that the provider refused is not ended there.
func TestInterviewHangsUpWhatWasPlaced(t *testing.T) {
	t.Parallel()
	for _, refused := range []bool{false, true} {
		s := newInterviewScript(t, due())
		s.refused = refused
		s.on["PlaceCall"] = func(any) error { canceled(&s.row); return nil }
		require.NoError(t, s.run())
		require.Equal(t, refused, len(s.tries["HangUp"]) == 0)
	}
}

// TestInterviewExplainsItself has the details that an operator finds in the Temporal UI.
func TestInterviewExplainsItself(t *testing.T) {
	t.Parallel()
	const remedy = "; send the signal `cancel` to cancel the interview"
	t.Run("while_it_waits_until_a_time", func(t *testing.T) {
		t.Parallel()
		s := newInterviewScript(t, online())
		s.row.DeadlineAt = s.start.Add(time.Hour)
		var details string
		s.after(time.Minute, func() { details = s.details() })
		require.NoError(t, s.run())
		require.Equal(t, "waiting for the invitation's deadline, until 2026-01-02T04:04:05Z"+remedy, details)
		require.Equal(t, "ended: interview FAILED", s.details())
		require.Equal(t, time.Hour, s.elapsed())
	})
	t.Run("while_it_waits_for_a_change_alone", func(t *testing.T) {
		t.Parallel()
		s := newInterviewScript(t, due())
		s.row.Call = activities.CallState{}
		var details string
		s.after(time.Minute, func() { details = s.details() })
		s.change(24*time.Hour, canceled)
		require.NoError(t, s.run())
		require.Equal(t, "waiting for a call to be invoked"+remedy, details)
		require.Equal(t, "ended: interview CANCELED", s.details())
	})
	t.Run("when_there_is_no_such_interview", func(t *testing.T) {
		t.Parallel()
		s := newInterviewScript(t, activities.InterviewState{})
		require.ErrorContains(t, s.run(), "there is no interview "+s.in.InterviewID.String())
		require.Equal(t, "ended: there is no such interview", s.details())
	})
}

// TestInterviewIsFoundByItsCompany: operators search for company and job in the Temporal UI.
func TestInterviewIsFoundByItsCompany(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ company, job uuid.UUID }{
		"neither": {}, "company": {company: uuid.New()}, "company and job": {uuid.New(), uuid.New()},
	} {
		s := newInterviewScript(t, online())
		s.row.CompanyID, s.row.JobID = tc.company, tc.job
		s.change(time.Minute, func(*activities.InterviewState) {})
		s.change(time.Hour, canceled)
		written := 0
		s.OnUpsertTypedSearchAttributes(mock.Anything).Maybe().Run(func(args mock.Arguments) {
			written++
			attributes := args.Get(0).(temporal.SearchAttributes)
			companies, _ := attributes.GetKeywordList(workflows.CompanyID)
			require.Equal(t, []string{tc.company.String()}, companies, name)
			job, found := attributes.GetKeyword(workflows.JobID)
			require.Equal(t, tc.job != uuid.Nil, found, name)
			require.True(t, !found || job == tc.job.String(), name)
		}).Return(nil)
		require.NoError(t, s.run())
		require.Equal(t, tc.company != uuid.Nil, written == 1, name)
	}
}

// TestInterviewIsCanceled by an operator, with the workflow's own cancellation or by signal.
func TestInterviewIsCanceled(t *testing.T) {
	t.Parallel()
	reasons := func(s *interviewScript) (reasons []string) {
		for _, try := range s.tries["CancelInterview"] {
			reasons = append(reasons, try.input.(activities.CancelInterviewInput).Reason)
		}
		return reasons
	}
	t.Run("by_request", func(t *testing.T) {
		t.Parallel()
		s := newInterviewScript(t, online())
		s.after(time.Minute, s.CancelWorkflow)
		require.True(t, temporal.IsCanceledError(s.run()))
		require.Equal(t, []string{""}, reasons(s))
		require.Equal(t, time.Minute, s.elapsed())
	})
	t.Run("by_signal", func(t *testing.T) {
		t.Parallel()
		s := newInterviewScript(t, online())
		s.after(time.Minute, func() { s.SignalWorkflow(workflows.SignalInterviewCancel, "position filled") })
		require.NoError(t, s.run(), "the workflow itself was not canceled")
		require.Equal(t, []string{"position filled"}, reasons(s))
		require.Empty(t, s.warnings)
	})
	t.Run("not_after_it_took_place", func(t *testing.T) {
		t.Parallel()
		s := newInterviewScript(t, analysing())
		s.on["CancelInterview"] = nil // the row refuses it
		s.after(time.Minute, s.CancelWorkflow)
		s.change(time.Hour, func(row *activities.InterviewState) { row.Analysis = activities.AnalysisCompleted })
		require.NoError(t, s.run())
		require.Equal(t, []string{""}, reasons(s), "asked once, not for ever")
		require.Equal(t, time.Hour, s.elapsed())
	})
	t.Run("by_a_signal_that_arrives_with_the_last_read", func(t *testing.T) {
		t.Parallel()
		for name, arrive := range map[string]func(*interviewScript){
			"signal":  func(s *interviewScript) { s.SignalWorkflow(workflows.SignalInterviewCancel, "late") },
			"request": func(s *interviewScript) { s.CancelWorkflow() },
		} {
			s := newInterviewScript(t, online())
			s.row.Status = activities.InterviewFailed
			s.on["CancelInterview"] = s.failsOnce("CancelInterview")
			s.on["LoadInterview"] = func(any) error {
				if len(s.tries["LoadInterview"]) == 1 {
					arrive(s)
				}
				return nil
			}
			require.NoError(t, s.run(), name)
			require.Len(t, reasons(s), 2, "%s: it is not lost, and tried again", name)
			require.Len(t, s.tries["LoadInterview"], 1, "%s: the row is not read while it waits", name)
		}
	})
	t.Run("reports_that_the_row_could_not_be_written", func(t *testing.T) {
		t.Parallel()
		s := newInterviewScript(t, online())
		s.on["CancelInterview"] = fails
		s.after(time.Minute, func() { s.SignalWorkflow(workflows.SignalInterviewCancel, nil) })
		s.change(time.Hour, canceled)
		require.NoError(t, s.run())
		require.Equal(t, []string{"interview not canceled"}, s.warnings)
	})
}

// TestInterviewContinuesAsNewWithoutLoss: what arrives with the last read of a run is handled in that run.
func TestInterviewContinuesAsNewWithoutLoss(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		arrive func(*interviewScript)
		called string
		times  int
	}{
		"changed": {func(s *interviewScript) { s.SignalWorkflow(workflows.SignalInterviewChanged, nil) }, "LoadInterview", 2},
		"cancel": {
			func(s *interviewScript) { s.SignalWorkflow(workflows.SignalInterviewCancel, nil) }, "CancelInterview", 1,
		},
		"request": {func(s *interviewScript) { s.CancelWorkflow() }, "CancelInterview", 1},
	} {
		s := newInterviewScript(t, analysing())
		s.on["CancelInterview"] = nil
		s.on["RequestAnalysis"] = func(any) error {
			s.SetContinueAsNewSuggested(true)
			tc.arrive(s)
			return nil
		}
		s.change(30*time.Minute, func(*activities.InterviewState) {})
		err := s.run()
		var next *workflow.ContinueAsNewError
		require.ErrorAs(t, err, &next, name)
		var in workflows.InterviewInput
		require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(next.Input, &in))
		require.True(t, in.AnalysisRequested, "%s: the analyser is not asked again", name)
		require.Len(t, s.tries[tc.called], tc.times, name)
	}
}

// TestInterviewForgetsACallThatEnded: the provider's end of the call needs no hanging up, whatever follows.
func TestInterviewForgetsACallThatEnded(t *testing.T) {
	t.Parallel()
	s := newInterviewScript(t, due())
	call := s.row.Call.ID
	s.in.PlacedCall = call
	s.row.Status, s.row.Call.Status = activities.InterviewInProgress, activities.CallCompleted
	s.row.StartedAt = s.start
	s.change(time.Minute, func(row *activities.InterviewState) {
		row.Status, row.Call = activities.InterviewFailed, activities.CallState{}
	})
	require.NoError(t, s.run())
	require.False(t, slices.ContainsFunc(s.tries["HangUp"], func(c try) bool { return c.input == call }))
}
