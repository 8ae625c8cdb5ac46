package workflows_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	sdk "go.temporal.io/api/sdk/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"greenroom/activities/deliver"
	"greenroom/workflows"
)

// shownStatuses collects the values of DeliveryStatus that a workflow writes; "" for none.
func shownStatuses(env *testsuite.TestWorkflowEnvironment) *[]string {
	shown := new([]string)
	env.OnUpsertTypedSearchAttributes(mock.Anything).Run(func(args mock.Arguments) {
		status, _ := args.Get(0).(temporal.SearchAttributes).GetKeyword(workflows.DeliveryStatus)
		*shown = append(*shown, status)
	}).Return(nil)
	return shown
}

// currentDetails are what the Temporal UI shows about a workflow.
func currentDetails(t *testing.T, env *testsuite.TestWorkflowEnvironment) string {
	t.Helper()
	value, err := env.QueryWorkflow("__temporal_workflow_metadata")
	require.NoError(t, err)
	var metadata sdk.WorkflowMetadata
	require.NoError(t, value.Get(&metadata))
	return metadata.CurrentDetails
}

// TestDeliverWebhookShowsItsStatus has what an operator finds in the Temporal UI.
func TestDeliverWebhookShowsItsStatus(t *testing.T) {
	t.Parallel()
	plain := func(in *workflows.DeliverWebhookInput) { in.PlainSuccess = true }
	for _, tc := range []struct {
		name    string
		answers []any
		change  func(*workflows.DeliverWebhookInput)
		want    []string
		details string
	}{
		{"success", []any{deliver.AttemptSucceeded}, nil, []string{"succeeded"}, "ended after 1 attempts: HTTP 500"},
		{"plain_success_writes_none", []any{deliver.AttemptSucceeded}, plain, nil, "ended after 1 attempts: HTTP 500"},
		{
			"plain_success_after_a_retry",
			[]any{deliver.AttemptRetry, deliver.AttemptSucceeded},
			plain,
			[]string{"retrying", "succeeded"},
			"ended after 2 attempts: HTTP 500",
		},
		{
			"plain_success_of_a_later_run",
			[]any{deliver.AttemptSucceeded},
			func(in *workflows.DeliverWebhookInput) { in.PlainSuccess, in.Made, in.Attempt = true, 1, 2 },
			[]string{"succeeded"},
			"ended after 2 attempts: HTTP 500",
		},
		{"plain_failure", []any{deliver.AttemptFailed}, plain, []string{"failed"}, "ended after 1 attempts: HTTP 500"},
		{"gone", []any{deliver.AttemptGone}, nil, []string{"failed"}, "ended after 1 attempts: HTTP 500"},
		{"canceled", []any{deliver.AttemptCanceled}, nil, []string{"canceled"}, "ended after 0 attempts: HTTP 500"},
		{
			"busy_writes_none",
			[]any{deliver.AttemptBusy, deliver.AttemptSucceeded},
			nil,
			[]string{"succeeded"},
			"ended after 1 attempts: HTTP 500",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			d := setupDelivery(t, tc.answers...)
			shown := shownStatuses(d.TestWorkflowEnvironment)
			in := input()
			if tc.change != nil {
				tc.change(&in)
			}
			d.result(in, len(tc.answers))
			require.Equal(t, tc.want, *shown)
			require.Equal(t, tc.details, currentDetails(t, d.TestWorkflowEnvironment))
		})
	}
}

// TestDeliverWebhookExplainsItsWait has the details that an operator finds during a wait.
func TestDeliverWebhookExplainsItsWait(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer  deliver.AttemptOutcome
		reason  string
		later   bool // the first attempt is due in an hour
		details string
	}{
		"retry":             {deliver.AttemptRetry, "", false, "attempt 1: HTTP 500; attempt 2 follows at 03:04:10Z"},
		"parked":            {deliver.AttemptParked, "", false, "waits before attempt 1: HTTP 500"},
		"after_a_batch":     {"", "", true, "attempt 1: failed before this run; attempt 2 follows at 04:04:05Z"},
		"after_another_run": {"", "HTTP 503", true, "attempt 1: HTTP 503; attempt 2 follows at 04:04:05Z"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answers := []any{tc.answer, deliver.AttemptSucceeded}
			in := input()
			if tc.later {
				answers = answers[1:]
				in.Attempt, in.NotBefore, in.Reason = 2, time.Date(2026, 1, 2, 4, 4, 5, 0, time.UTC), tc.reason
			}
			d := setupDelivery(t, answers...)
			var details string
			d.RegisterDelayedCallback(func() { details = currentDetails(t, d.TestWorkflowEnvironment) }, 2*time.Second)
			d.wakeAfter(3*time.Second, workflows.Wake{})
			d.result(in, len(answers))
			require.Equal(t, tc.details, strings.ReplaceAll(details, "2026-01-02T", ""))
		})
	}
}

