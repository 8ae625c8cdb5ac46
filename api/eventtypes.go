package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"slices"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"greenroom/activities/webhook"
	"greenroom/activities/webhook/profiles"
	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
)

func (s *server) eventTypeRoutes() []surface.Route {
	return []surface.Route{
		surface.List("/event-types", "read:events|read:webhooks", s.listEventTypes),
		surface.Post("/event-types", "write:events", s.createEventType),
		surface.Get("/event-types/:name", "read:events|read:webhooks", s.getEventType),
		surface.Put("/event-types/:name", "write:events", s.updateEventType),
		surface.Delete("/event-types/:name", "write:events", s.deleteEventType),
		surface.List("/event-types/:name/versions", "read:events|read:webhooks", s.listEventTypeVersions),
	}
}

const maxTypeName = 100

var customNames = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z0-9_]+)+$`)

// customName reports whether a company may give a type that name: like order.shipped, and none of the catalogue's.
func customName(name string) bool {
	return len(name) <= maxTypeName && customNames.MatchString(name) && !profiles.Known(name)
}

// eventTypeOutput is a type of the catalogue or, with a version and times, one that a company registered.
type eventTypeOutput struct {
	Type        string                    `json:"type"`
	Description string                    `json:"description"`
	Publishable bool                      `json:"publishable"`
	Custom      bool                      `json:"custom"`
	Profiles    map[string]profileLabelOf `json:"profiles"`
	Version     *int                      `json:"version"`
	// Schema is not in lists; null: any data.
	Schema    *json.RawMessage   `json:"schema,omitempty"`
	CreatedAt *surface.Timestamp `json:"createdAt"`
	UpdatedAt *surface.Timestamp `json:"updatedAt"`
}

// profileLabelOf is what a profile calls an event type; a create or update of a webhook takes any of the three.
type profileLabelOf struct {
	ID    *int   `json:"id"`
	Label string `json:"label"`
	Name  string `json:"name"`
}

func showCatalogueType(t *webhook.Type) eventTypeOutput {
	return eventTypeOutput{
		Type:        t.Name,
		Description: t.When,
		Publishable: profiles.Publishable(t.Name),
		Profiles:    labelsOf(t.Name),
	}
}

func showEventType(t *db.EventType) eventTypeOutput {
	return eventTypeOutput{
		Type:        t.Name,
		Description: t.Description,
		Publishable: true,
		Custom:      true,
		Profiles:    customLabels(t.Name),
		Version:     &t.Version,
		CreatedAt:   surface.Maybe(&t.CreatedAt),
		UpdatedAt:   surface.Maybe(&t.UpdatedAt),
	}
}

func (o eventTypeOutput) withSchema(schema json.RawMessage) eventTypeOutput {
	if schema == nil {
		schema = json.RawMessage("null")
	}
	o.Schema = &schema
	return o
}

// labelsOf lists the profiles that have a name for the type.
func labelsOf(eventType string) map[string]profileLabelOf {
	out := map[string]profileLabelOf{}
	for _, p := range profiles.All() {
		i := slices.IndexFunc(p.Events, func(e webhook.Event) bool { return slices.Contains(e.Types, eventType) })
		if i < 0 {
			continue
		}
		label := profileLabelOf{Label: p.Events[i].Name, Name: webhook.Upper(p.Events[i].Name)}
		if i < p.Numbered {
			label.ID = &i
		}
		out[p.Name] = label
	}
	return out
}

// customLabels: open profiles take a company's types under their own names.
func customLabels(name string) map[string]profileLabelOf {
	out := map[string]profileLabelOf{}
	for _, p := range profiles.All() {
		if p.Open {
			out[p.Name] = profileLabelOf{Label: name, Name: name}
		}
	}
	return out
}

// listEventTypes lists the catalogue and, after it, what the company has registered; a platform key names it by
// ?companyId=.
func (s *server) listEventTypes(c *gin.Context) error {
	scope, err := surface.ScopeOf(c)
	if err != nil {
		return err
	}
	out := surface.Mapped(profiles.Types(), showCatalogueType)
	if scope.Company != nil {
		own, err := db.ListEventTypes(c.Request.Context(), s.DB, *scope.Company)
		if err != nil {
			return err
		}
		out = append(out, surface.Mapped(own, showEventType)...)
	}
	return ok(c, http.StatusOK, gin.H{"data": out, "total": len(out)})
}

// catalogueType finds a type of the catalogue by the path.
func catalogueType(c *gin.Context) *webhook.Type {
	types := profiles.Types()
	if i := slices.IndexFunc(types, func(t webhook.Type) bool { return t.Name == c.Param("name") }); i >= 0 {
		return &types[i]
	}
	return nil
}

func (s *server) getEventType(c *gin.Context) error {
	if t := catalogueType(c); t != nil {
		return ok(c, http.StatusOK, showCatalogueType(t).withSchema(t.Schema))
	}
	t, err := s.customType(c)
	if err != nil {
		return err
	}
	return ok(c, http.StatusOK, showEventType(t).withSchema(json.RawMessage(t.Schema)))
}

// customType loads the company's type of the path. A name is looked for in one company alone, so that no answer tells
// what names others use.
func (s *server) customType(c *gin.Context) (*db.EventType, error) {
	company, name, err := customKey(c)
	if err != nil {
		return nil, err
	}
	t, err := db.GetEventType(c.Request.Context(), s.DB, company, name)
	return t, typeNotFound(name, err)
}

func customKey(c *gin.Context) (company uuid.UUID, name string, err error) {
	name = c.Param("name")
	if profiles.Known(name) {
		return company, name, surface.InvalidState(
			"An event type of the catalogue cannot be changed",
			surface.Details{"type": name},
		)
	}
	if !customName(name) {
		return company, name, surface.NotFound("EventType", name)
	}
	company, err = surface.NameCompany(c, nil)
	return company, name, err
}

func typeNotFound(name string, err error) error {
	if errors.Is(err, pg.ErrNotFound) {
		return surface.NotFound("EventType", name)
	}
	return err
}

type eventTypeVersionOutput struct {
	Version   int                `json:"version"`
	Schema    json.RawMessage    `json:"schema"`
	CreatedAt *surface.Timestamp `json:"createdAt"`
}

// listEventTypeVersions lists the schemas that a type has had, newest first. A type of the catalogue has one, or none.
func (s *server) listEventTypeVersions(c *gin.Context) error {
	out := []eventTypeVersionOutput{}
	if t := catalogueType(c); t != nil {
		if t.Schema != nil {
			out = append(out, eventTypeVersionOutput{Version: 1, Schema: t.Schema})
		}
		return ok(c, http.StatusOK, gin.H{"data": out, "total": len(out)})
	}
	t, err := s.customType(c)
	if err != nil {
		return err
	}
	versions, err := db.ListEventTypeVersions(c.Request.Context(), s.DB, t.ID)
	if err != nil {
		return err
	}
	out = surface.Mapped(versions, func(v *db.EventTypeVersion) eventTypeVersionOutput {
		return eventTypeVersionOutput{v.Version, json.RawMessage(v.Schema), surface.Maybe(&v.CreatedAt)}
	})
	return ok(c, http.StatusOK, gin.H{"data": out, "total": len(out)})
}
