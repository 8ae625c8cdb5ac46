package workflows_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"greenroom/activities/deliver"
	"greenroom/workflows"
)

// delivering is a test environment in which the attempts of a delivery are answered from a list.
type delivering struct {
	*testsuite.TestWorkflowEnvironment
	t     *testing.T
	start time.Time
	mu    sync.Mutex
	calls []deliver.AttemptInput
	at    []time.Duration // since the start, of each attempt
}

func setupDelivery(t *testing.T, answers ...any) *delivering {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(slog.New(slog.DiscardHandler))
	d := &delivering{TestWorkflowEnvironment: suite.NewTestWorkflowEnvironment(), t: t}
	d.start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	d.SetStartTime(d.start)
	d.SetTestTimeout(10 * time.Second)
	d.RegisterActivity(&deliver.Activities{})
	var a *deliver.Activities
	d.OnActivity(a.AttemptDelivery, mock.Anything, mock.Anything).Return(
		func(_ context.Context, in deliver.AttemptInput) (deliver.AttemptResult, error) {
			d.mu.Lock()
			defer d.mu.Unlock()
			n := len(d.calls)
			require.Less(t, n, len(answers), "more attempts than expected")
			d.calls, d.at = append(d.calls, in), append(d.at, d.Now().Sub(d.start))
			switch answer := answers[n].(type) {
			case error:
				return deliver.AttemptResult{}, answer
			case deliver.AttemptOutcome:
				return deliver.AttemptResult{Outcome: answer, NextAt: d.Now().Add(in.Wait), Reason: "HTTP 500"}, nil
			default:
				return answer.(func(deliver.AttemptInput) deliver.AttemptResult)(in), nil
			}
		})
	return d
}

func input() workflows.DeliverWebhookInput {
	return workflows.DeliverWebhookInput{
		DeliveryID: uuid.New(),
		Attempt:    1,
		Schedule:   []time.Duration{5 * time.Second, time.Minute, time.Hour},
		Timeout:    15 * time.Second,
	}
}

// result runs the workflow to its end, which must be without an error, and checks that every answer was used.
func (d *delivering) result(in workflows.DeliverWebhookInput, attempts int) workflows.DeliverWebhookResult {
	d.t.Helper()
	d.ExecuteWorkflow(workflows.DeliverWebhook, in)
	require.True(d.t, d.IsWorkflowCompleted())
	require.NoError(d.t, d.GetWorkflowError())
	var r workflows.DeliverWebhookResult
	require.NoError(d.t, d.GetWorkflowResult(&r))
	require.Len(d.t, d.calls, attempts)
	return r
}

// expectCancel lets the delivery be canceled, and returns what was asked for.
func (d *delivering) expectCancel() *[]deliver.CancelDeliveryInput {
	var a *deliver.Activities
	asked := new([]deliver.CancelDeliveryInput)
	d.OnActivity(a.CancelDelivery, mock.Anything, mock.Anything).Maybe().Return(
		func(_ context.Context, in deliver.CancelDeliveryInput) error {
			*asked = append(*asked, in)
			return nil
		})
	return asked
}

func (d *delivering) wakeAfter(after time.Duration, w workflows.Wake) {
	d.RegisterDelayedCallback(func() { d.SignalWorkflow(workflows.SignalWake, w) }, after)
}

