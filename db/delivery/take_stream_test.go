package delivery_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db/catalog"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

var tenForStream = delivery.TakeOptions{Limit: 1000, PerFlow: 10}

// takeForStream returns also what is stored as the batch.
func (b *bundle) takeForStream(o delivery.TakeOptions) (t delivery.TakeResult, others bool, batch []uuid.UUID) {
	b.t.Helper()
	s := b.stream()
	id := pg.NewID()
	t, others, err := delivery.TakeForStream(b.ctx, b.DB, o, delivery.Batch{
		ID: id, Stream: uuid.NullUUID{UUID: s.ID, Valid: true},
	})
	require.NoError(b.t, err)
	stored, err := delivery.StreamBatches(b.ctx, b.DB, s.ID, 0)
	require.NoError(b.t, err)
	if len(stored) > 0 {
		require.Len(b.t, stored, 1)
		require.Equal(b.t, id, stored[0].ID)
		batch = stored[0].Deliveries
	}
	return t, others, batch
}

func TestTakeForStream(t *testing.T) {
	t.Parallel()
	t.Run("takes_first_attempts_as_a_batch", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		got, others, batch := b.takeForStream(tenForStream)
		require.Zero(t, got)
		require.False(t, others)
		require.Empty(t, batch, "there is none to store")
		for range 12 {
			b.publish(catalog.InterviewStarted)
		}
		got, others, batch = b.takeForStream(tenForStream)
		require.Len(t, got.Ready, 10)
		require.Equal(t, 10, got.Taken)
		require.False(t, others)
		require.ElementsMatch(t, ids(got.Ready), batch)
		require.Equal(t, 2, b.number("SELECT count(*) FROM delivery_queue"))
		q := got.Ready[0]
		require.Equal(t, catalog.InterviewStarted, q.EventType)
		require.Equal(t, b.hook.URL, q.URL)
		require.NotEmpty(t, q.WebhookVersion())
	})
	t.Run("continues_after_a_flow", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		for range 3 {
			b.webhook(catalog.InterviewStarted)
		}
		b.publish(catalog.InterviewStarted)
		got, _, _ := b.takeForStream(delivery.TakeOptions{Limit: 2, PerFlow: 10})
		require.Len(t, got.Ready, 2)
		require.NotZero(t, got.Next)
		more, _, _ := b.takeForStream(delivery.TakeOptions{Limit: 10, PerFlow: 10, After: got.Next})
		require.Len(t, more.Ready, 2)
		require.Zero(t, more.Next)
	})
	t.Run("a_changed_webhook_has_another_version", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		versions := map[string]bool{}
		for _, change := range []string{"name = name", "url = url || 'x'", "secret = '\\x00'"} {
			b.publish(catalog.InterviewStarted)
			got, _, _ := b.takeForStream(tenForStream)
			versions[got.Ready[0].WebhookVersion()] = true
			b.exec("UPDATE webhooks SET " + change)
		}
		require.Len(t, versions, 3)
	})
	for _, c := range []struct {
		name  string
		waits func(b *bundle)
	}{
		{"a_retry", func(b *bundle) {
			b.failFirst(delivery.OutcomeRetry)
			b.exec("UPDATE webhooks SET consecutive_failures = 0")
		}},
		{"a_probe", func(b *bundle) {
			b.publish(catalog.InterviewStarted)
			b.exec("UPDATE delivery_queue SET probe = true")
		}},
		{"a_lost_workflow", func(b *bundle) {
			b.publish(catalog.InterviewStarted)
			b.exec("UPDATE delivery_queue SET redo = true")
		}},
		{"a_failing_webhook", func(b *bundle) {
			b.publish(catalog.InterviewStarted)
			b.exec("UPDATE webhooks SET consecutive_failures = 1")
		}},
		{"an_open_circuit", func(b *bundle) { b.publish(catalog.InterviewStarted); b.block() }},
		{"an_inactive_webhook", func(b *bundle) {
			b.publish(catalog.InterviewStarted)
			b.exec("UPDATE webhooks SET is_active = false")
		}},
		{"a_deleted_webhook", func(b *bundle) {
			b.publish(catalog.InterviewStarted)
			b.exec("UPDATE webhooks SET deleted_at = now()")
		}},
		{"a_webhook_that_is_gone", func(b *bundle) {
			b.publish(catalog.InterviewStarted)
			b.exec("UPDATE delivery_queue SET webhook_id = ?", uuid.New())
		}},
		{"a_rate_limit", func(b *bundle) {
			b.publish(catalog.InterviewStarted)
			b.exec("UPDATE webhooks SET rate_limit = 10")
		}},
	} {
		t.Run("leaves_"+c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			c.waits(b)
			healthy := b.webhook(catalog.InterviewCompleted)
			b.exec("UPDATE webhooks SET events = '{}' WHERE id = ?", b.hook.ID)
			b.publish(catalog.InterviewCompleted)
			got, others, batch := b.takeForStream(tenForStream)
			require.True(t, others)
			require.Len(t, got.Ready, 1)
			require.Equal(t, healthy.ID, got.Ready[0].WebhookID)
			require.Equal(t, ids(got.Ready), batch)
			require.Equal(t, 1, b.number("SELECT count(*) FROM delivery_queue"))
		})
	}
	t.Run("reports_nothing_that_a_round_could_not_take", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.publish(catalog.InterviewStarted)
		b.exec("UPDATE webhooks SET consecutive_failures = 1")
		o := tenForStream
		o.Room = map[uuid.UUID]int{b.hook.ID: 0}
		_, others, _ := b.takeForStream(o)
		require.False(t, others, "its endpoint is stuck")
		b.exec("UPDATE delivery_queue SET single = true")
		b.exec("UPDATE webhooks SET consecutive_failures = 0")
		got, others, _ := b.takeForStream(tenForStream)
		require.False(t, others)
		require.Zero(t, got.Taken, "TakeSingles returns it")
	})
	t.Run("what_has_ended_gets_no_attempt", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.publish(catalog.InterviewStarted)
		b.exec("UPDATE deliveries SET status = 'canceled'")
		got, _, _ := b.takeForStream(tenForStream)
		require.Empty(t, got.Ready)
		require.Equal(t, 1, got.Taken)
	})
	t.Run("leaves_what_another_process_takes", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.publish(catalog.InterviewStarted)
		b.tx(func(tx bun.Tx) error {
			taken, err := delivery.TakeDeliveries(b.ctx, tx, tenOfEach)
			require.Len(t, taken.Ready, 1)
			got, _, _ := b.takeForStream(tenForStream)
			require.Zero(t, got.Taken)
			return err
		})
	})
	t.Run("a_batch_whose_deliveries_cannot_be_read_is_stored", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.publish(catalog.InterviewStarted)
		b.exec("ALTER TABLE deliveries RENAME TO away")
		s := b.stream()
		_, _, err := delivery.TakeForStream(b.ctx, b.DB, tenForStream, delivery.Batch{
			ID: pg.NewID(), Stream: uuid.NullUUID{UUID: s.ID, Valid: true},
		})
		require.ErrorIs(t, err, delivery.ErrTaken)
		stored, err := delivery.StreamBatches(b.ctx, b.DB, s.ID, 0)
		require.NoError(t, err)
		require.Len(t, stored, 1)
	})
}
