package workflows_test

import (
	"cmp"
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	sdk "go.temporal.io/api/sdk/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"greenroom/activities/deliver"
	"greenroom/workflows"
)

// circuit is a test environment around the state of one webhook's circuit.
type circuit struct {
	*testsuite.TestWorkflowEnvironment
	t        *testing.T
	state    deliver.CircuitState
	waiting  int
	locked   int // how many pages find every delivery locked
	start    time.Time
	released []int
	probes   []time.Duration
	closed   int
	loads    int
	onLoad   func() // runs within each read of the row
	noProbes bool   // no delivery is left to probe with
}

// details are what the Temporal UI shows.
func (c *circuit) details() (text string) {
	c.t.Helper()
	value, err := c.QueryWorkflow("__temporal_workflow_metadata")
	require.NoError(c.t, err)
	var metadata sdk.WorkflowMetadata
	require.NoError(c.t, value.Get(&metadata))
	return metadata.CurrentDetails
}

func setupCircuit(t *testing.T, waiting int) *circuit {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(slog.New(slog.DiscardHandler))
	c := &circuit{TestWorkflowEnvironment: suite.NewTestWorkflowEnvironment(), t: t, waiting: waiting}
	c.state = deliver.CircuitState{Active: true, Open: true}
	c.start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	c.SetStartTime(c.start)
	c.RegisterActivity(&deliver.Activities{})
	var a *deliver.Activities
	c.OnActivity(a.LoadCircuit, mock.Anything, mock.Anything).
		Return(func(context.Context, uuid.UUID) (deliver.CircuitState, error) {
			if c.loads++; c.loads > 300 {
				return deliver.CircuitState{}, temporal.NewNonRetryableApplicationError("read without a wait", "Loop", nil)
			}
			if c.onLoad != nil {
				c.onLoad()
			}
			c.state.Waiting = c.waiting > 0
			return c.state, nil
		})
	c.OnActivity(a.CloseCircuit, mock.Anything, mock.Anything).Maybe().Return(func(context.Context, uuid.UUID) error {
		c.closed++
		c.state.Open = false
		return nil
	})
	c.OnActivity(a.ReleasePaused, mock.Anything, mock.Anything).
		Maybe().
		Return(func(_ context.Context, in deliver.ReleaseInput) (int, error) {
			if in.Probe {
				c.probes = append(c.probes, c.Now().Sub(c.start))
				if c.noProbes {
					return 0, nil
				}
				return 1, nil
			}
			n := min(in.Limit, c.waiting)
			if c.locked > 0 {
				c.locked, n = c.locked-1, 0
			}
			c.waiting -= n
			c.released = append(c.released, n)
			return n, nil
		})
	return c
}

func (c *circuit) run(in workflows.CircuitInput) {
	c.t.Helper()
	in.WebhookID = uuid.New()
	in.ReleaseLimit = cmp.Or(in.ReleaseLimit, 8)
	in.Cooldown = cmp.Or(in.Cooldown, time.Minute)
	c.ExecuteWorkflow(workflows.Circuit, in)
	require.True(c.t, c.IsWorkflowCompleted())
	require.NoError(c.t, c.GetWorkflowError())
}

func (c *circuit) after(d time.Duration, fn func()) { c.RegisterDelayedCallback(fn, d) }

