package webhook

import (
	"math"
	"net/http"
	"time"
)

// Outcome is what an answer means for the delivery.
type Outcome int

// The three outcomes of an attempt.
const (
	Succeeded Outcome = iota // the receiver has the event
	Retry                    // it may take it later: try again while the schedule lasts
	Gone                     // it asked never to be called again: disable the webhook
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

const (
	// jitterShare is how far a wait moves at most, so that deliveries that failed together do not come back together.
	jitterShare = 0.2

	// maxRetryAfter bounds what a receiver may ask for: a typo in a header must not park a delivery for years.
	maxRetryAfter = 24 * time.Hour
)

// Classify decides what r means under the profile's success rule. 410 is Gone under every profile (Standard
// Webhooks); any other failure is retried, client errors too: a receiver that is half deployed answers 404 or 401 and
// is well a minute later.
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

// NextWait is how long to wait before the next attempt: base moved by jitter (in [-1,1], standing for ±20 %), or what
// the receiver asked for, where that is longer. A receiver's wish is honoured up to 24 h and jitters upwards only,
// since coming back early is what it asked us not to do.
func NextWait(base, retryAfter time.Duration, jitter float64) time.Duration {
	jitter = clampJitter(jitter)
	own := stretch(max(base, 0), jitter)
	asked := min(stretch(min(retryAfter, maxRetryAfter), math.Abs(jitter)), maxRetryAfter)
	return max(own, asked)
}

// NextAttempt is when to make the attempt after number attempt (from 1), which ended without success. wait is the
// schedule's, retryAfter and jitter are as in [NextWait]. Where the schedule counts from the event, the attempt is
// due at its offset from it and without jitter, since events spread by themselves; an offset that has passed, as that
// of a replay or after a pause, gives way to the schedule's wait. What the receiver asked for is honoured in either
// case.
func (p *Profile) NextAttempt(
	occurred, ended time.Time,
	attempt int,
	wait, retryAfter time.Duration,
	jitter float64,
) time.Time {
	slot := occurred.Add(p.Offset(attempt))
	if !p.FromEvent || !slot.After(ended) {
		return ended.Add(NextWait(wait, retryAfter, jitter))
	}
	if asked := ended.Add(NextWait(0, retryAfter, jitter)); asked.After(slot) {
		return asked
	}
	return slot
}

func clampJitter(j float64) float64 {
	if math.IsNaN(j) {
		return 0
	}
	return min(max(j, -1), 1)
}

func stretch(d time.Duration, jitter float64) time.Duration {
	moved := float64(d) * (1 + jitterShare*jitter)
	if moved >= math.MaxInt64 {
		return math.MaxInt64
	}
	return time.Duration(moved)
}
