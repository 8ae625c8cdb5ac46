package delivery_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"golang.org/x/sync/errgroup"

	"greenroom/db/catalog"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// watched is a bundle with a webhook that subscribes to all operational events, as the webhook that they are about does.
func watched(t *testing.T) (b *bundle, watcher *delivery.Webhook) {
	t.Helper()
	b = setup(t)
	b.exec("UPDATE webhooks SET events = events || ?, url = 'https://user:pw@receiver.test/secret?key=1' WHERE id = ?",
		textArray(catalog.Operational()), b.hook.ID)
	return b, b.webhook(catalog.Operational()...)
}

func textArray(values []string) string {
	b, _ := json.Marshal(values)
	b[0], b[len(b)-1] = '{', '}'
	return string(b)
}

// told are the operational events, or those of some types, in the order in which they were stored.
func (b *bundle) told(some ...string) (types []string) {
	b.t.Helper()
	if len(some) == 0 {
		some = catalog.Operational()
	}
	require.NoError(b.t, b.NewRaw("SELECT type FROM events WHERE type = ANY (?) ORDER BY position, id", textArray(some)).
		Scan(b.ctx, &types))
	return types
}

// lastTold is the data of the newest event of a type.
func (b *bundle) lastTold(eventType string) (data map[string]any) {
	b.t.Helper()
	var raw string
	require.NoError(
		b.t,
		b.NewRaw("SELECT data FROM events WHERE type = ? ORDER BY position DESC, id DESC LIMIT 1", eventType).
			Scan(b.ctx, &raw),
	)
	require.NoError(b.t, json.Unmarshal([]byte(raw), &data))
	return data
}

// fails records that many failed first attempts, each of another delivery.
func (b *bundle) fails(n int, outcome delivery.Outcome) {
	b.t.Helper()
	for range n {
		b.publish(catalog.InterviewStarted)
		b.attempt(b.queuedFor(b.hook.ID), outcome)
	}
}

// queuedFor is a delivery of the webhook that was taken from the queue.
func (b *bundle) queuedFor(webhook uuid.UUID) delivery.QueuedDelivery {
	b.t.Helper()
	for _, q := range b.take() {
		if q.WebhookID == webhook {
			return q
		}
	}
	var q delivery.QueuedDelivery
	require.NoError(b.t, b.NewRaw(`SELECT id AS delivery_id, webhook_id FROM deliveries WHERE webhook_id = ?
		AND status IN ('pending', 'paused') ORDER BY id DESC LIMIT 1`, webhook).Scan(b.ctx, &q.DeliveryID, &q.WebhookID))
	return q
}

func asProbe(r *delivery.AttemptRecord) { r.Probe = true }

func TestCircuitEvents(t *testing.T) {
	t.Parallel()
	b, watcher := watched(t)
	last := func() delivery.QueuedDelivery {
		b.publish(catalog.InterviewStarted)
		return b.queuedFor(b.hook.ID)
	}
	b.fails(4, delivery.OutcomeRetry)
	require.Empty(t, b.told())
	b.fails(1, delivery.OutcomeRetry)
	require.Equal(t, []string{catalog.WebhookFailing}, b.told(), "before the circuit opens")
	data := b.lastTold(catalog.WebhookFailing)
	require.Equal(t, b.hook.ID.String(), data["webhookId"])
	require.Equal(t, "https://receiver.test", data["url"], "without credentials")
	require.EqualValues(t, 500, data["lastStatusCode"])
	b.fails(5, delivery.OutcomeRetry)
	want := []string{catalog.WebhookFailing, catalog.WebhookCircuitOpened}
	require.Equal(t, want, b.told())
	b.fails(3, delivery.OutcomeRetry)
	require.Equal(t, want, b.told(), "it is open already")

	b.attempt(last(), delivery.OutcomeRetry, asProbe)
	require.Equal(t, want, b.told(), "a failed probe changes no state")
	b.attempt(last(), delivery.OutcomeSucceeded, asProbe)
	want = append(want, catalog.WebhookCircuitClosed)
	require.Equal(t, want, b.told())
	require.Equal(t, "probe", b.lastTold(catalog.WebhookCircuitClosed)["cause"])
	b.attempt(last(), delivery.OutcomeSucceeded, asProbe)
	require.Equal(t, want, b.told(), "it is closed already")

	for range 3 { // a flapping circuit
		b.fails(10, delivery.OutcomeRetry)
		b.tx(func(tx bun.Tx) error { _, err := delivery.ResetCircuit(b.ctx, tx, b.hook.ID); return err })
		b.tx(func(tx bun.Tx) error { _, err := delivery.ResetCircuit(b.ctx, tx, b.hook.ID); return err })
		want = append(want, catalog.WebhookFailing, catalog.WebhookCircuitOpened, catalog.WebhookCircuitClosed)
		require.Equal(t, want, b.told())
	}
	require.Equal(t, "reset", b.lastTold(catalog.WebhookCircuitClosed)["cause"])
	b.requireDelivered(watcher, len(want))
}

