package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/activities/webhook/profiles"
	"greenroom/api/eventschema"
	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
)

const (
	// stepsOfSchemaByte converts the size of a new schema to steps of checks: 64 KiB are a quarter of a request's budget.
	stepsOfSchemaByte = 5
	// maxNamed limits the webhooks that a refusal names.
	maxNamed = 20
)

type eventTypeInput struct {
	Name        string          `json:"name" validate:"required"`
	Description string          `json:"description" validate:"max=1000"`
	CompanyID   *uuid.UUID      `json:"companyId"`
	Schema      json.RawMessage `json:"schema" validate:"required,object"`
}

type eventTypeChange struct {
	Description surface.Opt[string] `json:"description" validate:"max=1000"`
	Schema      json.RawMessage     `json:"schema" validate:"required,object"`
	Force       bool                `json:"force"`
}

func (s *server) createEventType(c *gin.Context) error {
	in, err := surface.Bind[eventTypeInput](c)
	if err != nil {
		return err
	}
	if profiles.Known(in.Name) {
		return typeExists(in.Name)
	}
	if !isCustomTypeName(in.Name) {
		return surface.Invalid(
			"name",
			fmt.Sprintf(
				"name must be lower-case words with dots between them, like order.shipped, of at most %d characters",
				maxTypeName,
			),
		)
	}
	if _, err := s.compileSchema(c, in.Schema); err != nil {
		return err
	}
	company, err := s.ExistingCompanyID(c, in.CompanyID)
	if err != nil {
		return err
	}
	t := &db.EventType{CompanyID: company, Name: in.Name, Description: in.Description, Schema: string(in.Schema)}
	err = pg.InTx(
		c.Request.Context(),
		s.DB,
		func(ctx context.Context, tx bun.Tx) error {
			if err := db.CheckEventTypeQuota(ctx, tx, t.CompanyID, s.Quota.EventTypes); err != nil {
				return err
			}
			return db.CreateEventType(ctx, tx, t)
		},
	)
	if errors.Is(err, pg.ErrDuplicate) {
		return typeExists(in.Name)
	}
	if err != nil {
		return err
	}
	return ok(c, http.StatusCreated, showEventType(t).withSchema(in.Schema))
}

func typeExists(name string) *surface.Error {
	return &surface.Error{
		Status: http.StatusConflict, Code: surface.CodeExists, Message: "The event type " + name + " already exists",
		Details: surface.Details{"field": "name", "provided": name},
	}
}

// compileSchema refuses an invalid schema, with a JSON pointer into it. Its work, and that of a comparison with the
// last schema, is part of the caller's budget: the largest ones take some 100 ms.
func (s *server) compileSchema(c *gin.Context, text json.RawMessage) (*eventschema.Schema, error) {
	end, err := s.checks.begin(c.Request.Context(), surface.Owner(c))
	if err != nil {
		return nil, err
	}
	schema, err := eventschema.Compile(text)
	end(len(text) * stepsOfSchemaByte)
	var fault *eventschema.Fault
	if !errors.As(err, &fault) {
		return schema, err
	}
	e := surface.Invalid("schema", "schema is not a usable JSON Schema (draft 2020-12): "+fault.Error())
	e.Details["path"], e.Details["message"] = fault.Path, fault.Message
	return nil, e
}

// updateEventType replaces the schema of a type. It refuses a schema that could break receivers of the last one, with
// the reasons, unless the request forces it.
func (s *server) updateEventType(c *gin.Context) error {
	in, err := surface.Bind[eventTypeChange](c)
	if err != nil {
		return err
	}
	forced, err := isForced(c)
	if err != nil {
		return err
	}
	company, name, err := customKey(c)
	if err != nil {
		return err
	}
	schema, err := s.compileSchema(c, in.Schema)
	if err != nil {
		return err
	}
	var t *db.EventType
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) (err error) {
		if t, err = db.LockEventType(ctx, tx, company, name); err != nil {
			return err
		}
		if !in.Force && !forced {
			if err := compatible(t, schema); err != nil {
				return err
			}
		}
		description := t.Description
		if in.Description.Set {
			description = in.Description.Value
		}
		return db.UpdateEventType(ctx, tx, t, description, string(in.Schema))
	})
	if err != nil {
		return typeNotFound(name, err)
	}
	return ok(c, http.StatusOK, showEventType(t).withSchema(in.Schema))
}

// isForced reads ?force=.
func isForced(c *gin.Context) (bool, error) {
	word, err := surface.QueryOneOf(c, "force", "true", "false")
	return word == "true", err
}

// compatible refuses a schema that accepts data which the last one would have refused.
func compatible(t *db.EventType, schema *eventschema.Schema) error {
	last, err := eventschema.Compile([]byte(t.Schema))
	if err != nil {
		return err
	}
	reasons, err := eventschema.Breaking(last, schema)
	if err != nil || len(reasons) == 0 {
		return err
	}
	return &surface.Error{
		Status: http.StatusConflict,
		Code:   surface.CodeConflict,
		Message: fmt.Sprintf(
			"The schema could break receivers that rely on version %d; with force: true it is changed all the same",
			t.Version,
		),
		Details: surface.Details{"field": "schema", "version": t.Version, "reasons": reasons},
	}
}

// deleteEventType deletes a type. If webhooks are subscribed to it, ?force=true is required; they keep the subscription
// and receive nothing.
func (s *server) deleteEventType(c *gin.Context) error {
	forced, err := isForced(c)
	if err != nil {
		return err
	}
	company, name, err := customKey(c)
	if err != nil {
		return err
	}
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		t, err := db.LockEventType(ctx, tx, company, name)
		if err != nil {
			return err
		}
		if !forced {
			if err := unused(ctx, tx, t); err != nil {
				return err
			}
		}
		return db.DeleteEventType(ctx, tx, t.ID)
	})
	if err != nil {
		return typeNotFound(name, err)
	}
	c.Status(http.StatusNoContent)
	return nil
}

func unused(ctx context.Context, tx bun.Tx, t *db.EventType) error {
	ids, err := db.EventTypeSubscribers(ctx, tx, t.CompanyID, t.Name)
	if err != nil || len(ids) == 0 {
		return err
	}
	return surface.InvalidState("Webhooks are subscribed to this event type; ?force=true deletes it anyway",
		surface.Details{"type": t.Name, "webhooks": len(ids), "webhookIds": ids[:min(len(ids), maxNamed)]})
}
