package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"

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
	found, err := delivery.ListEvents(ctx, a.DB, delivery.EventFilter{
		Company: company, Type: q.Type, Since: q.Since, Until: q.Until, Before: q.Cursor, Limit: q.Limit,
	})
	if err != nil {
		return nil, err
	}
	shown := make([]Event, len(found))
	for i := range found {
		shown[i] = showEvent(&found[i])
	}
	return shown, nil
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
