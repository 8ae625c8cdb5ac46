package deliver_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"greenroom/activities/deliver"
	"greenroom/db/delivery"
)

func TestRetryDelivery(t *testing.T) {
	s := setupAttempt(t)
	id := s.delivery()
	s.attempt(deliver.AttemptInput{DeliveryID: id, Attempt: 1}, uuid.New())
	res, err := s.RetryDelivery(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, deliver.WorkflowID(id, 1), res.WorkflowID, "of the next generation")
	require.Equal(t, delivery.Pending, s.row(id).Status)
	require.Equal(t, 1, s.number("SELECT count(*) FROM delivery_queue WHERE delivery_id = ?", id))

	s.exec("UPDATE deliveries SET status = 'retrying' WHERE id = ?", id)
	res, err = s.RetryDelivery(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, deliver.WorkflowID(id, 1), res.WorkflowID, "its own workflow is woken")
	require.Equal(t, 1, s.number("SELECT count(*) FROM commands WHERE subject_id = ?", id))
}

// Temporal does not retry a refusal, and the engineer reads the remedy. It retries an internal fault.
func TestRetryDeliveryIsRefused(t *testing.T) {
	s := setupAttempt(t)
	id, unknown := s.delivery(), uuid.New()
	for _, tc := range []struct {
		change string
		id     uuid.UUID
		reason string
	}{
		{"UPDATE deliveries SET status = 'pending'", id, "the delivery is pending: its first attempt has not been made yet"},
		{"UPDATE deliveries SET status = 'paused'", id, "the delivery is paused: it is sent when its webhook's circuit is " +
			"reset, or the webhook is activated"},
		{"UPDATE webhooks SET deleted_at = now()", id, "the webhook was deleted, so nothing is sent to it"},
		{"SELECT 1", unknown, "there is no delivery " + unknown.String()},
	} {
		s.exec(tc.change)
		_, err := s.RetryDelivery(t.Context(), tc.id)
		var refused *temporal.ApplicationError
		require.ErrorAs(t, err, &refused, tc.reason)
		require.Equal(t, tc.reason, refused.Message())
		require.Equal(t, "Refused", refused.Type())
		require.True(t, refused.NonRetryable())
	}
	require.Zero(t, s.number("SELECT count(*) FROM delivery_queue"))

	_, err := s.RetryDelivery(ended(t), id)
	require.ErrorContains(t, err, "retry delivery")
	var refused *temporal.ApplicationError
	require.NotErrorAs(t, err, &refused)
}

// Another transaction may end the generation that a retry has read: it is refused in the words of the conflict.
func TestRetryDeliveryIsRefusedWhileAnotherRetries(t *testing.T) {
	s := setupAttempt(t)
	id := s.delivery()
	s.attempt(deliver.AttemptInput{DeliveryID: id, Attempt: 1}, uuid.New())
	tx, err := s.DB.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }()
	_, err = tx.Exec("UPDATE deliveries SET status = 'pending', generation = 1")
	require.NoError(t, err)
	result := make(chan error, 1)
	go func() {
		_, err := s.RetryDelivery(t.Context(), id)
		result <- err
	}()
	s.untilLocked()
	require.NoError(t, tx.Commit())
	var refused *temporal.ApplicationError
	require.ErrorAs(t, within(t, result), &refused)
	require.Equal(t, "delivery is changing", refused.Message())
	require.True(t, refused.NonRetryable())
}

func TestReplayPage(t *testing.T) {
	s := setupAttempt(t)
	first, second := s.delivery(), s.delivery()
	s.exec("UPDATE deliveries SET status = 'failed'")
	in := deliver.ReplayPageInput{ReplayID: s.replay(&s.company), PerSecond: 1}
	page := func() deliver.ReplayProgress {
		t.Helper()
		p, err := s.ReplayPage(t.Context(), in)
		require.NoError(t, err)
		return p
	}
	want := deliver.ReplayProgress{State: "running", Replayed: 1, WebhookID: s.hook.ID, CompanyID: s.company}
	require.Equal(t, want, page())
	require.Equal(t, 1, s.row(first).Generation)

	s.exec("UPDATE replays SET state = 'paused'")
	want.State, want.Paused = "paused", true
	require.Equal(t, want, page())
	require.Zero(t, s.row(second).Generation, "nothing is sent while the replay is paused")

	s.exec("UPDATE replays SET state = 'running'")
	require.Eventually(t, func() bool { return page().Ended }, 10*time.Second, time.Millisecond)
	require.Equal(t, 1, s.row(second).Generation)
	require.Equal(
		t,
		deliver.ReplayProgress{
			State:     "completed",
			Replayed:  2,
			Ended:     true,
			WebhookID: s.hook.ID,
			CompanyID: s.company,
		},
		page(),
	)

	s.exec("UPDATE replays SET company_id = NULL")
	require.Zero(t, page().CompanyID, "a replay of the platform")
	_, err := s.ReplayPage(ended(t), in)
	require.Error(t, err)
}
