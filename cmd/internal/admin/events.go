package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/google/uuid"

	"greenroom/api/client"
	"greenroom/api/surface"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// EventQuery filters a list of events. A zero field does not filter.
type EventQuery struct {
	Company      string // name or id
	Type         string
	Since, Until time.Time
	Cursor       uuid.UUID // the last id of the list before
	Limit        int64
}

// Event is the output for an event.
type Event struct {
	ID         uuid.UUID  `json:"id"`
	Type       string     `json:"type"`
	CompanyID  *uuid.UUID `json:"companyId"`
	OccurredAt time.Time  `json:"occurredAt"`
}

func showEvent(e *delivery.Event) Event {
	return Event{ID: e.ID, Type: e.Type, CompanyID: e.CompanyID, OccurredAt: e.OccurredAt}
}

// EventDetail is an event with its data. The data may be about candidates, so only the JSON output has it.
type EventDetail struct {
	Event
	Data json.RawMessage `json:"data"`
}

// ListEvents returns events, newest first.
func (a *Admin) ListEvents(ctx context.Context, q EventQuery) ([]Event, error) {
	if err := checkLimit(q.Limit); err != nil {
		return nil, err
	}
	company, err := a.companyID(ctx, q.Company)
	if err != nil {
		return nil, err
	}
	if a.api != nil {
		return a.remoteEvents(ctx, q, company)
	}
	newest := delivery.NewestQuery{
		Company: company, Since: q.Since, Until: q.Until, Before: q.Cursor, Limit: int(q.Limit),
	}
	if q.Type != "" {
		newest.Types = []string{q.Type}
	}
	found, err := delivery.ListNewest(ctx, a.DB, newest)
	if err != nil {
		return nil, describeMissing(err, "event", q.Cursor)
	}
	return surface.Mapped(found, showEvent), nil
}

// remoteEvents is ListEvents through the API.
func (a *Admin) remoteEvents(ctx context.Context, q EventQuery, company *uuid.UUID) ([]Event, error) {
	params := client.ListNewestEventsParams{
		CompanyID: idText(company), Types: given(q.Type), Since: given(q.Since), Until: given(q.Until),
	}
	list, err := listed[Event](ctx, q.Limit, place{cursor: after(q.Cursor)}, nil, func(at place) (*http.Response, error) {
		params.Cursor, params.Limit = at.cursor, &at.size
		return a.api.ListNewestEvents(ctx, &params)
	})
	if r, is := errors.AsType[*refusal](err); is && r.status == http.StatusNotFound {
		err = fmt.Errorf("the API is of an earlier version, which does not list events: %w", err)
	}
	return list, err
}

// GetEvent returns an event.
func (a *Admin) GetEvent(ctx context.Context, id uuid.UUID) (EventDetail, error) {
	if a.api != nil {
		return answered[EventDetail](a.api.GetEvent(ctx, id.String()))
	}
	e, err := delivery.GetEvent(ctx, a.DB, pg.Scope{}, id)
	if err != nil {
		return EventDetail{}, describeMissing(err, "event", id)
	}
	return EventDetail{Event: showEvent(e), Data: e.Data}, nil
}

// Events prints a list of events.
func (p Printer) Events(list []Event) error {
	return p.Value(list, func(out io.Writer) {
		row(out, "ID", "TYPE", "OCCURRED", "COMPANY")
		for _, e := range list {
			row(out, e.ID, e.Type, e.OccurredAt, companyText(e.CompanyID))
		}
	})
}

// EventDetail prints an event.
func (p Printer) EventDetail(e EventDetail) error {
	return p.Value(e, func(out io.Writer) {
		row(out, "event", e.ID)
		row(out, "type", e.Type)
		row(out, "company", companyText(e.CompanyID))
		row(out, "occurred", e.OccurredAt)
		row(out, "data", fmt.Sprintf("%d bytes; --json shows them", len(e.Data)))
	})
}
