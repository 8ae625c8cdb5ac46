package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/activities/webhook"
	"greenroom/activities/webhook/profiles"
	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// deliveryRoutes accept the scopes of webhooks too: a key that may read a webhook may read its deliveries.
func (s *server) deliveryRoutes() []surface.Route {
	return []surface.Route{
		surface.List(
			"/deliveries",
			"read:deliveries|read:webhooks",
			s.listDeliveries,
			"webhookId",
			"eventType",
			"status",
			"since",
			"until",
			"cursor",
			"limit",
		),
		surface.Get("/deliveries/:id", "read:deliveries|read:webhooks", s.getDelivery),
		surface.Get("/deliveries/:id/request", "read:deliveries|read:webhooks", s.getDeliveryRequest),
		surface.List("/deliveries/:id/attempts", "read:deliveries|read:webhooks", s.listAttempts, "page", "limit"),
		surface.Post("/deliveries/:id/retry", "write:deliveries|write:webhooks", s.retryDelivery),
		surface.Post("/deliveries/:id/cancel", "write:deliveries|write:webhooks", s.cancelDelivery),
	}
}

type deliveryOutput struct {
	ID             uuid.UUID          `json:"id"`
	EventID        uuid.UUID          `json:"eventId"`
	WebhookID      uuid.UUID          `json:"webhookId"`
	CompanyID      *uuid.UUID         `json:"companyId"`
	EventType      string             `json:"eventType"`
	Status         delivery.Status    `json:"status"`
	IsTest         bool               `json:"isTest"`
	Generation     int                `json:"generation"`
	AttemptCount   int                `json:"attemptCount"`
	NextAttemptAt  *surface.Timestamp `json:"nextAttemptAt"`
	LastStatusCode *int               `json:"lastStatusCode"`
	LastError      *string            `json:"lastError"`
	WorkflowID     *string            `json:"workflowId"`
	Subject        *string            `json:"subject"`
	CreatedAt      surface.Timestamp  `json:"createdAt"`
	UpdatedAt      surface.Timestamp  `json:"updatedAt"`
}

func showDelivery(d *delivery.Delivery) deliveryOutput {
	return deliveryOutput{
		ID:             d.ID,
		EventID:        d.EventID,
		WebhookID:      d.WebhookID,
		CompanyID:      d.CompanyID,
		EventType:      d.EventType,
		Status:         d.Status,
		IsTest:         d.IsTest,
		Generation:     d.Generation,
		AttemptCount:   d.Attempts,
		NextAttemptAt:  surface.Maybe(d.NextAttemptAt),
		LastStatusCode: d.LastStatusCode,
		LastError:      d.LastError,
		WorkflowID:     d.WorkflowID,
		Subject:        d.Subject,
		CreatedAt:      surface.Timestamp(d.CreatedAt),
		UpdatedAt:      surface.Timestamp(d.UpdatedAt),
	}
}

// deliveryDetail is one delivery with its body, attempts and explanation.
type deliveryDetail struct {
	deliveryOutput
	// Body is the payload as signed and sent: JSON as JSON, anything else as text, null before the first attempt.
	Body        any             `json:"body"`
	Attempts    []attemptOutput `json:"attempts"`
	Explanation Explanation     `json:"explanation"`
}

type attemptOutput struct {
	Attempt       int                `json:"attempt"`
	Generation    int                `json:"generation"`
	StartedAt     surface.Timestamp  `json:"startedAt"`
	DurationMS    int                `json:"durationMs"`
	Outcome       delivery.Outcome   `json:"outcome"`
	StatusCode    *int               `json:"statusCode"`
	ErrorKind     *string            `json:"errorKind"`
	Error         *string            `json:"error"`
	Response      *string            `json:"response"`
	NextAttemptAt *surface.Timestamp `json:"nextAttemptAt"`
	WorkflowID    string             `json:"workflowId"`
	RunID         uuid.UUID          `json:"runId"`
}

func showAttempt(a *delivery.Attempt) attemptOutput {
	return attemptOutput{
		Attempt:       a.Attempt,
		Generation:    a.Generation,
		StartedAt:     surface.Timestamp(a.StartedAt),
		DurationMS:    a.DurationMS,
		Outcome:       a.Outcome,
		StatusCode:    a.StatusCode,
		ErrorKind:     a.ErrorKind,
		Error:         a.Error,
		Response:      a.Response,
		NextAttemptAt: surface.Maybe(a.NextAttemptAt),
		WorkflowID:    a.WorkflowID,
		RunID:         a.RunID,
	}
}

