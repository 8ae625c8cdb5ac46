package delivery_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db/catalog"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

func TestCatchUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	since := time.Now().Add(-time.Hour)
	activate := func(active bool) { b.exec("UPDATE webhooks SET is_active = ? WHERE id = ?", active, b.hook.ID) }
	count := func(webhook uuid.UUID, since time.Time) int {
		t.Helper()
		n, complete, err := delivery.CountMissed(b.ctx, b.DB, webhook, since)
		require.NoError(t, err)
		require.True(t, complete)
		return n
	}
	start := func(webhook uuid.UUID) *delivery.Replay {
		t.Helper()
		r := &delivery.Replay{WebhookID: webhook, CompanyID: &b.company, Since: since}
		b.tx(func(tx bun.Tx) error { return delivery.CreateCatchUp(b.ctx, tx, r) })
		return r
	}
	page := func(r *delivery.Replay, limit int) delivery.ReplayProgress {
		t.Helper()
		p, err := delivery.ReplayPage(b.ctx, b, r.ID, limit)
		require.NoError(t, err)
		return p
	}
	// run makes pages until the catch-up has ended, and returns the number of deliveries of each.
	run := func(r *delivery.Replay, limit int) (pages []int) {
		t.Helper()
		require.Eventually(t, func() bool { // transactions of other tests' databases may be open
			p := page(r, limit)
			if p.Requeued > 0 {
				pages = append(pages, p.Requeued)
			}
			return p.State == delivery.ReplayCompleted
		}, time.Minute, time.Millisecond)
		return pages
	}
	eventsOf := func(webhook uuid.UUID) (ids []uuid.UUID) {
		t.Helper()
		require.NoError(
			t,
			b.NewRaw("SELECT event_id FROM deliveries WHERE webhook_id = ? ORDER BY id", webhook).Scan(b.ctx, &ids),
		)
		return ids
	}

	first, _ := b.publish(catalog.InterviewStarted)
	activate(false)
	events := []uuid.UUID{first.ID}
	for range 5 {
		e, n := b.publish(catalog.InterviewStarted)
		require.Zero(t, n)
		events = append(events, e.ID)
	}
	b.publish(catalog.JobCreated)
	b.publish(catalog.Ping)
	tester := b.webhook(catalog.JobCreated)
	b.tx(func(tx bun.Tx) error { // the test of another webhook
		e := &delivery.Event{CompanyID: &b.company, Type: catalog.InterviewStarted, Data: []byte("{}")}
		_, err := delivery.RecordTest(b.ctx, tx, e, tester.ID)
		return err
	})
	b.exec(
		"INSERT INTO events (id, company_id, type, data, occurred_at) VALUES (?, ?, ?, ?, now())",
		pg.NewID(),
		b.company,
		catalog.InterviewStarted,
		string(delivery.ErasedData(uuid.New())),
	)
	b.exec("INSERT INTO events (id, company_id, type, data, occurred_at) VALUES (?, ?, ?, '{}', now())",
		at(since.Add(-time.Minute)), b.company, catalog.InterviewStarted)
	activate(true)
	last, _ := b.publish(catalog.InterviewStarted)
	events = append(events, last.ID)

	t.Run("counts_first_and_makes_each_delivery_once_in_order", func(t *testing.T) {
		require.Equal(t, 5, count(b.hook.ID, since))
		require.Equal(t, []int{2, 2, 1}, run(start(b.hook.ID), 2))
		require.ElementsMatch(t, events, eventsOf(b.hook.ID))
		require.Zero(t, count(b.hook.ID, since))
		require.Empty(t, run(start(b.hook.ID), 2))
		queued := b.take()
		require.Len(t, queued, 8, "with the test")
		for _, q := range queued {
			require.Zero(t, q.Generation)
		}
	})
	t.Run("of_a_new_webhook", func(t *testing.T) {
		w := b.webhook(catalog.InterviewStarted)
		require.Equal(t, len(events), count(w.ID, since))
		require.Zero(t, count(w.ID, time.Now()))
		r := start(w.ID)
		b.tx(func(tx bun.Tx) error { _, err := delivery.PauseReplay(b.ctx, tx, r.ID); return err })
		require.Equal(t, delivery.ReplayPaused, page(r, 100).State)
		b.tx(func(tx bun.Tx) error { _, err := delivery.ResumeReplay(b.ctx, tx, r.ID); return err })
		require.Equal(t, []int{len(events)}, run(r, 100))
		require.ElementsMatch(t, events, eventsOf(w.ID))
	})
	t.Run("two_at_once_make_none_twice", func(t *testing.T) {
		w := b.webhook(catalog.InterviewStarted)
		one, other := start(w.ID), start(w.ID)
		page(one, 3)
		run(other, 100)
		run(one, 3)
		require.ElementsMatch(t, events, eventsOf(w.ID))
	})
	t.Run("waits_for_an_event_whose_transaction_is_open", func(t *testing.T) {
		w := b.webhook(catalog.InterviewCompleted)
		b.exec("UPDATE webhooks SET is_active = false WHERE id = ?", w.ID)
		tx, err := b.BeginTx(b.ctx, nil)
		require.NoError(t, err)
		e := &delivery.Event{CompanyID: &b.company, Type: catalog.InterviewCompleted, Data: []byte("{}")}
		_, err = delivery.RecordEvent(b.ctx, tx, e)
		require.NoError(t, err)
		b.exec("UPDATE webhooks SET is_active = true WHERE id = ?", w.ID)
		r := start(w.ID)
		require.Equal(t, delivery.ReplayRunning, page(r, 100).State)
		require.NoError(t, tx.Commit())
		require.Equal(t, []int{1}, run(r, 100))
		require.Equal(t, []uuid.UUID{e.ID}, eventsOf(w.ID))
	})
	t.Run("of_a_global_webhook", func(t *testing.T) {
		other := pg.NewID()
		b.exec("INSERT INTO companies (id, name) VALUES (?, 'Other')", other)
		b.tx(func(tx bun.Tx) error {
			_, err := delivery.RecordEvent(
				b.ctx,
				tx,
				&delivery.Event{CompanyID: &other, Type: catalog.JobUpdated, Data: []byte("{}")},
			)
			return err
		})
		b.publish(catalog.JobUpdated)
		owned, platform := b.webhook(catalog.JobUpdated), b.webhook(catalog.JobUpdated)
		b.exec("UPDATE webhooks SET company_id = NULL WHERE id = ?", owned.ID)
		b.exec("UPDATE webhooks SET company_id = NULL, owner_company_id = NULL WHERE id = ?", platform.ID)
		run(start(owned.ID), 100)
		run(start(platform.ID), 100)
		require.Len(t, eventsOf(owned.ID), 1)
		require.Len(t, eventsOf(platform.ID), 2)
	})
	t.Run("a_deleted_webhook_gets_none", func(t *testing.T) {
		w := b.webhook(catalog.InterviewStarted)
		r := start(w.ID)
		b.tx(func(tx bun.Tx) error { return delivery.DeleteWebhook(b.ctx, tx, w.ID) })
		require.Equal(t, delivery.ReplayCanceled, page(r, 100).State)
		require.Empty(t, eventsOf(w.ID))
	})
}
