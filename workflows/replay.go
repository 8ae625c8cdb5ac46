package workflows

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/workflow"

	"greenroom/activities"
)

// ReplayDeliveryInput names the delivery to send again.
type ReplayDeliveryInput struct {
	DeliveryID uuid.UUID `json:"deliveryId"`
}

// ReplayDelivery sends one delivery again. It is for operators: start it in the Temporal UI with {"deliveryId": "…"}.
func ReplayDelivery(ctx workflow.Context, in ReplayDeliveryInput) error {
	var a *activities.Activities
	return workflow.ExecuteActivity(withShortActivity(ctx), a.RetryDelivery, in.DeliveryID).Get(ctx, nil)
}

// ReplayWorkflowID is the id of a replay's workflow.
func ReplayWorkflowID(replay uuid.UUID) string { return "replay:" + replay.String() }

// SignalReplayChanged says that the replay was paused, resumed or canceled: look at its row.
const SignalReplayChanged = "changed"

// ReplayDeliveriesInput is a replay of many deliveries; what it matches is in its row.
type ReplayDeliveriesInput struct {
	ReplayID uuid.UUID
	// PerSecond is how many deliveries are sent again each second.
	PerSecond int
}

// ReplayDeliveries sends the deliveries that a replay matches again, oldest first, a page a second, so that the receiver
// gets them at a pace it was given. Pausing, resuming and canceling are states of the replay's row; there is no cap.
func ReplayDeliveries(ctx workflow.Context, in ReplayDeliveriesInput) error {
	changed := workflow.GetSignalChannel(ctx, SignalReplayChanged)
	ctx = withShortActivity(ctx)
	for {
		for changed.ReceiveAsync(nil) {
		}
		var a *activities.Activities
		var p activities.ReplayProgress
		if err := workflow.ExecuteActivity(ctx, a.ReplayPage, activities.ReplayPageInput(in)).Get(ctx, &p); err != nil {
			return err
		}
		workflow.SetCurrentDetails(ctx, fmt.Sprintf("%s; %d sent again", p.State, p.Replayed))
		switch {
		case p.Ended && changed.Len() == 0:
			return nil
		case p.Ended:
		case p.Paused:
			changed.Receive(ctx, nil)
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
