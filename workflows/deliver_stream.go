package workflows

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"greenroom/activities/deliver"
)

// DeliverStreamInput names a stream.
type DeliverStreamInput struct{ StreamID uuid.UUID }

// DeliverStreamWorkflowID is the id of a stream's workflow.
func DeliverStreamWorkflowID(stream uuid.UUID) string { return "stream:" + stream.String() }

// DeliverStream makes first attempts for as long as deliveries arrive at a rate: one activity of a worker attempts what
// the dispatcher beside it takes, so a delivery costs no workflow. A delivery that is not accepted at once continues in
// a DeliverWebhook of its own. The webhooks and companies of the deliveries become search attributes, and the
// activity's heartbeat shows the counts.
//
// A cancellation request has no effect, as in DeliverBatch. When the workflow is terminated, the worker gives back what
// it has not begun. A Reset sends the deliveries that the stream attempted again.
func DeliverStream(ctx workflow.Context, in DeliverStreamInput) (deliver.StreamResult, error) {
	if in.StreamID == uuid.Nil {
		return deliver.StreamResult{}, refuseWithout("StreamID")
	}
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	showFlows(ctx)
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: streamLimit,
		HeartbeatTimeout:    deliver.StreamHeartbeatTimeout,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    time.Second,
			BackoffCoefficient: 2,
			MaximumInterval:    5 * time.Second,
		},
		Summary: "first attempts",
	})
	var a *deliver.Activities
	var res deliver.StreamResult
	err := workflow.ExecuteActivity(ctx, a.AttemptStream, deliver.StreamInput{
		StreamID: in.StreamID, Replay: wasReset(ctx),
	}).Get(ctx, &res)
	return res, err
}

// streamLimit bounds a stream's activity. The activity ends after some minutes, unless Temporal is unavailable and
// cannot start another one in its place.
const streamLimit = 10 * time.Minute

// showFlows sets the search attributes to the webhooks and companies that the activity reports.
func showFlows(ctx workflow.Context) {
	reports := workflow.GetSignalChannel(ctx, deliver.SignalStreamFlows)
	workflow.Go(ctx, func(ctx workflow.Context) {
		for {
			var f deliver.StreamFlows
			reports.Receive(ctx, &f)
			slices.Sort(f.Webhooks)
			slices.Sort(f.Companies)
			err := workflow.UpsertTypedSearchAttributes(ctx, FlowAttributes(f.Webhooks, f.Companies)...)
			if err != nil {
				workflow.GetLogger(ctx).Warn("search attributes of a stream", "error", err)
			}
			workflow.SetCurrentDetails(ctx, fmt.Sprintf("first attempts at %d webhooks", len(f.Webhooks)))
		}
	})
}
