package delivery_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/db/catalog"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

func TestCountWaiting(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := bundleOn(t, b.DB)
	company := pg.Scope{Company: &b.company}
	count := func(s pg.Scope, limit int) delivery.Waiting {
		t.Helper()
		w, err := delivery.CountWaiting(b.ctx, b, s, limit)
		require.NoError(t, err)
		return w
	}
	require.Zero(t, count(pg.Scope{}, 10))
	require.Zero(t, count(company, 10))
	for range 3 {
		b.publish(catalog.InterviewStarted)
	}
	other.publish(catalog.InterviewStarted)
	require.Equal(t, 4, count(pg.Scope{}, 10).Count)
	require.Equal(t, 3, count(company, 10).Count)
	require.Equal(t, 2, count(company, 2).Count)
	require.Equal(t, 2, count(pg.Scope{}, 2).Count)
	var oldest uuid.UUID
	require.NoError(
		t,
		b.NewRaw("SELECT id FROM deliveries WHERE company_id = ? ORDER BY id LIMIT 1", b.company).Scan(b.ctx, &oldest),
	)
	require.Equal(t, pg.TimeOf(oldest), count(company, 10).Oldest)
	b.exec("UPDATE deliveries SET status = 'paused' WHERE id <> ?", oldest)
	require.Equal(t, 3, count(company, 10).Count, "every live status waits")
	b.exec("UPDATE deliveries SET status = 'succeeded' WHERE id = ?", oldest)
	require.Equal(t, 2, count(company, 10).Count)
	require.True(
		t,
		count(company, 10).Oldest.After(pg.TimeOf(oldest)) || count(company, 10).Oldest.Equal(pg.TimeOf(oldest)),
	)
}

func TestListTroubled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := bundleOn(t, b.DB)
	inactive, disabled, deleted := b.webhook(catalog.Ping), b.webhook(catalog.Ping), b.webhook(catalog.Ping)
	b.exec("UPDATE webhooks SET circuit_opened_at = now() - interval '1 m' WHERE id IN (?, ?)", b.hook.ID, deleted.ID)
	b.exec("UPDATE webhooks SET circuit_opened_at = now() - interval '1 h' WHERE id = ?", other.hook.ID)
	b.exec("UPDATE webhooks SET is_active = false WHERE id = ?", inactive.ID)
	b.exec("UPDATE webhooks SET is_active = false, disabled_reason = 'gone' WHERE id = ?", disabled.ID)
	b.exec("UPDATE webhooks SET deleted_at = now() WHERE id = ?", deleted.ID)
	list := func(s pg.Scope, limit int) (ids []uuid.UUID) {
		t.Helper()
		hooks, err := delivery.ListTroubled(b.ctx, b, s, limit)
		require.NoError(t, err)
		for _, w := range hooks {
			ids = append(ids, w.ID)
		}
		return ids
	}
	require.Equal(t, []uuid.UUID{other.hook.ID, b.hook.ID, disabled.ID}, list(pg.Scope{}, 10), "the longest open first")
	require.Equal(t, []uuid.UUID{b.hook.ID, disabled.ID}, list(pg.Scope{Company: &b.company}, 10))
	require.Len(t, list(pg.Scope{}, 1), 1)
}

func TestEstimateReplay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	since := time.Now().Add(-time.Minute)
	for range 5 {
		b.publish(catalog.InterviewStarted)
	}
	b.publish(catalog.InterviewCompleted)
	b.exec("UPDATE deliveries SET status = 'failed'")
	count := func(r delivery.Replay) delivery.ReplayEstimate {
		t.Helper()
		r.WebhookID, r.Since = b.hook.ID, since
		if r.Until.IsZero() {
			r.Until = time.Now().Add(time.Second)
		}
		n, err := delivery.EstimateReplay(b.ctx, b, &r)
		require.NoError(t, err)
		require.True(t, n.Complete)
		require.EqualValues(t, n.Matching, n.Estimate(&r), "an exact count is its own estimate")
		exact, err := delivery.CountReplay(b.ctx, b, &r)
		require.NoError(t, err)
		require.EqualValues(t, n.Matching, exact)
		return n
	}
	n := count(delivery.Replay{Statuses: []string{"failed"}})
	require.Equal(t, 6, n.Matching)
	require.Equal(t, 6, n.Looked)
	require.Equal(
		t,
		5,
		count(delivery.Replay{Statuses: []string{"failed"}, Events: []string{catalog.InterviewStarted}}).Matching,
	)
	require.Equal(t, 6, count(delivery.Replay{Statuses: []string{"failed"}, Events: []string{"interview.*"}}).Matching)
	require.Zero(t, count(delivery.Replay{Statuses: []string{"succeeded"}}).Matching)
	require.Zero(t, count(delivery.Replay{Statuses: []string{"failed"}, Until: since.Add(time.Second)}).Looked)
	require.Zero(t, b.number("SELECT count(*) FROM replays"))
	require.Zero(t, b.number("SELECT count(*) FROM deliveries WHERE status <> 'failed'"), "counting changes nothing")

	b.exec(`INSERT INTO deliveries (id, event_id, webhook_id, company_id, event_type, status, created_at, updated_at)
		SELECT uuid_v7(), event_id, webhook_id, company_id, event_type, 'failed', now(), now()
		FROM (SELECT * FROM deliveries LIMIT 1) d, generate_series(1, 20000)`)
	exact, err := delivery.CountReplay(b.ctx, b, &delivery.Replay{
		WebhookID: b.hook.ID, Since: since, Until: time.Now().Add(time.Minute), Statuses: []string{"failed"},
	})
	require.NoError(t, err)
	require.EqualValues(t, 20_006, exact, "of all pages")
}

func TestReplayEstimate(t *testing.T) {
	t.Parallel()
	since := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r := &delivery.Replay{Since: since, Until: since.Add(10 * time.Hour)}
	partly := delivery.ReplayEstimate{Matching: 100, Looked: 10_000, Until: since.Add(time.Hour)}
	require.EqualValues(t, 1000, partly.Estimate(r), "the rest of the time at the same density")
	partly.Until = since
	require.EqualValues(t, 100, partly.Estimate(r))
	require.EqualValues(t, 7, delivery.ReplayEstimate{Matching: 7, Complete: true}.Estimate(r))
}

func TestListDays(t *testing.T) {
	t.Parallel()
	b := setup(t)
	day0 := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	require.NoError(t, delivery.EnsurePartitions(b.ctx, b.DB, day0, 1))
	days, err := delivery.ListDays(b.ctx, b.DB)
	require.NoError(t, err)
	require.NotEmpty(t, days)
	last := days[len(days)-1]
	require.Equal(t, time.Date(2026, 2, 28, 0, 0, 0, 0, time.UTC), last.At, "the day before is the oldest")
	require.Equal(t, 3, last.Tables)
	require.Positive(t, last.Bytes)
}
