package deliver

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"go.temporal.io/sdk/temporal"

	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// RetryDeliveryResult names the workflow that sends the delivery.
type RetryDeliveryResult struct{ WorkflowID string }

// RetryDelivery sends a delivery again, as POST /deliveries/{id}/retry does. One that does not exist, or is not in a
// state that allows it, fails for good, with what to do about it.
func (a *Activities) RetryDelivery(ctx context.Context, id uuid.UUID) (RetryDeliveryResult, error) {
	var d *delivery.Delivery
	err := pg.InTx(ctx, a.DB, func(ctx context.Context, tx bun.Tx) (err error) {
		d, err = delivery.RetryDelivery(ctx, tx, pg.Scope{}, id)
		return err
	})
	var state *pg.StateError
	switch {
	case err == nil:
		return RetryDeliveryResult{WorkflowID: WorkflowID(d.ID, d.Generation)}, nil
	case errors.Is(err, pg.ErrNotFound):
		return RetryDeliveryResult{}, temporal.NewNonRetryableApplicationError(
			fmt.Sprintf("there is no delivery %s", id),
			"Refused",
			nil,
		)
	case errors.As(err, &state):
		return RetryDeliveryResult{}, temporal.NewNonRetryableApplicationError(retryRefusal(state), "Refused", nil)
	}
	return RetryDeliveryResult{}, fmt.Errorf("retry delivery: %w", err)
}

// retryRefusal says why a delivery cannot be sent again now, and what to do.
func retryRefusal(e *pg.StateError) string {
	switch {
	case e.Resource == "webhook":
		return "the webhook was deleted: nothing is sent to it any more"
	case e.State == string(delivery.Paused):
		return "the delivery is paused: reset its webhook's circuit, or activate the webhook, and it is sent"
	case e.State == string(delivery.Pending):
		return "the delivery is pending: its first attempt is still to come"
	}
	return e.Error()
}

// ReplayPageInput asks for the next page of a replay of many deliveries.
type ReplayPageInput struct {
	ReplayID uuid.UUID
	// PerSecond bounds the page: one is asked for each second.
	PerSecond int
}

// ReplayProgress is how far a replay has come.
type ReplayProgress struct {
	State    string
	Replayed int64
	Paused   bool
	Ended    bool
	// WebhookID and CompanyID make the replay searchable; CompanyID is zero for one of the platform.
	WebhookID uuid.UUID
	CompanyID uuid.UUID
}

// ReplayPage sends the next page of a replay's deliveries again.
func (a *Activities) ReplayPage(ctx context.Context, in ReplayPageInput) (ReplayProgress, error) {
	p, err := delivery.ReplayPage(ctx, a.DB, in.ReplayID, in.PerSecond)
	if err != nil {
		return ReplayProgress{}, err
	}
	progress := ReplayProgress{
		State: string(p.State), Replayed: p.Replayed, Paused: p.State == delivery.ReplayPaused, Ended: p.State.Ended(),
		WebhookID: p.WebhookID,
	}
	if p.CompanyID != nil {
		progress.CompanyID = *p.CompanyID
	}
	return progress, nil
}
