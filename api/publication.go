package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"greenroom/activities/webhook/profiles"
	"greenroom/api/eventschema"
	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/delivery"
)

// publication is one body of an upstream system on its way to the events that it makes: one, or several where its
// type's contract says so (eventlist.go).
type publication struct {
	eventInput
	company uuid.UUID
	events  []*delivery.Event
	refused *surface.Error
}

// newPublication reads one body, as far as that needs nothing of the database. The company that a platform key names
// may not be there.
func newPublication(c *gin.Context, raw []byte) *publication {
	p := &publication{}
	in, err := surface.Decode[eventInput](raw)
	if err == nil && !profiles.Publishable(in.Type) && !customName(in.Type) {
		err = unknownType(in.Type)
	}
	if err == nil {
		p.eventInput = in
		p.company, err = surface.NameCompany(c, in.CompanyID)
	}
	p.refuse(err)
	return p
}

// refuse keeps why a publication is refused; these errors are all refusals, since nothing that can fail was asked.
func (p *publication) refuse(err error) {
	if err != nil && !errors.As(err, &p.refused) {
		p.refused = surface.BadBody("The event could not be read")
	}
}

func unknownType(name string) *surface.Error {
	e := surface.Invalid("type", "Invalid event type")
	e.Details = surface.Details{"field": "type", "provided": surface.Clip(name), "allowed": publishable()}
	return e
}

func publishable() []string {
	var names []string
	for _, t := range profiles.Types() {
		if profiles.Publishable(t.Name) {
			names = append(names, t.Name)
		}
	}
	return names
}

// checkSchemas makes the events of publications whose data fits their type's schema, and refuses the others. Types of
// the catalogue cost no query; those that companies registered are read in one, so that a registration and a change
// of it hold from the next request on.
func (s *server) checkSchemas(ctx context.Context, all []*publication) error {
	custom, err := s.customSchemas(ctx, all)
	if err != nil {
		return err
	}
	checks := &checks{Budget: eventschema.NewBudget()}
	for _, p := range all {
		if p.refused != nil {
			continue
		}
		schema := profiles.SchemaOf(p.Type)
		if !profiles.Publishable(p.Type) {
			text, registered := custom[db.EventTypeKey{CompanyID: p.company, Name: p.Type}]
			if !registered {
				p.refused = unknownType(p.Type)
				continue
			}
			schema = json.RawMessage(text)
		}
		if err := p.make(schema, checks); err != nil {
			return err
		}
	}
	return nil
}

// customSchemas reads the schemas of all types that are not the catalogue's.
func (s *server) customSchemas(ctx context.Context, all []*publication) (map[db.EventTypeKey]string, error) {
	seen := map[db.EventTypeKey]bool{}
	var keys []db.EventTypeKey
	for _, p := range all {
		key := db.EventTypeKey{CompanyID: p.company, Name: p.Type}
		if p.refused == nil && !profiles.Publishable(p.Type) && !seen[key] {
			seen[key] = true
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, nil
	}
	return db.EventTypeSchemas(ctx, s.DB, keys)
}

// checks are what the publications of one request may take in all.
type checks struct {
	*eventschema.Budget
	size int // of their events, in bytes
}

// make makes the events, or refuses what does not fit; its error is a fault of ours.
func (p *publication) make(schema json.RawMessage, checks *checks) error {
	parts, refused := split(p.Type, p.Data, &checks.size)
	if p.refused = refused; refused != nil {
		return nil
	}
	var compiled *eventschema.Schema
	if schema != nil {
		var err error
		if compiled, err = checks.Compile(schema); err != nil {
			return p.misfits(part{}, err)
		}
	}
	for _, part := range parts {
		if compiled != nil {
			if err := p.fits(checks, compiled, part); err != nil || p.refused != nil {
				return err
			}
		}
		p.events = append(p.events, &delivery.Event{CompanyID: &p.company, Type: p.Type, Data: part.data})
	}
	return nil
}

// fits refuses the publication when its part does not fit.
func (p *publication) fits(checks *checks, schema *eventschema.Schema, part part) error {
	return p.misfits(part, checks.Validate(schema, part.data))
}

// misfits refuses the publication where err is a fault of its part.
func (p *publication) misfits(part part, err error) error {
	var fault *eventschema.Fault
	if errors.As(err, &fault) {
		p.refused = misfit(p.Type, part.path(fault.Path), fault.Message)
		return nil
	}
	return err
}

// misfit refuses data by its type's schema, with a JSON pointer into the data.
func misfit(eventType, path, message string) *surface.Error {
	return &surface.Error{
		Status:  http.StatusUnprocessableEntity,
		Code:    surface.CodeValidation,
		Message: "data does not fit the schema of " + eventType + ": " + (&eventschema.Fault{Path: path, Message: message}).Error(),
		Details: surface.Details{"field": "data", "path": path, "message": message},
	}
}
