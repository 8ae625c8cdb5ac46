package deliver_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/activities/deliver"
	"greenroom/db/catalog"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// limit sets the rate limit of the receiver's webhook; it has no token for the next minute.
func (s *attempting) limit(rate int) {
	s.t.Helper()
	s.exec("UPDATE webhooks SET rate_limit = ? WHERE id = ?", rate, s.hook.ID)
	s.exec(`INSERT INTO webhook_rates (webhook_id, rate, tat) VALUES (?, ?, now() + interval '1 minute')
		ON CONFLICT (webhook_id) DO UPDATE SET rate = EXCLUDED.rate, tat = EXCLUDED.tat`, s.hook.ID, rate)
}

// TestAttemptWaitsForItsTurn: each attempt takes a token, unless the dispatcher has just taken one for it.
func TestAttemptWaitsForItsTurn(t *testing.T) {
	s := setupAttempt(t)
	s.limit(1)
	in := deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}
	res := s.attempt(in, uuid.New())
	require.Equal(t, deliver.AttemptBusy, res.Outcome)
	require.Equal(t, "the webhook's rate limit is reached", res.Reason)
	require.Zero(t, s.posts.Load())
	row := s.row(in.DeliveryID)
	require.NotNil(t, row.TurnAt)
	require.WithinDuration(t, time.Now().Add(time.Minute), *row.TurnAt, 10*time.Second)
	require.WithinDuration(t, time.Now().Add(5*time.Second), *row.NextAttemptAt, 2*time.Second, "the limit may change")
	require.WithinDuration(t, res.NextAt, *row.NextAttemptAt, time.Second)

	res = s.attempt(in, uuid.New())
	require.Equal(t, deliver.AttemptBusy, res.Outcome)
	require.Equal(t, *row.TurnAt, *s.row(in.DeliveryID).TurnAt, "it keeps its turn")

	s.exec("UPDATE webhook_rates SET tat = now()")
	s.exec("UPDATE deliveries SET turn_at = now()")
	s.attempt(in, uuid.New())
	require.EqualValues(t, 1, s.posts.Load())
	require.Nil(t, s.row(in.DeliveryID).TurnAt)

	in.DeliveryID = s.delivery()
	in.HasToken = true
	require.Equal(t, deliver.AttemptSucceeded, s.attempt(in, uuid.New()).Outcome)

	in.DeliveryID, in.HasToken = s.delivery(), false
	s.exec("UPDATE webhooks SET rate_limit = 0")
	require.Equal(t, deliver.AttemptSucceeded, s.attempt(in, uuid.New()).Outcome, "a limit that was removed")
	for range 10 { // none of them kept its place
		require.True(t, s.Endpoints.Acquire(s.hook.ID, uuid.New(), time.Minute))
	}
}

// TestABatchUsesItsTokensOnce: another worker that has the batch later gives its deliveries back to the queue, and so
// does a Reset.
func TestABatchUsesItsTokensOnce(t *testing.T) {
	s := setupAttempt(t)
	s.limit(1)
	in := s.batch(3)
	require.Equal(t, deliver.BatchResult{Succeeded: 3}, s.attemptBatch(in, uuid.New()))
	require.EqualValues(t, 3, s.posts.Load())

	in.Replay = true
	require.Equal(t, deliver.BatchResult{Left: 3}, s.attemptBatch(in, uuid.New()))
	require.Equal(t, 3, s.number(queue), "they are sent again when their turn comes")

	s.exec("DELETE FROM delivery_queue")
	later := s.batch(2)
	_, err := delivery.LeaseBatch(t.Context(), s.DB, later.BatchID)
	require.NoError(t, err)
	require.Equal(t, deliver.BatchResult{Left: 2}, s.attemptBatch(later, uuid.New()))
	require.Equal(t, 2, s.number(queue))
	require.EqualValues(t, 3, s.posts.Load())
}

// TestAStreamUsesItsTokensInTime: deliveries without a token that is still valid go back to the queue.
func TestAStreamUsesItsTokensInTime(t *testing.T) {
	s := setupAttempt(t)
	st, _ := s.open()
	give := func(until time.Time, n int) {
		part, batch := s.give(n)
		for i := range part.Deliveries {
			part.Deliveries[i].TokenUntil = until
		}
		s.limit(1)
		part.Attempt(batch)
		s.settle(st)
		s.exec("UPDATE webhooks SET rate_limit = 0")
	}
	give(time.Now().Add(time.Minute), 3)
	require.EqualValues(t, 3, s.posts.Load())
	require.Zero(t, s.number(queue))
	give(time.Now().Add(-time.Millisecond), 3)
	require.Equal(t, 3, s.number(queue), "the dispatcher took them too long ago")
	s.exec("DELETE FROM delivery_queue")
	give(time.Time{}, 3)
	require.Equal(t, 3, s.number(queue), "the limit was set after they were taken")
	require.EqualValues(t, 3, s.posts.Load())
}

// TestALockedLimitDelaysAnAttempt: an operator's transaction holds the row.
func TestALockedLimitDelaysAnAttempt(t *testing.T) {
	s := setupAttempt(t)
	s.limit(1)
	in := deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}
	require.NoError(t, pg.InTx(t.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.ExecContext(ctx, "SELECT FROM webhook_rates FOR UPDATE")
		require.NoError(t, err)
		res := s.attempt(in, uuid.New())
		require.Equal(t, deliver.AttemptBusy, res.Outcome)
		require.WithinDuration(t, time.Now(), res.NextAt, time.Second)
		return nil
	}))
	require.Equal(t, catalog.InterviewStarted, s.row(in.DeliveryID).EventType)
}
