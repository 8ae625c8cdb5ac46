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

// ListReplays returns the newest replays of a webhook, or of all for the zero id.
func (a *Admin) ListReplays(ctx context.Context, webhook uuid.UUID, limit int64) ([]Replay, error) {
	if err := checkLimit(limit); err != nil {
		return nil, err
	}
	found, err := delivery.NewestReplays(ctx, a.DB, webhook, limit)
	if err != nil {
		return nil, err
	}
	shown := make([]Replay, len(found))
	for i := range found {
		shown[i] = showReplay(&found[i])
	}
	return shown, nil
}

// PauseReplay pauses a running replay.
func (a *Admin) PauseReplay(ctx context.Context, id uuid.UUID) (Replay, error) {
	return a.changeReplay(ctx, id, delivery.PauseReplay)
}

// ResumeReplay continues a paused replay.
func (a *Admin) ResumeReplay(ctx context.Context, id uuid.UUID) (Replay, error) {
	return a.changeReplay(ctx, id, delivery.ResumeReplay)
}

// CancelReplay ends a replay. What it has sent again stays.
func (a *Admin) CancelReplay(ctx context.Context, id uuid.UUID) (Replay, error) {
	return a.changeReplay(ctx, id, delivery.CancelReplay)
}

func (a *Admin) changeReplay(
	ctx context.Context, id uuid.UUID, change func(context.Context, bun.Tx, uuid.UUID) (*delivery.Replay, error),
) (Replay, error) {
	var shown Replay
	err := pg.InTx(ctx, a.DB, func(ctx context.Context, tx bun.Tx) error {
		r, err := change(ctx, tx, id)
		var state *pg.StateError
		switch {
		case errors.As(err, &state):
			return fmt.Errorf("replay %s is %s", id, state.State)
		case err != nil:
			return describeMissing(err, "replay", id)
		}
		shown = showReplay(r)
		return db.Audit(ctx, tx, &db.AuditEntry{
			CompanyID: r.CompanyID, Actor: actor, Action: db.AuditUpdated, TargetType: db.AuditedReplay, TargetID: id.String(),
			After: map[string]any{"state": r.State},
		})
	})
	return shown, err
}

// followEvery is how often FollowReplay looks.
const followEvery = time.Second

// FollowReplay calls seen with the state of a replay whenever it has changed, until it has ended.
func (a *Admin) FollowReplay(ctx context.Context, id uuid.UUID, seen func(Replay) error) error {
	var last Replay
	for {
		r, err := a.GetReplay(ctx, id)
		if err != nil {
			return err
		}
		if r.State != last.State || r.Replayed != last.Replayed {
			if err := seen(r); err != nil {
				return err
			}
		}
		if last = r; r.State.Ended() {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(followEvery):
		}
	}
}

// ReplayCount is the output for a replay that was not started.
type ReplayCount struct {
	WebhookID uuid.UUID `json:"webhookId"`
	Since     time.Time `json:"since"`
	Until     time.Time `json:"until"`
	Status    []string  `json:"status"`
	Events    []string  `json:"events"`
	// Deliveries would be sent again.
	Deliveries int64 `json:"deliveries"`
}

// CountReplay returns how many deliveries a replay would send again now. It changes nothing.
func (a *Admin) CountReplay(ctx context.Context, r ReplayRequest) (ReplayCount, error) {
	w, err := delivery.GetWebhook(ctx, a.DB, r.Webhook)
	if err != nil {
		return ReplayCount{}, describeMissing(err, "webhook", r.Webhook)
	}
	row, err := r.row(w, time.Now().UTC())
	if err != nil {
		return ReplayCount{}, err
	}
	n, err := delivery.CountReplay(ctx, a.DB, row)
	return ReplayCount{
		WebhookID: w.ID, Since: row.Since, Until: row.Until, Status: row.Statuses, Events: row.Events, Deliveries: n,
	}, err
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

// Replays prints a list of replays.
func (p Printer) Replays(list []Replay) error {
	return p.Value(list, func(out io.Writer) {
		row(out, "ID", "STATE", "REPLAYED", "OF STATUS", "FROM", "UNTIL", "CREATED", "WEBHOOK")
		for _, r := range list {
			row(out, r.ID, r.State, r.Replayed, r.Status, r.Since, r.Until, r.CreatedAt, r.WebhookID)
		}
	})
}

// ReplayChange prints the new state of a replay.
func (p Printer) ReplayChange(r Replay) error {
	return p.Value(r, func(out io.Writer) {
		row(out, "replay", r.ID, fmt.Sprintf("is %s, %d replayed", r.State, r.Replayed))
	})
}

// ReplayCount prints how many deliveries a replay would send.
func (p Printer) ReplayCount(c ReplayCount) error {
	return p.Value(c, func(out io.Writer) {
		row(out, "would replay", fmt.Sprintf("%d deliveries", c.Deliveries))
		row(out, "webhook", c.WebhookID)
		row(out, "from", c.Since)
		row(out, "until", c.Until)
		row(out, "of status", c.Status)
		row(out, "of events", c.Events)
	})
}
