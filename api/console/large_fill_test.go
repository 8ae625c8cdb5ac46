package console_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"golang.org/x/sync/errgroup"

	"greenroom/db"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// The history of the large database: largeDays of deliveries, of which one company has four in five. Every delivery to
// its webhook "broken" failed between brokenFrom and brokenTo days ago; the circuit of "blocked" opened blockedFrom
// days ago, and the deliveries since wait behind it.
const (
	largeDays             = 31
	brokenFrom, brokenTo  = 20, 12
	blockedFrom           = 5
	smallCompanies        = 19
	bigWebhooks           = 10
	smallWebhooks         = 3
	broken, blocked, calm = 0, 1, 2 // webhooks of the large company
)

// large is a database with a long history.
type large struct {
	*bun.DB
	url     string
	company []uuid.UUID // the first one is the large one
	webhook []uuid.UUID // bigWebhooks of the first company, then smallWebhooks of each other
	until   time.Time   // the newest delivery's
	rows    int
	brief   bool // some combinations of filters stand for all
}

// fillLarge makes the database's history, unless it has one.
func fillLarge(t *testing.T, address string, rows int) *large {
	t.Helper()
	ctx := t.Context()
	d, err := pg.Open(ctx, pg.Options{URL: address, MaxConns: 8})
	require.NoError(t, err)
	t.Cleanup(func() { _ = d.Close() })
	_, err = db.Migrate(ctx, d)
	require.NoError(t, err)
	l := &large{DB: d, url: address, rows: rows}
	require.NoError(t, d.NewRaw("SELECT id FROM companies WHERE name LIKE 'Large %' ORDER BY id").Scan(ctx, &l.company))
	if len(l.company) == 0 {
		l.register(ctx, t)
		l.fill(ctx, t)
	}
	require.NoError(t, d.NewRaw("SELECT id FROM webhooks WHERE name LIKE 'large %' ORDER BY id").Scan(ctx, &l.webhook))
	var newest uuid.UUID
	require.NoError(t, d.NewRaw("SELECT id FROM deliveries ORDER BY id DESC LIMIT 1").Scan(ctx, &newest))
	l.until = pg.TimeOf(newest)
	return l
}

func (l *large) register(ctx context.Context, t *testing.T) {
	for i := range 1 + smallCompanies {
		c := &db.Company{Name: fmt.Sprintf("Large %d", i)}
		require.NoError(t, db.CreateCompany(ctx, l, c))
		l.company = append(l.company, c.ID)
		hooks := smallWebhooks
		if i == 0 {
			hooks = bigWebhooks
		}
		for j := range hooks {
			now := time.Now().UTC()
			w := &delivery.Webhook{
				ID:             pg.NewID(),
				CompanyID:      &c.ID,
				OwnerCompanyID: &c.ID,
				Profile:        "standard",
				URL:            "https://receiver.test/hook",
				Name: fmt.Sprintf(
					"large %d %d",
					i,
					j,
				),
				Events:     []string{"interview.started", "interview.completed", "sourcing.failed"},
				IsActive:   true,
				MaxRetries: 3,
				TimeoutMS:  15_000,
				Secret:     []byte("sealed"),
				Headers:    []delivery.WebhookHeader{},
				CreatedAt:  now,
				UpdatedAt:  now,
			}
			if i == 0 && j == blocked {
				opened := now.AddDate(0, 0, -blockedFrom)
				w.CircuitOpenedAt, w.ConsecutiveFailures = &opened, 10
			}
			require.NoError(t, delivery.CreateWebhook(ctx, l, w))
			l.webhook = append(l.webhook, w.ID)
		}
	}
}

func (l *large) fill(ctx context.Context, t *testing.T) {
	until := time.Now().UTC().Truncate(time.Millisecond)
	first := until.AddDate(0, 0, 1-largeDays)
	require.NoError(t, delivery.EnsurePartitions(ctx, l.DB, first, largeDays))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2)
	each := l.rows / largeDays / 2 * 2
	for i := range largeDays {
		g.Go(func() error {
			from := first.AddDate(0, 0, i).Truncate(24 * time.Hour)
			to := from.AddDate(0, 0, 1)
			if to.After(until) {
				to = until
			}
			step := to.Sub(from).Seconds() / float64(each)
			for _, sql := range []string{largeEvents, largeDeliveries, largeAttempts} {
				if _, err := l.ExecContext(ctx, largeRows+sql, i*each, each, from, step, uuids(l.company), uuids(l.webhook),
					largeDays-1-i); err != nil {
					return fmt.Errorf("day %d: %w", i, err)
				}
			}
			t.Logf("day %d of %d", i+1, largeDays)
			return nil
		})
	}
	require.NoError(t, g.Wait())
	_, err := l.ExecContext(t.Context(), largeOthers, l.company[0], l.rows/50)
	require.NoError(t, err)
}

