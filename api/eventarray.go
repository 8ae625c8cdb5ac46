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
	"greenroom/db/delivery"
)

// maxEvents is how many events one request may publish.
const maxEvents = 1000

// errNoneRight ends a transaction in which nothing of an array was to be stored.
var errNoneRight = errors.New("no element is right")

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

// publishArray accepts the events that are right, all of them in one transaction; each of the others is refused alone
// and leaves nothing behind. The status is 202 when all were accepted and else 207, even when none was: whoever sends
// an array reads its results.
func (s *server) publishArray(c *gin.Context, raw []byte) error {
	elements, err := splitArray(raw)
	if err != nil {
		return err
	}
	all := make([]*publication, len(elements))
	for i, element := range elements {
		all[i] = newPublication(c, element)
	}
	if err := s.checkSchemas(c.Request.Context(), all); err != nil {
		return err
	}
	if err := s.refuseUnknownCompanies(c, all); err != nil {
		return err
	}
	var events []*delivery.Event
	for _, p := range all {
		if p.refused == nil {
			events = append(events, p.events...)
		}
	}
	answer := func(deliveries []int) (int, any) { return results(all, deliveries) }
	if len(events) > 0 {
		return s.storeEvents(c, raw, events, nil, answer)
	}
	if err := s.refuseOnce(c, raw, errNoneRight); !errors.Is(err, errNoneRight) {
		return err
	}
	if err := s.Confirm(c, publishScope); err != nil { // no transaction will
		return err
	}
	status, data := answer(nil)
	return ok(c, status, data)
}

// results is the answer to an array whose right elements are stored.
func results(all []*publication, deliveries []int) (status int, out eventsPublished) {
	out.Results = make([]eventResult, len(all))
	for i, p := range all {
		if p.refused != nil {
			out.Refused++
			out.Results[i].Error = p.refused
			continue
		}
		out.Accepted++
		out.Results[i] = eventResult{Success: true, Data: accepted(p.events, &deliveries)}
	}
	if out.Refused > 0 {
		return http.StatusMultiStatus, out
	}
	return http.StatusAccepted, out
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

// refuseUnknownCompanies refuses the events of companies that are not there; only a platform key can name one.
func (s *server) refuseUnknownCompanies(c *gin.Context, all []*publication) error {
	if !surface.Caller(c).Platform() {
		return nil
	}
	var named []uuid.UUID
	for _, p := range all {
		if p.refused == nil && !slices.Contains(named, p.company) {
			named = append(named, p.company)
		}
	}
	existing, err := db.ExistingCompanies(c.Request.Context(), s.DB, named)
	if err != nil {
		return err
	}
	for _, p := range all {
		if p.refused == nil && !slices.Contains(existing, p.company) {
			p.refused = surface.NotFound("Company", p.company.String())
		}
	}
	return nil
}
