package webhook

import "net/http"

// Outcome is what an answer means for the delivery.
type Outcome int

// The three outcomes of an attempt.
const (
	Succeeded Outcome = iota // the receiver accepted the event
	Retry                    // the attempt failed: retry while the schedule lasts
	Gone                     // the receiver asked not to be called again: disable the webhook
)

// String returns the outcome's name in lower case.
func (o Outcome) String() string {
	switch o {
	case Succeeded:
		return "succeeded"
	case Retry:
		return "retry"
	case Gone:
		return "gone"
	}
	return "unknown"
}

// Classify returns the outcome of r under the profile's success rule. 410 is Gone under every profile (Standard
// Webhooks). Any other failure is retried, client errors too: a receiver may answer 404 or 401 while it is being
// deployed, and succeed a minute later.
func Classify(p *Profile, r Response) Outcome {
	switch {
	case r.ErrorKind != KindNone:
		return Retry
	case r.StatusCode == http.StatusGone:
		return Gone
	case p.Success(r.StatusCode):
		return Succeeded
	}
	return Retry
}
