package webhook

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// ErrUnknownProfile is wrapped for a name that no profile has.
var ErrUnknownProfile = errors.New("unknown webhook profile")

// UserAgent is what a profile sends whose original's User-Agent is not known.
const UserAgent = "Greenroom-Webhooks/1.0"

// Profile is the contract a receiver was written for: all that differs between contracts is a value in it, so that no
// code outside package profiles asks which profile it has. Profiles are shared: callers must not change one.
type Profile struct {
	// Name is stored on the webhook row and never changes.
	Name string

	// Events are the profile's names in its order; a domain type has at most one. See the methods in names.go.
	Events []Event
	// Numbered: how many of the first events have a numeric id, which is their index (0 = the contract has none).
	Numbered int
	// Open: the profile takes every type of the catalogue, and those that companies register, under their own names.
	Open bool
	// Types are event types that the profile brings to the catalogue, beside the domain's.
	Types []Type

	// Schedule holds the waits between attempts: Schedule[i] is the wait after attempt i+1 failed. A delivery has
	// len(Schedule)+1 attempts in all; jitter and Retry-After are added by [Profile.NextAttempt].
	Schedule []time.Duration
	// FromEvent: the schedule counts from the event, not from the attempt before.
	FromEvent bool

	// Timeout is the total deadline of one attempt, from name resolution to the answer's status line.
	Timeout time.Duration

	// Success tells whether an HTTP status means that the receiver accepted the event; SuccessRule says the same in words.
	Success     func(status int) bool
	SuccessRule string

	// UserAgent is sent with every attempt.
	UserAgent string

	// Reserved are header names that a user may not configure, beside those of [ReservedHeader], in any case.
	Reserved []string

	// Signature says in words what proves the sender, beside the Standard Webhooks headers; empty where nothing does.
	Signature string

	// Key is the credential that the deliveries carry and that a test call reveals; nil where there is none.
	Key func(Secrets) string

	// Render returns the exact bytes that are signed and sent on every attempt. The same message gives the same bytes.
	// An event without context is sent with its data byte for byte. It refuses data that is not JSON with ErrInvalidData.
	Render func(Message) ([]byte, error)

	// Sign adds the headers that only this profile has; nil where there are none. The Standard Webhooks headers, which
	// every profile sends, are set before it is called.
	Sign func(h http.Header, m Message, s Secrets, body []byte, at time.Time)
}

// Event is one of a profile's names and the domain types that it stands for.
type Event struct {
	Name  string
	Types []string
}

// Type is an event type: its name, when it happens in one sentence, and the JSON Schema of its data; nil for any data.
type Type struct {
	Name   string
	When   string
	Schema json.RawMessage
	// List and One are set where the contract sends one event for each of several things: upstream may publish all of them
	// as the array List in place of the member One of the data.
	List, One string
}

// ScheduleFor returns the waits of a delivery whose webhook allows maxRetries retries: the profile's own schedule cut
// to that length. A negative maxRetries means the profile's own; more than the profile has does not lengthen it,
// because the schedule is part of the contract. The slice is the caller's.
func (p *Profile) ScheduleFor(maxRetries int) []time.Duration {
	n := len(p.Schedule)
	if maxRetries >= 0 && maxRetries < n {
		n = maxRetries
	}
	return append([]time.Duration{}, p.Schedule[:n]...)
}

// Offset is how long after the event the attempt after that many is due, where the schedule counts from the event.
func (p *Profile) Offset(attempts int) time.Duration {
	var sum time.Duration
	for _, wait := range p.Schedule[:min(attempts, len(p.Schedule))] {
		sum += wait
	}
	return sum
}

// CheckHeader is [CheckHeader] with the profile's own reserved names.
func (p *Profile) CheckHeader(h Header) error {
	if err := CheckHeader(h); err != nil {
		return err
	}
	if slices.ContainsFunc(p.Reserved, func(name string) bool { return sameHeader(name, h.Name) }) {
		return fmt.Errorf("%w: %s", ErrReservedHeader, h.Name)
	}
	return nil
}

// Success2xx is the success rule of every contract that does not say otherwise; Success2xxRule is it in words.
func Success2xx(status int) bool { return status >= 200 && status <= 299 }

// Success2xxRule is [Success2xx] in words.
const Success2xxRule = "any 2xx"
