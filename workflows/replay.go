package workflows

import (
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
