package workflows_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"greenroom/activities/deliver"
	"greenroom/workflows"
)

func TestReplayDeliveries(t *testing.T) {
	t.Parallel()
	run := func(
		t *testing.T, prepare func(env *testsuite.TestWorkflowEnvironment), pages ...deliver.ReplayProgress,
	) (took time.Duration) {
		var suite testsuite.WorkflowTestSuite
		env := suite.NewTestWorkflowEnvironment()
		env.RegisterActivity(&deliver.Activities{})
		var a *deliver.Activities
		made := 0
		env.OnActivity(a.ReplayPage, mock.Anything, mock.Anything).Return(
			func(_ context.Context, in deliver.ReplayPageInput) (deliver.ReplayProgress, error) {
				require.Equal(t, 50, in.PerSecond)
				require.Less(t, made, len(pages))
				made++
				return pages[made-1], nil
			})
		start := env.Now()
		if prepare != nil {
			prepare(env)
		}
		env.ExecuteWorkflow(workflows.ReplayDeliveries, workflows.ReplayDeliveriesInput{ReplayID: uuid.New(), PerSecond: 50})
		require.True(t, env.IsWorkflowCompleted())
		require.NoError(t, env.GetWorkflowError())
		require.Equal(t, len(pages), made)
		return env.Now().Sub(start)
	}
	running, ended := deliver.ReplayProgress{State: "running"}, deliver.ReplayProgress{State: "completed", Ended: true}
	t.Run("a_page_a_second", func(t *testing.T) {
		t.Parallel()
		require.GreaterOrEqual(t, run(t, nil, running, running, running, ended), 3*time.Second)
	})
	t.Run("waits_while_paused", func(t *testing.T) {
		t.Parallel()
		took := run(t, func(env *testsuite.TestWorkflowEnvironment) {
			env.RegisterDelayedCallback(func() { env.SignalWorkflow(workflows.SignalReplayChanged, nil) }, time.Hour)
		}, running, deliver.ReplayProgress{State: "paused", Paused: true}, running, ended)
		require.GreaterOrEqual(t, took, time.Hour)
	})
}

func TestReplayDeliveriesIsCanceledByARequest(t *testing.T) {
	t.Parallel()
	for name, page := range map[string]deliver.ReplayProgress{
		"running": {State: "running"}, "paused": {State: "paused", Paused: true},
	} {
		var suite testsuite.WorkflowTestSuite
		env := suite.NewTestWorkflowEnvironment()
		env.RegisterActivity(&deliver.Activities{})
		var a *deliver.Activities
		id := uuid.New()
		env.OnActivity(a.ReplayPage, mock.Anything, mock.Anything).Return(page, nil)
		env.OnActivity(a.CancelReplay, mock.Anything, id).Once().Return(nil)
		env.RegisterDelayedCallback(env.CancelWorkflow, 90*time.Second)
		env.ExecuteWorkflow(workflows.ReplayDeliveries, workflows.ReplayDeliveriesInput{ReplayID: id, PerSecond: 50})
		require.True(t, env.IsWorkflowCompleted(), name)
		require.ErrorContains(t, env.GetWorkflowError(), "canceled", name)
		env.AssertExpectations(t)
	}
}

func TestReplayDelivery(t *testing.T) {
	t.Parallel()
	setup := func() *testsuite.TestWorkflowEnvironment {
		var suite testsuite.WorkflowTestSuite
		env := suite.NewTestWorkflowEnvironment()
		env.RegisterActivity(&deliver.Activities{})
		return env
	}
	t.Run("names_the_workflow_that_sends_it", func(t *testing.T) {
		t.Parallel()
		env, id := setup(), uuid.New()
		var a *deliver.Activities
		want := workflows.DeliverWebhookWorkflowID(id, 3)
		env.OnActivity(a.RetryDelivery, mock.Anything, id).Once().Return(deliver.RetryDeliveryResult{WorkflowID: want}, nil)
		env.ExecuteWorkflow(workflows.ReplayDelivery, workflows.ReplayDeliveryInput{DeliveryID: id.String()})
		require.True(t, env.IsWorkflowCompleted())
		require.NoError(t, env.GetWorkflowError())
		var res workflows.ReplayDeliveryResult
		require.NoError(t, env.GetWorkflowResult(&res))
		require.Equal(t, want, res.WorkflowID)
		env.AssertExpectations(t)
	})
	t.Run("refuses_a_mistyped_id_in_a_sentence", func(t *testing.T) {
		t.Parallel()
		env := setup()
		env.ExecuteWorkflow(workflows.ReplayDelivery, workflows.ReplayDeliveryInput{DeliveryID: "01a1fd9e-bbfc"})
		require.True(t, env.IsWorkflowCompleted())
		require.ErrorContains(t, env.GetWorkflowError(), `"deliveryId" is "01a1fd9e-bbfc", which is not a UUID`)
	})
}
