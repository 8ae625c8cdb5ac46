package api

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"greenroom/api/surface"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

type eventOutput struct {
	ID         uuid.UUID         `json:"id"`
	Type       string            `json:"type"`
	CompanyID  *uuid.UUID        `json:"companyId"`
	Data       json.RawMessage   `json:"data"`
	OccurredAt surface.Timestamp `json:"occurredAt"`
	Subject    *string           `json:"subject"`
	Sequence   *int64            `json:"sequence"`
}

func showEvent(e *delivery.Event) eventOutput {
	return eventOutput{e.ID, e.Type, e.CompanyID, e.Data, surface.Timestamp(e.OccurredAt), e.Subject, e.Sequence}
}

// event loads the event named by the path; the caller must be allowed to see it.
func (s *server) event(c *gin.Context) (*delivery.Event, error) {
	id, err := surface.PathID(c, "id", "Event")
	if err != nil {
		return nil, err
	}
	e, err := delivery.GetEvent(c.Request.Context(), s.DB, pg.Scope{}, id)
	if errors.Is(err, pg.ErrNotFound) {
		return nil, surface.NotFound("Event", id.String())
	}
	if err != nil {
		return nil, err
	}
	return e, surface.AllowAny(c, e.CompanyID, "event")
}

func (s *server) getEvent(c *gin.Context) error {
	e, err := s.event(c)
	if err != nil {
		return err
	}
	return ok(c, http.StatusOK, showEvent(e))
}