// TestDeliverWebhookLimitsAnAttempt: an attempt has the webhook's timeout and time to record it, and a fault of the
// sender's side delays the next try by ten seconds at most.
func TestDeliverWebhookLimitsAnAttempt(t *testing.T) {
	t.Parallel()
	answers := []any{}
	for range 8 {
		answers = append(answers, errors.New("the database is unavailable"))
	}
	d := setupDelivery(t, append(answers, deliver.AttemptSucceeded)...)
	var limits []time.Duration
	d.SetOnActivityStartedListener(func(info *activity.Info, _ context.Context, _ converter.EncodedValues) {
		limits = append(limits, info.StartToCloseTimeout)
		require.Contains(t, info.TaskQueue, "-slow")
	})
	in := input()
	in.Slow = true
	d.result(in, 9)
	require.Equal(t, 30*time.Second, limits[0])
	for i := range d.at[1:] {
		require.LessOrEqual(t, d.at[i+1]-d.at[i], 10*time.Second)
	}
	require.Equal(t, 10*time.Second, d.at[8]-d.at[7])
}

// TestDeliverWebhookTakesWakesBeforeAnAttempt: wakes that arrive during an attempt are answered by the next one.
func TestDeliverWebhookTakesWakesBeforeAnAttempt(t *testing.T) {
	t.Parallel()
	var d *delivering
	d = setupDelivery(t, func(deliver.AttemptInput) deliver.AttemptResult {
		d.SignalWorkflow(workflows.SignalWake, workflows.Wake{Probe: true})
		d.SignalWorkflow(workflows.SignalWake, workflows.Wake{})
		return deliver.AttemptResult{Outcome: deliver.AttemptParked}
	}, deliver.AttemptParked, deliver.AttemptSucceeded)
	d.wakeAfter(time.Hour, workflows.Wake{})
	in := input()
	in.Slow = true
	d.result(in, 3)
	require.True(t, d.calls[1].Probe)
	require.False(t, d.calls[2].Probe, "a probe is one attempt")
	require.Equal(t, []time.Duration{0, 0, time.Hour}, d.at, "the two wakes asked for one attempt")
}

// TestDeliverWebhookContinuesAsNewWithoutLoss: neither a wake nor a cancellation request that waits may be lost.
func TestDeliverWebhookContinuesAsNewWithoutLoss(t *testing.T) {
	t.Parallel()
	t.Run("a_wake_is_handled_first", func(t *testing.T) {
		t.Parallel()
		var d *delivering
		d = setupDelivery(t, func(in deliver.AttemptInput) deliver.AttemptResult {
			d.SignalWorkflow(workflows.SignalWake, workflows.Wake{})
			return deliver.AttemptResult{Outcome: deliver.AttemptRetry, NextAt: d.Now().Add(time.Hour)}
		}, deliver.AttemptRetry)
		d.SetContinueAsNewSuggested(true)
		in := input()
		in.Slow = true
		d.ExecuteWorkflow(workflows.DeliverWebhook, in)
		var next *workflow.ContinueAsNewError
		require.ErrorAs(t, d.GetWorkflowError(), &next)
		require.Equal(t, []time.Duration{0, 0}, d.at)
	})
	t.Run("a_cancellation_request_is_handled_first", func(t *testing.T) {
		t.Parallel()
		var d *delivering
		d = setupDelivery(t, func(deliver.AttemptInput) deliver.AttemptResult {
			d.CancelWorkflow()
			return deliver.AttemptResult{Outcome: deliver.AttemptRetry, NextAt: d.Now().Add(time.Hour)}
		})
		canceled := d.expectCancel()
		d.SetContinueAsNewSuggested(true)
		in := input()
		in.Slow = true
		d.ExecuteWorkflow(workflows.DeliverWebhook, in)
		require.ErrorContains(t, d.GetWorkflowError(), "canceled")
		require.Len(t, *canceled, 1)
	})
}

// TestDeliverWebhookSurvivesAnUndecodableWake sends what an operator may type into the Temporal UI: a wake whose payload
// is no Wake must not make a waiting delivery deaf to its timer or to cancellation.
func TestDeliverWebhookSurvivesAnUndecodableWake(t *testing.T) {
	t.Parallel()
	garbage := func(d *delivering, after time.Duration) {
		d.RegisterDelayedCallback(func() { d.SignalWorkflow(workflows.SignalWake, "x") }, after)
	}
	t.Run("while_it_waits_for_a_retry", func(t *testing.T) {
		t.Parallel()
		d := setupDelivery(t, deliver.AttemptRetry, deliver.AttemptSucceeded)
		garbage(d, time.Second)
		require.Equal(t, deliver.AttemptSucceeded, d.result(input(), 2).Outcome)
	})
	t.Run("while_it_is_paused", func(t *testing.T) {
		t.Parallel()
		d := setupDelivery(t, deliver.AttemptParked, deliver.AttemptParked)
		d.expectCancel()
		garbage(d, time.Second)
		d.RegisterDelayedCallback(d.CancelWorkflow, time.Minute)
		d.ExecuteWorkflow(workflows.DeliverWebhook, input())
		require.True(t, d.IsWorkflowCompleted())
		require.True(t, temporal.IsCanceledError(d.GetWorkflowError()))
	})
}
