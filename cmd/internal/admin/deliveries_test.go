package admin_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/admin"
	"greenroom/db/delivery"
)

func TestListDeliveries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second := b.hook(), b.hook()
	all := b.publish()
	require.Len(t, all, 2)
	count := func(q admin.DeliveryQuery) int {
		q.Limit = 10
		list, err := b.ListDeliveries(b.ctx, q)
		require.NoError(t, err)
		return len(list)
	}
	require.Equal(t, 1, count(admin.DeliveryQuery{Webhook: first.ID}))
	require.Equal(t, 1, count(admin.DeliveryQuery{Webhook: second.ID, Status: "pending"}))
	require.Zero(t, count(admin.DeliveryQuery{Status: "failed"}))
	require.Equal(t, 2, count(admin.DeliveryQuery{Since: time.Now().Add(-time.Minute)}))
	require.Zero(t, count(admin.DeliveryQuery{Until: time.Now().Add(-time.Minute)}))
	_, err := b.ListDeliveries(b.ctx, admin.DeliveryQuery{Status: "nope"})
	require.EqualError(
		t,
		err,
		`--status must be one of pending, retrying, paused, succeeded, failed, canceled, not "nope"`,
	)
}

func TestListDeliveries_leaves_out_failed_test_calls(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.hook()
	b.hook()
	all := b.publish()
	require.Len(t, all, 2)
	_, err := b.DB.ExecContext(b.ctx, "UPDATE deliveries SET status = 'failed', is_test = id = ?", all[0].ID)
	require.NoError(t, err)

	list, err := b.ListDeliveries(b.ctx, admin.DeliveryQuery{Status: "failed", Limit: 10})

	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, all[1].ID, list[0].ID)
	for _, q := range []admin.DeliveryQuery{{Status: "failed", Tests: true, Limit: 10}, {Limit: 10}} {
		list, err := b.ListDeliveries(b.ctx, q)
		require.NoError(t, err)
		require.Len(t, list, 2)
	}
}

func TestRetryDelivery(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.hook()
	id := b.publish()[0].ID
	set := func(status delivery.Status) {
		_, err := b.DB.ExecContext(b.ctx, "UPDATE deliveries SET status = ? WHERE id = ?", status, id)
		require.NoError(t, err)
	}
	t.Run("a_pending_one_is_refused", func(t *testing.T) {
		_, err := b.RetryDelivery(b.ctx, id)
		require.EqualError(t, err, "delivery "+id.String()+" is pending: it is already being sent")
	})
	t.Run("a_paused_one_is_refused_with_the_way_out", func(t *testing.T) {
		set(delivery.Paused)
		_, err := b.RetryDelivery(b.ctx, id)
		require.ErrorContains(t, err, "circuit is reset")
	})
	t.Run("a_waiting_one_is_woken", func(t *testing.T) {
		set(delivery.Retrying)
		d, err := b.RetryDelivery(b.ctx, id)
		require.NoError(t, err)
		require.Zero(t, d.Generation)
		require.Equal(t, []string{"delivery.wake"}, b.commands(id))
	})
	t.Run("the_way_out_is_a_command", func(t *testing.T) {
		next := func(change string) string {
			_, err := b.DB.ExecContext(b.ctx, "UPDATE webhooks SET circuit_opened_at = NULL, is_active = true; "+change)
			require.NoError(t, err)
			d, err := b.GetDelivery(b.ctx, id)
			require.NoError(t, err)
			return d.Explanation.Next
		}
		set(delivery.Paused)
		hook := w.ID.String()
		require.Contains(t, next("UPDATE webhooks SET circuit_opened_at = now()"), "greenroom webhooks reset-circuit "+hook)
		require.Contains(t, next("UPDATE webhooks SET is_active = false"), "greenroom webhooks update --activate "+hook)
		set(delivery.Failed)
		require.Contains(t, next(""), "greenroom deliveries retry "+id.String())
	})
	t.Run("an_ended_one_starts_anew", func(t *testing.T) {
		set(delivery.Failed)
		d, err := b.RetryDelivery(b.ctx, id)
		require.NoError(t, err)
		require.Equal(t, 1, d.Generation)
		require.Equal(t, delivery.Pending, d.Status)
	})
	t.Run("one_that_has_not_ended_is_canceled", func(t *testing.T) {
		set(delivery.Retrying)
		d, err := b.CancelDelivery(b.ctx, id)
		require.NoError(t, err)
		require.Equal(t, delivery.Canceled, d.Status)
		_, err = b.CancelDelivery(b.ctx, id)
		require.EqualError(t, err, "delivery "+id.String()+" is canceled: a delivery that has ended cannot be canceled")
		_, err = b.CancelDelivery(b.ctx, uuid.Nil)
		require.ErrorContains(t, err, "there is no delivery")
	})
	t.Run("one_of_a_deleted_webhook_is_refused", func(t *testing.T) {
		set(delivery.Failed)
		_, err := b.DeleteWebhook(b.ctx, w.ID)
		require.NoError(t, err)
		_, err = b.RetryDelivery(b.ctx, id)
		require.EqualError(t, err, "delivery "+id.String()+" cannot be sent again: its webhook was deleted")
		d, err := b.GetDelivery(b.ctx, id)
		require.NoError(t, err)
		require.Contains(t, d.Explanation.Next, "its webhook was deleted")
	})
	t.Run("an_unknown_one_is_named", func(t *testing.T) {
		unknown := uuid.New()
		_, err := b.RetryDelivery(b.ctx, unknown)
		require.EqualError(t, err, "there is no delivery "+unknown.String())
	})
}

func TestGetDelivery_shows_attempts_and_body(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.hook()
	id := b.publish()[0].ID
	status, response := 503, "busy\x1b[2J"
	_, err := delivery.RecordAttempt(b.ctx, b.DB, delivery.AttemptRecord{
		WebhookID: w.ID, Body: []byte(`{"event":"interview.started"}`), Counts: true, Threshold: 10,
		Attempt: delivery.Attempt{
			DeliveryID: id, RunID: uuid.New(), Attempt: 1, WorkflowID: "delivery:x:0", StartedAt: time.Now(), DurationMS: 12,
			Outcome: delivery.OutcomeRetry, StatusCode: &status, Response: &response,
		},
	})
	require.NoError(t, err)

	d, err := b.GetDelivery(b.ctx, id)

	require.NoError(t, err)
	require.JSONEq(t, `{"event":"interview.started"}`, string(d.Body))
	require.Len(t, d.Attempts, 1)
	require.Equal(t, 503, *d.Attempts[0].StatusCode)
	text := printed(t, false, func(p admin.Printer) error { return p.DeliveryDetail(d) })
	require.Contains(t, text, "attempt 1 failed: HTTP 503", "as the API explains it")
	require.NotContains(t, text, "\x1b", "a response must not move the terminal's cursor")
	require.NotContains(t, text, `"event"`, "the body contains data of candidates")
}
