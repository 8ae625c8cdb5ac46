package deliver_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/activities/deliver"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// ended is a context in which the database cannot be used.
func ended(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestCancelDelivery(t *testing.T) {
	s := setupAttempt(t)
	in := deliver.CancelDeliveryInput{DeliveryID: s.delivery(), Generation: 1}
	cancel := func(in deliver.CancelDeliveryInput) { require.NoError(t, s.CancelDelivery(t.Context(), in)) }

	cancel(in)
	require.Equal(t, delivery.Pending, s.row(in.DeliveryID).Status, "the workflow of another generation")
	in.Generation = 0
	require.ErrorContains(t, s.CancelDelivery(ended(t), in), "cancel delivery")
	require.Equal(t, delivery.Pending, s.row(in.DeliveryID).Status)
	cancel(in)
	require.Equal(t, delivery.Canceled, s.row(in.DeliveryID).Status)
	cancel(in)
	cancel(deliver.CancelDeliveryInput{DeliveryID: uuid.New()})

	res := s.attempt(deliver.AttemptInput{DeliveryID: in.DeliveryID, Attempt: 1, Replay: true}, uuid.New())
	require.Equal(t, deliver.AttemptResult{Outcome: deliver.AttemptCanceled, Reason: "the delivery was canceled"}, res)
	require.Zero(t, s.posts.Load(), "a canceled delivery is not sent, not by a replay either")

	sent := s.delivery()
	s.attempt(deliver.AttemptInput{DeliveryID: sent, Attempt: 1}, uuid.New())
	cancel(deliver.CancelDeliveryInput{DeliveryID: sent})
	require.Equal(t, delivery.Succeeded, s.row(sent).Status, "what has ended is unchanged")
}

// replay starts a replay of all failed deliveries of the webhook.
func (s *attempting) replay(company *uuid.UUID) uuid.UUID {
	s.t.Helper()
	r := &delivery.Replay{
		WebhookID: s.hook.ID, CompanyID: company, Statuses: []string{"failed"},
		Since: time.Now().Add(-time.Hour), Until: time.Now().Add(time.Hour),
	}
	require.NoError(s.t, pg.InTx(s.t.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		return delivery.CreateReplay(ctx, tx, r)
	}))
	return r.ID
}

func TestCancelReplay(t *testing.T) {
	s := setupAttempt(t)
	id := s.replay(&s.company)
	canceled := func() int {
		return s.number("SELECT count(*) FROM replays WHERE id = ? AND state = 'canceled'", id)
	}
	require.ErrorContains(t, s.CancelReplay(ended(t), id), "cancel replay")
	require.Zero(t, canceled())
	require.NoError(t, s.CancelReplay(t.Context(), id))
	require.Equal(t, 1, canceled())
	require.NoError(t, s.CancelReplay(t.Context(), id), "it has ended")
	require.NoError(t, s.CancelReplay(t.Context(), uuid.New()), "it was never there")
}
