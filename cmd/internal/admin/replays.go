package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/activities/webhook/profiles"
	"greenroom/db"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// ReplayRequest selects the ended deliveries of a webhook that are sent again.
type ReplayRequest struct {
	Webhook uuid.UUID
	// Since is inclusive. It is required, so that forgetting it does not replay everything. Until is exclusive; zero means
	// now.
	Since, Until time.Time
	// Statuses of the deliveries; none means failed.
	Statuses []string
	// Events are names or numbers in the webhook's profile; none means all.
	Events []string
}

// Replay is the output for a replay.
type Replay struct {
	ID        uuid.UUID            `json:"id"`
	WebhookID uuid.UUID            `json:"webhookId"`
	Since     time.Time            `json:"since"`
	Until     time.Time            `json:"until"`
	Status    []string             `json:"status"`
	Events    []string             `json:"events"`
	State     delivery.ReplayState `json:"state"`
	Replayed  int64                `json:"replayed"`
	CreatedAt time.Time            `json:"createdAt"`
}

func showReplay(r *delivery.Replay) Replay {
	return Replay{
		ID: r.ID, WebhookID: r.WebhookID, Since: r.Since, Until: r.Until, Status: r.Statuses, Events: r.Events,
		State: r.State, Replayed: r.Replayed, CreatedAt: r.CreatedAt,
	}
}

// GetReplay returns a replay with its state and the number of deliveries sent again so far.
func (a *Admin) GetReplay(ctx context.Context, id uuid.UUID) (Replay, error) {
	r, err := delivery.FindReplay(ctx, a.DB, id)
	if err != nil {
		return Replay{}, describeMissing(err, "replay", id)
	}
	return showReplay(r), nil
}

// Replay starts a workflow that sends the matching deliveries again. It does not wait for the workflow.
func (a *Admin) Replay(ctx context.Context, r ReplayRequest) (Replay, error) {
	var shown Replay
	err := pg.InTx(ctx, a.DB, func(ctx context.Context, tx bun.Tx) error {
		w, err := delivery.GetWebhook(ctx, tx, r.Webhook)
		if err != nil {
			return describeMissing(err, "webhook", r.Webhook)
		}
		row, err := r.row(w, time.Now().UTC())
		if err != nil {
			return err
		}
		if err := delivery.CreateReplay(ctx, tx, row); err != nil {
			return err
		}
		shown = showReplay(row)
		return audit(ctx, tx, w.Company(), db.AuditCreated, db.AuditedReplay, row.ID)
	})
	return shown, err
}

func (r ReplayRequest) row(w *delivery.Webhook, now time.Time) (*delivery.Replay, error) {
	row := &delivery.Replay{
		WebhookID: w.ID,
		CompanyID: w.CompanyID,
		Since:     r.Since,
		Until:     now,
		Statuses:  r.Statuses,
		Events:    []string{},
	}
	if !r.Until.IsZero() && r.Until.Before(now) {
		row.Until = r.Until
	}
	switch {
	case r.Since.IsZero():
		return nil, errors.New("--since is required")
	case !row.Since.Before(row.Until):
		return nil, errors.New("--since must be before --until, and in the past")
	case len(row.Statuses) == 0:
		row.Statuses = []string{string(delivery.Failed)}
	}
	for _, s := range row.Statuses {
		if status := delivery.Status(s); !status.Ended() {
			ended := join(endedStatuses())
			return nil, fmt.Errorf("--status must be one of %s, not %q: only an ended delivery can be replayed", ended, s)
		}
	}
	if len(r.Events) == 0 {
		return row, nil
	}
	p, err := profiles.ByName(w.Profile)
	if err == nil {
		row.Events, err = eventTypes(p, r.Events)
	}
	return row, err
}

func endedStatuses() []delivery.Status {
	return slices.DeleteFunc(delivery.Statuses(), func(s delivery.Status) bool { return !s.Ended() })
}

// Replay prints a replay.
func (p Printer) Replay(r Replay) error {
	return p.Value(r, func(out io.Writer) {
		row(out, "replay", r.ID)
		row(out, "webhook", r.WebhookID)
		row(out, "from", r.Since)
		row(out, "until", r.Until)
		row(out, "of status", r.Status)
		row(out, "of events", r.Events)
		row(out, "state", r.State)
		row(out, "replayed", r.Replayed)
		row(out, "created", r.CreatedAt)
	})
}
