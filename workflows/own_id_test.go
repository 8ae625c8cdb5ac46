package workflows_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"greenroom/activities/deliver"
	"greenroom/workflows"
)

// TestWorkflowsRefuseAnIncompleteInput: an operator may start the workflow by hand.
func TestWorkflowsRefuseAnIncompleteInput(t *testing.T) {
	t.Parallel()
	id, minute := uuid.New(), time.Minute
	for _, tc := range []struct {
		lacks           string
		workflow, input any
	}{
		{"DeliveryID", workflows.DeliverWebhook, workflows.DeliverWebhookInput{Timeout: minute}},
		{"Timeout", workflows.DeliverWebhook, workflows.DeliverWebhookInput{DeliveryID: id}},
		{"BatchID", workflows.DeliverBatch, workflows.DeliverBatchInput{Deliveries: []uuid.UUID{id}}},
		{"Deliveries", workflows.DeliverBatch, workflows.DeliverBatchInput{BatchID: id}},
		{"StreamID", workflows.DeliverStream, workflows.DeliverStreamInput{}},
		{"WebhookID", workflows.Circuit, workflows.CircuitInput{Cooldown: minute, ReleaseLimit: 1}},
		{"Cooldown", workflows.Circuit, workflows.CircuitInput{WebhookID: id, ReleaseLimit: 1}},
		{"ReleaseLimit", workflows.Circuit, workflows.CircuitInput{WebhookID: id, Cooldown: minute}},
		{"ReplayID", workflows.ReplayDeliveries, workflows.ReplayDeliveriesInput{PerSecond: 1}},
		{"PerSecond", workflows.ReplayDeliveries, workflows.ReplayDeliveriesInput{ReplayID: id}},
		{"InterviewID", workflows.Interview, workflows.InterviewInput{NoAnswerDelay: minute}},
		{"NoAnswerDelay", workflows.Interview, workflows.InterviewInput{InterviewID: id, NoAnswerRetries: 2}},
		{"GenerationID", workflows.GenerateInterview, workflows.GenerateInterviewInput{}},
		{"RunID", workflows.ServiceRun, workflows.ServiceRunInput{}},
	} {
		var suite testsuite.WorkflowTestSuite
		env := suite.NewTestWorkflowEnvironment()
		env.ExecuteWorkflow(tc.workflow, tc.input)
		require.True(t, env.IsWorkflowCompleted())
		require.ErrorContains(t, env.GetWorkflowError(), fmt.Sprintf("the input has no %q", tc.lacks))
	}
}

// TestWorkflowsRefuseAnotherID: a second workflow of a row, started by hand, would send a delivery twice.
func TestWorkflowsRefuseAnotherID(t *testing.T) {
	t.Parallel()
	id, minute := uuid.New(), time.Minute
	for _, tc := range []struct {
		want            string
		workflow, input any
	}{
		{
			"delivery:" + id.String() + ":3", workflows.DeliverWebhook,
			workflows.DeliverWebhookInput{DeliveryID: id, Generation: 3, Timeout: minute},
		},
		{
			"batch:" + id.String(), workflows.DeliverBatch,
			workflows.DeliverBatchInput{BatchID: id, Deliveries: []uuid.UUID{id}},
		},
		{"stream:" + id.String(), workflows.DeliverStream, workflows.DeliverStreamInput{StreamID: id}},
		{
			"circuit:" + id.String(), workflows.Circuit,
			workflows.CircuitInput{WebhookID: id, Cooldown: minute, ReleaseLimit: 1},
		},
		{"replay:" + id.String(), workflows.ReplayDeliveries, workflows.ReplayDeliveriesInput{ReplayID: id, PerSecond: 1}},
		{"interview:" + id.String(), workflows.Interview, workflows.InterviewInput{InterviewID: id, NoAnswerDelay: minute}},
		{"generate:" + id.String(), workflows.GenerateInterview, workflows.GenerateInterviewInput{GenerationID: id}},
		{"run:" + id.String(), workflows.ServiceRun, workflows.ServiceRunInput{RunID: id}},
	} {
		var suite testsuite.WorkflowTestSuite
		env := suite.NewTestWorkflowEnvironment()
		env.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{workflows.OwnIDs()}})
		env.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: "by-hand"})
		env.ExecuteWorkflow(tc.workflow, tc.input)
		require.True(t, env.IsWorkflowCompleted())
		require.ErrorContains(t, env.GetWorkflowError(), fmt.Sprintf("must be %q", tc.want))
	}
	t.Run("its own id is accepted", func(t *testing.T) {
		d := setupDelivery(t, deliver.AttemptSucceeded)
		in := input()
		d.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{workflows.OwnIDs()}})
		d.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: workflows.DeliverWebhookWorkflowID(in.DeliveryID, 0)})
		require.Equal(t, 1, d.result(in, 1).Attempts)
	})
}
