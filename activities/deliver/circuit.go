package deliver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/activities/webhook/profiles"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// CircuitState is what the Circuit workflow decides on.
type CircuitState struct {
	Deleted  bool
	Active   bool
	Open     bool
	OpenedAt time.Time
	Waiting  bool
	// ToCancel: the webhook was deleted and has deliveries that have not ended.
	ToCancel bool
	// Recovery is the webhook's own setting, "" for the configured one.
	Recovery string
	// ProfileProbes: by the webhook's profile, a probe closes its circuit.
	ProfileProbes bool `json:",omitzero"`
	// RateLimit is the webhook's limit of attempts per second, 0 for none.
	RateLimit int
	// WebhookID and CompanyID make the circuit searchable; CompanyID is zero for a webhook of the platform.
	WebhookID uuid.UUID
	CompanyID uuid.UUID
	// WaitingCount is how many deliveries are paused, counted up to WaitingLimit + 1.
	WaitingCount int
	// Missing: there is no such webhook, not even a deleted one.
	Missing bool `json:",omitzero"`
}

// WaitingLimit bounds WaitingCount.
const WaitingLimit = delivery.WaitingLimit

// LoadCircuit reads the state of a webhook's circuit.
func (a *Activities) LoadCircuit(ctx context.Context, webhook uuid.UUID) (CircuitState, error) {
	s, err := delivery.LoadCircuit(ctx, a.DB, webhook)
	if errors.Is(err, pg.ErrNotFound) {
		return CircuitState{Deleted: true, Missing: true}, nil
	}
	if err != nil {
		return CircuitState{}, err
	}
	c := CircuitState{
		Deleted: s.Deleted, ToCancel: s.ToCancel, Active: s.Active, Waiting: s.Waiting > 0, WaitingCount: s.Waiting,
		Recovery: s.Recovery, RateLimit: s.RateLimit, Open: s.OpenedAt != nil, WebhookID: webhook,
	}
	if p, err := profiles.ByName(s.Profile); err == nil {
		c.ProfileProbes = !p.ManualRecovery
	}
	if s.CompanyID != nil {
		c.CompanyID = *s.CompanyID
	}
	if c.Open {
		c.OpenedAt = *s.OpenedAt
	}
	return c, nil
}

// CloseCircuit closes a webhook's circuit for an engineer. A closed circuit or a deleted webhook is unchanged.
func (a *Activities) CloseCircuit(ctx context.Context, webhook uuid.UUID) error {
	err := pg.InTx(ctx, a.DB, func(ctx context.Context, tx bun.Tx) error {
		_, err := delivery.ResetCircuit(ctx, tx, webhook)
		return err
	})
	if err != nil && !errors.Is(err, pg.ErrNotFound) {
		return fmt.Errorf("close circuit: %w", err)
	}
	a.Logger.InfoContext(ctx, "circuit closed by the signal reset", "webhook_id", webhook)
	return nil
}

// ReleaseInput asks for paused deliveries to be released.
type ReleaseInput struct {
	WebhookID uuid.UUID
	Limit     int
	// Probe: release although the circuit is open, for one attempt.
	Probe bool
}

// ReleasePaused releases up to Limit paused deliveries and returns how many.
func (a *Activities) ReleasePaused(ctx context.Context, in ReleaseInput) (int, error) {
	return delivery.ReleasePaused(ctx, a.DB, in.WebhookID, in.Limit, in.Probe)
}

// CancelDeletedInput asks for the deliveries of a deleted webhook to be canceled.
type CancelDeletedInput struct {
	WebhookID uuid.UUID
	Limit     int
}

// CancelDeleted cancels up to Limit deliveries of a deleted webhook and returns how many.
func (a *Activities) CancelDeleted(ctx context.Context, in CancelDeletedInput) (int, error) {
	return delivery.CancelPage(ctx, a.DB, in.WebhookID, in.Limit)
}
