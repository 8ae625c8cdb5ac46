package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/activities/webhook/profiles"
	"greenroom/api/client"
	"greenroom/api/surface"
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
	Kind      string               `json:"kind"`
	Since     time.Time            `json:"since"`
	Until     time.Time            `json:"until"`
	Status    []string             `json:"status"`
	Events    []string             `json:"events"`
	State     delivery.ReplayState `json:"state"`
	Replayed  int64                `json:"replayed"`
	CreatedAt time.Time            `json:"createdAt"`
	UpdatedAt time.Time            `json:"updatedAt"`
}

// showReplay shows a replay of a webhook with that profile.
func showReplay(r *delivery.Replay, profile string) Replay {
	return Replay{
		ID: r.ID, WebhookID: r.WebhookID, Kind: r.Kind(), Since: r.Since, Until: r.Until, Status: r.Statuses,
		Events: surface.EventNames(profile, r.Events), State: r.State, Replayed: r.Replayed, CreatedAt: r.CreatedAt,
		UpdatedAt: r.UpdatedAt,
	}
}

// showReplays shows replays, also of deleted webhooks.
func showReplays(ctx context.Context, d bun.IDB, rs ...delivery.Replay) ([]Replay, error) {
	hooks, err := delivery.WebhookNames(
		ctx,
		d,
		surface.Mapped(rs, func(r *delivery.Replay) uuid.UUID { return r.WebhookID }),
	)
	if err != nil {
		return nil, err
	}
	profile := map[uuid.UUID]string{}
	for _, w := range hooks {
		profile[w.ID] = w.Profile
	}
	return surface.Mapped(rs, func(r *delivery.Replay) Replay { return showReplay(r, profile[r.WebhookID]) }), nil
}

// GetReplay returns a replay with its state and the number of deliveries sent again so far.
func (a *Admin) GetReplay(ctx context.Context, id uuid.UUID) (Replay, error) {
	if a.api != nil {
		return answered[Replay](a.api.FindReplay(ctx, id.String()))
	}
	r, err := delivery.FindReplay(ctx, a.DB, id)
	if err != nil {
		return Replay{}, describeMissing(err, "replay", id)
	}
	shown, err := showReplays(ctx, a.DB, *r)
	if err != nil {
		return Replay{}, err
	}
	return shown[0], nil
}

// ListReplays returns the newest replays of a webhook, or of all for the zero id.
func (a *Admin) ListReplays(ctx context.Context, webhook uuid.UUID, limit int64) ([]Replay, error) {
	if err := checkLimit(limit); err != nil {
		return nil, err
	}
	if a.api != nil {
		if webhook == uuid.Nil {
			return nil, errors.New("--webhook is required through the API, which lists the replays of one webhook")
		}
		return listed[Replay](ctx, limit, place{}, nil, func(at place) (*http.Response, error) {
			return a.api.ListReplays(ctx, webhook.String(), &client.ListReplaysParams{Page: &at.number, Limit: &at.size})
		})
	}
	found, err := delivery.NewestReplays(ctx, a.DB, webhook, limit)
	if err != nil {
		return nil, err
	}
	return showReplays(ctx, a.DB, found...)
}

// PauseReplay pauses a running replay.
func (a *Admin) PauseReplay(ctx context.Context, id uuid.UUID) (Replay, error) {
	return a.changeReplay(ctx, id, delivery.PauseReplay, (*client.ClientWithResponses).PauseReplay)
}

// ResumeReplay continues a paused replay.
func (a *Admin) ResumeReplay(ctx context.Context, id uuid.UUID) (Replay, error) {
	return a.changeReplay(ctx, id, delivery.ResumeReplay, (*client.ClientWithResponses).ResumeReplay)
}

// CancelReplay ends a replay. What it has sent again stays.
func (a *Admin) CancelReplay(ctx context.Context, id uuid.UUID) (Replay, error) {
	return a.changeReplay(ctx, id, delivery.CancelReplay, (*client.ClientWithResponses).CancelReplay)
}

func (a *Admin) changeReplay(
	ctx context.Context, id uuid.UUID, change func(context.Context, bun.Tx, uuid.UUID) (*delivery.Replay, error),
	remote func(*client.ClientWithResponses, context.Context, string, string, ...client.RequestEditorFn) (
		*http.Response, error),
) (Replay, error) {
	if a.api != nil {
		r, err := a.GetReplay(ctx, id)
		if err != nil {
			return r, err
		}
		return answered[Replay](remote(a.api, ctx, r.WebhookID.String(), id.String()))
	}
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
		all, err := showReplays(ctx, tx, *r)
		if err != nil {
			return err
		}
		shown = all[0]
		return db.Audit(ctx, tx, &db.AuditEntry{
			CompanyID: r.CompanyID, Actor: actor, Action: db.AuditUpdated, TargetType: db.AuditedReplay, TargetID: id.String(),
			After: map[string]any{"state": r.State},
		})
	})
	return shown, err
}