func TestDeliverWebhook(t *testing.T) {
	t.Parallel()
	t.Run("succeeds_at_once", func(t *testing.T) {
		t.Parallel()
		d := setupDelivery(t, deliver.AttemptSucceeded)
		in := input()
		r := d.result(in, 1)
		require.Equal(t, workflows.DeliverWebhookResult{Outcome: deliver.AttemptSucceeded, Attempts: 1}, r)
		require.Equal(t, deliver.AttemptInput{DeliveryID: in.DeliveryID, Attempt: 1, Wait: 5 * time.Second}, d.calls[0])
	})
	t.Run("waits_the_schedule_and_gives_up_at_its_end", func(t *testing.T) {
		t.Parallel()
		d := setupDelivery(t, deliver.AttemptRetry, deliver.AttemptRetry, deliver.AttemptRetry, deliver.AttemptFailed)
		r := d.result(input(), 4)
		require.Equal(t, workflows.DeliverWebhookResult{Outcome: deliver.AttemptFailed, Attempts: 4}, r)
		require.Equal(t, []time.Duration{0, 5 * time.Second, 65 * time.Second, 65*time.Second + time.Hour}, d.at)
		require.True(t, d.calls[3].Last)
		require.False(t, d.calls[2].Last)
	})
	t.Run("waits_as_long_as_the_attempt_says", func(t *testing.T) { // Retry-After
		t.Parallel()
		var d *delivering
		d = setupDelivery(t, func(deliver.AttemptInput) deliver.AttemptResult {
			return deliver.AttemptResult{Outcome: deliver.AttemptRetry, NextAt: d.Now().Add(90 * time.Second)}
		}, deliver.AttemptSucceeded)
		d.result(input(), 2)
		require.Equal(t, 90*time.Second, d.at[1])
	})
	t.Run("is_woken_from_its_wait", func(t *testing.T) {
		t.Parallel()
		d := setupDelivery(t, deliver.AttemptRetry, deliver.AttemptSucceeded)
		d.wakeAfter(2*time.Second, workflows.Wake{})
		d.result(input(), 2)
		require.Equal(t, 2*time.Second, d.at[1])
	})
	t.Run("parks_while_circuit_open_and_makes_the_same_attempt_when_woken", func(t *testing.T) {
		t.Parallel()
		d := setupDelivery(t, deliver.AttemptRetry, deliver.AttemptParked, deliver.AttemptParked, deliver.AttemptSucceeded)
		d.wakeAfter(48*time.Hour, workflows.Wake{Probe: true})
		d.wakeAfter(72*time.Hour, workflows.Wake{})
		r := d.result(input(), 4)
		require.Equal(t, 2, r.Attempts, "parking is no attempt")
		for _, c := range d.calls[1:] {
			require.Equal(t, 2, c.Attempt)
		}
		require.Equal(
			t,
			[]bool{false, false, true, false},
			[]bool{d.calls[0].Probe, d.calls[1].Probe, d.calls[2].Probe, d.calls[3].Probe},
		)
		require.Equal(t, 72*time.Hour, d.at[3])
	})
	t.Run("ends_when_canceled_while_parked", func(t *testing.T) {
		t.Parallel()
		d := setupDelivery(t, deliver.AttemptParked, deliver.AttemptCanceled)
		d.wakeAfter(time.Minute, workflows.Wake{})
		r := d.result(input(), 2)
		require.Equal(t, workflows.DeliverWebhookResult{Outcome: deliver.AttemptCanceled}, r)
	})
	t.Run("a_cancellation_request_cancels_the_delivery_wherever_it_waits", func(t *testing.T) {
		t.Parallel()
		for waits, answer := range map[string]deliver.AttemptOutcome{
			"for a retry": deliver.AttemptRetry, "paused": deliver.AttemptParked, "for a place": deliver.AttemptBusy,
		} {
			d := setupDelivery(t, answer)
			canceled := d.expectCancel()
			d.RegisterDelayedCallback(d.CancelWorkflow, time.Second)
			in := input()
			in.Generation = 2
			d.ExecuteWorkflow(workflows.DeliverWebhook, in)
			require.True(t, d.IsWorkflowCompleted())
			require.ErrorContains(t, d.GetWorkflowError(), "canceled", waits)
			require.Equal(t, []deliver.CancelDeliveryInput{{DeliveryID: in.DeliveryID, Generation: 2}}, *canceled, waits)
			require.Len(t, d.calls, 1, waits)
		}
	})
	t.Run("an_attempt_in_flight_is_not_interrupted_by_a_cancellation_request", func(t *testing.T) {
		t.Parallel()
		for answer, canceled := range map[deliver.AttemptOutcome]int{deliver.AttemptSucceeded: 0, deliver.AttemptRetry: 1} {
			var d *delivering
			d = setupDelivery(t, func(deliver.AttemptInput) deliver.AttemptResult {
				d.CancelWorkflow()
				return deliver.AttemptResult{Outcome: answer, NextAt: d.Now().Add(time.Hour)}
			})
			asked := d.expectCancel()
			in := input()
			in.Slow = true
			d.ExecuteWorkflow(workflows.DeliverWebhook, in)
			require.True(t, d.IsWorkflowCompleted())
			require.Len(t, *asked, canceled)
			require.Equal(t, canceled == 1, d.GetWorkflowError() != nil)
		}
	})
	t.Run("a_long_history_continues_as_new_where_it_was", func(t *testing.T) {
		t.Parallel()
		d := setupDelivery(t, deliver.AttemptRetry)
		d.SetContinueAsNewSuggested(true)
		d.ExecuteWorkflow(workflows.DeliverWebhook, input())
		var next *workflow.ContinueAsNewError
		require.ErrorAs(t, d.GetWorkflowError(), &next)
		var in workflows.DeliverWebhookInput
		require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(next.Input, &in))
		require.Equal(t, 2, in.Attempt)
		require.Equal(t, 1, in.Made)
		require.Equal(t, "HTTP 500", in.Reason)
		require.True(t, d.start.Add(5*time.Second).Equal(in.NotBefore), "the wait is not lost")
	})
	t.Run("refuses_an_input_that_names_no_delivery", func(t *testing.T) {
		t.Parallel()
		d := setupDelivery(t)
		d.ExecuteWorkflow(workflows.DeliverWebhook, workflows.DeliverWebhookInput{})
		require.ErrorContains(t, d.GetWorkflowError(), `the input has no "DeliveryID"`)
	})
	t.Run("ends_at_410", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, 1, setupDelivery(t, deliver.AttemptGone).result(input(), 1).Attempts)
	})
	t.Run("comes_back_when_the_endpoint_is_busy", func(t *testing.T) {
		t.Parallel()
		d := setupDelivery(t, deliver.AttemptBusy, deliver.AttemptSucceeded)
		require.Equal(t, 1, d.result(input(), 2).Attempts)
		require.Equal(t, 1, d.calls[1].Attempt)
	})
	t.Run("our_own_faults_never_end_it", func(t *testing.T) {
		t.Parallel()
		fault := errors.New("database is away")
		answers := []any{}
		for range 12 {
			answers = append(answers, fault)
		}
		d := setupDelivery(t, append(answers, deliver.AttemptSucceeded)...)
		require.Equal(t, 1, d.result(input(), 13).Attempts)
	})
	t.Run("goes_on_at_the_attempt_it_is_given", func(t *testing.T) {
		t.Parallel()
		d := setupDelivery(t, deliver.AttemptRetry, deliver.AttemptFailed)
		in := input()
		in.Attempt = 3
		d.result(in, 2)
		require.Equal(t, time.Hour, d.calls[0].Wait)
		require.True(t, d.calls[1].Last)
	})
	t.Run("first_attempt_is_local_unless_the_endpoint_is_slow", func(t *testing.T) {
		t.Parallel()
		for _, slow := range []bool{false, true} {
			d := setupDelivery(t, deliver.AttemptSucceeded)
			regular := 0
			d.SetOnActivityStartedListener(func(*activity.Info, context.Context, converter.EncodedValues) { regular++ })
			in := input()
			in.Slow = slow
			d.result(in, 1)
			require.Equal(t, slow, regular == 1)
		}
	})
}
