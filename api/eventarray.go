package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"greenroom/api/surface"
	"greenroom/db"
)

// maxEvents is how many events one request may publish.
const maxEvents = 1000

// eventsPublished is the answer to an array: a result for each of its elements, in their order.
type eventsPublished struct {
	Accepted int           `json:"accepted"`
	Refused  int           `json:"refused"`
	Results  []eventResult `json:"results"`
}

// eventResult is what a request with this element alone would have been answered.
type eventResult struct {
	Success bool           `json:"success"`
	Data    *eventAccepted `json:"data"`
	Error   *surface.Error `json:"error"`
}

// publishArray accepts the events that are right, all of them in one transaction; each of the others is refused alone and
// leaves nothing behind. The status is 202 when all were accepted and else 207, even when none was: whoever sends an array
// reads its results.
func (s *server) publishArray(c *gin.Context, raw []byte) error {
	elements, err := splitArray(raw)
	if err != nil {
		return err
	}
	results := make([]eventResult, len(elements))
	events := make([]*db.Event, len(elements)) // nil where the element is refused
	for i, element := range elements {
		if events[i], err = newEvent(c, element); err != nil {
			if results[i].Error, err = refusal(err); err != nil {
				return err
			}
		}
	}
	if err := s.refuseUnknownCompanies(c, events, results); err != nil {
		return err
	}
	good := slices.DeleteFunc(slices.Clone(events), func(e *db.Event) bool { return e == nil })
	answer := func(deliveries []int) (int, any) {
		for i, e := range events {
			if e != nil {
				results[i] = eventResult{Success: true, Data: &eventAccepted{e.ID, e.Type, deliveries[0]}}
				deliveries = deliveries[1:]
			}
		}
		return arrayStatus(len(good), len(results)), eventsPublished{len(good), len(results) - len(good), results}
	}
	if len(good) > 0 {
		return s.storeEvents(c, raw, good, nil, answer)
	}
	if err := s.Confirm(c, publishScope); err != nil { // no transaction will
		return err
	}
	status, data := answer(nil)
	return ok(c, status, data)
}

func arrayStatus(accepted, all int) int {
	if accepted == all {
		return http.StatusAccepted
	}
	return http.StatusMultiStatus
}

// splitArray returns the elements of an array as they stand; what they are is not checked.
func splitArray(raw []byte) ([]json.RawMessage, error) {
	var elements []json.RawMessage
	if err := surface.CheckSyntax(raw); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, &elements); err != nil {
		return nil, fmt.Errorf("split array: %w", err)
	}
	if len(elements) == 0 || len(elements) > maxEvents {
		return nil, surface.BadBody(fmt.Sprintf("The array must have 1 to %d events; it has %d", maxEvents, len(elements)))
	}
	return elements, nil
}

// refusal is the answer that an error would be; a fault of ours is no answer to one element.
func refusal(err error) (*surface.Error, error) {
	var refused *surface.Error
	if errors.As(err, &refused) {
		return refused, nil
	}
	return nil, err
}

// refuseUnknownCompanies refuses the events of companies that are not there; only a platform key can name one.
func (s *server) refuseUnknownCompanies(c *gin.Context, events []*db.Event, results []eventResult) error {
	if !surface.Caller(c).Platform() {
		return nil
	}
	var named []uuid.UUID
	for _, e := range events {
		if e != nil && !slices.Contains(named, *e.CompanyID) {
			named = append(named, *e.CompanyID)
		}
	}
	existing, err := db.ExistingCompanies(c.Request.Context(), s.DB, named)
	if err != nil {
		return err
	}
	for i, e := range events {
		if e != nil && !slices.Contains(existing, *e.CompanyID) {
			events[i], results[i].Error = nil, surface.NotFound("Company", e.CompanyID.String())
		}
	}
	return nil
}
