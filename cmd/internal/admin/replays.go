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
		shown = Replay{WebhookID: w.ID, Since: row.Since, Until: row.Until, Status: row.Statuses, Events: row.Events}
		if err := delivery.CreateReplay(ctx, tx, row); err != nil {
			return err
		}
		shown.ID, shown.State, shown.CreatedAt = row.ID, row.State, row.CreatedAt
		return nil
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
		row(out, "state", r.State)
	})
}
