package surface

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"greenroom/activities/webhook"
	"greenroom/db"
	"greenroom/db/catalog"
)

// EventRefs are events as a client names them: numeric ids, labels or upper-case names, in any mix (reference §3.2).
type EventRefs []json.RawMessage

// UnmarshalJSON takes any array; resolve says which of its items are no events.
func (r *EventRefs) UnmarshalJSON(raw []byte) error {
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		return Invalid("events", "events must be an array of event types")
	}
	*r = items
	return nil
}

// maxEchoed bounds what an error answer repeats of a request.
const maxEchoed = 20

// Resolve returns the domain event types, duplicates collapsed, in the order in which they were named.
func (r EventRefs) Resolve(profile string) ([]string, error) {
	names, err := catalog.ForProfile(profile)
	if err != nil {
		return nil, err
	}
	types := []string{}
	var bad []json.RawMessage
	for _, ref := range r {
		t, err := eventType(names, ref)
		switch {
		case err != nil && len(bad) < maxEchoed:
			bad = append(bad, ref)
		case err == nil && !slices.Contains(types, t):
			types = append(types, t)
		}
	}
	if len(bad) > 0 {
		e := Invalid("events", "Invalid event type")
		e.Details = Details{"field": "events", "provided": bad, "allowed": AllowedEvents(names)}
		return nil, e
	}
	return types, nil
}

func eventType(names catalog.Names, ref json.RawMessage) (string, error) {
	var name string
	if json.Unmarshal(ref, &name) == nil && string(ref) != "null" {
		return names.ByName(name)
	}
	id, err := strconv.Atoi(string(ref))
	if err != nil {
		return "", fmt.Errorf("event %s: %w", ref, catalog.ErrUnknown)
	}
	return names.ByNumber(id)
}

// AllowedEvents are the numeric ids where the profile has them (reference §1.12), else its names.
func AllowedEvents(names catalog.Names) any {
	if names.Numbered > 0 {
		return names.Numbers()
	}
	labels := make([]string, len(names.Labels))
	for i, l := range names.Labels {
		labels[i] = l.Name
	}
	return labels
}

// EventNames are the profile's labels of domain event types.
func EventNames(profile string, types []string) []string {
	names, err := catalog.ForProfile(profile)
	out := slices.Clone(types)
	if err != nil {
		return out
	}
	for i, t := range out {
		out[i] = names.Name(t)
	}
	return out
}

// Header is a custom header of a webhook, as a body has it.
type Header struct {
	Name  string `json:"name" validate:"required,max=255"`
	Value string `json:"value" validate:"required,max=4096"`
}

// masked are the headers whose values are sealed (reference §1.6). Header names ignore case, and so does this.
var masked = []string{"authorization", "x-api-key", "x-secret", "api-key"}

// SealHeaders checks custom headers and seals the values of masked ones for that webhook.
func (s *Core) SealHeaders(id uuid.UUID, in []Header) ([]db.WebhookHeader, error) {
	out := make([]db.WebhookHeader, 0, len(in))
	seen := map[string]bool{}
	for i, h := range in {
		at := fmt.Sprintf("headers[%d]", i)
		name := strings.ToLower(h.Name)
		if seen[name] {
			return nil, Invalid(at+".name", at+".name is there twice (header names ignore case)")
		}
		seen[name] = true
		if err := checkHeader(at, h); err != nil {
			return nil, err
		}
		row, err := s.sealHeader(id, h)
		if err != nil {
			return nil, err
		}
		out = append(out, row)
	}
	return out, nil
}

func checkHeader(at string, h Header) error {
	err := webhook.CheckHeader(webhook.Header{Name: h.Name, Value: h.Value})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, webhook.ErrReservedHeader):
		return Invalid(at+".name", at+".name is reserved: "+h.Name)
	case webhook.CheckHeader(webhook.Header{Name: h.Name, Value: "x"}) != nil:
		return Invalid(at+".name", at+".name must be a valid HTTP header name")
	}
	return Invalid(at+".value", at+".value must be a valid HTTP header value, without line breaks and control characters")
}

func (s *Core) sealHeader(id uuid.UUID, h Header) (db.WebhookHeader, error) {
	if !slices.Contains(masked, strings.ToLower(h.Name)) {
		return db.WebhookHeader{Name: h.Name, Value: h.Value}, nil
	}
	sealed, err := s.Box.Seal([]byte(h.Value), id, db.HeaderField(h.Name))
	return db.WebhookHeader{Name: h.Name, Sealed: sealed}, err
}
