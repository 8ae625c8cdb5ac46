package surface

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"greenroom/activities/webhook"
	"greenroom/activities/webhook/profiles"
	"greenroom/db"
	"greenroom/db/delivery"
)

// EventRefs are events as a client names them: numeric ids, labels or upper-case names, in any mix (reference §3.2).
type EventRefs []json.RawMessage

// UnmarshalJSON accepts any array; Resolve refuses items that are not events.
func (r *EventRefs) UnmarshalJSON(raw []byte) error {
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		return Invalid("events", "events must be an array of event types")
	}
	*r = items
	return nil
}

// maxEchoed limits what an error repeats from a request.
const maxEchoed = 20

// Resolve returns the domain event types in the order of the references, without duplicates. One name of a profile may
// stand for several types. An open profile also accepts the custom types given.
func (r EventRefs) Resolve(profile string, custom ...string) ([]string, error) {
	p, err := ProfileOf(profile)
	if err != nil {
		return nil, err
	}
	types := []string{}
	var bad []json.RawMessage
	for _, ref := range r {
		found, err := eventTypes(p, ref)
		if name, is := text(ref); err != nil && is && p.Open && slices.Contains(custom, name) {
			found, err = []string{name}, nil
		}
		if err != nil && len(bad) < maxEchoed {
			bad = append(bad, ref)
		}
		for _, t := range found {
			if !slices.Contains(types, t) {
				types = append(types, t)
			}
		}
	}
	if len(bad) > 0 {
		e := Invalid("events", "Invalid event type")
		allowed := AllowedEvents(p)
		if slices.ContainsFunc(bad, isText) {
			allowed = p.Names()
		}
		e.Details = Details{"field": "events", "provided": bad, "allowed": allowed}
		return nil, e
	}
	return types, nil
}

// isText reports whether an event is given by name: the error then lists names, otherwise the profile's numbers.
func isText(ref json.RawMessage) bool {
	_, is := text(ref)
	return is
}

// ResolveFor is Resolve with the custom types that the company has registered (nil: none) and those that the webhook
// already has.
func (s *Core) ResolveFor(
	ctx context.Context,
	r EventRefs,
	profile string,
	company *uuid.UUID,
	had ...string,
) ([]string, error) {
	p, err := ProfileOf(profile)
	if err != nil {
		return nil, err
	}
	var custom []string
	if p.Open && company != nil {
		if custom, err = s.registered(ctx, r.unknown(p), *company); err != nil {
			return nil, err
		}
	}
	return r.Resolve(profile, append(custom, had...)...)
}

// unknown returns the names that the profile does not have.
func (r EventRefs) unknown(p *webhook.Profile) (names []string) {
	for _, ref := range r {
		if name, is := text(ref); is && !slices.Contains(names, name) {
			if _, err := p.ByName(name); err != nil {
				names = append(names, name)
			}
		}
	}
	return names
}

// registered returns those names that are custom types of the company.
func (s *Core) registered(ctx context.Context, names []string, company uuid.UUID) ([]string, error) {
	if len(names) == 0 {
		return nil, nil
	}
	keys := make([]db.EventTypeKey, len(names))
	for i, name := range names {
		keys[i] = db.EventTypeKey{CompanyID: company, Name: name}
	}
	found, err := db.EventTypeSchemas(ctx, s.DB, keys)
	return slices.DeleteFunc(names, func(name string) bool {
		_, is := found[db.EventTypeKey{CompanyID: company, Name: name}]
		return !is
	}), err
}

// text returns a reference that is a string; otherwise it is a number.
func text(ref json.RawMessage) (name string, is bool) {
	is = json.Unmarshal(ref, &name) == nil && string(ref) != "null"
	return name, is
}

func eventTypes(p *webhook.Profile, ref json.RawMessage) ([]string, error) {
	if name, is := text(ref); is {
		return p.ByName(name)
	}
	id, err := strconv.Atoi(string(ref))
	if err != nil {
		return nil, fmt.Errorf("%w: %s", webhook.ErrUnknownEvent, ref)
	}
	return p.ByNumber(id)
}

// AllowedEvents returns the numeric ids if the profile has them (reference §1.12), otherwise its names.
func AllowedEvents(p *webhook.Profile) any {
	if p.Numbered > 0 {
		return p.Numbers()
	}
	return p.Names()
}

// EventNames returns the profile's names of domain event types, without duplicates; the types themselves if this
// version does not have the profile.
func EventNames(profile string, types []string) []string {
	p, err := profiles.ByName(profile)
	if err != nil {
		return slices.Clone(types)
	}
	return p.NamesOf(types)
}

// Header is a custom header of a webhook in a body.
type Header struct {
	Name  string `json:"name" validate:"required,max=255"`
	Value string `json:"value" validate:"required,max=4096"`
}

// masked are the headers that the reference shows as masked (§1.6), in lower case.
var masked = []string{"authorization", "x-api-key", "x-secret", "api-key"}

// IsMasked reports whether a header is shown as masked. All values are sealed and none is shown: any may be a
// credential.
func IsMasked(name string) bool { return slices.Contains(masked, strings.ToLower(name)) }

// SealHeaders checks custom headers, also against the headers reserved by the profile, and seals their values for that
// webhook.
func (s *Core) SealHeaders(p *webhook.Profile, id uuid.UUID, in []Header) ([]delivery.WebhookHeader, error) {
	out := make([]delivery.WebhookHeader, 0, len(in))
	seen := map[string]bool{}
	for i, h := range in {
		at := fmt.Sprintf("headers[%d]", i)
		name := strings.ToLower(h.Name)
		if seen[name] {
			return nil, Invalid(at+".name", at+".name is there twice (header names ignore case)")
		}
		seen[name] = true
		if err := checkHeader(p, at, h); err != nil {
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

func checkHeader(p *webhook.Profile, at string, h Header) error {
	err := p.CheckHeader(webhook.Header{Name: h.Name, Value: h.Value})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, webhook.ErrReservedHeader):
		return Invalid(at+".name", at+".name is reserved: "+h.Name)
	case webhook.CheckHeader(webhook.Header{Name: h.Name, Value: "x"}) != nil:
		return Invalid(at+".name", at+".name must be a valid HTTP header name")
	}
	if strings.TrimSpace(h.Value) == "" {
		return Invalid(at+".value", at+".value must not be empty")
	}
	return Invalid(
		at+".value",
		at+".value must be a valid HTTP header value, without white space around it, line breaks and control characters",
	)
}

func (s *Core) sealHeader(id uuid.UUID, h Header) (delivery.WebhookHeader, error) {
	sealed, err := s.Box.Seal([]byte(h.Value), id, delivery.HeaderField(h.Name))
	return delivery.WebhookHeader{Name: h.Name, Sealed: sealed}, err
}
