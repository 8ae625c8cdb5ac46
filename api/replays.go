package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

func (s *server) replayRoutes() []surface.Route {
	return []surface.Route{
		surface.Post("/webhooks/:id/catch-up", "write:deliveries|write:webhooks", s.catchUp).MaxBody(surface.SmallBody),
		surface.Post("/webhooks/:id/replays", "write:deliveries|write:webhooks", s.createReplay).
			MaxBody(surface.SmallBody),
		surface.List("/webhooks/:id/replays", "read:deliveries|read:webhooks", s.listReplays, "page", "limit"),
		surface.Get("/webhooks/:id/replays/:rid", "read:deliveries|read:webhooks", s.getReplay),
		surface.Get("/replays/:rid", "read:deliveries|read:webhooks", s.findReplay),
		surface.Post(
			"/webhooks/:id/replays/:rid/pause",
			"write:deliveries|write:webhooks",
			s.changeReplay(delivery.PauseReplay),
		),
		surface.Post(
			"/webhooks/:id/replays/:rid/resume",
			"write:deliveries|write:webhooks",
			s.changeReplay(delivery.ResumeReplay),
		),
		surface.Post(
			"/webhooks/:id/replays/:rid/cancel",
			"write:deliveries|write:webhooks",
			s.changeReplay(delivery.CancelReplay),
		),
	}
}

type replayInput struct {
	// Since is inclusive. It is required, so that omitting it does not replay a year by mistake.
	Since time.Time `json:"since" validate:"required"`
	// Until is exclusive. The default and maximum is now: later deliveries are not part of the replay.
	Until *time.Time `json:"until"`
	// Status selects ended deliveries; default: the failed ones.
	Status []string `json:"status" validate:"max=3,dive,oneof=succeeded failed canceled"`
	// Events selects event types; default: all.
	Events surface.EventRefs `json:"events"`
	// DryRun counts what the replay would send again, and stores nothing.
	DryRun bool `json:"dryRun"`
}

// replayCount is the answer to a dry run.
type replayCount struct {
	DryRun bool              `json:"dryRun"`
	Since  surface.Timestamp `json:"since"`
	Until  surface.Timestamp `json:"until"`
	// Matching are those among the first deliveries of the time; all of them if IsExact.
	Matching  int   `json:"matching"`
	IsExact   bool  `json:"isExact"`
	Estimated int64 `json:"estimated"`
	// Seconds is how long the replay of the estimated number takes; nil: not known.
	Seconds *int64 `json:"seconds"`
}

func (s *server) countReplay(c *gin.Context, r *delivery.Replay) error {
	n, err := delivery.EstimateReplay(c.Request.Context(), s.DB, r)
	if err != nil {
		return err
	}
	out := replayCount{
		DryRun: true, Since: surface.Timestamp(r.Since), Until: surface.Timestamp(r.Until),
		Matching: n.Matching, IsExact: n.Complete, Estimated: n.Estimate(r),
	}
	if s.replaysPerSecond > 0 {
		seconds := (out.Estimated + int64(s.replaysPerSecond) - 1) / int64(s.replaysPerSecond)
		out.Seconds = &seconds
	}
	return ok(c, http.StatusOK, out)
}

type replayOutput struct {
	ID        uuid.UUID            `json:"id"`
	WebhookID uuid.UUID            `json:"webhookId"`
	Kind      string               `json:"kind"`
	Since     surface.Timestamp    `json:"since"`
	Until     surface.Timestamp    `json:"until"`
	Status    []string             `json:"status"`
	Events    []string             `json:"events"`
	State     delivery.ReplayState `json:"state"`
	Replayed  int64                `json:"replayed"`
	CreatedAt surface.Timestamp    `json:"createdAt"`
	UpdatedAt surface.Timestamp    `json:"updatedAt"`
}

func showReplay(w *delivery.Webhook) func(*delivery.Replay) replayOutput {
	return func(r *delivery.Replay) replayOutput {
		return replayOutput{
			ID:        r.ID,
			WebhookID: r.WebhookID,
			Kind:      r.Kind(),
			Since:     surface.Timestamp(r.Since),
			Until:     surface.Timestamp(r.Until),
			Status:    r.Statuses,
			Events:    surface.EventNames(w.Profile, r.Events),
			State:     r.State,
			Replayed:  r.Replayed,
			CreatedAt: surface.Timestamp(r.CreatedAt),
			UpdatedAt: surface.Timestamp(r.UpdatedAt),
		}
	}
}

// createReplay starts a workflow that sends the matching deliveries again, page by page. The answer shows the new
// replay and does not wait for its end.
func (s *server) createReplay(c *gin.Context) error {
	w, err := s.webhook(c)
	if err != nil {
		return err
	}
	in, err := surface.Bind[replayInput](c)
	if err != nil {
		return err
	}
	r, err := newReplay(w, &in, time.Now().UTC())
	if err != nil {
		return err
	}
	if in.DryRun {
		return s.countReplay(c, r)
	}
	return s.startReplay(c, w, r, delivery.CreateReplay)
}

