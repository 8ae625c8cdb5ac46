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

func (b *bundle) pauseQueued(webhook uuid.UUID, limit int) (n int) {
	b.t.Helper()
	b.tx(func(tx bun.Tx) (err error) { n, err = delivery.PauseQueued(b.ctx, tx, webhook, limit); return err })
	return n
}

func TestTakeDeliveriesOfABlockedWebhookWithABacklog(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := b.webhook(catalog.InterviewCompleted)
	for range 25 {
		b.publish(catalog.InterviewStarted)
	}
	b.publish(catalog.InterviewCompleted)
	b.block()
	o := tenOfEach
	o.PerFlow = 500
	got := b.takeWith(o)
	require.Equal(t, 11, got.Taken, "ten are paused; the round does not wait for the rest")
	require.Len(t, got.Ready, 1)
	require.Equal(t, other.ID, got.Ready[0].WebhookID)
	require.Equal(t, []uuid.UUID{b.hook.ID}, got.Blocked)
	require.Equal(t, 10, b.pauseQueued(b.hook.ID, 10))
	require.Equal(t, 6, b.pauseQueued(b.hook.ID, 10), "it is subscribed to both types")
	require.Zero(t, b.pauseQueued(b.hook.ID, 10))
	require.Equal(t, 26, b.number("SELECT count(*) FROM deliveries WHERE status = 'paused'"))
	require.Empty(t, b.takeWith(o).Blocked)
}