// listDeliveries pages newest first by keyset, so every page costs the same, and counts nothing. A page may have fewer
// deliveries than its limit although there are more.
func (s *server) listDeliveries(c *gin.Context) error {
	f, err := deliveryFilter(c)
	if err != nil {
		return err
	}
	page, err := delivery.PageDeliveries(c.Request.Context(), s.DB, surface.Caller(c).Scope(), f)
	if err != nil {
		return err
	}
	ds := page.Deliveries
	if err := delivery.NameCircuits(c.Request.Context(), s.DB, ds); err != nil {
		return err
	}
	var next *string
	if page.Next != uuid.Nil {
		cursor := cursorOf(page.Next)
		next = &cursor
	}
	return ok(
		c,
		http.StatusOK,
		gin.H{"data": surface.Mapped(ds, showDelivery), "nextCursor": next, "hasMore": next != nil},
	)
}

func deliveryFilter(c *gin.Context) (f delivery.Filter, err error) {
	if f.Webhook, err = surface.QueryID(c, "webhookId"); err != nil {
		return f, err
	}
	if f.Company, err = surface.QueryID(c, "companyId"); err != nil {
		return f, err
	}
	if f.EventType, err = queryEventType(c); err != nil {
		return f, err
	}
	status, err := surface.QueryOneOf(c, "status", statuses(delivery.Statuses())...)
	if err != nil {
		return f, err
	}
	f.Status = delivery.Status(status)
	if f.Since, f.Until, err = queryRange(c); err != nil {
		return f, err
	}
	if f.Before, err = queryCursor(c); err != nil {
		return f, err
	}
	f.Limit, err = surface.QueryInt(c, "limit", surface.DefaultLimit, surface.MaxLimit)
	return f, err
}

func statuses(ds []delivery.Status) []string {
	out := make([]string, len(ds))
	for i, d := range ds {
		out[i] = string(d)
	}
	return out
}

// queryRange reads ?since= (inclusive) and ?until= (exclusive).
func queryRange(c *gin.Context) (since, until time.Time, err error) {
	if since, err = surface.QueryTime(c, "since"); err != nil {
		return since, until, err
	}
	if until, err = surface.QueryTime(c, "until"); err != nil {
		return since, until, err
	}
	if !since.IsZero() && !until.IsZero() && !since.Before(until) {
		return since, until, surface.Invalid("until", "until must be after since")
	}
	return since, until, nil
}

// queryEventType reads ?eventType=: an event type of the catalogue, as its name or in upper case, or a custom type.
func queryEventType(c *gin.Context) (string, error) {
	raw, sent := c.GetQuery("eventType")
	if !sent || profiles.Known(raw) || isCustomTypeName(raw) {
		return raw, nil
	}
	for _, t := range profiles.Types() {
		if webhook.Upper(t.Name) == raw {
			return t.Name, nil
		}
	}
	e := surface.Invalid("eventType", "Invalid event type")
	e.Details = surface.Details{
		"field":    "eventType",
		"provided": surface.Clip(raw),
		"allowed":  surface.Mapped(profiles.Types(), typeName),
	}
	return "", e
}

func typeName(t *webhook.Type) string { return t.Name }

func queryCursor(c *gin.Context) (uuid.UUID, error) {
	raw, sent := c.GetQuery("cursor")
	if !sent {
		return uuid.Nil, nil
	}
	bytes, err := base64.RawURLEncoding.DecodeString(raw)
	if err != nil || len(bytes) != len(uuid.Nil) || uuid.UUID(bytes) == uuid.Nil || cursorOf(uuid.UUID(bytes)) != raw {
		return uuid.Nil, surface.Invalid("cursor", "cursor must be a nextCursor of an earlier answer")
	}
	return uuid.UUID(bytes), nil
}

func cursorOf(id uuid.UUID) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// delivery loads the delivery named by the path; its company must be the caller's and its webhook visible to the
// caller.
func (s *server) delivery(c *gin.Context) (*delivery.Delivery, error) {
	id, err := surface.PathID(c, "id", "Delivery")
	if err != nil {
		return nil, err
	}
	ctx, scope := c.Request.Context(), surface.Caller(c).Scope()
	d, err := delivery.GetDelivery(ctx, s.DB, scope, id)
	if errors.Is(err, pg.ErrNotFound) && scope.Company != nil { // another company's, or does it not exist?
		if _, err = delivery.GetDelivery(ctx, s.DB, pg.Scope{}, id); err == nil {
			return nil, surface.Denied("delivery")
		}
	}
	if errors.Is(err, pg.ErrNotFound) {
		return nil, surface.NotFound("Delivery", id.String())
	}
	if err != nil {
		return nil, err
	}
	return d, surface.AllowAny(c, d.CompanyID, "delivery")
}

