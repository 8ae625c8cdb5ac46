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
	"go.temporal.io/sdk/testsuite"

	"greenroom/activities/deliver"
	"greenroom/workflows"
)

// batchCall is one call of the activity.
type batchCall struct {
	in    deliver.BatchInput
	local bool
	queue string
	limit time.Duration // of this call
	at    time.Time
}

// deliverBatch runs the workflow with an activity that fails that many times.
func deliverBatch(t *testing.T, in workflows.DeliverBatchInput, failures int) (deliver.BatchResult, []batchCall) {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	env.SetTestTimeout(10 * time.Second)
	env.RegisterActivity(&deliver.Activities{})
	var a *deliver.Activities
	var calls []batchCall
	env.OnActivity(a.AttemptBatch, mock.Anything, mock.Anything).Return(
		func(ctx context.Context, in deliver.BatchInput) (deliver.BatchResult, error) {
			info := activity.GetInfo(ctx)
			calls = append(calls, batchCall{in, info.IsLocalActivity, info.TaskQueue, info.StartToCloseTimeout, env.Now()})
			if len(calls) <= failures {
				return deliver.BatchResult{}, errors.New("the database is away")
			}
			return deliver.BatchResult{Succeeded: 2, Failed: 1}, nil
		})
	env.ExecuteWorkflow(workflows.DeliverBatch, in)
	require.True(t, env.IsWorkflowCompleted())
	require.NoError(t, env.GetWorkflowError())
	var r deliver.BatchResult
	require.NoError(t, env.GetWorkflowResult(&r))
	return r, calls
}

func TestDeliverBatch(t *testing.T) {
	t.Parallel()
	in := workflows.DeliverBatchInput{BatchID: uuid.New(), Deliveries: []uuid.UUID{uuid.New(), uuid.New(), uuid.New()}}
	want := deliver.BatchInput{BatchID: in.BatchID, Deliveries: in.Deliveries}
	t.Run("is_one_local_activity", func(t *testing.T) {
		t.Parallel()
		r, calls := deliverBatch(t, in, 0)
		require.Equal(t, deliver.BatchResult{Succeeded: 2, Failed: 1}, r)
		require.Len(t, calls, 1)
		require.True(t, calls[0].local)
		require.Equal(t, want, calls[0].in)
	})
	t.Run("goes_on_in_the_slow_lane_until_it_works", func(t *testing.T) {
		t.Parallel()
		r, calls := deliverBatch(t, in, 8)
		require.Equal(t, deliver.BatchResult{Succeeded: 2, Failed: 1}, r)
		require.Len(t, calls, 9)
		for i, c := range calls {
			require.Equal(t, i == 0, c.local, "only the first is local, and that once")
			require.Equal(t, want, c.in)
			require.Equal(t, 3*time.Minute, c.limit)
			if i > 0 {
				require.Contains(t, c.queue, "-slow")
			}
			if i > 4 {
				require.Equal(t, 5*time.Second, c.at.Sub(calls[i-1].at), "the database is back for at most that long")
			}
		}
	})
}
