package webhook

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// ErrUnknownProfile is wrapped when no profile has the name.
var ErrUnknownProfile = errors.New("unknown webhook profile")

// UserAgent is sent by profiles whose original does not document its User-Agent.
const UserAgent = "Greenroom-Webhooks/1.0"

// Profile is the contract that a receiver was written for. It holds everything that differs between contracts, so that
// no code outside package profiles checks which profile it has. Profiles are shared: callers must not change them.
type Profile struct {
	// Name is stored on the webhook row and never changes.
	Name string

	// Events are the profile's event names in the contract's order. A domain type has at most one name. names.go has the
	// lookups.
	Events []Event
	// Numbered is the number of leading Events that have a numeric id, which is their index; 0 if the contract has none.
	Numbered int
	// Open means that the profile accepts every type of the catalogue, and those that companies register, under their
	// own names.
	Open bool
	// Types are event types that the profile adds to the domain's in the catalogue.
	Types []Type

	// Schedule holds the waits between attempts: Schedule[i] is the wait after attempt i+1 failed. A delivery has
	// len(Schedule)+1 attempts; [Profile.NextAttempt] adds jitter and Retry-After.
	Schedule []time.Duration
	// FromEvent means that the schedule counts from the event, not from the previous attempt.
	FromEvent bool

	// Timeout is the total deadline of one attempt, from name resolution to the answer's status line.
	Timeout time.Duration

	// ManualRecovery means that by the contract only a reset closes an open circuit, unless the operator or the webhook
	// says otherwise.
	ManualRecovery bool

	// Success reports whether an HTTP status means that the receiver accepted the event; SuccessRule describes it.
	Success     func(status int) bool
	SuccessRule string

	// UserAgent is sent with every attempt.
	UserAgent string

	// Reserved are header names that a user may not configure, in addition to [ReservedHeader]; case does not matter.
	Reserved []string

	// Signature describes what proves the sender in addition to the Standard Webhooks headers; empty for none.
	Signature string

	// KeyHeader is the header, in net/http's canonical form, that carries [Request.Key], a key which a test call reveals;
	// empty for a profile without one.
	KeyHeader string

	// ByOperator means that by the contract the operator registers webhooks, for one company each, and no company its own.
	ByOperator bool

	// SampleTest means that by the contract a test sends the sample of the webhook's first event, not a ping.
	SampleTest bool

	// Render returns the exact bytes that are signed and sent on every attempt. The same message gives the same bytes.
	// Without a Context it passes Data on byte for byte. Data that is not JSON is refused with ErrInvalidData.
	Render func(Message) ([]byte, error)

	// Sign adds the profile's own headers; nil for none. The Standard Webhooks headers, which every profile sends, are
	// already set.
	Sign func(h http.Header, m Message, s Secrets, body []byte, at time.Time)
}

// Event is one of a profile's event names with its domain types.
type Event struct {
	Name  string
	Types []string
}

// Type is an event type of the catalogue.
type Type struct {
	Name   string
	When   string          // when it happens, in one sentence
	Schema json.RawMessage // JSON Schema of its data; nil accepts any data
	// List and One are set if the contract sends one event for each of several items. A publisher may then send all of
	// them at once, as the array List in place of the member One of the data.
	List, One string
}

// ScheduleFor returns the waits of a delivery whose webhook allows maxRetries retries: the profile's schedule cut to
// that length. A negative maxRetries means all of it. More than the profile has does not lengthen it, because the
// schedule is part of the contract. The caller may change the slice.
func (p *Profile) ScheduleFor(maxRetries int) []time.Duration {
	n := len(p.Schedule)
	if maxRetries >= 0 {
		n = min(n, maxRetries)
	}
	return append([]time.Duration{}, p.Schedule[:n]...)
}

// Offset returns the time from the event to the attempt that follows the given number of attempts, for a schedule that
// counts from the event.
func (p *Profile) Offset(attempts int) time.Duration {
	var sum time.Duration
	for _, wait := range p.Schedule[:min(attempts, len(p.Schedule))] {
		sum += wait
	}
	return sum
}

// CheckHeader is [CheckHeader] that also refuses the profile's Reserved names.
func (p *Profile) CheckHeader(h Header) error {
	if err := CheckHeader(h); err != nil {
		return err
	}
	if slices.ContainsFunc(p.Reserved, func(name string) bool { return sameHeader(name, h.Name) }) {
		return fmt.Errorf("%w: %s", ErrReservedHeader, h.Name)
	}
	return nil
}

// Success2xx is the success rule of contracts that do not document another.
func Success2xx(status int) bool { return status >= 200 && status <= 299 }

// Success2xxRule describes [Success2xx].
const Success2xxRule = "any 2xx"