func (s *server) getDelivery(c *gin.Context) error {
	d, err := s.delivery(c)
	if err != nil {
		return err
	}
	return s.okDelivery(c, http.StatusOK, d)
}

// listAttempts pages through all attempts; a delivery itself shows the newest 100.
func (s *server) listAttempts(c *gin.Context) error {
	d, err := s.delivery(c)
	if err != nil {
		return err
	}
	p, err := surface.PageOf(c)
	if err != nil {
		return err
	}
	attempts, total, err := delivery.PageAttempts(c.Request.Context(), s.DB, d.ID, p.Window())
	if err != nil {
		return err
	}
	return okPage(c, p, attempts, total, showAttempt)
}

func (s *server) okDelivery(c *gin.Context, status int, d *delivery.Delivery) error {
	ctx := c.Request.Context()
	attempts, err := delivery.ListAttempts(ctx, s.DB, d.ID)
	if err != nil {
		return err
	}
	w, err := s.living(ctx, d.WebhookID)
	if err != nil {
		return err
	}
	named := []delivery.Delivery{*d}
	if err := delivery.NameCircuits(ctx, s.DB, named); err != nil {
		return err
	}
	d = &named[0]
	line, err := delivery.LineOf(ctx, s.DB, d)
	if err != nil {
		return err
	}
	return ok(c, status, deliveryDetail{
		deliveryOutput: showDelivery(d), Body: showBody(d.Body), Attempts: surface.Mapped(attempts, showAttempt),
		Explanation: Explain(d, attempts, w, line),
	})
}

// living returns the webhook, or nil if it was deleted.
func (s *server) living(ctx context.Context, id uuid.UUID) (*delivery.Webhook, error) {
	w, err := delivery.GetWebhook(ctx, s.DB, id)
	if errors.Is(err, pg.ErrNotFound) {
		return nil, nil //nolint:nilnil // deleted is an ordinary answer
	}
	return w, err
}

func showBody(sent []byte) any {
	switch {
	case sent == nil:
		return nil
	case json.Valid(sent):
		return json.RawMessage(sent)
	}
	return string(sent)
}

// retryDelivery sends a finished delivery again, or makes the next attempt of a retrying one now.
func (s *server) retryDelivery(c *gin.Context) error {
	d, err := s.delivery(c)
	if err != nil {
		return err
	}
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		if d, err = delivery.RetryDelivery(ctx, tx, pg.Scope{}, d.ID); err != nil {
			return err
		}
		return db.Audit(ctx, tx, surface.Audited(c, d.CompanyID, db.AuditReplayed, db.AuditedDelivery, d.ID))
	})
	if err != nil {
		return withRemedy(err, "it is under way already", map[delivery.Status]string{
			delivery.Paused: "it continues when its webhook's circuit is reset or the webhook is active again",
			"erased":        "it cannot be sent again",
		})
	}
	return s.okDelivery(c, http.StatusAccepted, d)
}

// cancelDelivery cancels a delivery that has not ended.
func (s *server) cancelDelivery(c *gin.Context) error {
	d, err := s.delivery(c)
	if err != nil {
		return err
	}
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		if d, err = delivery.CancelDelivery(ctx, tx, pg.Scope{}, d.ID); err != nil {
			return err
		}
		return db.Audit(ctx, tx, surface.Audited(c, d.CompanyID, db.AuditCanceled, db.AuditedDelivery, d.ID))
	})
	if err != nil {
		return withRemedy(err, "only a delivery that has not ended, or that blocks its subject, can be canceled", nil)
	}
	return s.okDelivery(c, http.StatusOK, d)
}

// withRemedy adds advice for the caller to a refusal that is caused by the delivery's state.
func withRemedy(err error, remedy string, of map[delivery.Status]string) error {
	var state *pg.StateError
	if !errors.As(err, &state) || state.Resource != "delivery" {
		return err
	}
	if special, ok := of[delivery.Status(state.State)]; ok {
		remedy = special
	}
	return surface.InvalidState(
		"This delivery is "+state.State+": "+remedy,
		surface.Details{"resource": state.Resource, "state": state.State},
	)
}
