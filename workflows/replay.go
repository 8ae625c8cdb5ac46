package workflows

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"greenroom/activities/deliver"
)

// ReplayDeliveryInput names the delivery to send again. The id is a string, so that an invalid one gets a readable
// error.
type ReplayDeliveryInput struct {
	DeliveryID string `json:"deliveryId"`
}

// ReplayDeliveryResult names the workflow that sends the delivery.
type ReplayDeliveryResult struct {
	WorkflowID string `json:"workflowId"`
}

// ReplayDelivery sends one delivery again. Operators start it in the Temporal UI with {"deliveryId": "…"}. When the
// delivery cannot be sent again now, the workflow fails with the reason and the remedy.
func ReplayDelivery(ctx workflow.Context, in ReplayDeliveryInput) (ReplayDeliveryResult, error) {
	id, err := uuid.Parse(in.DeliveryID)
	if err != nil {
		return ReplayDeliveryResult{}, refuse(
			fmt.Sprintf(`"deliveryId" is %q, which is not a UUID; expected {"deliveryId": "<id of the delivery>"}`,
				in.DeliveryID),
		)
	}
	var a *deliver.Activities
	var res deliver.RetryDeliveryResult
	if err := workflow.ExecuteActivity(withShortActivity(ctx), a.RetryDelivery, id).Get(ctx, &res); err != nil {
		return ReplayDeliveryResult{}, err
	}
	workflow.SetCurrentDetails(ctx, "sent again by the workflow "+res.WorkflowID)
	return ReplayDeliveryResult(res), nil
}

// ReplayWorkflowID is the id of a replay's workflow.
func ReplayWorkflowID(replay uuid.UUID) string { return "replay:" + replay.String() }

// SignalReplayChanged makes the workflow read the replay's row: it was paused, resumed or canceled.
const SignalReplayChanged = "changed"

// ReplayDeliveriesInput names a replay of many deliveries. Its row says which deliveries match.
type ReplayDeliveriesInput struct {
	ReplayID uuid.UUID
	// PerSecond is how many deliveries are sent again each second.
	PerSecond int
}

// ReplayDeliveries sends the deliveries that match a replay again, oldest first, one page per second, so that the
// receiver gets them at a bounded rate. Their number is not limited. The replay's row says whether it is paused or
// canceled. A cancellation request cancels the replay.
func ReplayDeliveries(ctx workflow.Context, in ReplayDeliveriesInput) error {
	switch {
	case in.ReplayID == uuid.Nil:
		return refuseWithout("ReplayID")
	case in.PerSecond <= 0:
		return refuseWithout("PerSecond")
	}
	err := replayDeliveries(withShortActivity(ctx), in)
	if !temporal.IsCanceledError(err) {
		return err
	}
	var a *deliver.Activities
	work, _ := workflow.NewDisconnectedContext(ctx)
	if err := write(work, "cancel", a.CancelReplay, in.ReplayID); err != nil {
		return err
	}
	workflow.SetCurrentDetails(work, "canceled: its cancellation was requested")
	return err
}

func replayDeliveries(ctx workflow.Context, in ReplayDeliveriesInput) error {
	changed := workflow.GetSignalChannel(ctx, SignalReplayChanged)
	attributed := false
	for {
		for changed.ReceiveAsync(nil) {
		}
		var a *deliver.Activities
		var p deliver.ReplayProgress
		if err := workflow.ExecuteActivity(ctx, a.ReplayPage, deliver.ReplayPageInput(in)).Get(ctx, &p); err != nil {
			return err
		}
		workflow.SetCurrentDetails(ctx, fmt.Sprintf("%s; %d sent again", p.State, p.Replayed))
		if !attributed && p.WebhookID != uuid.Nil {
			attributed = true
			if err := workflow.UpsertTypedSearchAttributes(ctx, about(p.WebhookID, p.CompanyID)...); err != nil {
				return err
			}
		}
		switch {
		case p.Ended && changed.Len() == 0:
			return nil
		case p.Ended:
		case p.Paused:
			err := await(ctx, workflow.NewSelector(ctx).AddReceive(changed, func(workflow.ReceiveChannel, bool) {}))
			if err != nil {
				return err
			}
		default:
			if err := workflow.Sleep(ctx, time.Second); err != nil {
				return err
			}
		}
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() && changed.Len() == 0 {
			return workflow.NewContinueAsNewError(ctx, ReplayDeliveries, in)
		}
	}
}
