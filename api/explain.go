package api

import (
	"fmt"
	"time"

	"greenroom/activities/webhook/profiles"
	"greenroom/api/surface"
	"greenroom/db/delivery"
)

// Explanation says in words why a delivery is in its state and what happens next; NextAt is set if that has a time.
type Explanation struct {
	State  delivery.Status    `json:"state"`
	Why    string             `json:"why"`
	Next   string             `json:"next"`
	NextAt *surface.Timestamp `json:"nextAt"`
}

// Explain is a pure function of the delivery, its attempts (oldest first), its webhook (nil if deleted) and what it
// waits for in a line (nil if nothing).
func Explain(
	d *delivery.Delivery, attempts []delivery.Attempt, w *delivery.Webhook, line *delivery.Line,
) Explanation {
	e := Explanation{State: d.Status}
	last := lastOf(d, attempts)
	switch d.Status {
	case delivery.Pending:
		e.Why, e.Next = explainPending(d)
		if line != nil {
			e.Why, e.Next = explainLine(line)
		}
	case delivery.Retrying:
		e.Why, e.Next, e.NextAt = explainRetrying(d, last)
	case delivery.Paused:
		e.Why, e.Next = explainPaused(w)
	case delivery.Succeeded:
		e.Why, e.Next = "the receiver accepted it: "+answer(d), "nothing; "+again(d, w)
	case delivery.Failed:
		e.Why, e.Next = explainFailed(d, attempts, last), again(d, w)
		if line != nil {
			e.Why += "; it blocks the later events of " + line.Subject
			e.Next += ", or cancel it with POST /deliveries/" + d.ID.String() + "/cancel"
		}
	case delivery.Canceled:
		e.Why, e.Next = "its webhook was deleted", "nothing"
		switch {
		case d.ErasedAt != nil:
			e.Why = erased
		case w != nil:
			e.Why, e.Next = "it was canceled", again(d, w)
		}
	}
	return e
}

// lastOf returns the last attempt of the delivery's current generation, or nil.
func lastOf(d *delivery.Delivery, attempts []delivery.Attempt) *delivery.Attempt {
	for i := len(attempts) - 1; i >= 0; i-- {
		if attempts[i].Generation == d.Generation {
			return &attempts[i]
		}
	}
	return nil
}

func explainPending(d *delivery.Delivery) (why, next string) {
	why = "waiting for a worker to claim it"
	if d.Generation > 0 {
		why = "it is sent again on request and waits for a worker to claim it"
	}
	return why, "attempt 1, as soon as a worker claims it"
}

func explainLine(l *delivery.Line) (why, next string) {
	switch {
	case l.HeldSince != nil:
		return "it waits for its turn among the events of " + l.Subject + ": a transaction in PostgreSQL that began at " +
				stamp(*l.HeldSince) + " has stored or changed events, and may store an earlier one",
			"attempt 1, after that transaction has ended: greenroom doctor names it"
	case l.Behind == nil:
		return "it waits for its turn among the events of " + l.Subject, "attempt 1, when its turn comes"
	case l.Blocked:
		head := "/deliveries/" + l.Behind.String()
		return "delivery " + l.Behind.String() + " failed and blocks the later events of " + l.Subject,
			"it is sent after that one was replayed with POST " + head + "/retry or canceled with POST " + head + "/cancel"
	}
	return "delivery " + l.Behind.String() + " of an earlier event of " + l.Subject + " has not ended",
		"attempt 1, after that one has ended"
}

func explainRetrying(d *delivery.Delivery, last *delivery.Attempt) (why, next string, at *surface.Timestamp) {
	at = surface.Maybe(d.NextAttemptAt)
	if last == nil {
		return "its webhook accepts deliveries again", "attempt 1, as soon as a worker claims it", at
	}
	why = fmt.Sprintf("attempt %d failed: %s", last.Attempt, reason(last))
	next = fmt.Sprintf("attempt %d", last.Attempt+1)
	if at != nil {
		next += " at " + at.String()
	}
	return why, next, at
}

func explainPaused(w *delivery.Webhook) (why, next string) {
	switch {
	case w == nil:
		return "its webhook was deleted", "nothing; it is about to be canceled"
	case w.CircuitOpenedAt != nil:
		why = "the circuit of this webhook has been open since " + stamp(*w.CircuitOpenedAt)
		if w.ConsecutiveFailures > 0 {
			why += fmt.Sprintf(", after %d failed attempts in a row", w.ConsecutiveFailures)
		}
		next = "it continues after a reset: POST /webhooks/" + w.ID.String() + "/reset-circuit"
		const trial = "one delivery is tried after a cool-down and, if it succeeds, the others follow"
		switch p, err := profiles.ByName(w.Profile); {
		case w.CircuitRecovery != nil && *w.CircuitRecovery == "probe":
			next = trial + "; or " + next
		case w.CircuitRecovery == nil && err == nil && !p.ManualRecovery:
			next = trial + ", unless the server is set to manual recovery; or " + next
		}
		return why, next
	case !w.IsActive:
		why = "its webhook is not active"
		if w.DisabledReason != nil {
			why += ": " + *w.DisabledReason
		}
		return why, "it continues once the webhook is active: PATCH /webhooks/" + w.ID.String() + ` {"isActive": true}`
	}
	return "its webhook accepts deliveries again and releases the paused ones gradually", "it is sent when its turn comes"
}

func explainFailed(d *delivery.Delivery, attempts []delivery.Attempt, last *delivery.Attempt) string {
	made := 0
	for i := range attempts {
		if attempts[i].Generation == d.Generation {
			made++
		}
	}
	switch {
	case last == nil || last.Outcome == delivery.OutcomeRetry: // it was ended without an attempt
		return "it failed: " + answer(d)
	case last.Outcome == delivery.OutcomeGone:
		return "the receiver answered 410 Gone, which ends the delivery and disables the webhook"
	case made == 1:
		return "its only attempt failed: " + reason(last)
	}
	return fmt.Sprintf("%d attempts failed, the last one: %s", made, reason(last))
}

const erased = "the person in its event was erased"

// again says how to send the delivery again.
func again(d *delivery.Delivery, w *delivery.Webhook) string {
	if w == nil {
		return "it cannot be sent again: its webhook was deleted"
	}
	if d.ErasedAt != nil {
		return "it cannot be sent again: " + erased
	}
	return "replay it with POST /deliveries/" + d.ID.String() + "/retry"
}

func reason(a *delivery.Attempt) string {
	switch {
	case a.Error != nil && *a.Error != "":
		return *a.Error
	case a.StatusCode != nil:
		return fmt.Sprintf("HTTP %d", *a.StatusCode)
	}
	return "the reason is not known"
}

func answer(d *delivery.Delivery) string {
	if d.LastStatusCode != nil {
		return fmt.Sprintf("HTTP %d", *d.LastStatusCode)
	}
	return failure(d)
}

func stamp(t time.Time) string { return surface.Timestamp(t).String() }
