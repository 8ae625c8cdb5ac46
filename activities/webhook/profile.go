package webhook

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// ErrUnknownProfile is wrapped by [ProfileByName] for a name that no profile has.
var ErrUnknownProfile = errors.New("unknown webhook profile")

// userAgent is what a profile sends whose original's User-Agent is not known.
const userAgent = "Greenroom-Webhooks/1.0"

// Profile is the contract a receiver was written for. Profiles are shared: callers must not change one.
type Profile struct {
	// Name is stored on the webhook row and never changes.
	Name string

	// Schedule holds the waits between attempts: Schedule[i] is the wait after attempt i+1 failed. A delivery has
	// len(Schedule)+1 attempts in all; jitter and Retry-After are added by [NextWait].
	Schedule []time.Duration

	// Timeout is the total deadline of one attempt, from name resolution to the answer's status line.
	Timeout time.Duration

	// Success tells whether an HTTP status means that the receiver accepted the event.
	Success func(status int) bool

	// UserAgent is sent with every attempt.
	UserAgent string

	// Render returns the exact bytes that are signed and sent on every attempt. The same message gives the same bytes,
	// and Message.Data is passed byte for byte. It refuses data that is not JSON with ErrInvalidData.
	Render func(Message) ([]byte, error)

	// Sign adds the headers that only this profile has; nil where there are none. The Standard Webhooks headers, which
	// every profile sends, are set before it is called.
	Sign func(h http.Header, m Message, s Secrets, body []byte, at time.Time)
}

// profiles lists every contract in the order in which it is shown.
var profiles = []*Profile{&instaview, &standard}

// ProfileByName returns the profile of that name, or an error that wraps ErrUnknownProfile.
func ProfileByName(name string) (*Profile, error) {
	for _, p := range profiles {
		if p.Name == name {
			return p, nil
		}
	}
	return nil, fmt.Errorf("%w: %q", ErrUnknownProfile, name)
}

// ProfileNames returns the names of all profiles; the first is the default of the webhooks API.
func ProfileNames() []string {
	names := make([]string, len(profiles))
	for i, p := range profiles {
		names[i] = p.Name
	}
	return names
}

// ScheduleFor returns the waits of a delivery whose webhook allows maxRetries retries: the profile's own schedule cut to that
// length. A negative maxRetries means the profile's own; more than the profile has does not lengthen it, because the
// schedule is part of the contract. The slice is the caller's.
func (p *Profile) ScheduleFor(maxRetries int) []time.Duration {
	n := len(p.Schedule)
	if maxRetries >= 0 && maxRetries < n {
		n = maxRetries
	}
	return append([]time.Duration{}, p.Schedule[:n]...)
}

// success2xx is the success rule of every contract here but those that say otherwise.
func success2xx(status int) bool { return status >= 200 && status <= 299 }
