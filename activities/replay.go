package activities

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"go.temporal.io/sdk/temporal"

	"greenroom/db"
)

// RetryDelivery sends a delivery again, as POST /deliveries/{id}/retry does. One that is not there, or not in a state that
// allows it, is an error that retrying does not mend.
func (a *Activities) RetryDelivery(ctx context.Context, delivery uuid.UUID) error {
	err := db.InTx(ctx, a.DB, func(ctx context.Context, tx bun.Tx) error {
		_, err := db.RetryDelivery(ctx, tx, db.Scope{}, delivery)
		return err
	})
	switch {
	case errors.Is(err, db.ErrNotFound), errors.Is(err, db.ErrConflict):
		return temporal.NewNonRetryableApplicationError(err.Error(), "Refused", nil)
	case err != nil:
		return fmt.Errorf("retry delivery: %w", err)
	}
	return nil
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
}

// ReplayPage sends the next page of a replay's deliveries again.
func (a *Activities) ReplayPage(ctx context.Context, in ReplayPageInput) (ReplayProgress, error) {
	p, err := db.ReplayPage(ctx, a.DB, in.ReplayID, in.PerSecond)
	if err != nil {
		return ReplayProgress{}, err
	}
	return ReplayProgress{
		State: string(p.State), Replayed: p.Replayed, Paused: p.State == db.ReplayPaused, Ended: p.State.Ended(),
	}, nil
}
