package profiles

import (
	"encoding/json"
	"fmt"
	"slices"

	"greenroom/activities/webhook"
	"greenroom/db/catalog"
)

// all lists the contracts in the order in which they are shown; the first is the default of the webhooks API.
var all = complete(&instaview, &standard, &wiseway, &interviewSuite, &aiInterviews, &wise)

// Default is the profile of a webhook that is created without one; Standard is meant for new receivers.
const (
	Default  = "instaview"
	Standard = "standard"
)

// All lists the profiles.
func All() []*webhook.Profile { return slices.Clone(all) }

// Names lists the profiles' names; the first is the default of the webhooks API.
func Names() []string {
	names := make([]string, len(all))
	for i, p := range all {
		names[i] = p.Name
	}
	return names
}

// ByName returns the profile of that name, or an error that wraps [webhook.ErrUnknownProfile].
func ByName(name string) (*webhook.Profile, error) {
	for _, p := range all {
		if p.Name == name {
			return p, nil
		}
	}
	return nil, fmt.Errorf("%w: %q", webhook.ErrUnknownProfile, name)
}

// types is the catalogue, as Types returns it; byName indexes it.
var (
	types  = catalogue(all)
	byName = named(types)
)

func named(list []webhook.Type) map[string]webhook.Type {
	m := make(map[string]webhook.Type, len(list))
	for _, t := range list {
		m[t.Name] = t
	}
	return m
}

// Types lists the catalogue: the domain's event types, then the profiles' own.
func Types() []webhook.Type { return slices.Clone(types) }

// Known reports whether the type is in the catalogue.
func Known(name string) bool {
	_, known := byName[name]
	return known
}

// TypeOf returns the catalogue's type of that name, or the zero Type.
func TypeOf(name string) webhook.Type { return byName[name] }

// Publishable reports whether POST /events accepts the type: all of the catalogue except ping and those about
// deliveries.
func Publishable(name string) bool {
	return Known(name) && name != catalog.Ping && !catalog.IsOperational(name)
}

// SchemaOf returns the JSON Schema (2020-12) that a published event's data must match; nil for a type that accepts any
// data.
func SchemaOf(name string) json.RawMessage { return byName[name].Schema }

// complete gives open profiles every type of the catalogue under its own name.
func complete(list ...*webhook.Profile) []*webhook.Profile {
	for _, p := range list {
		if !p.Open {
			continue
		}
		for _, t := range catalogue(list) {
			p.Events = append(p.Events, same(t.Name)...)
		}
	}
	return list
}

func catalogue(list []*webhook.Profile) []webhook.Type {
	var all []webhook.Type
	for _, t := range catalog.Types() {
		all = append(all, webhook.Type{Name: t.Name, When: t.When})
	}
	for _, p := range list {
		all = append(all, p.Types...)
	}
	return all
}

// same returns events with the domain's names.
func same(names ...string) []webhook.Event {
	events := make([]webhook.Event, len(names))
	for i, n := range names {
		events[i] = event(n, n)
	}
	return events
}

func event(name string, types ...string) webhook.Event {
	return webhook.Event{Name: name, Types: types}
}
