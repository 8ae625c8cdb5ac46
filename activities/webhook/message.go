package webhook

import (
	"encoding/json"
	"errors"
	"time"

	"greenroom/db/catalog"
)

// ErrInvalidData is wrapped by Profile.Render when Message.Data is not one JSON value.
var ErrInvalidData = errors.New("event data is not valid JSON")

// Message is one delivery as the renderers need it.
type Message struct {
	DeliveryID string          // UUID; also the webhook-id header, the same on each attempt and replay
	EventID    string          // UUID of the event that the delivery carries
	EventType  string          // domain type, e.g. "interview.completed"
	EventName  string          // the name the profile uses for it
	CompanyID  string          // UUID
	OccurredAt time.Time       // when the event happened; sent in UTC with milliseconds
	Data       json.RawMessage // the event's data; empty means {}
	Endpoint   string          // the URL called, for the profiles that repeat it in the body

	// Context is what the event was about; nil for one that was published and not made here.
	Context *catalog.Context
	// BaseURL is the API's public address without a slash at its end, for the profiles whose bodies have links.
	BaseURL string
}

// Header is one header a user configured on a webhook.
type Header struct{ Name, Value string }