func (s *server) startReplay(
	c *gin.Context, w *delivery.Webhook, r *delivery.Replay,
	create func(context.Context, bun.Tx, *delivery.Replay) error,
) error {
	err := pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		if err := create(ctx, tx, r); err != nil {
			return err
		}
		return db.Audit(ctx, tx, surface.Audited(c, w.Company(), db.AuditCreated, db.AuditedReplay, r.ID))
	})
	if err != nil {
		return err
	}
	return ok(c, http.StatusAccepted, showReplay(w)(r))
}

type catchUpInput struct {
	// Since is inclusive. It is required, as that of a replay is.
	Since time.Time `json:"since" validate:"required"`
	// DryRun counts the deliveries and makes none.
	DryRun bool `json:"dryRun"`
}

// catchUpCount is the answer to a dry run. Complete is false if there are more events than were counted.
type catchUpCount struct {
	Deliveries int  `json:"deliveries"`
	Complete   bool `json:"complete"`
}

// catchUp starts a replay that makes the deliveries that the webhook missed: see delivery.CreateCatchUp.
func (s *server) catchUp(c *gin.Context) error {
	w, err := s.webhook(c)
	if err != nil {
		return err
	}
	in, err := surface.Bind[catchUpInput](c)
	if err != nil {
		return err
	}
	switch {
	case !in.Since.Before(time.Now()):
		return surface.Invalid("since", "since must be in the past")
	case w.SetID != nil:
		return surface.InvalidState("This webhook follows from the settings of AI interviews: it has no catch-up", nil)
	case in.DryRun:
		n, complete, err := delivery.CountMissed(c.Request.Context(), s.DB, w.ID, in.Since)
		if err != nil {
			return err
		}
		return ok(c, http.StatusOK, catchUpCount{n, complete})
	case !w.IsActive:
		return surface.InvalidState("This webhook is inactive: activate it before it catches up", nil)
	}
	r := &delivery.Replay{WebhookID: w.ID, CompanyID: w.CompanyID, Since: in.Since}
	return s.startReplay(c, w, r, delivery.CreateCatchUp)
}

func newReplay(w *delivery.Webhook, in *replayInput, now time.Time) (*delivery.Replay, error) {
	r := &delivery.Replay{WebhookID: w.ID, CompanyID: w.CompanyID, Since: in.Since, Until: now, Statuses: in.Status}
	if in.Until != nil && in.Until.Before(now) {
		r.Until = *in.Until
	}
	if !r.Since.Before(r.Until) {
		return nil, surface.Invalid("since", "since must be before until, and in the past")
	}
	if len(r.Statuses) == 0 {
		r.Statuses = []string{string(delivery.Failed)}
	}
	slices.Sort(r.Statuses)
	r.Statuses = slices.Compact(r.Statuses)
	var err error
	r.Events, err = in.Events.Resolve(w.Profile, w.Events...)
	return r, err
}

func (s *server) listReplays(c *gin.Context) error {
	w, err := s.webhook(c)
	if err != nil {
		return err
	}
	p, err := surface.PageOf(c)
	if err != nil {
		return err
	}
	rs, total, err := delivery.ListReplays(c.Request.Context(), s.DB, w.ID, p.Window())
	if err != nil {
		return err
	}
	return okPage(c, p, rs, total, showReplay(w))
}

// replay loads the replay named by the path with its webhook, which must be the caller's.
func (s *server) replay(c *gin.Context) (*delivery.Webhook, *delivery.Replay, error) {
	w, err := s.webhook(c)
	if err != nil {
		return nil, nil, err
	}
	id, err := surface.PathID(c, "rid", "Replay")
	if err != nil {
		return nil, nil, err
	}
	r, err := delivery.GetReplay(c.Request.Context(), s.DB, w.ID, id)
	if errors.Is(err, pg.ErrNotFound) {
		return nil, nil, surface.NotFound("Replay", id.String())
	}
	return w, r, err
}

func (s *server) getReplay(c *gin.Context) error {
	w, r, err := s.replay(c)
	if err != nil {
		return err
	}
	return ok(c, http.StatusOK, showReplay(w)(r))
}

// findReplay finds a replay by its id alone; its webhook must be the caller's.
func (s *server) findReplay(c *gin.Context) error {
	id, err := surface.PathID(c, "rid", "Replay")
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	r, err := delivery.FindReplay(ctx, s.DB, id)
	var w *delivery.Webhook
	if err == nil {
		w, err = delivery.GetWebhook(ctx, s.DB, r.WebhookID)
	}
	switch {
	case errors.Is(err, pg.ErrNotFound):
		return surface.NotFound("Replay", id.String())
	case err != nil:
		return err
	case !w.IsOf(surface.Caller(c).Scope()):
		return surface.Denied("replay")
	}
	return ok(c, http.StatusOK, showReplay(w)(r))
}

func (s *server) changeReplay(
	change func(context.Context, bun.Tx, uuid.UUID) (*delivery.Replay, error),
) surface.Handler {
	return func(c *gin.Context) error {
		w, r, err := s.replay(c)
		if err != nil {
			return err
		}
		err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
			if r, err = change(ctx, tx, r.ID); err != nil {
				return err
			}
			e := surface.Audited(c, w.Company(), db.AuditUpdated, db.AuditedReplay, r.ID)
			e.After = map[string]any{"state": r.State}
			return db.Audit(ctx, tx, e)
		})
		if err != nil {
			return err
		}
		return ok(c, http.StatusOK, showReplay(w)(r))
	}
}
