package webhook

import (
	"math"
	"time"
)

const (
	// jitterShare bounds the jitter, as a share of the wait. It spreads the retries of deliveries that failed together.
	jitterShare = 0.2

	// maxRetryAfter bounds Retry-After: a receiver's mistake must not delay a delivery for years.
	maxRetryAfter = 24 * time.Hour
)

// NextWait returns the wait before the next attempt: the longer of base and retryAfter, each with jitter. A jitter of
// -1 to 1 stands for -20 % to +20 %; values outside are clamped. retryAfter counts up to 24 h, and its jitter only
// lengthens it, so an attempt never comes before the time that the receiver asked for.
func NextWait(base, retryAfter time.Duration, jitter float64) time.Duration {
	jitter = clampJitter(jitter)
	scheduled := stretch(max(base, 0), jitter)
	requested := min(stretch(min(retryAfter, maxRetryAfter), math.Abs(jitter)), maxRetryAfter)
	return max(scheduled, requested)
}

// NextAttempt returns the time of the attempt that follows attempt (numbered from 1), which failed at ended. wait is
// the schedule's wait; retryAfter and jitter are as in [NextWait]. If the schedule counts from the event, the attempt
// is due at its offset from the event, without jitter, because events are spread already. If that time has passed, as
// for a replay or after a pause, the schedule's wait applies. retryAfter applies in both cases.
func (p *Profile) NextAttempt(
	occurred, ended time.Time,
	attempt int,
	wait, retryAfter time.Duration,
	jitter float64,
) time.Time {
	due := occurred.Add(p.Offset(attempt))
	if !p.FromEvent || !due.After(ended) {
		return ended.Add(NextWait(wait, retryAfter, jitter))
	}
	if requested := ended.Add(NextWait(0, retryAfter, jitter)); requested.After(due) {
		return requested
	}
	return due
}

func clampJitter(j float64) float64 {
	if math.IsNaN(j) {
		return 0
	}
	return min(max(j, -1), 1)
}

func stretch(d time.Duration, jitter float64) time.Duration {
	stretched := float64(d) * (1 + jitterShare*jitter)
	if stretched >= math.MaxInt64 {
		return math.MaxInt64
	}
	return time.Duration(stretched)
}