// requireDelivered requires n deliveries of operational events to the watcher and none to the webhook they are about.
func (b *bundle) requireDelivered(watcher *delivery.Webhook, n int) {
	b.t.Helper()
	const count = "SELECT count(*) FROM deliveries WHERE webhook_id = ? AND event_type = ANY (?)"
	require.Equal(b.t, n, b.number(count, watcher.ID, textArray(catalog.Operational())))
	require.Zero(b.t, b.number(count, b.hook.ID, textArray(catalog.Operational())), "never about itself")
}

// TestCircuitEventsOfManyWorkers: attempts that are recorded at once, some of them twice, make each event once.
func TestCircuitEventsOfManyWorkers(t *testing.T) {
	t.Parallel()
	b, watcher := watched(t)
	for range 30 {
		b.publish(catalog.InterviewStarted)
	}
	var workers errgroup.Group
	for _, q := range b.take() {
		r := b.failure(q)
		for range 2 {
			workers.Go(func() error { _, err := delivery.RecordAttempt(b.ctx, b, r); return err })
		}
	}
	require.NoError(t, workers.Wait())
	// Two transactions at once may end in either order.
	require.ElementsMatch(t, []string{catalog.WebhookFailing, catalog.WebhookCircuitOpened}, b.told())
	b.requireDelivered(watcher, 2)
}

func (b *bundle) failure(q delivery.QueuedDelivery) delivery.AttemptRecord {
	return delivery.AttemptRecord{
		WebhookID: q.WebhookID, Body: []byte(`{}`), Counts: true, Threshold: 10,
		Attempt: delivery.Attempt{
			DeliveryID: q.DeliveryID, RunID: uuid.New(), Attempt: 1, WorkflowID: "w", StartedAt: time.Now(),
			Outcome: delivery.OutcomeRetry,
		},
	}
}

func TestExhaustedEvents(t *testing.T) {
	t.Parallel()
	b, watcher := watched(t)
	b.publish(catalog.InterviewStarted)
	q := b.queuedFor(b.hook.ID)
	b.attempt(q, delivery.OutcomeRetry)
	require.Empty(t, b.told(catalog.DeliveryExhausted))
	var workers errgroup.Group
	for attempt := range 4 { // several workers believe that they make the last attempt
		r := b.failure(q)
		r.Attempt.Outcome, r.Attempt.Attempt = delivery.OutcomeFailed, 2+attempt
		workers.Go(func() error { _, err := delivery.RecordAttempt(b.ctx, b, r); return err })
	}
	require.NoError(t, workers.Wait())
	require.Equal(t, []string{catalog.DeliveryExhausted}, b.told(catalog.DeliveryExhausted))
	data := b.lastTold(catalog.DeliveryExhausted)
	require.Equal(t, q.DeliveryID.String(), data["deliveryId"])
	require.Equal(t, catalog.InterviewStarted, data["eventType"])

	t.Run("not_of_a_delivery_that_it_is_about_itself", func(t *testing.T) {
		q := b.queuedFor(watcher.ID)
		b.attempt(q, delivery.OutcomeFailed)
		require.Equal(t, delivery.Failed, b.delivery(q.DeliveryID).Status)
		require.Equal(t, []string{catalog.DeliveryExhausted}, b.told(catalog.DeliveryExhausted))
	})
	t.Run("nor_of_a_test_a_success_or_a_canceled_delivery", func(t *testing.T) {
		for _, change := range []string{"is_test = true", "status = 'canceled'", "status = 'succeeded'"} {
			b.publish(catalog.InterviewStarted)
			q := b.queuedFor(b.hook.ID)
			b.exec("UPDATE deliveries SET "+change+" WHERE id = ?", q.DeliveryID)
			b.attempt(q, delivery.OutcomeFailed)
		}
		require.Equal(t, []string{catalog.DeliveryExhausted}, b.told(catalog.DeliveryExhausted))
	})
	t.Run("again_when_it_was_sent_again", func(t *testing.T) {
		b.tx(func(tx bun.Tx) error {
			_, err := delivery.RetryDelivery(b.ctx, tx, pg.Scope{}, q.DeliveryID)
			return err
		})
		again := b.queuedFor(b.hook.ID)
		require.Equal(t, q.DeliveryID, again.DeliveryID)
		b.attempt(again, delivery.OutcomeFailed, func(r *delivery.AttemptRecord) { r.Attempt.Generation = again.Generation })
		require.Equal(t, []string{catalog.DeliveryExhausted, catalog.DeliveryExhausted}, b.told(catalog.DeliveryExhausted))
	})
	t.Run("of_one_that_cannot_be_prepared", func(t *testing.T) {
		b.publish(catalog.InterviewStarted)
		f := delivery.Failure{DeliveryID: b.queuedFor(b.hook.ID).DeliveryID, Attempt: 1, Reason: "it cannot be rendered"}
		for range 2 {
			_, err := delivery.FailDelivery(b.ctx, b, f)
			require.NoError(t, err)
		}
		require.Len(t, b.told(catalog.DeliveryExhausted), 3)
		require.Equal(t, "it cannot be rendered", b.lastTold(catalog.DeliveryExhausted)["lastError"])
	})
}

