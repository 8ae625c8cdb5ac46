package workflows

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/types/known/timestamppb"
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
