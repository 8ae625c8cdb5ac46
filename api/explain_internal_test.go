package api

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/db/delivery"
)

func TestExplain(t *testing.T) {
	t.Parallel()
	id := uuid.MustParse("00000000-0000-7000-8000-000000000001")
	at := time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)
	code := func(n int) *int { return &n }
	text := func(s string) *string { return &s }
	tried := func(n int, o delivery.Outcome, status *int, err *string) delivery.Attempt {
		return delivery.Attempt{Attempt: n, Outcome: o, StatusCode: status, Error: err}
	}
	open := &delivery.Webhook{ID: id, IsActive: true, CircuitOpenedAt: &at, ConsecutiveFailures: 10}
	probing := &delivery.Webhook{ID: id, IsActive: true, CircuitOpenedAt: &at, CircuitRecovery: text("probe")}
	healthy := &delivery.Webhook{ID: id, IsActive: true}
	const (
		reset  = "it continues after a reset: POST /webhooks/00000000-0000-7000-8000-000000000001/reset-circuit"
		replay = "replay it with POST /deliveries/00000000-0000-7000-8000-000000000001/retry"
	)
	for name, c := range map[string]struct {
		d         delivery.Delivery
		attempts  []delivery.Attempt
		w         *delivery.Webhook
		line      *delivery.Line
		why, next string
		at        bool
	}{
		"pending": {
			d: delivery.Delivery{Status: delivery.Pending}, w: healthy,
			why: "waiting for a worker to claim it", next: "attempt 1, as soon as a worker claims it",
		},
		"pending_again": {
			d: delivery.Delivery{Status: delivery.Pending, Generation: 2}, w: healthy,
			why: "it is sent again on request and waits for a worker to claim it", next: "attempt 1, as soon as a worker claims it",
		},
		"behind_an_earlier_event": {
			d: delivery.Delivery{Status: delivery.Pending}, w: healthy, line: &delivery.Line{Subject: "a:1", Behind: &id},
			why:  "delivery " + id.String() + " of an earlier event of a:1 has not ended",
			next: "attempt 1, after that one has ended",
		},
		"blocked": {
			d: delivery.Delivery{Status: delivery.Pending}, w: healthy,
			line: &delivery.Line{Subject: "a:1", Behind: &id, Blocked: true},
			why:  "delivery " + id.String() + " failed and blocks the later events of a:1",
			next: "it is sent after that one was replayed with POST /deliveries/" + id.String() +
				"/retry or canceled with POST /deliveries/" + id.String() + "/cancel",
		},
		"next_in_line": {
			d: delivery.Delivery{Status: delivery.Pending}, w: healthy, line: &delivery.Line{Subject: "a:1"},
			why: "it waits for its turn among the events of a:1", next: "attempt 1, when its turn comes",
		},
		"held": {
			d: delivery.Delivery{Status: delivery.Pending}, w: healthy,
			line: &delivery.Line{Subject: "a:1", HeldSince: &at},
			why: "it waits for its turn among the events of a:1: a transaction in PostgreSQL that began at " +
				"2024-01-15T10:30:00.000Z has stored or changed events, and may store an earlier one",
			next: "attempt 1, after that transaction has ended: greenroom doctor names it",
		},
		"blocks": {
			d: delivery.Delivery{Status: delivery.Failed}, w: healthy,
			attempts: []delivery.Attempt{tried(1, delivery.OutcomeFailed, nil, nil)},
			line:     &delivery.Line{Subject: "a:1", Behind: &id, Blocked: true},
			why:      "its only attempt failed: the reason is not known; it blocks the later events of a:1",
			next:     replay + ", or cancel it with POST /deliveries/" + id.String() + "/cancel",
		},
		"retrying": {
			d:        delivery.Delivery{Status: delivery.Retrying, NextAttemptAt: &at},
			attempts: []delivery.Attempt{tried(1, delivery.OutcomeRetry, nil, text("Connection timeout")), tried(2, delivery.OutcomeRetry, code(503), nil)},
			w:        healthy, why: "attempt 2 failed: HTTP 503", next: "attempt 3 at 2024-01-15T10:30:00.000Z", at: true,
		},
		"retrying_counts_its_own_generation": {
			d: delivery.Delivery{Status: delivery.Retrying, Generation: 1, NextAttemptAt: &at},
			attempts: []delivery.Attempt{
				tried(4, delivery.OutcomeFailed, code(500), nil), {Attempt: 1, Generation: 1, Outcome: delivery.OutcomeRetry, Error: text("Connection refused")},
			},
			w: healthy, why: "attempt 1 failed: Connection refused", next: "attempt 2 at 2024-01-15T10:30:00.000Z", at: true,
		},
		"retrying_after_a_pause_before_the_first_attempt": {
			d: delivery.Delivery{Status: delivery.Retrying, NextAttemptAt: &at}, w: healthy,
			why: "its webhook accepts deliveries again", next: "attempt 1, as soon as a worker claims it", at: true,
		},
		"canceled_by_an_erasure": {
			d: delivery.Delivery{Status: delivery.Canceled, ErasedAt: &at}, w: healthy,
			why: "the person in its event was erased", next: "nothing",
		},
		"erased_after_it_was_sent": {
			d:    delivery.Delivery{Status: delivery.Succeeded, ErasedAt: &at, LastStatusCode: code(200)},
			w:    healthy,
			why:  "the receiver accepted it: HTTP 200",
			next: "nothing; it cannot be sent again: the person in its event was erased",
		},
		"paused_by_an_open_circuit": {
			d: delivery.Delivery{Status: delivery.Paused}, w: open,
			why: "the circuit of this webhook has been open since 2024-01-15T10:30:00.000Z, after 10 failed attempts in a row", next: reset,
		},
		"paused_with_probe": {
			d: delivery.Delivery{Status: delivery.Paused}, w: probing, why: "the circuit of this webhook has been open since 2024-01-15T10:30:00.000Z",
			next: "one delivery is tried after a cool-down and, if it succeeds, the others follow; or " + reset,
		},
		"paused_by_inactivity": {
			d: delivery.Delivery{Status: delivery.Paused}, w: &delivery.Webhook{ID: id, DisabledReason: text("the receiver answered 410 Gone")},
			why:  "its webhook is not active: the receiver answered 410 Gone",
			next: `it continues once the webhook is active: PATCH /webhooks/00000000-0000-7000-8000-000000000001 {"isActive": true}`,
		},
		"paused_being_released": {
			d: delivery.Delivery{Status: delivery.Paused}, w: healthy,
			why: "its webhook accepts deliveries again and releases the paused ones gradually", next: "it is sent when its turn comes",
		},
		"paused_webhook_deleted": {
			d: delivery.Delivery{Status: delivery.Paused}, why: "its webhook was deleted", next: "nothing; it is about to be canceled",
		},
		"succeeded": {
			d: delivery.Delivery{Status: delivery.Succeeded, LastStatusCode: code(204)}, attempts: []delivery.Attempt{tried(1, delivery.OutcomeSucceeded, code(204), nil)},
			w: healthy, why: "the receiver accepted it: HTTP 204", next: "nothing; " + replay,
		},
		"failed": {
			d: delivery.Delivery{Status: delivery.Failed},
			attempts: []delivery.Attempt{
				tried(1, delivery.OutcomeRetry, code(500), nil), tried(2, delivery.OutcomeRetry, code(500), nil), tried(3, delivery.OutcomeRetry, code(500), nil),
				tried(4, delivery.OutcomeFailed, nil, text("TLS handshake failed")),
			},
			w: healthy, why: "4 attempts failed, the last one: TLS handshake failed", next: replay,
		},
		"failed_test": {
			d: delivery.Delivery{Status: delivery.Failed, IsTest: true}, attempts: []delivery.Attempt{tried(1, delivery.OutcomeFailed, code(404), nil)},
			w: healthy, why: "its only attempt failed: HTTP 404", next: replay,
		},
		"failed_gone": {
			d: delivery.Delivery{Status: delivery.Failed}, attempts: []delivery.Attempt{tried(1, delivery.OutcomeGone, code(410), nil)},
			w: healthy, why: "the receiver answered 410 Gone, which ends the delivery and disables the webhook", next: replay,
		},
		"failed_of_a_deleted_webhook": {
			d: delivery.Delivery{Status: delivery.Failed}, attempts: []delivery.Attempt{tried(1, delivery.OutcomeFailed, nil, nil)},
			why: "its only attempt failed: the reason is not known", next: "it cannot be sent again: its webhook was deleted",
		},
		"canceled": {d: delivery.Delivery{Status: delivery.Canceled}, why: "its webhook was deleted", next: "nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.d.ID = id
			e := Explain(&c.d, c.attempts, c.w, c.line)
			require.Equal(t, c.d.Status, e.State)
			require.Equal(t, c.why, e.Why)
			require.Equal(t, c.next, e.Next)
			require.Equal(t, c.at, e.NextAt != nil)
		})
	}
}
