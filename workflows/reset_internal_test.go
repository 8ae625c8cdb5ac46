package workflows

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/types/known/timestamppb"

	"greenroom/activities/deliver"
)

// TestWasReset replays the history of a first run and of a reset one, which keeps the id of the first as its original
// run. The test environment cannot: it has no original run.
func TestWasReset(t *testing.T) {
	t.Parallel()
	const run = "11111111-0000-0000-0000-000000000000"
	for original, want := range map[string]bool{run: false, "22222222-0000-0000-0000-000000000000": true} {
		var got bool
		replayer := worker.NewWorkflowReplayer()
		replayer.RegisterWorkflowWithOptions(func(ctx workflow.Context) error {
			got = wasReset(ctx)
			return nil
		}, workflow.RegisterOptions{Name: "WasReset"})
		require.NoError(t, replayer.ReplayWorkflowHistoryWithOptions(nil, historyOf(original),
			worker.ReplayWorkflowHistoryOptions{OriginalExecution: workflow.Execution{ID: "id", RunID: run}}))
		require.Equal(t, want, got)
	}
}

// TestAResetSendsTheDeliveriesAgain replays a first run and a reset one of the workflows that send deliveries. Only the
// reset one asks its activity to send deliveries that were already sent.
func TestAResetSendsTheDeliveriesAgain(t *testing.T) {
	t.Parallel()
	const run = "11111111-0000-0000-0000-000000000000"
	for name, tc := range map[string]struct{ workflow, input any }{
		"DeliverBatch": {DeliverBatch, DeliverBatchInput{BatchID: uuid.New(), Deliveries: []uuid.UUID{uuid.New()}}},
		"DeliverWebhook": {
			DeliverWebhook, DeliverWebhookInput{DeliveryID: uuid.New(), Timeout: time.Second, PlainSuccess: true},
		},
		"DeliverWebhook on the slow task queue": {
			DeliverWebhook, DeliverWebhookInput{DeliveryID: uuid.New(), Timeout: time.Second, PlainSuccess: true, Slow: true},
		},
	} {
		for original, want := range map[string]bool{run: false, "22222222-0000-0000-0000-000000000000": true} {
			attempts := &answeredAttempts{}
			replayer, err := worker.NewWorkflowReplayerWithOptions(
				worker.WorkflowReplayerOptions{Interceptors: []interceptor.WorkerInterceptor{attempts}})
			require.NoError(t, err)
			replayer.RegisterWorkflowWithOptions(tc.workflow, workflow.RegisterOptions{Name: "WasReset"})
			history := historyOf(original)
			input, err := converter.GetDefaultDataConverter().ToPayloads(tc.input)
			require.NoError(t, err)
			history.Events[0].GetWorkflowExecutionStartedEventAttributes().Input = input
			require.NoError(t, replayer.ReplayWorkflowHistoryWithOptions(nil, history,
				worker.ReplayWorkflowHistoryOptions{OriginalExecution: workflow.Execution{ID: "id", RunID: run}}), name)
			require.Equal(t, []bool{want}, attempts.replays, name)
		}
	}
}

// answeredAttempts answers the activities that send deliveries with success, in place of a worker.
type answeredAttempts struct {
	interceptor.WorkerInterceptorBase
	interceptor.WorkflowInboundInterceptorBase
	interceptor.WorkflowOutboundInterceptorBase
	replays []bool
}

func (a *answeredAttempts) InterceptWorkflow(
	_ workflow.Context, next interceptor.WorkflowInboundInterceptor,
) interceptor.WorkflowInboundInterceptor {
	a.WorkflowInboundInterceptorBase.Next = next
	return a
}

func (a *answeredAttempts) Init(next interceptor.WorkflowOutboundInterceptor) error {
	a.WorkflowOutboundInterceptorBase.Next = next
	return a.WorkflowInboundInterceptorBase.Next.Init(a)
}

func (a *answeredAttempts) ExecuteActivity(ctx workflow.Context, kind string, args ...any) workflow.Future {
	return a.ExecuteLocalActivity(ctx, kind, args...)
}

func (a *answeredAttempts) ExecuteLocalActivity(ctx workflow.Context, _ string, args ...any) workflow.Future {
	future, answer := workflow.NewFuture(ctx)
	switch in := args[0].(type) {
	case deliver.BatchInput:
		a.replays = append(a.replays, in.Replay)
		answer.SetValue(deliver.BatchResult{})
	case deliver.AttemptInput:
		a.replays = append(a.replays, in.Replay)
		answer.SetValue(deliver.AttemptResult{Outcome: deliver.AttemptSucceeded})
	}
	return future
}

// historyOf is the history of a workflow that ended in its first task.
func historyOf(originalRun string) *historypb.History {
	queue := &taskqueuepb.TaskQueue{Name: "queue"}
	h := &historypb.History{}
	add := func(kind enumspb.EventType, e *historypb.HistoryEvent) {
		e.EventId, e.EventType = int64(len(h.Events)+1), kind
		e.EventTime = timestamppb.New(time.Unix(1_700_000_000, 0))
		h.Events = append(h.Events, e)
	}
	add(enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED, &historypb.HistoryEvent{
		Attributes: &historypb.HistoryEvent_WorkflowExecutionStartedEventAttributes{
			WorkflowExecutionStartedEventAttributes: &historypb.WorkflowExecutionStartedEventAttributes{
				WorkflowType: &commonpb.WorkflowType{Name: "WasReset"}, TaskQueue: queue,
				OriginalExecutionRunId: originalRun, FirstExecutionRunId: originalRun,
			},
		},
	})
	add(enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED, &historypb.HistoryEvent{
		Attributes: &historypb.HistoryEvent_WorkflowTaskScheduledEventAttributes{
			WorkflowTaskScheduledEventAttributes: &historypb.WorkflowTaskScheduledEventAttributes{TaskQueue: queue},
		},
	})
	add(enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED, &historypb.HistoryEvent{
		Attributes: &historypb.HistoryEvent_WorkflowTaskStartedEventAttributes{
			WorkflowTaskStartedEventAttributes: &historypb.WorkflowTaskStartedEventAttributes{ScheduledEventId: 2},
		},
	})
	add(enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, &historypb.HistoryEvent{
		Attributes: &historypb.HistoryEvent_WorkflowTaskCompletedEventAttributes{
			WorkflowTaskCompletedEventAttributes: &historypb.WorkflowTaskCompletedEventAttributes{
				ScheduledEventId: 2, StartedEventId: 3,
			},
		},
	})
	add(enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED, &historypb.HistoryEvent{
		Attributes: &historypb.HistoryEvent_WorkflowExecutionCompletedEventAttributes{
			WorkflowExecutionCompletedEventAttributes: &historypb.WorkflowExecutionCompletedEventAttributes{
				WorkflowTaskCompletedEventId: 4,
			},
		},
	})
	return h
}
