package workflows_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"greenroom/activities/deliver"
	"greenroom/workflows"
)

// TestCircuitExplainsItself has the details that an operator finds in the Temporal UI two minutes after the start.
func TestCircuitExplainsItself(t *testing.T) {
	t.Parallel()
	const open = "open since 2026-01-02T03:00:00Z; "
	const remedy = "; send the signal `reset` to close it"
	for name, tc := range map[string]struct {
		waiting int
		count   int
		in      workflows.CircuitInput
		change  func(*deliver.CircuitState)
		want    string
	}{
		"nothing_waits":         {0, 0, workflows.CircuitInput{}, nil, open + "0 deliveries wait" + remedy},
		"one_waits":             {1, 1, workflows.CircuitInput{}, nil, open + "1 delivery waits" + remedy},
		"several_wait":          {2, 2, workflows.CircuitInput{}, nil, open + "2 deliveries wait" + remedy},
		"as_many_as_is_counted": {9, 1000, workflows.CircuitInput{}, nil, open + "1000 deliveries wait" + remedy},
		"more_than_is_counted":  {9, 1001, workflows.CircuitInput{}, nil, open + "more than 1000 deliveries wait" + remedy},
		"not_counted":           {9, 0, workflows.CircuitInput{}, nil, open + "deliveries wait" + remedy},
		"inactive": {
			1, 1,
			workflows.CircuitInput{Probe: true, Cooldown: time.Hour},
			func(s *deliver.CircuitState) { s.Active = false },
			open + "1 delivery waits" + remedy + "; the webhook is inactive",
		},
		"probing": {
			1, 1,
			workflows.CircuitInput{Probe: true, Cooldown: time.Hour},
			nil,
			open + "1 delivery waits" + remedy + "; one delivery is tried at 2026-01-02T04:04:05Z",
		},
		"probing_by_the_webhooks_own_setting": {
			1, 1,
			workflows.CircuitInput{Cooldown: time.Hour},
			func(s *deliver.CircuitState) { s.Recovery = "probe" },
			open + "1 delivery waits" + remedy + "; one delivery is tried at 2026-01-02T04:04:05Z",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := setupCircuit(t, tc.waiting)
			c.state.OpenedAt = time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
			c.state.WaitingCount = tc.count
			if tc.change != nil {
				tc.change(&c.state)
			}
			var details string
			c.after(2*time.Minute, func() {
				details = c.details()
				c.state.Deleted = true
				c.SignalWorkflow(workflows.SignalCircuitChanged, nil)
			})
			c.run(tc.in)
			require.Equal(t, tc.want, details)
		})
	}
}

// TestCircuitSaysHowItEnded has the details of a workflow that has ended.
func TestCircuitSaysHowItEnded(t *testing.T) {
	t.Parallel()
	for want, state := range map[string]deliver.CircuitState{
		"ended: the webhook was deleted":                    {Deleted: true},
		"ended: the webhook is inactive, 0 deliveries wait": {},
		"ended: closed, nothing waits":                      {Active: true},
	} {
		c := setupCircuit(t, 0)
		c.state = state
		c.run(workflows.CircuitInput{})
		require.Equal(t, want, c.details())
	}
	c := setupCircuit(t, 0)
	c.state = deliver.CircuitState{Missing: true}
	c.ExecuteWorkflow(
		workflows.Circuit,
		workflows.CircuitInput{WebhookID: uuid.New(), Cooldown: time.Minute, ReleaseLimit: 8},
	)
	require.ErrorContains(t, c.GetWorkflowError(), "there is no webhook")
}

// TestCircuitShowsPausedDeliveries: they have no workflow of their own, so the circuit has their DeliveryStatus.
func TestCircuitShowsPausedDeliveries(t *testing.T) {
	t.Parallel()
	c := setupCircuit(t, 3)
	c.state.WebhookID = uuid.New()
	shown := shownStatuses(c.TestWorkflowEnvironment)
	c.after(time.Minute, func() { c.SignalWorkflow(workflows.SignalCircuitChanged, nil) }) // nothing is new
	c.after(time.Hour, func() { c.SignalWorkflow(workflows.SignalCircuitReset, nil) })
	c.run(workflows.CircuitInput{})
	require.Equal(t, []string{"paused", ""}, *shown, "written when it changes, and removed at the end")
	require.Equal(t, "ended: closed, nothing waits", c.details())
}

// TestCircuitWaitsForLockedDeliveries: another transaction may hold all that are left to cancel.
func TestCircuitWaitsForLockedDeliveries(t *testing.T) {
	t.Parallel()
	c := setupCircuit(t, 0)
	c.state = deliver.CircuitState{Deleted: true, ToCancel: true}
	var a *deliver.Activities
	canceled := []int{0, 0, 1}
	c.OnActivity(a.CancelDeleted, mock.Anything, mock.Anything).Times(3).Return(
		func(context.Context, deliver.CancelDeletedInput) (n int, err error) {
			n, canceled = canceled[0], canceled[1:]
			c.state.ToCancel = len(canceled) > 0
			return n, nil
		})
	c.run(workflows.CircuitInput{})
	c.AssertExpectations(t)
	require.Equal(t, 2*time.Second, c.Now().Sub(c.start).Truncate(time.Second), "a second after each empty page")
}

