package delivery_test

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db/catalog"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// block opens the circuit of the bundle's webhook.
func (b *bundle) block() {
	b.t.Helper()
	b.exec("UPDATE webhooks SET circuit_opened_at = now(), consecutive_failures = 10 WHERE id = ?", b.hook.ID)
}

func (b *bundle) takeWith(o delivery.TakeOptions) (t delivery.TakeResult) {
	b.t.Helper()
	b.tx(func(tx bun.Tx) (err error) { t, err = delivery.TakeDeliveries(b.ctx, tx, o); return err })
	return t
}

// failFirst publishes an event and records that its first attempt failed in a batch; the next attempt waits in the
// queue for a workflow that was not started.
func (b *bundle) failFirst(outcome delivery.Outcome) delivery.QueuedDelivery {
	b.t.Helper()
	b.publish(catalog.InterviewStarted)
	q := b.take()[0]
	b.attempt(q, outcome, func(r *delivery.AttemptRecord) {
		message := "HTTP 503"
		r.Attempt.WorkflowID, r.Attempt.Error = "batch:x", &message
		r.NextWorkflowID = "delivery:" + q.DeliveryID.String() + ":0"
	})
	return q
}

func TestTakeDeliveriesOfABlockedWebhook(t *testing.T) {
	t.Parallel()
	t.Run("pauses_first_attempts_alone", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		first := b.failFirst(delivery.OutcomeRetry)
		b.publish(catalog.InterviewStarted)
		b.block()
		got := b.takeWith(tenOfEach)
		require.Equal(t, 2, got.Taken)
		require.Len(t, got.Ready, 1, "its workflow starts and parks itself")
		require.Equal(t, first.DeliveryID, got.Ready[0].DeliveryID)
		require.Equal(t, 2, got.Ready[0].Attempt)
		require.Equal(t, "HTTP 503", *got.Ready[0].LastError)
		require.Equal(t, delivery.Retrying, b.delivery(first.DeliveryID).Status)
		require.Equal(t, 1, b.number("SELECT count(*) FROM deliveries WHERE status = 'paused'"))
	})
	t.Run("returns_all_where_each_has_its_own_workflow", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.publish(catalog.InterviewStarted)
		b.block()
		o := tenOfEach
		o.StartBlocked = true
		require.Len(t, b.takeWith(o).Ready, 1)
		require.Zero(t, b.number("SELECT count(*) FROM deliveries WHERE status = 'paused'"))
	})
	t.Run("returns_what_failed_for_good_without_a_workflow", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		q := b.failFirst(delivery.OutcomeFailed)
		require.Equal(t, []uuid.UUID{q.DeliveryID}, ids(b.take()))
		require.Equal(t, delivery.Failed, b.delivery(q.DeliveryID).Status)
	})
	t.Run("drops_what_has_ended", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.publish(catalog.InterviewStarted)
		b.exec("UPDATE deliveries SET status = 'canceled'")
		got := b.takeWith(tenOfEach)
		require.Empty(t, got.Ready)
		require.Equal(t, 1, got.Taken)
	})
	t.Run("cancels_those_of_a_deleted_one", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		q := b.failFirst(delivery.OutcomeRetry)
		b.publish(catalog.InterviewStarted)
		b.exec("UPDATE webhooks SET deleted_at = now(), is_active = false")
		o := tenOfEach
		o.StartBlocked = true
		require.Empty(t, b.takeWith(o).Ready)
		require.Equal(t, 2, b.number("SELECT count(*) FROM deliveries WHERE status = 'canceled'"))
		require.Equal(t, "batch:x", *b.delivery(q.DeliveryID).WorkflowID, "the next one was not started")
	})
}

// TestALockedWebhookStopsNoOther holds the row of one webhook, whose circuit is open, in another transaction.
func TestALockedWebhookStopsNoOther(t *testing.T) {
	t.Parallel()
	b := setup(t)
	healthy := b.webhook(catalog.InterviewCompleted)
	b.exec("UPDATE webhooks SET events = '{interview.started}' WHERE id = ?", b.hook.ID)
	b.publish(catalog.InterviewStarted)
	b.publish(catalog.InterviewCompleted)
	b.exec("UPDATE delivery_queue SET redo = true WHERE webhook_id = ?", b.hook.ID)
	b.block()
	locker, err := b.BeginTx(b.ctx, nil)
	require.NoError(t, err)
	_, err = locker.ExecContext(b.ctx, "SELECT 1 FROM webhooks WHERE id = ? FOR UPDATE", b.hook.ID)
	require.NoError(t, err)

	var got delivery.TakeResult
	err = pg.InTx(b.ctx, b, func(ctx context.Context, tx bun.Tx) (err error) {
		if _, err := tx.ExecContext(ctx, "SET LOCAL lock_timeout = '1s'"); err != nil { // instead of waiting for ever
			return err
		}
		got, err = delivery.TakeDeliveries(ctx, tx, tenOfEach)
		return err
	})
	require.NoError(t, err)
	require.Len(t, got.Ready, 1)
	require.Equal(t, healthy.ID, got.Ready[0].WebhookID)
	require.Equal(t, 1, got.Taken, "the other one is in the queue again, as it was")
	require.Equal(t, 1, b.number("SELECT count(*) FROM delivery_queue WHERE webhook_id = ? AND redo", b.hook.ID))

	require.NoError(t, locker.Rollback())
	require.Empty(t, b.take())
	require.Equal(t, 1, b.number("SELECT count(*) FROM deliveries WHERE status = 'paused'"))
}

func TestPutBackDeliveries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 3 {
		b.publish(catalog.InterviewStarted)
	}
	b.exec("UPDATE delivery_queue SET attempt = 2, probe = true, redo = true")
	var before []delivery.QueuedDelivery
	b.tx(func(tx bun.Tx) error {
		got, err := delivery.TakeDeliveries(b.ctx, tx, tenOfEach)
		require.NoError(t, err)
		before = got.Ready
		return delivery.PutBackDeliveries(b.ctx, tx, got.Ready)
	})
	require.Len(t, before, 3)
	require.Equal(t, before, b.take())
}
