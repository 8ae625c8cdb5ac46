package delivery_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/db/catalog"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// TestPages: the pages of every filter have, in order, what one statement without any bound finds.
func TestPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one, two, global := b.hook, b.webhook(catalog.InterviewStarted), b.webhook(catalog.InterviewStarted)
	foreign := pg.NewID()
	b.exec("INSERT INTO companies (id, name) VALUES (?, 'Other')", foreign)
	theirs := b.webhook(catalog.InterviewStarted)
	b.exec("UPDATE webhooks SET company_id = ?0, owner_company_id = ?0 WHERE id = ?1", foreign, theirs.ID)
	b.exec("UPDATE webhooks SET company_id = NULL, owner_company_id = NULL WHERE id = ?", global.ID)
	from := time.Now().UTC().Add(-72 * time.Hour).Truncate(time.Hour)
	require.NoError(t, delivery.EnsurePartitions(b.ctx, b.DB, from, 4))
	const rows = 16_000
	b.exec(
		`INSERT INTO deliveries (id, event_id, webhook_id, company_id, event_type, status, is_test, created_at, updated_at)
		SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3)
			|| '8' || substr(md5(n::text), 4, 15))::uuid, gen_random_uuid(),
		  (ARRAY[?2, ?3, ?4, ?5]::uuid[])[1 + n % 4], CASE WHEN n % 4 = 3 THEN ?6::uuid ELSE ?7 END,
		  CASE WHEN n % 1999 = 0 THEN 'job.created' ELSE 'interview.started' END,
		  CASE WHEN n % 997 < 4 THEN 'failed' WHEN n % 991 < 4 THEN 'canceled' WHEN n % 983 < 4 THEN 'retrying'
		    WHEN n BETWEEN 2000 AND 15000 THEN 'paused' ELSE 'succeeded' END,
		  n % 100 = 0, at, at
		FROM (SELECT n, ?0::timestamptz + n * interval '16 s' AS at FROM generate_series(1, ?1) n) numbered`,
		from,
		rows,
		one.ID,
		two.ID,
		global.ID,
		theirs.ID,
		foreign,
		b.company,
	)
	mine := pg.Scope{Company: &b.company}
	most := 0
	for _, scope := range []pg.Scope{{}, mine} {
		for _, hook := range []*uuid.UUID{nil, &one.ID, &global.ID} {
			for _, company := range []*uuid.UUID{nil, &foreign} {
				for _, kind := range []string{"", "job.created", "none"} {
					for _, status := range append([]delivery.Status{""}, delivery.Statuses()...) {
						f := delivery.Filter{Webhook: hook, Company: company, EventType: kind, Status: status, Limit: 400}
						name := fmt.Sprintf("%v %v %v %q %q", scope.Company != nil, hook, company, kind, status)
						got, pages := b.pages(scope, f)
						require.Equal(t, b.bruteForce(scope, f), got, name)
						most = max(most, pages)
						f.Since, f.Until = from.Add(20*time.Hour), from.Add(50*time.Hour)
						f.WithoutTests = true
						got, _ = b.pages(scope, f)
						require.Equal(t, b.bruteForce(scope, f), got, "in a time: %s", name)
					}
				}
			}
		}
	}
	require.LessOrEqual(t, most, rows/400+1)
	page, err := delivery.PageDeliveries(b.ctx, b, pg.Scope{}, delivery.Filter{EventType: "none", Limit: 10})
	require.NoError(t, err)
	require.Empty(t, page.Deliveries)
	require.NotZero(t, page.Next, "it has looked at some alone")
	all, err := delivery.ListDeliveries(b.ctx, b, pg.Scope{}, delivery.Filter{EventType: "job.created", Limit: 100})
	require.NoError(t, err)
	require.Len(t, all, rows/1999, "a list looks on")
}

// pages reads all pages of a filter.
func (b *bundle) pages(s pg.Scope, f delivery.Filter) (ids []uuid.UUID, pages int) {
	b.t.Helper()
	ids = []uuid.UUID{}
	for {
		page, err := delivery.PageDeliveries(b.ctx, b, s, f)
		require.NoError(b.t, err)
		require.LessOrEqual(b.t, len(page.Deliveries), int(f.Limit))
		for i := range page.Deliveries {
			require.Nil(b.t, page.Deliveries[i].Body)
			ids = append(ids, page.Deliveries[i].ID)
		}
		if pages++; page.Next == uuid.Nil {
			return ids, pages
		}
		f.Before = page.Next
	}
}

// bruteForce finds what a filter matches, without an index's help.
func (b *bundle) bruteForce(s pg.Scope, f delivery.Filter) []uuid.UUID {
	b.t.Helper()
	ids := []uuid.UUID{}
	q := b.NewSelect().TableExpr("deliveries d").ColumnExpr("d.id").Join("JOIN webhooks w ON w.id = d.webhook_id").
		OrderExpr("d.id DESC")
	if s.Company != nil {
		q = q.Where("d.company_id = ?0 AND (w.company_id = ?0 OR w.owner_company_id = ?0)", *s.Company)
	}
	for condition, value := range map[string]any{
		"d.webhook_id = ?": f.Webhook, "d.company_id = ?": f.Company, "d.event_type = ?": f.EventType, "d.status = ?": f.Status,
	} {
		switch value := value.(type) {
		case *uuid.UUID:
			if value != nil {
				q = q.Where(condition, *value)
			}
		case string:
			if value != "" {
				q = q.Where(condition, value)
			}
		case delivery.Status:
			if value != "" {
				q = q.Where(condition, value)
			}
		}
	}
	if !f.Since.IsZero() {
		q = q.Where("d.id >= ? AND d.id < ?", pg.FloorID(f.Since), pg.FloorID(f.Until))
	}
	if f.WithoutTests {
		q = q.Where("NOT d.is_test")
	}
	require.NoError(b.t, q.Scan(b.ctx, &ids))
	return ids
}
