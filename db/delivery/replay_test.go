package delivery_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db/catalog"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

func TestReplayPage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	since := time.Now().Add(-time.Minute)
	for range 5 {
		b.publish(catalog.InterviewStarted)
	}
	b.publish(catalog.InterviewCompleted)
	b.take()
	_, err := b.ExecContext(b.ctx, "UPDATE deliveries SET status = 'failed'")
	require.NoError(t, err)
	start := func(r delivery.Replay) *delivery.Replay {
		r.WebhookID, r.Since, r.Until = b.hook.ID, since, time.Now().Add(time.Second)
		if r.Statuses == nil {
			r.Statuses = []string{"failed"}
		}
		b.tx(func(tx bun.Tx) error { return delivery.CreateReplay(b.ctx, tx, &r) })
		return &r
	}
	page := func(r *delivery.Replay, limit int) delivery.ReplayProgress {
		p, err := delivery.ReplayPage(b.ctx, b, r.ID, limit)
		require.NoError(t, err)
		require.Equal(t, b.hook.ID, p.WebhookID)
		p.WebhookID, p.CompanyID = uuid.Nil, nil
		return p
	}
	t.Run("pages_oldest_first_and_completes", func(t *testing.T) {
		r := start(delivery.Replay{Events: []string{catalog.InterviewStarted}})
		require.Equal(t, delivery.ReplayProgress{State: delivery.ReplayRunning, Replayed: 2, Requeued: 2}, page(r, 2))
		first := b.take()
		require.Len(t, first, 2)
		require.Equal(t, 1, first[0].Generation)
		_, err := b.ExecContext(b.ctx, "UPDATE deliveries SET status = 'failed' WHERE id = ?", first[0].DeliveryID)
		require.NoError(t, err)
		require.Equal(t, delivery.ReplayProgress{State: delivery.ReplayRunning, Replayed: 4, Requeued: 2}, page(r, 2))
		require.Equal(
			t,
			delivery.ReplayProgress{State: delivery.ReplayCompleted, Replayed: 5, Requeued: 1},
			page(r, 2),
			"what failed again is not sent twice",
		)
		require.Equal(t, delivery.ReplayProgress{State: delivery.ReplayCompleted, Replayed: 5}, page(r, 2))
		require.Len(t, b.take(), 3)
	})
	t.Run("does_nothing_while_paused_or_canceled", func(t *testing.T) {
		r := start(delivery.Replay{})
		b.tx(func(tx bun.Tx) error { _, err := delivery.PauseReplay(b.ctx, tx, r.ID); return err })
		require.Equal(t, delivery.ReplayProgress{State: delivery.ReplayPaused}, page(r, 1))
		b.tx(func(tx bun.Tx) error { _, err := delivery.ResumeReplay(b.ctx, tx, r.ID); return err })
		require.Equal(t, 1, page(r, 1).Requeued)
		b.tx(func(tx bun.Tx) error { _, err := delivery.CancelReplay(b.ctx, tx, r.ID); return err })
		require.Equal(t, delivery.ReplayProgress{State: delivery.ReplayCanceled, Replayed: 1}, page(r, 1))
		err := pg.InTx(
			b.ctx,
			b,
			func(ctx context.Context, tx bun.Tx) error { _, err := delivery.ResumeReplay(ctx, tx, r.ID); return err },
		)
		require.ErrorIs(t, err, pg.ErrConflict)
	})
	t.Run("a_deleted_webhook_cancels_it", func(t *testing.T) {
		r := start(delivery.Replay{Statuses: []string{"failed", "canceled"}})
		b.tx(func(tx bun.Tx) error { return delivery.DeleteWebhook(b.ctx, tx, b.hook.ID) })
		require.Equal(t, delivery.ReplayProgress{State: delivery.ReplayCanceled}, page(r, 10))
	})
	t.Run("an_unknown_replay_is_not_found", func(t *testing.T) {
		_, err := delivery.ReplayPage(b.ctx, b, pg.NewID(), 1)
		require.ErrorIs(t, err, pg.ErrNotFound)
	})
}