func TestPauseQueued(t *testing.T) {
	t.Parallel()
	paused := "SELECT count(*) FROM deliveries WHERE status = 'paused'"
	t.Run("leaves_a_webhook_that_is_not_blocked", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.publish(catalog.InterviewStarted)
		require.Zero(t, b.pauseQueued(b.hook.ID, 10))
		require.Zero(t, b.pauseQueued(uuid.New(), 10))
		require.Len(t, b.take(), 1)
	})
	t.Run("leaves_what_must_have_a_workflow", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.failFirst(delivery.OutcomeRetry)
		probe, _ := b.publish(catalog.InterviewStarted)
		b.exec("UPDATE delivery_queue SET probe = true WHERE delivery_id = (SELECT id FROM deliveries WHERE event_id = ?)",
			probe.ID)
		b.publish(catalog.InterviewStarted)
		b.block()
		require.Equal(t, 1, b.pauseQueued(b.hook.ID, 10))
		require.Equal(t, 1, b.number(paused))
		require.Len(t, b.take(), 2)
	})
	t.Run("pauses_those_of_an_inactive_webhook_and_of_all_companies", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.publish(catalog.InterviewStarted)
		b.publish(catalog.InterviewStarted)
		b.exec("UPDATE delivery_queue SET company_id = ? WHERE ctid = (SELECT max(ctid) FROM delivery_queue)", uuid.New())
		b.exec("UPDATE webhooks SET is_active = false")
		require.Equal(t, 2, b.pauseQueued(b.hook.ID, 10))
		require.Equal(t, 2, b.number(paused))
	})
	t.Run("cancels_all_of_a_deleted_one", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		q := b.failFirst(delivery.OutcomeRetry)
		b.publish(catalog.InterviewStarted)
		b.exec("UPDATE webhooks SET deleted_at = now(), is_active = false")
		require.Equal(t, 2, b.pauseQueued(b.hook.ID, 10))
		require.Equal(t, 2, b.number("SELECT count(*) FROM deliveries WHERE status = 'canceled'"))
		require.Equal(t, "batch:x", *b.delivery(q.DeliveryID).WorkflowID)
		require.Zero(t, b.number("SELECT count(*) FROM delivery_queue"))
	})
	t.Run("drops_what_has_ended", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.publish(catalog.InterviewStarted)
		b.block()
		b.exec("UPDATE deliveries SET status = 'succeeded'")
		require.Equal(t, 1, b.pauseQueued(b.hook.ID, 10))
		require.Zero(t, b.number(paused)+b.number("SELECT count(*) FROM delivery_queue"))
	})
	t.Run("does_not_wait_for_a_locked_webhook_or_delivery", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		e, _ := b.publish(catalog.InterviewStarted)
		b.publish(catalog.InterviewStarted)
		b.block()
		for query, want := range map[string]int{
			"SELECT 1 FROM webhooks WHERE id = ?1 FOR UPDATE":         0,
			"SELECT 1 FROM deliveries WHERE event_id = ?0 FOR UPDATE": 1,
		} {
			locker, err := b.BeginTx(b.ctx, nil)
			require.NoError(t, err)
			_, err = locker.ExecContext(b.ctx, query, e.ID, b.hook.ID)
			require.NoError(t, err)
			b.exec("UPDATE deliveries SET status = 'pending' WHERE event_id <> ?", e.ID)
			b.exec(`INSERT INTO delivery_queue (webhook_id, company_id, delivery_id)
				SELECT webhook_id, company_id, id FROM deliveries ON CONFLICT DO NOTHING`)
			require.Equal(t, want, b.pauseQueued(b.hook.ID, 10), query)
			require.Equal(t, 2-want, b.number("SELECT count(*) FROM delivery_queue"), "the rest is in the queue")
			require.NoError(t, locker.Rollback())
		}
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

func (b *bundle) takeSingles(limit int) (t delivery.TakeResult) {
	b.t.Helper()
	b.tx(func(tx bun.Tx) (err error) { t, err = delivery.TakeSingles(b.ctx, tx, limit); return err })
	return t
}

func TestTakeSingles(t *testing.T) {
	t.Parallel()
	mark := "UPDATE delivery_queue SET single = true"
	t.Run("takes_the_oldest_of_those_that_are_marked", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		for range 4 {
			b.publish(catalog.InterviewStarted)
		}
		all := b.take()
		b.tx(func(tx bun.Tx) error {
			for i := range all[:3] {
				all[i].Single = true
			}
			return delivery.PutBackDeliveries(b.ctx, tx, all)
		})
		require.Equal(t, ids(all[3:]), ids(b.take()), "TakeDeliveries leaves them")
		require.Equal(t, all[:2], b.takeSingles(2).Ready)
		require.Equal(t, all[2:3], b.takeSingles(2).Ready)
		require.Empty(t, b.takeSingles(2).Ready)
	})
	t.Run("skips_those_that_another_worker_takes", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.publish(catalog.InterviewStarted)
		b.publish(catalog.InterviewStarted)
		b.exec(mark)
		b.tx(func(tx bun.Tx) error {
			first, err := delivery.TakeSingles(b.ctx, tx, 1)
			require.NoError(t, err)
			second := b.takeSingles(10)
			require.Len(t, second.Ready, 1)
			require.NotEqual(t, first.Ready[0].DeliveryID, second.Ready[0].DeliveryID)
			return nil
		})
	})
	t.Run("pauses_and_cancels_as_TakeDeliveries_does", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		retry := b.failFirst(delivery.OutcomeRetry)
		b.publish(catalog.InterviewStarted)
		b.exec(mark)
		b.block()
		require.Equal(t, []uuid.UUID{retry.DeliveryID}, ids(b.takeSingles(10).Ready))
		require.Equal(t, 1, b.number("SELECT count(*) FROM deliveries WHERE status = 'paused'"))
		b.publish(catalog.InterviewStarted)
		b.exec(mark)
		b.exec("UPDATE webhooks SET deleted_at = now()")
		got := b.takeSingles(10)
		require.Empty(t, got.Ready)
		require.Equal(t, 1, got.Taken)
		require.Equal(t, 1, b.number("SELECT count(*) FROM deliveries WHERE status = 'canceled'"))
	})
	t.Run("leaves_those_of_a_locked_webhook_as_they_are", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.publish(catalog.InterviewStarted)
		b.exec(mark)
		b.block()
		locker, err := b.BeginTx(b.ctx, nil)
		require.NoError(t, err)
		_, err = locker.ExecContext(b.ctx, "SELECT 1 FROM webhooks FOR UPDATE")
		require.NoError(t, err)
		require.Zero(t, b.takeSingles(10).Taken)
		require.Equal(t, 1, b.number("SELECT count(*) FROM delivery_queue WHERE single"))
		require.NoError(t, locker.Rollback())
	})
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