func TestCircuit(t *testing.T) {
	t.Parallel()
	t.Run("cancels_what_a_deleted_webhook_has_left_page_by_page", func(t *testing.T) {
		t.Parallel()
		c := setupCircuit(t, 0)
		left := 2500
		c.state = deliver.CircuitState{Deleted: true, ToCancel: true}
		var a *deliver.Activities
		c.OnActivity(a.CancelDeleted, mock.Anything, mock.Anything).Times(3).Return(
			func(_ context.Context, in deliver.CancelDeletedInput) (int, error) {
				n := min(in.Limit, left)
				left -= n
				c.state.ToCancel = left > 0
				return n, nil
			})
		c.run(workflows.CircuitInput{})
		require.Zero(t, left)
		c.AssertExpectations(t)
	})
	t.Run("an_engineers_reset_closes_it_and_releases_at_a_ramp", func(t *testing.T) {
		t.Parallel()
		c := setupCircuit(t, 30)
		c.after(time.Hour, func() { c.SignalWorkflow(workflows.SignalCircuitReset, nil) })
		c.run(workflows.CircuitInput{})
		require.Equal(t, 1, c.closed)
		require.Equal(t, []int{1, 2, 4, 8, 8, 7}, c.released)
		require.GreaterOrEqual(t, c.Now().Sub(c.start), time.Hour+5*time.Second)
	})
	t.Run("a_reset_through_the_api_releases_too", func(t *testing.T) {
		t.Parallel()
		c := setupCircuit(t, 3)
		c.after(time.Minute, func() { c.state.Open = false; c.SignalWorkflow(workflows.SignalCircuitChanged, nil) })
		c.run(workflows.CircuitInput{})
		require.Zero(t, c.closed)
		require.Equal(t, []int{1, 2}, c.released)
	})
	t.Run("begins_the_ramp_anew_when_it_opens_again", func(t *testing.T) {
		t.Parallel()
		c := setupCircuit(t, 20)
		c.after(time.Minute, func() { c.state.Open = false; c.SignalWorkflow(workflows.SignalCircuitChanged, nil) })
		c.after(
			time.Minute+1500*time.Millisecond,
			func() { c.state.Open = true; c.SignalWorkflow(workflows.SignalCircuitChanged, nil) },
		)
		c.after(time.Hour, func() { c.SignalWorkflow(workflows.SignalCircuitReset, nil) })
		c.run(workflows.CircuitInput{})
		require.Equal(t, []int{1, 2, 1, 2, 4, 8, 2}, c.released)
	})
	t.Run("a_cancellation_request_neither_closes_it_nor_loses_a_signal", func(t *testing.T) {
		t.Parallel()
		c := setupCircuit(t, 3)
		c.after(time.Minute, c.CancelWorkflow)
		c.after(time.Hour, func() { c.SignalWorkflow(workflows.SignalCircuitReset, nil) })
		c.run(workflows.CircuitInput{})
		require.Equal(t, 1, c.closed)
		require.Equal(t, []int{1, 2}, c.released)
	})
	t.Run("a_signal_does_not_move_the_probe", func(t *testing.T) {
		t.Parallel()
		c := setupCircuit(t, 1)
		c.after(50*time.Second, func() { c.SignalWorkflow(workflows.SignalCircuitChanged, nil) })
		c.after(90*time.Second, func() { c.state.Open = false; c.SignalWorkflow(workflows.SignalCircuitChanged, nil) })
		c.run(workflows.CircuitInput{Probe: true, Cooldown: time.Minute})
		require.Equal(t, []time.Duration{time.Minute}, c.probes)
	})
	t.Run("an_inactive_webhook_is_not_probed", func(t *testing.T) {
		t.Parallel()
		c := setupCircuit(t, 1)
		c.state.Active = false
		c.after(time.Hour, func() { c.state.Deleted = true; c.SignalWorkflow(workflows.SignalCircuitChanged, nil) })
		c.run(workflows.CircuitInput{Probe: true, Cooldown: time.Minute})
		require.Empty(t, c.probes)
	})
	t.Run("continues_as_new_with_its_ramp_and_its_probes", func(t *testing.T) {
		t.Parallel()
		c := setupCircuit(t, 30)
		c.state = deliver.CircuitState{Active: true}
		c.SetContinueAsNewSuggested(true)
		c.ExecuteWorkflow(workflows.Circuit, workflows.CircuitInput{
			WebhookID: uuid.New(), Cooldown: time.Minute, ReleaseLimit: 8, Memory: workflows.CircuitMemory{Rate: 4},
		})
		var next *workflow.ContinueAsNewError
		require.ErrorAs(t, c.GetWorkflowError(), &next)
		var in workflows.CircuitInput
		require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(next.Input, &in))
		require.Equal(t, []int{4}, c.released)
		require.Equal(t, 8, in.Memory.Rate)
	})
	t.Run("shows_what_waits_while_it_is_open", func(t *testing.T) {
		t.Parallel()
		c := setupCircuit(t, 0)
		c.state.WebhookID = uuid.New()
		c.after(time.Minute, func() { c.waiting, c.state.WaitingCount = 3, 3 }) // without a signal
		var details string
		c.after(3*time.Minute, func() { details = c.details() })
		c.after(24*time.Hour, func() { c.state.Deleted = true; c.SignalWorkflow(workflows.SignalCircuitChanged, nil) })
		c.OnUpsertTypedSearchAttributes(mock.Anything).Return(nil)
		c.run(workflows.CircuitInput{Refresh: true})
		require.Contains(t, details, "3 deliveries wait")
		require.InDelta(t, 24*6, c.loads, 10, "one look in ten minutes")
	})
	t.Run("stays_open_without_a_reset", func(t *testing.T) {
		t.Parallel()
		c := setupCircuit(t, 1)
		c.after(30*24*time.Hour, func() { c.state.Deleted = true; c.SignalWorkflow(workflows.SignalCircuitChanged, nil) })
		c.run(workflows.CircuitInput{Cooldown: time.Minute})
		require.Empty(t, c.released)
		require.Empty(t, c.probes)
	})
	t.Run("probes_after_a_cooldown_that_doubles", func(t *testing.T) {
		t.Parallel()
		c := setupCircuit(t, 2)
		c.after(8*time.Minute, func() { c.state.Open = false; c.SignalWorkflow(workflows.SignalCircuitChanged, nil) })
		c.run(workflows.CircuitInput{Probe: true, Cooldown: time.Minute})
		require.Equal(t, []time.Duration{time.Minute, 3 * time.Minute, 7 * time.Minute}, c.probes)
		require.Equal(t, []int{1, 1}, c.released)
	})
	t.Run("the_cooldown_doubles_up_to_its_limit", func(t *testing.T) {
		t.Parallel()
		c := setupCircuit(t, 3)
		c.after(8*time.Minute, func() { c.state.Open = false; c.SignalWorkflow(workflows.SignalCircuitChanged, nil) })
		c.run(workflows.CircuitInput{Probe: true, Cooldown: time.Minute, CooldownLimit: 2 * time.Minute})
		require.Equal(t, []time.Duration{time.Minute, 3 * time.Minute, 5 * time.Minute, 7 * time.Minute}, c.probes)
	})
	t.Run("the_profile_decides_whether_it_probes", func(t *testing.T) {
		t.Parallel()
		for profile, probes := range map[bool][]time.Duration{true: {time.Minute}, false: nil} {
			c := setupCircuit(t, 2)
			c.state.ProfileProbes = profile
			c.after(2*time.Minute, func() { c.state.Open = false; c.SignalWorkflow(workflows.SignalCircuitChanged, nil) })
			c.run(workflows.CircuitInput{ByProfile: true, Cooldown: time.Minute})
			require.Equal(t, probes, c.probes)
		}
	})
	t.Run("a_change_does_not_restart_the_cooldown", func(t *testing.T) {
		t.Parallel()
		c := setupCircuit(t, 2)
		c.after(40*time.Second, func() { c.SignalWorkflow(workflows.SignalCircuitChanged, nil) })
		c.after(2*time.Minute, func() { c.state.Open = false; c.SignalWorkflow(workflows.SignalCircuitChanged, nil) })
		c.run(workflows.CircuitInput{Probe: true, Cooldown: time.Minute})
		require.Equal(t, []time.Duration{time.Minute}, c.probes)
	})
	t.Run("a_webhooks_own_recovery_and_rate_win", func(t *testing.T) {
		t.Parallel()
		c := setupCircuit(t, 5)
		c.state.Recovery, c.state.RateLimit = "manual", 2
		c.after(time.Hour, func() { c.SignalWorkflow(workflows.SignalCircuitReset, nil) })
		c.run(workflows.CircuitInput{Probe: true, Cooldown: time.Minute})
		require.Empty(t, c.probes)
		require.Equal(t, []int{1, 2, 2}, c.released)
	})
	t.Run("an_inactive_webhook_keeps_its_backlog", func(t *testing.T) {
		t.Parallel()
		c := setupCircuit(t, 5)
		c.state = deliver.CircuitState{Active: false}
		c.run(workflows.CircuitInput{})
		require.Empty(t, c.released)
	})
}
