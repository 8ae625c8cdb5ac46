package wiseway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/activities/webhook"
	"greenroom/api/surface"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// profile is the delivery format of this product's receivers. Webhooks with another profile are not visible here.
const profile = "wiseway"

func (s *server) webhookRoutes() []surface.Route {
	return []surface.Route{
		surface.List("/api/app/webhooks", "read:webhooks", s.listWebhooks, "page", "limit"),
		surface.Post("/api/app/webhooks", "write:webhooks", s.createWebhook),
		surface.Put("/api/app/webhooks/:id", "write:webhooks", s.updateWebhook),
		surface.Delete("/api/app/webhooks/:id", "write:webhooks", s.deleteWebhook),
	}
}

// webhookInput is the body of a create.
type webhookInput struct {
	URL      string            `json:"url" validate:"required,max=2048"`
	Events   surface.EventRefs `json:"events" validate:"required"`
	Name     string            `json:"name" validate:"max=255"`
	IsActive *bool             `json:"isActive"`
}

// webhookChange is the body of an update. Missing fields stay unchanged, as in positionChange.
type webhookChange struct {
	URL            surface.Opt[string]            `json:"url" validate:"min=1,max=2048"`
	Events         surface.Opt[surface.EventRefs] `json:"events" validate:"min=1"`
	Name           surface.Opt[string]            `json:"name" validate:"max=255" null:"ok"`
	IsActive       surface.Opt[bool]              `json:"isActive"`
	DisabledReason surface.Opt[json.RawMessage]   `json:"disabledReason" null:"ok"`
	readBack
}

type webhookOutput struct {
	ID             uuid.UUID         `json:"id"`
	URL            string            `json:"url"`
	Events         []string          `json:"events"`
	Name           string            `json:"name"`
	IsActive       bool              `json:"isActive"`
	DisabledReason *string           `json:"disabledReason"`
	CreatedAt      surface.Timestamp `json:"createdAt"`
	UpdatedAt      surface.Timestamp `json:"updatedAt"`
	// Secret is only in the answer to a create and cannot be read again.
	Secret string `json:"secret,omitempty"`
}

func showWebhook(w *delivery.Webhook) webhookOutput {
	return webhookOutput{
		ID:             w.ID,
		URL:            w.URL,
		Events:         surface.EventNames(w.Profile, w.Events),
		Name:           w.Name,
		IsActive:       w.IsActive,
		DisabledReason: w.DisabledReason,
		CreatedAt:      surface.Timestamp(w.CreatedAt),
		UpdatedAt:      surface.Timestamp(w.UpdatedAt),
	}
}

func (s *server) listWebhooks(c *gin.Context) error {
	p, err := surface.PageOf(c)
	if err != nil {
		return err
	}
	scope, err := surface.ScopeOf(c)
	if err != nil {
		return err
	}
	hooks, total, err := delivery.PageWebhooks(c.Request.Context(), s.DB, scope,
		delivery.WebhookFilter{Profile: profile, Newest: true}, p.Window())
	if err != nil {
		return err
	}
	return okPage(c, p, surface.Mapped(hooks, showWebhook), total)
}

func (s *server) createWebhook(c *gin.Context) error {
	company, err := s.CallerCompany(c)
	if err != nil {
		return err
	}
	raw, err := surface.ReadBody(c)
	if err != nil {
		return err
	}
	in, err := surface.Decode[webhookInput](raw)
	if err != nil {
		return err
	}
	events, wrongEvents := in.Events.Resolve(profile)
	w, secret, err := s.NewWebhook(surface.Caller(c).Key, &surface.WebhookSpec{
		Profile:  profile,
		URL:      in.URL,
		Events:   events,
		Company:  &company,
		Name:     in.Name,
		Inactive: in.IsActive != nil && !*in.IsActive,
	})
	if err := surface.Faults(wrongEvents, err); err != nil {
		return err
	}
	return s.OnceSealed(c, raw, func(ctx context.Context, tx bun.Tx) (int, any, error) {
		if err := s.CreateWebhook(ctx, tx, c, w); err != nil {
			return 0, nil, err
		}
		out := showWebhook(w)
		out.Secret = webhook.SecretHex(secret)
		return http.StatusCreated, out, nil
	})
}

// webhook loads the webhook of the path, which must belong to the caller and have this product's profile.
func (s *server) webhook(c *gin.Context) (*delivery.Webhook, error) {
	id, err := surface.PathID(c, "id", "Webhook")
	if err != nil {
		return nil, err
	}
	scope, err := surface.ScopeOf(c)
	if err != nil {
		return nil, err
	}
	w, err := delivery.GetWebhook(c.Request.Context(), s.DB, id)
	if errors.Is(err, pg.ErrNotFound) || err == nil && (!w.IsOf(scope) || w.Profile != profile) {
		return nil, surface.NotFound("Webhook", c.Param("id"))
	}
	return w, err
}

func (s *server) updateWebhook(c *gin.Context) error {
	w, err := s.webhook(c)
	if err != nil {
		return err
	}
	in, err := surface.Bind[webhookChange](c)
	if err != nil {
		return err
	}
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		if w, err = delivery.LockWebhook(ctx, tx, w.ID); err != nil {
			return err
		}
		before := *w
		columns, err := s.applyWebhook(c, &in, w)
		if err != nil || len(columns) == 0 {
			return err
		}
		return surface.UpdateWebhook(ctx, tx, c, &before, w, columns...)
	})
	if err != nil {
		return gone(c, err, "Webhook", "id")
	}
	c.JSON(http.StatusOK, showWebhook(w))
	return nil
}

// applyWebhook copies the sent fields to the row and returns the names of their columns. isActive only counts when it
// differs: an echoed true must not reset an open circuit.
func (s *server) applyWebhook(c *gin.Context, in *webhookChange, w *delivery.Webhook) ([]string, error) {
	var u surface.Update
	surface.Set(&u, "name", &w.Name, in.Name)
	if in.IsActive.Set && in.IsActive.Value != w.IsActive {
		columns, err := surface.ActivateWebhook(c, w, in.IsActive.Value)
		if err != nil {
			return nil, err
		}
		u.Columns = append(u.Columns, columns...)
	}
	if in.URL.Set {
		checked, err := s.CheckedURL(in.URL.Value)
		if err != nil {
			return nil, err
		}
		columns, _, err := surface.MoveWebhook(s.Box, w, checked) // this profile has no key, so its secret stays
		if err != nil {
			return nil, err
		}
		u.Columns = append(u.Columns, columns...)
	}
	if in.Events.Set {
		events, err := in.Events.Value.Resolve(profile)
		if err != nil {
			return nil, err
		}
		w.Events, u.Columns = events, append(u.Columns, "events")
	}
	return u.Columns, nil
}

func (s *server) deleteWebhook(c *gin.Context) error {
	w, err := s.webhook(c)
	if err != nil {
		return err
	}
	err = pg.InTx(
		c.Request.Context(),
		s.DB,
		func(ctx context.Context, tx bun.Tx) error { return surface.DeleteWebhook(ctx, tx, c, w) },
	)
	if err != nil {
		return gone(c, err, "Webhook", "id")
	}
	c.Status(http.StatusNoContent)
	return nil
}
