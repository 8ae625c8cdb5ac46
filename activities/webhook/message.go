package webhook

import (
	"encoding/json"
	"errors"
	"time"

	"greenroom/db/catalog"
)

// ErrInvalidData is wrapped by Profile.Render when Message.Data is not one JSON value.
var ErrInvalidData = errors.New("event data is not valid JSON")

// Message is the input of Profile.Render: one delivery and its event.
type Message struct {
	DeliveryID string          // UUID; also the webhook-id header, the same on each attempt and replay
	EventID    string          // UUID
	EventType  string          // domain type, e.g. "interview.completed"
	EventName  string          // the profile's name for it
	CompanyID  string          // UUID
	OccurredAt time.Time       // when the event happened; sent in UTC with milliseconds
	Data       json.RawMessage // the event's data; empty means {}
	Endpoint   string          // the webhook's URL, for profiles that repeat it in the body
	Subject    string          // what the event is about; "" for none
	Sequence   int64           // grows from each event of a subject to the next; 0 without a subject

	// Context holds the rows that the event is about; nil for a published event, whose Data is all that is known.
	Context *catalog.Context
	// BaseURL is the API's public address without a trailing slash, for profiles whose bodies have links.
	BaseURL string
}

// Header is a custom header of a webhook, configured by a user.
type Header struct{ Name, Value string }
