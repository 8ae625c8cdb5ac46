package deliver_test

import (
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"greenroom/activities/deliver"
	"greenroom/db/delivery"
)

// once are workflows that make one attempt or one batch.
type once struct{}

func (once) Attempt(ctx workflow.Context, in deliver.AttemptInput, local bool) (res deliver.AttemptResult, err error) {
	var a *deliver.Activities
	if local {
		ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: time.Minute})
		err = workflow.ExecuteLocalActivity(ctx, a.AttemptDelivery, in).Get(ctx, &res)
		return res, err
	}
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute,
	})
	err = workflow.ExecuteActivity(ctx, a.AttemptDelivery, in).Get(ctx, &res)
	return res, err
}

func (once) Batch(ctx workflow.Context, in deliver.BatchInput) (res deliver.BatchResult, err error) {
	var a *deliver.Activities
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1},
	})
	err = workflow.ExecuteActivity(ctx, a.AttemptBatch, in).Get(ctx, &res)
	return res, err
}

// worker runs the activities on a Temporal server. execute runs a workflow and returns its run.
func (s *attempting) worker() (execute func(workflow any, args ...any) client.WorkflowRun) {
	s.t.Helper()
	addr := os.Getenv("GREENROOM_TEST_TEMPORAL_ADDRESS")
	if addr == "" {
		s.t.Fatal("GREENROOM_TEST_TEMPORAL_ADDRESS is not set: run the tests with `make test`")
	}
	c, err := client.Dial(client.Options{HostPort: addr})
	require.NoError(s.t, err)
	s.t.Cleanup(c.Close)
	queue := "deliver-" + uuid.NewString()
	w := worker.New(c, queue, worker.Options{})
	w.RegisterWorkflow(once{}.Attempt)
	w.RegisterWorkflow(once{}.Batch)
	w.RegisterActivity(s.Activities)
	require.NoError(s.t, w.Start())
	s.t.Cleanup(w.Stop)
	return func(workflow any, args ...any) client.WorkflowRun {
		s.t.Helper()
		o := client.StartWorkflowOptions{
			ID: "once:" + uuid.NewString(), TaskQueue: queue, WorkflowExecutionTimeout: 30 * time.Second,
		}
		run, err := c.ExecuteWorkflow(s.t.Context(), o, workflow, args...)
		require.NoError(s.t, err)
		return run
	}
}

func TestAttemptIsRecordedInTheNameOfItsWorkflow(t *testing.T) {
	s := setupAttempt(t)
	execute := s.worker()
	for _, local := range []bool{true, false} {
		id := s.delivery()
		run := execute(once{}.Attempt, deliver.AttemptInput{DeliveryID: id, Attempt: 1}, local)
		var res deliver.AttemptResult
		require.NoError(t, run.Get(t.Context(), &res))
		require.Equal(t, deliver.AttemptResult{Outcome: deliver.AttemptSucceeded, Reason: "accepted"}, res)
		require.Equal(t, 1, s.number("SELECT count(*) FROM attempts WHERE delivery_id = ? AND run_id = ? AND workflow_id = ?",
			id, run.GetRunID(), run.GetID()))
	}
	in := s.batch(3)
	run := execute(once{}.Batch, in)
	var res deliver.BatchResult
	require.NoError(t, run.Get(t.Context(), &res))
	require.Equal(t, 3, res.Succeeded)
	require.Equal(t, 3, s.number("SELECT count(*) FROM attempts WHERE run_id = ? AND workflow_id = ?",
		run.GetRunID(), run.GetID()))
}

// An attempt that found no place waits in the queue: it holds no slot of the worker, and Temporal does not retry it.
func TestAttemptThatFoundNoPlaceWaitsInTheQueue(t *testing.T) {
	s := setupAttempt(t)
	execute := s.worker()
	for range 10 {
		require.True(t, s.Endpoints.AcquireForBatch(t.Context(), s.hook.ID, uuid.New()))
	}
	for _, local := range []bool{true, false} {
		in := deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}
		var res deliver.AttemptResult
		require.NoError(t, execute(once{}.Attempt, in, local).Get(t.Context(), &res))
		require.Equal(t, deliver.AttemptBusy, res.Outcome)
		require.Greater(t, time.Until(res.NextAt), time.Minute)
		require.Equal(t, 1, s.number("SELECT count(*) FROM delivery_queue WHERE delivery_id = ? AND redo", in.DeliveryID))
	}
	require.Zero(t, s.posts.Load())
}

// Temporal retries an attempt whose turn has not come, without an event in the history. A local activity fails, so that
// its workflow uses the slow task queue.
func TestAttemptBeforeItsTurnIsRetriedByTemporal(t *testing.T) {
	s := setupAttempt(t)
	execute := s.worker()
	s.exec("UPDATE webhooks SET rate_limit = 1")
	for range 3 { // its turn is seconds away
		_, err := delivery.TakeToken(t.Context(), s.DB, s.hook.ID, 1, nil)
		require.NoError(t, err)
	}
	in := deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}
	err := execute(once{}.Attempt, in, true).Get(t.Context(), nil)
	var busy *temporal.ApplicationError
	require.ErrorAs(t, err, &busy)
	require.Equal(t, deliver.ErrorEndpointBusy, busy.Type())
	var res deliver.AttemptResult
	require.NoError(t, execute(once{}.Attempt, in, false).Get(t.Context(), &res))
	require.Equal(t, deliver.AttemptSucceeded, res.Outcome)
	require.EqualValues(t, 1, s.posts.Load())
}
