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

// RetryDelivery sends a delivery again, as POST /deliveries/{id}/retry does. A delivery that does not exist, or whose
// state does not allow it, is an error that is not retried and names the remedy.
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

// retryRefusal says why a delivery cannot be sent again now, and the remedy.
func retryRefusal(e *pg.StateError) string {
	switch {
	case e.Resource == "webhook":
		return "the webhook was deleted, so nothing is sent to it"
	case e.State == string(delivery.Paused):
		return "the delivery is paused: it is sent when its webhook's circuit is reset, or the webhook is activated"
	case e.State == string(delivery.Pending):
		return "the delivery is pending: its first attempt has not been made yet"
	}
	return e.Error()
}

// ReplayPageInput asks for the next page of a replay of many deliveries.
type ReplayPageInput struct {
	ReplayID uuid.UUID
	// PerSecond bounds the page: the workflow asks for one page per second.
	PerSecond int
}

// ReplayProgress is the state of a replay after a page.
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