const (
	// followEvery is how often FollowReplay looks. Through the API it is a third of a key's requests in a minute
	// (ratelimit.per_minute), and less than those in an hour.
	followEvery, followEveryRemote = time.Second, 3 * time.Second
	// followPatience is how long FollowReplay goes on without an answer of the API. It is longer than a limit of a minute.
	followPatience = 90 * time.Second
)

// FollowReplay calls seen with the state of a replay whenever it has changed, until it has ended. It outlasts a restart
// of the API and the end of a key's requests in a minute.
func (a *Admin) FollowReplay(ctx context.Context, id uuid.UUID, seen func(Replay) error) error {
	var last Replay
	every, heard := followEvery, time.Now()
	if a.api != nil {
		every = followEveryRemote
	}
	for {
		r, err := a.GetReplay(ctx, id)
		switch {
		case err == nil:
			heard = time.Now()
		case ctx.Err() != nil:
			return ctx.Err()
		case a.api == nil || isFinal(err):
			return err
		case time.Since(heard) > followPatience:
			return fmt.Errorf("%w: the replay continues, see greenroom replays show %s", err, id)
		default:
			r = last
		}
		if r.State != last.State || r.Replayed != last.Replayed {
			if err := seen(r); err != nil {
				return err
			}
		}
		if last = r; r.State.Ended() {
			return nil
		}
		if err := sleep(ctx, every); err != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// isFinal reports whether another request would get the same answer of the API.
func isFinal(err error) bool {
	r, is := errors.AsType[*refusal](err)
	return is && r.status < http.StatusInternalServerError && r.status != http.StatusTooManyRequests
}

// ReplayCount is the output for a replay that was not started: how many deliveries it would send again.
type ReplayCount struct {
	WebhookID uuid.UUID `json:"webhookId"`
	Since     time.Time `json:"since"`
	Until     time.Time `json:"until"`
	// Matching are all of them if IsExact. The database counts all; the API looks at the first 10,000 deliveries of the
	// time and estimates the others.
	Matching  int64 `json:"matching"`
	IsExact   bool  `json:"isExact"`
	Estimated int64 `json:"estimated"`
}

// CountReplay returns how many deliveries a replay would send again now. It changes nothing.
func (a *Admin) CountReplay(ctx context.Context, r ReplayRequest) (ReplayCount, error) {
	if a.api != nil {
		count, err := answered[ReplayCount](a.api.CreateReplay(ctx, r.Webhook.String(), r.body(true)))
		count.WebhookID = r.Webhook
		return count, err
	}
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
		WebhookID: w.ID, Since: row.Since, Until: row.Until, Matching: n, IsExact: true, Estimated: n,
	}, err
}

// Replay starts a workflow that sends the matching deliveries again. It does not wait for the workflow.
func (a *Admin) Replay(ctx context.Context, r ReplayRequest) (Replay, error) {
	if a.api != nil {
		return answered[Replay](a.api.CreateReplay(ctx, r.Webhook.String(), r.body(false)))
	}
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
		shown = showReplay(row, w.Profile)
		return audit(ctx, tx, w.Company(), db.AuditCreated, db.AuditedReplay, row.ID)
	})
	return shown, err
}

// body is the request as the API takes it.
func (r ReplayRequest) body(dryRun bool) client.ReplayInput {
	body := client.ReplayInput{DryRun: &dryRun, Since: r.Since, Until: given(r.Until)}
	if len(r.Statuses) > 0 {
		statuses := surface.Mapped(
			r.Statuses,
			func(s *string) client.ReplayInputStatus { return client.ReplayInputStatus(*s) },
		)
		body.Status = &statuses
	}
	if len(r.Events) > 0 {
		events := remoteEvents(r.Events)
		body.Events = &events
	}
	return body
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
	slices.Sort(row.Statuses)
	row.Statuses = slices.Compact(row.Statuses)
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
		many := fmt.Sprintf("%d deliveries", c.Matching)
		if !c.IsExact {
			many = fmt.Sprintf("about %d deliveries: %d of the first 10000 of that time match", c.Estimated, c.Matching)
		}
		row(out, "would replay", many)
		row(out, "webhook", c.WebhookID)
		row(out, "from", c.Since)
		row(out, "until", c.Until)
	})
}
