package deliver

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// CancelDeliveryInput names one run of a delivery.
type CancelDeliveryInput struct {
	DeliveryID uuid.UUID
	Generation int
}

// CancelDelivery cancels a delivery as POST /deliveries/{id}/cancel does. A delivery that has ended, or that a later
// replay has taken over, is unchanged.
func (a *Activities) CancelDelivery(ctx context.Context, in CancelDeliveryInput) error {
	err := pg.InTx(ctx, a.DB, func(ctx context.Context, tx bun.Tx) error {
		d, err := delivery.GetDelivery(ctx, tx, pg.Scope{}, in.DeliveryID)
		if err != nil || d.Generation != in.Generation {
			return err
		}
		_, err = delivery.CancelDelivery(ctx, tx, pg.Scope{}, in.DeliveryID)
		return err
	})
	if err = pg.UnlessLost(err); err != nil {
		return fmt.Errorf("cancel delivery: %w", err)
	}
	return nil
}

// CancelReplay cancels a replay as the API does. A replay that has ended is unchanged.
func (a *Activities) CancelReplay(ctx context.Context, replay uuid.UUID) error {
	err := pg.InTx(ctx, a.DB, func(ctx context.Context, tx bun.Tx) error {
		_, err := delivery.CancelReplay(ctx, tx, replay)
		return err
	})
	if err = pg.UnlessLost(err); err != nil {
		return fmt.Errorf("cancel replay: %w", err)
	}
	return nil
}
