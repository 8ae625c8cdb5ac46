package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/api/surface"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

func (s *server) eventRoutes() []surface.Route {
	return append([]surface.Route{
		surface.Post("/events", publishScope, s.publishEvents).Recognizing(),
		surface.Get("/events/:id", "read:events", s.getEvent),
	}, s.eventTypeRoutes()...)
}

const (
	publishScope = "write:events"
	// maxArrayBody is the largest body of several events, in bytes; none of them may be larger than surface.MaxBody.
	maxArrayBody = 4 << 20
)

type eventInput struct {
	Type      string     `json:"type" validate:"required"`
	CompanyID *uuid.UUID `json:"companyId"`
	// Data is kept and sent byte for byte as it stands in the body.
	Data json.RawMessage `json:"data" validate:"required,object"`
}

// eventAccepted is the answer to one publication. Where it made several events, the id is that of the first, the
// deliveries are those of all, and Events has them one by one.
type eventAccepted struct {
	ID         uuid.UUID       `json:"id"`
	Type       string          `json:"type"`
	Deliveries int             `json:"deliveries"`
	Events     []eventAccepted `json:"events,omitempty"`
}

// accepted is the answer for the events of one publication; it takes their numbers of deliveries off the list.
func accepted(es []*delivery.Event, deliveries *[]int) *eventAccepted {
	ns := (*deliveries)[:len(es)]
	*deliveries = (*deliveries)[len(es):]
	out := &eventAccepted{ID: es[0].ID, Type: es[0].Type, Deliveries: ns[0]}
	if len(es) == 1 {
		return out
	}
	for i, e := range es {
		out.Events = append(out.Events, eventAccepted{ID: e.ID, Type: e.Type, Deliveries: ns[i]})
		if i > 0 {
			out.Deliveries += ns[i]
		}
	}
	return out
}

// publishEvents accepts one event of an upstream system, or an array of them: with the answer they are stored, with one
// delivery for each webhook that is subscribed.
func (s *server) publishEvents(c *gin.Context) error {
	raw, err := surface.ReadBody(c, maxArrayBody)
	if err != nil {
		return err
	}
	if surface.IsArray(raw) {
		return s.publishArray(c, raw)
	}
	p := newPublication(c, raw)
	if err := s.checkSchemas(c.Request.Context(), []*publication{p}); err != nil {
		return err
	}
	if p.refused != nil {
		return s.refuseOnce(c, raw, p.refused)
	}
	var named []uuid.UUID
	if surface.Caller(c).Platform() {
		named = []uuid.UUID{p.company}
	}
	return s.storeEvents(c, raw, p.events, named, func(deliveries []int) (int, any) {
		return http.StatusAccepted, accepted(p.events, &deliveries)
	})
}

// refuseOnce returns the refusal, unless the same request was answered under its Idempotency-Key when it was right:
// the schema or the type may have changed meanwhile. Then that answer is given again, and the error is nil.
func (s *server) refuseOnce(c *gin.Context, raw []byte, refusal error) error {
	if c.GetHeader(surface.IdempotencyHeader) == "" {
		return refusal
	}
	return s.Once(c, raw, func(context.Context, bun.Tx) (int, any, error) { return 0, nil, refusal })
}

// storeEvents records the events and answers: together with those of other requests or, with an Idempotency-Key or
// when something has changed since it was read, in a transaction of their own. The companies must be there. raw is
// the request's body.
func (s *server) storeEvents(
	c *gin.Context,
	raw []byte,
	es []*delivery.Event,
	companies []uuid.UUID,
	answer func(deliveries []int) (int, any),
) error {
	ctx := c.Request.Context()
	if c.GetHeader(surface.IdempotencyHeader) == "" {
		ns, err := s.events.Record(
			ctx,
			delivery.Submission{Events: es, Key: surface.Caller(c).Key.Seen(), Companies: companies},
		)
		if err == nil {
			status, data := answer(ns)
			return ok(c, status, data)
		}
		if !errors.Is(err, delivery.ErrChanged) {
			return err
		}
		if err := s.Confirm(c, publishScope); err != nil {
			return err
		}
	}
	for _, id := range companies {
		if err := s.MustExist(ctx, id); err != nil {
			return err
		}
	}
	return s.Once(c, raw, func(ctx context.Context, tx bun.Tx) (int, any, error) {
		ns, err := delivery.RecordEvents(ctx, tx, es)
		if err != nil {
			return 0, nil, err
		}
		status, data := answer(ns)
		return status, wrapped(data), nil
	})
}

type eventOutput struct {
	ID         uuid.UUID         `json:"id"`
	Type       string            `json:"type"`
	CompanyID  *uuid.UUID        `json:"companyId"`
	Data       json.RawMessage   `json:"data"`
	OccurredAt surface.Timestamp `json:"occurredAt"`
}

func (s *server) getEvent(c *gin.Context) error {
	id, err := surface.PathID(c, "id", "Event")
	if err != nil {
		return err
	}
	e, err := delivery.GetEvent(c.Request.Context(), s.DB, pg.Scope{}, id)
	if errors.Is(err, pg.ErrNotFound) {
		return surface.NotFound("Event", id.String())
	}
	if err != nil {
		return err
	}
	if err := surface.AllowAny(c, e.CompanyID, "event"); err != nil {
		return err
	}
	return ok(c, http.StatusOK, eventOutput{e.ID, e.Type, e.CompanyID, e.Data, surface.Timestamp(e.OccurredAt)})
}
