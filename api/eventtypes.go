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
		surface.List("/event-types/:name/samples", "read:events|read:webhooks", s.listSamples, "profile"),
		surface.List("/event-types/:name/versions", "read:events|read:webhooks", s.listEventTypeVersions, "page", "limit"),
	}
}

const maxTypeName = 100

var customNames = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z0-9_]+)+$`)

// isCustomTypeName reports whether a company may register a type with this name: like order.shipped, and not in the
// catalogue.
func isCustomTypeName(name string) bool {
	return len(name) <= maxTypeName && customNames.MatchString(name) && !profiles.Known(name)
}

// unknownType refuses to publish an event of a type that does not exist.
func unknownType(name string) *surface.Error {
	e := surface.Invalid("type", "Invalid event type")
	e.Details = surface.Details{"field": "type", "provided": surface.Clip(name), "allowed": publishableTypes()}
	return e
}

func publishableTypes() []string {
	var names []string
	for _, t := range profiles.Types() {
		if profiles.Publishable(t.Name) {
			names = append(names, t.Name)
		}
	}
	return names
}

// eventTypeOutput is a type of the catalogue or, with a version and times, a type registered by a company.
type eventTypeOutput struct {
	Type        string                    `json:"type"`
	Description string                    `json:"description"`
	Publishable bool                      `json:"publishable"`
	Custom      bool                      `json:"custom"`
	Profiles    map[string]profileLabelOf `json:"profiles"`
	Version     *int                      `json:"version"`
	// Schema is omitted in lists; null: any data.
	Schema    *json.RawMessage   `json:"schema,omitempty"`
	CreatedAt *surface.Timestamp `json:"createdAt"`
	UpdatedAt *surface.Timestamp `json:"updatedAt"`
}

// profileLabelOf is a profile's names for an event type; a webhook's events may use any of the three.
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

// labelsOf returns the names of the type in each profile that has it.
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

// customLabels returns the names of a custom type: open profiles use its own.
func customLabels(name string) map[string]profileLabelOf {
	out := map[string]profileLabelOf{}
	for _, p := range profiles.All() {
		if p.Open {
			out[p.Name] = profileLabelOf{Label: name, Name: name}
		}
	}
	return out
}

// listEventTypes lists the catalogue and then the types that the company has registered; a platform key names the
// company by ?companyId=.
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

// catalogueType returns the catalogue's type named by the path, or nil.
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

// customType loads the company's type named by the path. It looks in one company only, so that the answer does not
// reveal the names of others.
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
	if !isCustomTypeName(name) {
		return company, name, surface.NotFound("EventType", name)
	}
	company, err = surface.CompanyID(c, nil)
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

// listEventTypeVersions lists the schemas that a type has had, newest first. A type of the catalogue has at most one.
func (s *server) listEventTypeVersions(c *gin.Context) error {
	p, err := surface.PageOf(c)
	if err != nil {
		return err
	}
	if t := catalogueType(c); t != nil {
		versions := []eventTypeVersionOutput{}
		if t.Schema != nil {
			versions = append(versions, eventTypeVersionOutput{Version: 1, Schema: t.Schema})
		}
		same := func(v *eventTypeVersionOutput) eventTypeVersionOutput { return *v }
		return okPage(c, p, surface.Cut(p, versions), int64(len(versions)), same)
	}
	t, err := s.customType(c)
	if err != nil {
		return err
	}
	versions, total, err := db.ListEventTypeVersions(c.Request.Context(), s.DB, t.ID, p.Window())
	if err != nil {
		return err
	}
	return okPage(c, p, versions, total, func(v *db.EventTypeVersion) eventTypeVersionOutput {
		return eventTypeVersionOutput{v.Version, json.RawMessage(v.Schema), surface.Maybe(&v.CreatedAt)}
	})
}
