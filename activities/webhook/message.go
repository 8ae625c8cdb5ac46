package webhook

import (
	"encoding/json"
	"errors"
	"fmt"
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

// dataOf returns the message's data after checking that the envelope around it will be valid JSON.
func dataOf(m Message) (json.RawMessage, error) {
	if len(m.Data) == 0 {
		return json.RawMessage(`{}`), nil
	}
	if !json.Valid(m.Data) {
		return nil, fmt.Errorf("%w (event %s)", ErrInvalidData, m.EventID)
	}
	return m.Data, nil
}

// appendString appends s as a JSON string. Names and ids need no escape, so they skip the encoder.
func appendString(b []byte, s string) []byte {
	if plain(s) {
		b = append(b, '"')
		b = append(b, s...)
		return append(b, '"')
	}
	quoted, _ := json.Marshal(s) // a string always encodes; invalid UTF-8 becomes U+FFFD
	return append(b, quoted...)
}

func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// appendTime appends t as every contract here wants it: ISO 8601, UTC, exactly three digits of fraction, "Z".
func appendTime(b []byte, t time.Time) []byte {
	return t.UTC().AppendFormat(b, `"2006-01-02T15:04:05.000Z"`)
}
