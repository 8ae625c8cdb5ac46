package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/activities/webhook"
	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/catalog"
)

func (s *server) eventRoutes() []surface.Route {
	return []surface.Route{
		surface.Post("/events", publishScope, s.publishEvents).Recognizing(),
		surface.Get("/events/:id", "read:events", s.getEvent),
		surface.Get("/event-types", "read:events|read:webhooks", s.listEventTypes),
	}
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

type eventAccepted struct {
	ID         uuid.UUID `json:"id"`
	Type       string    `json:"type"`
	Deliveries int       `json:"deliveries"`
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
	e, err := newEvent(c, raw)
	if err != nil {
		return err
	}
	var named []uuid.UUID
	if surface.Caller(c).Platform() {
		named = []uuid.UUID{*e.CompanyID}
	}
	return s.storeEvents(c, raw, []*db.Event{e}, named, func(deliveries []int) (int, any) {
		return http.StatusAccepted, eventAccepted{e.ID, e.Type, deliveries[0]}
	})
}

// newEvent reads one event. The company that a platform key names may not be there.
func newEvent(c *gin.Context, raw []byte) (*db.Event, error) {
	in, err := surface.Decode[eventInput](raw)
	if err != nil {
		return nil, err
	}
	if !catalog.Publishable(in.Type) {
		e := surface.Invalid("type", "Invalid event type")
		e.Details = surface.Details{"field": "type", "provided": surface.Clip(in.Type), "allowed": publishable()}
		return nil, e
	}
	company, err := surface.NameCompany(c, in.CompanyID)
	if err != nil {
		return nil, err
	}
	return &db.Event{CompanyID: &company, Type: in.Type, Data: in.Data}, nil
}

// storeEvents records the events and answers: together with those of other requests or, with an Idempotency-Key or when something
// has changed since it was read, in a transaction of their own. The companies must be there. raw is the request's body.
func (s *server) storeEvents(c *gin.Context, raw []byte, es []*db.Event, companies []uuid.UUID, answer func(deliveries []int) (int, any)) error {
	ctx := c.Request.Context()
	if c.GetHeader(surface.IdempotencyHeader) == "" {
		ns, err := s.events.Record(ctx, db.Submission{Events: es, Key: surface.Caller(c).Key, Companies: companies})
		if err == nil {
			status, data := answer(ns)
			return ok(c, status, data)
		}
		if !errors.Is(err, db.ErrChanged) {
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
		ns, err := db.RecordEvents(ctx, tx, es)
		if err != nil {
			return 0, nil, err
		}
		status, data := answer(ns)
		return status, wrapped(data), nil
	})
}

func publishable() []string {
	var names []string
	for _, t := range catalog.Types() {
		if catalog.Publishable(t.Name) {
			names = append(names, t.Name)
		}
	}
	return names
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
	e, err := db.GetEvent(c.Request.Context(), s.DB, db.Scope{}, id)
	if errors.Is(err, db.ErrNotFound) {
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

type eventTypeOutput struct {
	Type        string                    `json:"type"`
	Description string                    `json:"description"`
	Publishable bool                      `json:"publishable"`
	Profiles    map[string]profileLabelOf `json:"profiles"`
}

// profileLabelOf is what a profile calls an event type; a create or update of a webhook takes any of the three.
type profileLabelOf struct {
	ID    *int   `json:"id"`
	Label string `json:"label"`
	Name  string `json:"name"`
}

func (s *server) listEventTypes(c *gin.Context) error {
	types := catalog.Types()
	out := make([]eventTypeOutput, len(types))
	for i, t := range types {
		labels, err := labelsOf(t.Name)
		if err != nil {
			return err
		}
		out[i] = eventTypeOutput{t.Name, t.When, catalog.Publishable(t.Name), labels}
	}
	return ok(c, http.StatusOK, gin.H{"data": out, "total": len(out)})
}

// labelsOf lists the profiles that have a name for the type.
func labelsOf(domainType string) (map[string]profileLabelOf, error) {
	out := map[string]profileLabelOf{}
	for _, profile := range webhook.ProfileNames() {
		names, err := catalog.ForProfile(profile)
		if err != nil {
			return nil, err
		}
		for i, l := range names.Labels {
			if l.Type != domainType {
				continue
			}
			label := profileLabelOf{Label: l.Name, Name: strings.ToUpper(strings.ReplaceAll(l.Name, ".", "_"))}
			if i < names.Numbered {
				label.ID = &i
			}
			out[profile] = label
		}
	}
	return out, nil
}
