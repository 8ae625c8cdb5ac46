package webhook

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// ErrUnknownEvent is wrapped when a profile has no event of that name or number.
var ErrUnknownEvent = errors.New("unknown event")

// ByNumber returns the domain types of a numeric event id.
func (p *Profile) ByNumber(id int) ([]string, error) {
	if id < 0 || id >= p.Numbered {
		return nil, fmt.Errorf("%w: %d", ErrUnknownEvent, id)
	}
	return slices.Clone(p.Events[id].Types), nil
}

// wildcards are names that stand for all types with a first word, also those that are registered later.
var wildcards = regexp.MustCompile(`^[a-z][a-z0-9_]*\.\*$`)

// IsWildcard reports whether a name stands for all types with its first word: interview.*.
func IsWildcard(name string) bool { return wildcards.MatchString(name) }

// Covers reports whether a name in a webhook's events, which may be a wildcard, stands for an event type.
func Covers(name, eventType string) bool {
	word, _, _ := strings.Cut(eventType, ".")
	return name == eventType || name == word+".*"
}

// ByName returns the domain types of an event name (interview.started) or of its upper-case form (INTERVIEW_STARTED).
// For an open profile it finds the catalogue's types; the caller looks up the types that a company registered. An open
// profile also has wildcards, which stay as they are: see IsWildcard.
func (p *Profile) ByName(name string) ([]string, error) {
	for _, e := range p.Events {
		if e.Name == name || Upper(e.Name) == name {
			return slices.Clone(e.Types), nil
		}
	}
	if p.Open && IsWildcard(name) {
		return []string{name}, nil
	}
	return nil, fmt.Errorf("%w: %q", ErrUnknownEvent, name)
}

// NameOf returns the profile's name for a domain type, or the type itself if the profile has no name for it.
func (p *Profile) NameOf(domainType string) string {
	for _, e := range p.Events {
		if slices.Contains(e.Types, domainType) {
			return e.Name
		}
	}
	return domainType
}

// NamesOf returns the profile's names for domain types, in their order, without duplicates.
func (p *Profile) NamesOf(domainTypes []string) []string {
	names := make([]string, 0, len(domainTypes))
	for _, t := range domainTypes {
		if name := p.NameOf(t); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// Takes reports whether the profile has a name for the domain type.
func (p *Profile) Takes(domainType string) bool {
	return slices.ContainsFunc(p.Events, func(e Event) bool { return slices.Contains(e.Types, domainType) })
}

// Names lists the profile's event names in its order.
func (p *Profile) Names() []string {
	names := make([]string, len(p.Events))
	for i, e := range p.Events {
		names[i] = e.Name
	}
	return names
}

// Numbers lists the numeric event ids, for error answers.
func (p *Profile) Numbers() []int {
	ids := make([]int, p.Numbered)
	for i := range ids {
		ids[i] = i
	}
	return ids
}

// Upper returns the upper-case form of an event name. It is accepted wherever the name is.
func Upper(name string) string { return strings.ToUpper(strings.ReplaceAll(name, ".", "_")) }
