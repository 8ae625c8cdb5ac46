package inflight

import "time"

// Feedback is what the end of an attempt says about how much the receiver can take.
type Feedback int

// Unclear is an answer such as 404 or 500, which neither adds places nor takes any. Accepted is a success. Overloaded
// is a time-out, a failed connection, 429 or 503.
const (
	Unclear Feedback = iota
	Accepted
	Overloaded
)

// startPlaces is how many attempts an endpoint gets at the same time before its answers have shown what it can take.
const startPlaces = 10

// window is the number of places of an endpoint. It adapts as a TCP congestion window does: one place more for each
// round of accepted attempts while all places are in use, and half as many when the receiver is overloaded.
type window struct {
	places float64
	halved time.Time
}

// learn adapts the window to an attempt that took so long. full: all places were in use while it was made. An attempt
// that began before the window was last halved does not halve it again: one round of time-outs counts once.
func (w *window) learn(f Feedback, full bool, took time.Duration, now time.Time, ceiling int) {
	switch {
	case f == Overloaded && now.Add(-took).After(w.halved):
		w.places, w.halved = max(1, w.places/2), now
	case f == Accepted && full:
		w.places = min(w.places+1/w.places, float64(ceiling))
	}
}