// largeRows numbers a day's deliveries. ?0 first number, ?1 count, ?2 start, ?3 seconds between two, ?4 companies, ?5
// webhooks, ?6 the day's age in days.
const largeRows = `
WITH rows AS (
  SELECT n, n / 2 AS e, ?2::timestamptz + (n - ?0) * ?3 * interval '1 second' AS at,
    ?2::timestamptz + (n - n % 2 - ?0) * ?3 * interval '1 second' AS event_at
  FROM generate_series(?0::bigint, ?0 + ?1 - 1) n
), placed AS (
  SELECT *, CASE WHEN e % 5 < 4 THEN 0 ELSE 1 + (e / 5) % 19 END::int AS company FROM rows
), ids AS (
  SELECT n, e, at, event_at, company,
    CASE WHEN company = 0 THEN (e / 5 + n % 2 * 3) % 10 ELSE 10 + (company - 1) * 3 + (e / 5 + n % 2) % 3 END::int AS webhook,
    (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5('d' || n), 1, 3)
      || '8' || substr(md5('d' || n), 4, 15))::uuid AS id,
    (lpad(to_hex((extract(epoch FROM event_at) * 1000)::bigint), 12, '0') || '7' || substr(md5('e' || e), 1, 3)
      || '8' || substr(md5('e' || e), 4, 15))::uuid AS event_id,
    CASE WHEN e % 99991 = 5 THEN 'sourcing.failed' WHEN e / 5 % 2 = 0 THEN 'interview.started' ELSE 'interview.completed' END AS type,
    rpad('{"number":' || e || ',"text":"', 198, 'x') || '"}' AS data
  FROM placed
), all_rows AS (
  SELECT *, CASE WHEN webhook = 0 AND ?6 BETWEEN 12 AND 20 OR webhook <> 2 AND n % 9973 = 11 THEN 'failed'
    WHEN webhook = 1 AND ?6 < 5 THEN 'paused' ELSE 'succeeded' END AS status FROM ids
)`

const largeEvents = `
INSERT INTO events (id, company_id, type, data, occurred_at)
SELECT event_id, (?4::uuid[])[company + 1], type, data, event_at FROM all_rows WHERE n % 2 = 0`

const largeDeliveries = `
INSERT INTO deliveries (id, event_id, webhook_id, company_id, event_type, status, attempts, body, workflow_id,
  last_status_code, last_error, created_at, updated_at)
SELECT id, event_id, (?5::uuid[])[webhook + 1], (?4::uuid[])[company + 1], type, status,
  CASE status WHEN 'failed' THEN 4 WHEN 'paused' THEN 0 ELSE 1 END, CASE WHEN status <> 'paused' THEN convert_to(data, 'UTF8') END,
  CASE WHEN status <> 'paused' THEN 'batch:' || id END, CASE status WHEN 'failed' THEN 500 WHEN 'succeeded' THEN 204 END,
  CASE WHEN status = 'failed' THEN 'the receiver answered 500' END, at, at + interval '20 ms'
FROM all_rows`

const largeAttempts = `
INSERT INTO attempts (delivery_id, run_id, attempt, workflow_id, started_at, duration_ms, outcome, status_code)
SELECT id, event_id, attempt, 'batch:' || id, at, 12,
  CASE WHEN status = 'succeeded' THEN 'succeeded' WHEN attempt < 4 THEN 'retry' ELSE 'failed' END,
  CASE WHEN status = 'failed' THEN 500 ELSE 204 END
FROM all_rows CROSS JOIN generate_series(1, CASE status WHEN 'failed' THEN 4 ELSE 1 END) attempt WHERE status <> 'paused'`

// largeOthers makes interviews and entries of the audit log: ?1 of each.
const largeOthers = `
WITH c AS (
  INSERT INTO candidates (id, company_id, first_name, last_name) VALUES (uuid_v7(), ?0, 'Ada', 'Byron') RETURNING id
), a AS (
  INSERT INTO agents (id, company_id, name, type) VALUES (uuid_v7(), ?0, 'A', 'ONLINE') RETURNING id
), i AS (
  INSERT INTO interviews (id, company_id, candidate_id, agent_id, type, status, scheduled_at, max_minutes)
  SELECT uuid_v7(), ?0, c.id, a.id, 'ONLINE', CASE WHEN n % 1000 = 0 THEN 'FAILED' ELSE 'COMPLETED' END, now(), 60
  FROM c, a, generate_series(1, ?1) n
)
INSERT INTO audit_log (id, company_id, actor, action, target_type, target_id)
SELECT uuid_v7(), ?0, 'key:x', 'replayed', 'delivery', n::text FROM generate_series(1, ?1) n`

func uuids(all []uuid.UUID) string {
	texts := make([]string, len(all))
	for i, id := range all {
		texts[i] = id.String()
	}
	return "{" + strings.Join(texts, ",") + "}"
}