// Since is inclusive and Until exclusive; tests and other statuses are not sent again.
func TestReplayMatches(t *testing.T) {
	t.Parallel()
	b := setup(t)
	since := time.Now().UTC().Truncate(time.Hour)
	until := since.Add(time.Minute)
	add := func(at time.Time, status delivery.Status, test bool) uuid.UUID {
		id := pg.FloorID(at)
		for i := 6; i < len(id); i++ {
			id[i] = 7
		}
		b.exec(
			`INSERT INTO deliveries (id, event_id, webhook_id, company_id, event_type, status, is_test, created_at, updated_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, now(), now())`,
			id,
			pg.NewID(),
			b.hook.ID,
			b.company,
			catalog.InterviewStarted,
			status,
			test,
		)
		return id
	}
	add(since.Add(-time.Millisecond), delivery.Failed, false)
	first := add(since, delivery.Failed, false)
	add(since.Add(time.Second), delivery.Failed, true)
	add(since.Add(2*time.Second), delivery.Succeeded, false)
	add(since.Add(3*time.Second), delivery.Retrying, false)
	canceled := add(since.Add(4*time.Second), delivery.Canceled, false)
	last := add(until.Add(-time.Millisecond), delivery.Failed, false)
	add(until, delivery.Failed, false)

	r := &delivery.Replay{WebhookID: b.hook.ID, Since: since, Until: until, Statuses: []string{"failed", "canceled"}}
	b.tx(func(tx bun.Tx) error { return delivery.CreateReplay(b.ctx, tx, r) })
	p, err := delivery.ReplayPage(b.ctx, b, r.ID, 10)
	require.NoError(t, err)
	require.Equal(t, delivery.ReplayCompleted, p.State)
	var sent []uuid.UUID
	for _, q := range b.take() {
		sent = append(sent, q.DeliveryID)
	}
	require.Equal(t, []uuid.UUID{first, canceled, last}, sent)
}

// A page of exactly as many matches as its limit leaves it open whether more follow.
func TestReplayPageThatIsFullDoesNotComplete(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(catalog.InterviewStarted)
	b.take()
	b.exec("UPDATE deliveries SET status = 'failed'")
	r := &delivery.Replay{
		WebhookID: b.hook.ID, Since: time.Now().Add(-time.Minute), Until: time.Now().Add(time.Second),
		Statuses: []string{"failed"},
	}
	b.tx(func(tx bun.Tx) error { return delivery.CreateReplay(b.ctx, tx, r) })
	for _, want := range []delivery.ReplayState{delivery.ReplayRunning, delivery.ReplayCompleted} {
		p, err := delivery.ReplayPage(b.ctx, b, r.ID, 1)
		require.NoError(t, err)
		require.Equal(t, want, p.State)
		require.EqualValues(t, 1, p.Replayed)
	}
}

// TestReplayPageIsBounded has one failure behind many successes: a page that finds none is continued where it stopped.
func TestReplayPageIsBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(`INSERT INTO deliveries (id, event_id, webhook_id, company_id, event_type, status, created_at, updated_at)
		SELECT uuid_v7(), uuid_v7(), ?, ?, ?, CASE n WHEN 25000 THEN 'failed' ELSE 'succeeded' END, now(), now() FROM generate_series(1, 25000) n`,
		b.hook.ID, b.company, catalog.InterviewStarted)
	r := &delivery.Replay{
		WebhookID: b.hook.ID,
		Since:     time.Now().Add(-time.Hour),
		Until:     time.Now().Add(time.Second),
		Statuses:  []string{"failed"},
	}
	b.tx(func(tx bun.Tx) error { return delivery.CreateReplay(b.ctx, tx, r) })
	for _, want := range []delivery.ReplayProgress{
		{State: delivery.ReplayRunning}, {State: delivery.ReplayRunning}, {State: delivery.ReplayCompleted, Replayed: 1, Requeued: 1},
	} {
		want.WebhookID, want.CompanyID = b.hook.ID, r.CompanyID
		p, err := delivery.ReplayPage(b.ctx, b, r.ID, 10)
		require.NoError(t, err)
		require.Equal(t, want, p)
	}
}
