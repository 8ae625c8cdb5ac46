package workflows_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"greenroom/activities/deliver"
	"greenroom/workflows"
)

func TestDeliverStream(t *testing.T) {
	t.Parallel()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	env.RegisterActivity(&deliver.Activities{})
	id, hook, company := uuid.New(), uuid.NewString(), uuid.NewString()
	var a *deliver.Activities
	calls := 0
	env.OnActivity(a.AttemptStream, mock.Anything, deliver.StreamInput{StreamID: id}).Return(
		func(ctx context.Context, _ deliver.StreamInput) (deliver.StreamResult, error) {
			calls++
			info := activity.GetInfo(ctx)
			require.Equal(t, 5*time.Second, info.HeartbeatTimeout, "a dead worker's stream is given to another soon")
			require.Equal(t, 10*time.Minute, info.StartToCloseTimeout)
			require.False(t, info.IsLocalActivity, "a worker's death must not hold the workflow task")
			if calls < 4 {
				return deliver.StreamResult{}, errors.New("the worker stopped")
			}
			return deliver.StreamResult{BatchResult: deliver.BatchResult{Succeeded: 7}}, nil
		})
	env.OnUpsertTypedSearchAttributes(temporal.NewSearchAttributes(
		workflows.WebhookID.ValueSet([]string{hook}), workflows.CompanyID.ValueSet([]string{company}),
	)).Return(nil).Once()
	env.OnUpsertTypedSearchAttributes(temporal.NewSearchAttributes(
		workflows.WebhookID.ValueSet([]string{"0", hook}),
	)).Return(nil).Once()
	env.RegisterDelayedCallback(func() {
		env.SignalWorkflow(deliver.SignalStreamFlows,
			deliver.StreamFlows{Webhooks: []string{hook}, Companies: []string{company}})
		env.CancelWorkflow() // has no effect
	}, time.Millisecond)
	env.RegisterDelayedCallback(func() {
		env.SignalWorkflow(deliver.SignalStreamFlows, deliver.StreamFlows{Webhooks: []string{hook, "0"}})
	}, 2*time.Millisecond)
	env.ExecuteWorkflow(workflows.DeliverStream, workflows.DeliverStreamInput{StreamID: id})
	require.True(t, env.IsWorkflowCompleted())
	require.NoError(t, env.GetWorkflowError())
	var r deliver.StreamResult
	require.NoError(t, env.GetWorkflowResult(&r))
	require.Equal(t, 7, r.Succeeded)
	require.Equal(t, 4, calls, "it is retried until a worker can end it")
	env.AssertExpectations(t)
}

func TestDeliverStreamRefusesAnIncompleteInput(t *testing.T) {
	t.Parallel()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	env.RegisterActivity(&deliver.Activities{})
	env.ExecuteWorkflow(workflows.DeliverStream, workflows.DeliverStreamInput{})
	require.ErrorContains(t, env.GetWorkflowError(), "StreamID")
}
