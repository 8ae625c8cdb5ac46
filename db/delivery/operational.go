package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/catalog"
	"greenroom/db/pg"
)

// Operational events (catalog.Operational) report changes of webhooks to subscribers. They are ordinary events, stored
// in the transaction of the change, so there is one for each change. They belong to the company of the webhook, or else
// of its owner. An event about a webhook is not delivered to that webhook, and a failed delivery of one makes no
// delivery.exhausted, so that events cannot loop.

// failingAt is the number of failed first attempts at which a webhook is failing: before its circuit opens.
const failingAt = 5

// What closed a circuit.
const (
	byReset = "reset"
	byProbe = "probe"
)

// Why a webhook was disabled.
const (
	causeGone     = "gone"
	causeCircuit  = "circuit"
	causeOperator = "operator"
	causeCompany  = "company"
)

const goneReason = "the receiver answered 410 Gone"

// namedWebhook begins the data of each operational event. URL is the scheme, host and port alone: a path or a query may
// be a credential.
type namedWebhook struct {
	WebhookID uuid.UUID `json:"webhookId"`
	Name      string    `json:"name"`
	URL       string    `json:"url"`
}

func (w *Webhook) named() namedWebhook {
	n := namedWebhook{WebhookID: w.ID, Name: w.Name}
	if u, err := url.Parse(w.URL); err == nil {
		n.URL = (&url.URL{Scheme: u.Scheme, Host: u.Host}).String()
	}
	return n
}

type lastFailure struct {
	StatusCode *int    `json:"lastStatusCode"`
	Error      *string `json:"lastError"`
}

type webhookFailing struct {
	namedWebhook
	// Failures are the failed attempts in a row.
	Failures int `json:"failures"`
	lastFailure
}

type circuitOpened struct {
	webhookFailing
	OpenedAt time.Time `json:"openedAt"`
}

type circuitClosed struct {
	namedWebhook
	Cause string `json:"cause"`
}

type webhookDisabled struct {
	namedWebhook
	Cause           string     `json:"cause"`
	Reason          string     `json:"reason"`
	CircuitOpenedAt *time.Time `json:"circuitOpenedAt"`
}

type deliveryExhausted struct {
	namedWebhook
	DeliveryID uuid.UUID `json:"deliveryId"`
	EventID    uuid.UUID `json:"eventId"`
	EventType  string    `json:"eventType"`
	Attempts   int       `json:"attempts"`
	lastFailure
}

type replayFinished struct {
	namedWebhook
	ReplayID uuid.UUID   `json:"replayId"`
	Kind     string      `json:"kind"`
	State    ReplayState `json:"state"`
	Replayed int64       `json:"replayed"`
}

type secretRotated struct {
	namedWebhook
	// PreviousUntil is when the secret before ends; nil: it has ended.
	PreviousUntil *time.Time `json:"previousUntil"`
}

// recordAbout stores an operational event about a webhook.
func recordAbout(ctx context.Context, tx bun.Tx, w *Webhook, eventType string, data any) error {
	e, err := eventAbout(w, eventType, data)
	if err != nil {
		return err
	}
	return recordOperational(ctx, tx, []*Event{e})
}

func eventAbout(w *Webhook, eventType string, data any) (*Event, error) {
	b, err := json.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", eventType, err)
	}
	return &Event{CompanyID: w.Company(), Type: eventType, Data: b, About: &w.ID}, nil
}

// attemptChanges are the changes of state that an attempt caused.
type attemptChanges struct{ opened, closed, gone, failing, exhausted bool }

// record stores the events of the changes.
func (c attemptChanges) record(ctx context.Context, tx bun.Tx, r AttemptRecord) error {
	if c == (attemptChanges{}) {
		return nil
	}
	w, err := webhookOf(ctx, tx, r.WebhookID)
	if err != nil || w.DeletedAt != nil {
		return err
	}
	last := lastFailure{r.Attempt.StatusCode, r.Attempt.Error}
	failing := webhookFailing{w.named(), w.ConsecutiveFailures, last}
	events := []struct {
		happened bool
		name     string
		data     any
	}{
		{c.failing, catalog.WebhookFailing, failing},
		{c.opened, catalog.WebhookCircuitOpened, circuitOpened{failing, timeOf(w.CircuitOpenedAt)}},
		{c.closed, catalog.WebhookCircuitClosed, circuitClosed{w.named(), byProbe}},
		{c.gone, catalog.WebhookDisabled, webhookDisabled{w.named(), causeGone, goneReason, w.CircuitOpenedAt}},
	}
	for _, e := range events {
		if !e.happened {
			continue
		}
		if err := recordAbout(ctx, tx, w, e.name, e.data); err != nil {
			return err
		}
	}
	if !c.exhausted {
		return nil
	}
	return recordExhausted(ctx, tx, r.Attempt.DeliveryID)
}

// webhookOf reads a webhook, also a deleted one.
func webhookOf(ctx context.Context, tx bun.Tx, id uuid.UUID) (*Webhook, error) {
	w := new(Webhook)
	if err := tx.NewSelect().Model(w).Where("w.id = ?", id).Scan(ctx); err != nil {
		return nil, fmt.Errorf("read webhook: %w", pg.Translate(err))
	}
	return w, nil
}

func timeOf(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

// recordExhausted stores the event about a delivery that has failed for good, unless it is a test or of an operational
// event.
func recordExhausted(ctx context.Context, tx bun.Tx, id uuid.UUID) error {
	d, err := GetDelivery(ctx, tx, pg.Scope{}, id)
	if err != nil || d.IsTest || catalog.IsOperational(d.EventType) {
		return err
	}
	w, err := webhookOf(ctx, tx, d.WebhookID)
	if err != nil || w.DeletedAt != nil {
		return err
	}
	return recordAbout(ctx, tx, w, catalog.DeliveryExhausted, deliveryExhausted{
		w.named(), d.ID, d.EventID, d.EventType, d.Attempts, lastFailure{d.LastStatusCode, d.LastError},
	})
}

// recordFinished stores the event about a replay that has ended.
func (r *Replay) recordFinished(ctx context.Context, tx bun.Tx) error {
	w, err := webhookOf(ctx, tx, r.WebhookID)
	if err != nil {
		return err
	}
	return recordAbout(ctx, tx, w, catalog.ReplayFinished, replayFinished{w.named(), r.ID, r.Kind(), r.State, r.Replayed})
}
