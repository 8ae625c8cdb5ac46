package workflows_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"greenroom/activities"
	"greenroom/activities/deliver"
	"greenroom/workflows"
)

// TestLocalActivitiesAreTriedThreeTimesWithinASecond reads the options, because the clock of the test environment skips
// the waits of local activities unevenly. A local activity holds a workflow task, so a long wait belongs to a regular
// activity; a blip of the database does not.
func TestLocalActivitiesAreTriedThreeTimesWithinASecond(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		workflow, input any
		limit           time.Duration
	}{
		"attempt of a delivery": {
			workflows.DeliverWebhook,
			workflows.DeliverWebhookInput{DeliveryID: uuid.New(), Timeout: 7 * time.Second},
			22 * time.Second, // the webhook's, and 15 s to load and record
		},
		"read of an interview": {
			workflows.Interview, workflows.InterviewInput{InterviewID: uuid.New(), NoAnswerDelay: time.Minute}, 5 * time.Second,
		},
	} {
		var suite testsuite.WorkflowTestSuite
		env := suite.NewTestWorkflowEnvironment()
		options := &seenOptions{}
		env.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{options}})
		env.RegisterActivity(&deliver.Activities{})
		env.RegisterActivity(&activities.Activities{})
		env.ExecuteWorkflow(tc.workflow, tc.input)
		require.True(t, env.IsWorkflowCompleted(), name)
		require.Len(t, options.local, 1, name)
		got := options.local[0]
		require.Equal(t, tc.limit, got.StartToCloseTimeout, name)
		require.EqualValues(t, 3, got.RetryPolicy.MaximumAttempts, name)
		require.Equal(t, 200*time.Millisecond, got.RetryPolicy.InitialInterval, name)
		require.InDelta(t, 2, got.RetryPolicy.BackoffCoefficient, 0, "%s: 0.2 + 0.4 s of waiting", name)
	}
}

// TestPlacingACallSaysWhichTryItIs: the Temporal UI shows it beside the activity.
func TestPlacingACallSaysWhichTryItIs(t *testing.T) {
	t.Parallel()
	for retry, want := range []string{"place the call", "place the call, retry 1"} {
		var suite testsuite.WorkflowTestSuite
		env := suite.NewTestWorkflowEnvironment()
		options := &seenOptions{interview: activities.InterviewState{
			Status: activities.InterviewScheduled, Type: activities.Phone,
			Call: activities.CallState{ID: uuid.New(), Status: activities.CallScheduled, RetryNumber: retry},
		}}
		env.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{options}})
		env.RegisterActivity(&activities.Activities{})
		env.ExecuteWorkflow(
			workflows.Interview, workflows.InterviewInput{InterviewID: uuid.New(), NoAnswerDelay: time.Minute})
		require.Equal(t, want, options.summaries[0])
	}
}

// seenOptions records the options of local activities and the summaries of regular ones, and answers each.
type seenOptions struct {
	interceptor.WorkerInterceptorBase
	interceptor.WorkflowInboundInterceptorBase
	interceptor.WorkflowOutboundInterceptorBase
	local     []workflow.LocalActivityOptions
	summaries []string
	// interview is what the first read returns; later ones find no interview.
	interview activities.InterviewState
}

func (o *seenOptions) InterceptWorkflow(
	_ workflow.Context, next interceptor.WorkflowInboundInterceptor,
) interceptor.WorkflowInboundInterceptor {
	o.WorkflowInboundInterceptorBase.Next = next
	return o
}

func (o *seenOptions) Init(next interceptor.WorkflowOutboundInterceptor) error {
	o.WorkflowOutboundInterceptorBase.Next = next
	return o.WorkflowInboundInterceptorBase.Next.Init(o)
}

func (o *seenOptions) ExecuteLocalActivity(ctx workflow.Context, kind string, _ ...any) workflow.Future {
	o.local = append(o.local, workflow.GetLocalActivityOptions(ctx))
	future, answer := workflow.NewFuture(ctx)
	if kind == "AttemptDelivery" {
		answer.SetValue(deliver.AttemptResult{Outcome: deliver.AttemptSucceeded})
	} else {
		answer.SetValue(o.interview)
		o.interview = activities.InterviewState{}
	}
	return future
}

func (o *seenOptions) ExecuteActivity(ctx workflow.Context, _ string, _ ...any) workflow.Future {
	o.summaries = append(o.summaries, workflow.GetActivityOptions(ctx).Summary)
	future, answer := workflow.NewFuture(ctx)
	answer.SetValue(activities.PlaceCallResult{})
	return future
}
