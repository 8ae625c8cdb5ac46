package delivery_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db/catalog"
	"greenroom/db/dbtest"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// bundle is a company with one webhook on a database of its own.
type bundle struct {
	*bun.DB
	t       *testing.T
	ctx     context.Context
	company uuid.UUID
	hook    *delivery.Webhook
}

func setup(t *testing.T) *bundle {
	t.Helper()
	return bundleOn(t, dbtest.New(t))
}

// bundleOn is setup on a given database.
func bundleOn(t *testing.T, d *bun.DB) *bundle {
	t.Helper()
	b := &bundle{DB: d, t: t, ctx: t.Context(), company: pg.NewID()}
	_, err := b.ExecContext(b.ctx, "INSERT INTO companies (id, name) VALUES (?, 'Acme')", b.company)
	require.NoError(t, err)
	b.hook = b.webhook(catalog.InterviewStarted, catalog.InterviewCompleted, catalog.Ping)
	return b
}

func (b *bundle) webhook(events ...string) *delivery.Webhook {
	b.t.Helper()
	now := time.Now().UTC()
	w := &delivery.Webhook{
		ID:             pg.NewID(),
		CompanyID:      &b.company,
		OwnerCompanyID: &b.company,
		Profile:        "instaview",
		URL:            "https://receiver.test/hook",
		Events:         events,
		IsActive:       true,
		MaxRetries:     3,
		TimeoutMS:      30000,
		Secret:         []byte("sealed"),
		Headers:        []delivery.WebhookHeader{},
		CreatedAt:      now,
		UpdatedAt:      now,
	}
	require.NoError(b.t, delivery.CreateWebhook(b.ctx, b, w))
	return w
}

// tx runs fn in a transaction that must succeed.
func (b *bundle) tx(fn func(tx bun.Tx) error) {
	b.t.Helper()
	require.NoError(b.t, pg.InTx(b.ctx, b, func(_ context.Context, tx bun.Tx) error { return fn(tx) }))
}

func (b *bundle) publish(eventType string) (e *delivery.Event, deliveries int) {
	b.t.Helper()
	e = &delivery.Event{CompanyID: &b.company, Type: eventType, Data: json.RawMessage(`{"b": 1,  "a":"ü"}`)}
	b.tx(func(tx bun.Tx) (err error) { deliveries, err = delivery.RecordEvent(b.ctx, tx, e); return err })
	return e, deliveries
}

var tenOfEach = delivery.TakeOptions{Limit: 1000, PerFlow: 10, PerFailing: 10}

func (b *bundle) take() []delivery.QueuedDelivery {
	b.t.Helper()
	var t delivery.TakeResult
	b.tx(func(tx bun.Tx) (err error) {
		t, err = delivery.TakeDeliveries(b.ctx, tx, tenOfEach)
		return err
	})
	return t.Ready
}

func (b *bundle) commands() []delivery.Command {
	b.t.Helper()
	var cs []delivery.Command
	b.tx(func(tx bun.Tx) (err error) { cs, err = delivery.TakeCommands(b.ctx, tx, 100); return err })
	return cs
}

func (b *bundle) delivery(id uuid.UUID) *delivery.Delivery {
	b.t.Helper()
	d, err := delivery.GetDelivery(b.ctx, b, pg.Scope{}, id)
	require.NoError(b.t, err)
	return d
}

// attempt records one attempt of a delivery with the given outcome.
func (b *bundle) attempt(
	q delivery.QueuedDelivery,
	outcome delivery.Outcome,
	mod ...func(*delivery.AttemptRecord),
) bool {
	b.t.Helper()
	code := 200
	if outcome != delivery.OutcomeSucceeded {
		code = 500
	}
	r := delivery.AttemptRecord{
		WebhookID: q.WebhookID, Body: []byte(`{"x":1}`), Counts: true, Threshold: 10,
		Attempt: delivery.Attempt{
			DeliveryID: q.DeliveryID, RunID: uuid.New(), Attempt: 1, WorkflowID: "delivery:" + q.DeliveryID.String() + ":0",
			StartedAt: time.Now(), DurationMS: 5, Outcome: outcome, StatusCode: &code,
		},
	}
	for _, m := range mod {
		m(&r)
	}
	opened, err := delivery.RecordAttempt(b.ctx, b, r)
	require.NoError(b.t, err)
	return opened
}

func (b *bundle) number(query string, args ...any) (n int) {
	b.t.Helper()
	require.NoError(b.t, b.NewRaw(query, args...).Scan(b.ctx, &n))
	return n
}

func (b *bundle) exec(query string, args ...any) {
	b.t.Helper()
	_, err := b.ExecContext(b.ctx, query, args...)
	require.NoError(b.t, err)
}