func TestDisabledAndOtherEvents(t *testing.T) {
	t.Parallel()
	b, watcher := watched(t)
	update := func(active, held bool) {
		t.Helper()
		w, err := delivery.GetWebhook(b.ctx, b, b.hook.ID)
		require.NoError(t, err)
		w.IsActive, w.HeldByPlatform = active, held
		b.tx(func(tx bun.Tx) error {
			return delivery.UpdateWebhook(b.ctx, tx, w, "is_active", "held_by_platform")
		})
	}
	b.publish(catalog.InterviewStarted)
	b.publish(catalog.InterviewStarted)
	for _, q := range b.take() { // two deliveries, two answers 410
		b.attempt(q, delivery.OutcomeGone)
	}
	require.Len(t, b.told(catalog.DeliveryExhausted), 2, "410 ends a delivery")
	require.Len(t, b.told(), 3)
	require.Equal(t, "gone", b.lastTold(catalog.WebhookDisabled)["cause"])
	update(false, false)
	update(true, false)
	require.Len(t, b.told(), 3, "it was inactive already")
	update(false, false)
	update(false, true)
	require.Equal(t, "company", b.lastTold(catalog.WebhookDisabled)["cause"])
	update(true, false)
	update(false, true)
	require.Equal(t, "operator", b.lastTold(catalog.WebhookDisabled)["cause"])
	require.Len(t, b.told(), 5)

	b.tx(func(tx bun.Tx) error {
		_, err := delivery.RotateSecret(b.ctx, tx, b.hook.ID, delivery.SealedSecret{Secret: []byte("next")}, time.Hour,
			func(*delivery.Webhook) error { return nil })
		return err
	})
	require.NotNil(t, b.lastTold(catalog.SecretRotated)["previousUntil"])

	replay := func() *delivery.Replay {
		r := &delivery.Replay{WebhookID: b.hook.ID, Since: day0, Until: day0.AddDate(0, 0, 1), Statuses: []string{"failed"}}
		b.tx(func(tx bun.Tx) error { return delivery.CreateReplay(b.ctx, tx, r) })
		return r
	}
	done, canceled := replay(), replay()
	for range 2 {
		_, err := delivery.ReplayPage(b.ctx, b, done.ID, 10)
		require.NoError(t, err)
	}
	require.Equal(t, "completed", b.lastTold(catalog.ReplayFinished)["state"])
	b.tx(func(tx bun.Tx) error { _, err := delivery.CancelReplay(b.ctx, tx, canceled.ID); return err })
	require.Equal(t, "canceled", b.lastTold(catalog.ReplayFinished)["state"])
	require.Len(t, b.told(), 8)
	b.requireDelivered(watcher, 8)
}

// TestCircuitSpan: a burst of failures opens no circuit, and the first failure after the span does.
func TestCircuitSpan(t *testing.T) {
	t.Parallel()
	b := setup(t)
	inSpan := func(r *delivery.AttemptRecord) { r.Span = time.Hour }
	fail := func() bool {
		b.publish(catalog.InterviewStarted)
		return b.attempt(b.queuedFor(b.hook.ID), delivery.OutcomeRetry, inSpan)
	}
	for range 15 {
		require.False(t, fail())
	}
	b.exec("UPDATE webhooks SET failing_since = failing_since - interval '59 minutes'")
	require.False(t, fail())
	b.exec("UPDATE webhooks SET failing_since = failing_since - interval '2 minutes'")
	require.True(t, fail())
	b.tx(func(tx bun.Tx) error { _, err := delivery.ResetCircuit(b.ctx, tx, b.hook.ID); return err })
	for range 10 {
		require.False(t, fail(), "the time counts anew")
	}
}