// TestCircuitWaitsForLockedPausedDeliveries: another transaction may hold all that are left to release.
func TestCircuitWaitsForLockedPausedDeliveries(t *testing.T) {
	t.Parallel()
	c := setupCircuit(t, 9)
	c.state = deliver.CircuitState{Active: true}
	c.locked = 3
	c.run(workflows.CircuitInput{})
	require.Equal(t, []int{0, 0, 0, 1, 2, 4, 2}, c.released)
	require.Equal(t, 7*time.Second, c.Now().Sub(c.start).Truncate(time.Second), "a second after each page")
}

// TestCircuitHandlesASignalBeforeItEnds: a signal that arrives with the last read is not lost.
func TestCircuitHandlesASignalBeforeItEnds(t *testing.T) {
	t.Parallel()
	for _, signal := range []string{workflows.SignalCircuitChanged, workflows.SignalCircuitReset} {
		c := setupCircuit(t, 0)
		c.state = deliver.CircuitState{Active: true}
		c.signalDuringLoad(1, signal)
		c.run(workflows.CircuitInput{})
		require.Equal(t, map[string]int{workflows.SignalCircuitChanged: 0, workflows.SignalCircuitReset: 1}[signal], c.closed)
		require.Equal(t, 2, c.loads, signal)
	}
}

// TestCircuitHandlesASignalBeforeItContinuesAsNew: the next run does not get the signals of this one.
func TestCircuitHandlesASignalBeforeItContinuesAsNew(t *testing.T) {
	t.Parallel()
	for _, signal := range []string{workflows.SignalCircuitChanged, workflows.SignalCircuitReset} {
		c := setupCircuit(t, 30)
		c.state = deliver.CircuitState{Active: true}
		c.SetContinueAsNewSuggested(true)
		c.signalDuringLoad(1, signal)
		c.ExecuteWorkflow(
			workflows.Circuit, workflows.CircuitInput{WebhookID: uuid.New(), Cooldown: time.Minute, ReleaseLimit: 8})
		var next *workflow.ContinueAsNewError
		require.ErrorAs(t, c.GetWorkflowError(), &next)
		require.Equal(t, []int{1, 2}, c.released, signal)
		require.Equal(t, map[string]int{workflows.SignalCircuitChanged: 0, workflows.SignalCircuitReset: 1}[signal], c.closed)
	}
}

// TestCircuitReadsItsRowAtALengtheningInterval: an open circuit is shown within 10 s, later every 10 min.
func TestCircuitReadsItsRowAtALengtheningInterval(t *testing.T) {
	t.Parallel()
	c := setupCircuit(t, 0)
	loads := map[time.Duration]int{}
	for _, after := range []time.Duration{9 * time.Second, 29 * time.Second, 69 * time.Second, 149 * time.Second} {
		c.after(after, func() { loads[after] = c.loads })
	}
	c.after(time.Hour, func() { c.SignalWorkflow(workflows.SignalCircuitChanged, nil) })
	c.after(time.Hour+29*time.Second, func() { loads[time.Hour] = c.loads })
	var before int
	c.after(time.Hour-time.Second, func() { before = c.loads })
	c.after(24*time.Hour, func() { c.state.Deleted = true; c.SignalWorkflow(workflows.SignalCircuitChanged, nil) })
	c.run(workflows.CircuitInput{Refresh: true})
	require.Equal(t, map[time.Duration]int{
		9 * time.Second: 1, 29 * time.Second: 2, 69 * time.Second: 3, 149 * time.Second: 4,
		time.Hour: before + 2, // the signal's, and that of 10 s later: a signal starts the interval over
	}, loads)
}

// TestReplayDeliveriesContinuesAsNew: a signal that arrives with a page is handled first.
func TestReplayDeliveriesContinuesAsNew(t *testing.T) {
	t.Parallel()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	env.RegisterActivity(&deliver.Activities{})
	env.SetContinueAsNewSuggested(true)
	var a *deliver.Activities
	pages := 0
	env.OnActivity(a.ReplayPage, mock.Anything, mock.Anything).Return(
		func(context.Context, deliver.ReplayPageInput) (deliver.ReplayProgress, error) {
			if pages++; pages == 1 {
				env.SignalWorkflow(workflows.SignalReplayChanged, nil)
			}
			return deliver.ReplayProgress{State: "running"}, nil
		})
	env.ExecuteWorkflow(workflows.ReplayDeliveries, workflows.ReplayDeliveriesInput{ReplayID: uuid.New(), PerSecond: 50})
	var next *workflow.ContinueAsNewError
	require.ErrorAs(t, env.GetWorkflowError(), &next)
	require.Equal(t, 2, pages, "the signal is handled first")
}
