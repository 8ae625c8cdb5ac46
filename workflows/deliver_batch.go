package workflows

import (
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"greenroom/activities/deliver"
)

// DeliverBatchInput names the deliveries of a batch, which wait for their first attempts.
type DeliverBatchInput struct {
	BatchID    uuid.UUID
	Deliveries []uuid.UUID
}

// DeliverBatchWorkflowID is the id of a batch's workflow.
func DeliverBatchWorkflowID(batch uuid.UUID) string { return "batch:" + batch.String() }

// DeliverBatch makes the first attempts of many deliveries in one local activity, in the workflow task that was
// started eagerly: two round trips to Temporal for all of them. A failed delivery continues in a DeliverWebhook of its
// own. When the activity itself fails, it is retried on the slow task queue without a limit.
//
// A cancellation request has no effect: customers do not know batches, and deliveries are canceled one by one. A Reset
// sends the whole batch again.
func DeliverBatch(ctx workflow.Context, in DeliverBatchInput) (deliver.BatchResult, error) {
	switch {
	case in.BatchID == uuid.Nil:
		return deliver.BatchResult{}, refuseWithout("BatchID")
	case len(in.Deliveries) == 0:
		return deliver.BatchResult{}, refuseWithout("Deliveries")
	}
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	var a *deliver.Activities
	var res deliver.BatchResult
	ain := deliver.BatchInput{BatchID: in.BatchID, Deliveries: in.Deliveries, Replay: wasReset(ctx)}
	local := workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout: batchLimit, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1}, Summary: "first attempts",
	})
	err := workflow.ExecuteLocalActivity(local, a.AttemptBatch, ain).Get(ctx, &res)
	if err == nil {
		return res, nil
	}
	workflow.GetLogger(ctx).Warn("batch continues on the slow task queue", "error", err)
	slow := workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:           SlowTaskQueue(workflow.GetInfo(ctx).TaskQueueName),
		StartToCloseTimeout: batchLimit,
		Summary:             "first attempts",
		HeartbeatTimeout:    deliver.HeartbeatTimeout,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    time.Second,
			BackoffCoefficient: 2,
			MaximumInterval:    5 * time.Second,
		},
	})
	err = workflow.ExecuteActivity(slow, a.AttemptBatch, ain).Get(ctx, &res)
	return res, err
}

// batchLimit bounds a batch: a few seconds to begin its attempts, the longest time-out of a webhook, and a margin for a
// slow database.
const batchLimit = 3 * time.Minute
