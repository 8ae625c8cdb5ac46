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

	"greenroom/api/surface"
	"greenroom/db/delivery"
)

// filterTestDefault is how many events a test of a filter looks at unless it says so.
const filterTestDefault = 20

// filterTestInput is the body of a test of a filter.
type filterTestInput struct {
	// Filter that is not sent is the webhook's own; null is none.
	Filter surface.Opt[json.RawMessage] `json:"filter" null:"ok"`
	Limit  int                          `json:"limit" validate:"gte=0,lte=100"`
}

// FilterTestResult says which past events a filter lets through.
type FilterTestResult struct {
	// Filter is what was evaluated; null: none.
	Filter json.RawMessage `json:"filter"`
	// Matched counts the events that would be sent.
	Matched int             `json:"matched"`
	Events  []FilteredEvent `json:"events"`
	// Complete is false if fewer events were looked at than limit, because of their size.
	Complete bool `json:"complete"`
}

// FilteredEvent is a past event, and whether the webhook would get it.
type FilteredEvent struct {
	ID         uuid.UUID         `json:"id"`
	Type       string            `json:"type"`
	OccurredAt surface.Timestamp `json:"occurredAt"`
	IsSent     bool              `json:"isSent"`
	// Reason and Why are null for an event that would be sent.
	Reason *missedReason `json:"reason"`
	Why    *string       `json:"why"`
	// Clauses are those of the filter that do not match, also when there is another reason.
	Clauses []string `json:"clauses"`
}

// Reasons that only a test of a filter has.
const (
	missedAboutItself missedReason = "about_itself"
	missedErased      missedReason = "erased"
)

// testFilter evaluates a filter on past events, and stores nothing.
func (s *server) testFilter(c *gin.Context) error {
	if err := surface.RequireAll(c, "read:events"); err != nil {
		return err
	}
	w, err := s.webhook(c)
	if err != nil {
		return err
	}
	in, err := surface.Bind[filterTestInput](c)
	if err != nil {
		return err
	}
	t := delivery.FilterTest{Webhook: w, Filter: showFilter(w.Filter), Limit: in.Limit}
	if in.Filter.Set {
		tried := *w
		if err := surface.SetFilter(&tried, in.Filter.Value); err != nil {
			return err
		}
		t.Filter = showFilter(tried.Filter)
	}
	out, err := TestFilter(c.Request.Context(), s.DB, t)
	if err != nil {
		return err
	}
	return ok(c, http.StatusOK, out)
}

// TestFilter evaluates a filter on the newest events that could reach its webhook. A limit of 0 is the default.
func TestFilter(ctx context.Context, d *bun.DB, t delivery.FilterTest) (*FilterTestResult, error) {
	if t.Webhook.SetID != nil {
		return nil, surface.InvalidState("This webhook follows from the settings of AI interviews: it has no filter", nil)
	}
	if t.Limit == 0 {
		t.Limit = filterTestDefault
	}
	outcomes, complete, err := delivery.TestFilter(ctx, d, t)
	var refused *delivery.FilterError
	if errors.As(err, &refused) { // a stored one, of a version with other rules
		return nil, surface.Invalid("filter", refused.Error())
	}
	if err != nil {
		return nil, err
	}
	out := &FilterTestResult{Filter: t.Filter, Events: surface.Mapped(outcomes, showFiltered), Complete: complete}
	for _, e := range out.Events {
		if e.IsSent {
			out.Matched++
		}
	}
	return out, nil
}

func showFiltered(o *delivery.FilterOutcome) FilteredEvent {
	e := FilteredEvent{ID: o.ID, Type: o.Type, OccurredAt: surface.Timestamp(o.OccurredAt), Clauses: o.Failed}
	reason, why := filteredReason(o)
	if e.IsSent = reason == ""; !e.IsSent {
		e.Reason, e.Why = &reason, &why
	}
	return e
}

// filteredReason is the first reason why the webhook would not get the event; "" if it would.
func filteredReason(o *delivery.FilterOutcome) (reason missedReason, why string) {
	switch {
	case o.IsTest:
		return missedTest, "the event is a test, which is sent to one webhook alone"
	case o.AboutItself:
		return missedAboutItself, "the event is about this webhook, which gets no events about itself"
	case o.Erased:
		return missedErased, "the data of the event was erased"
	case o.Unsubscribed:
		return missedUnsubscribed, "the webhook is not subscribed to " + o.Type
	case len(o.Failed) > 0:
		return missedFiltered, "the event does not match " + strings.Join(o.Failed, ", ")
	}
	return "", ""
}
