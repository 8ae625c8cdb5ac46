package plan

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"golang.org/x/sync/errgroup"

	"greenroom/db"
	"greenroom/db/catalog"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// Size is the amount of history to generate.
type Size struct {
	Deliveries int // evenly distributed over the days
	Days       int // before Until; each has a partition
	Companies  int
	Webhooks   int // a multiple of Companies
	// Parallel is the number of connections that generate rows; 0 means 1.
	Parallel int
	// Until is the creation time of the newest delivery; the zero time means now.
	Until time.Time
}

// One delivery in rareFailure has failed for good, and one event in rareEvent has the type RareEvent. Both are primes,
// so that they are distributed over all companies.
const (
	rareFailure = 9973
	rareEvent   = 9967
	RareEvent   = catalog.SourcingFailed
	payload     = 200 // bytes of an event's data, and of a body
)

// Past is generated history: every event has two deliveries, which succeeded at the first attempt, except rare
// failures.
type Past struct {
	Size
	Company []uuid.UUID
	Webhook []uuid.UUID // Size.Webhooks/Size.Companies for each company, in the order of the companies

	sample  []uuid.UUID // deliveries of the first company from the middle of the period
	runs    []uuid.UUID // sourcings of the first company
	queued  int
	waiting []queued // the oldest queued deliveries
	turn    int
}

// Fill generates history in an empty, migrated database and updates the planner's statistics. done may be nil; it is
// called from several goroutines with the number of deliveries generated so far.
func Fill(ctx context.Context, d *bun.DB, size Size, done func(deliveries int)) (*Past, error) {
	if size.Until.IsZero() {
		size.Until = time.Now()
	}
	size.Until = size.Until.UTC().Truncate(time.Millisecond)
	p := &Past{Size: size}
	first := p.Until.AddDate(0, 0, 1-size.Days)
	if err := delivery.EnsurePartitions(ctx, d, first, size.Days); err != nil {
		return nil, err
	}
	if err := p.register(ctx, d); err != nil {
		return nil, err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(max(size.Parallel, 1))
	each := size.Deliveries / size.Days / 2 * 2
	var made atomic.Int64
	for i := range size.Days {
		g.Go(func() error {
			if err := p.fillDay(gctx, d, first.AddDate(0, 0, i), i*each, each); err != nil {
				return err
			}
			if n := made.Add(int64(each)); done != nil {
				done(int(n))
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("generate history: %w", err)
	}
	if err := p.fillSourcing(ctx, d); err != nil {
		return nil, err
	}
	return p, Analyze(ctx, d)
}

// Analyze updates the planner's statistics. Autovacuum analyzes each partition, but never the partitioned parent table.
func Analyze(ctx context.Context, d bun.IDB) error {
	const analyze = "ANALYZE events, deliveries, attempts, delivery_queue, webhooks, companies, commands, " +
		"service_runs, sourced_profiles, usage_days"
	if _, err := d.ExecContext(ctx, analyze); err != nil {
		return fmt.Errorf("analyze: %w", err)
	}
	return nil
}

func (p *Past) register(ctx context.Context, d *bun.DB) error {
	return pg.InTx(ctx, d, func(ctx context.Context, tx bun.Tx) error {
		for i := range p.Companies {
			c := &db.Company{Name: fmt.Sprintf("Company %d", i+1)}
			if err := db.CreateCompany(ctx, tx, c); err != nil {
				return err
			}
			p.Company = append(p.Company, c.ID)
		}
		for i := range p.Webhooks {
			company := &p.Company[i*p.Companies/p.Webhooks]
			now := time.Now().UTC()
			w := &delivery.Webhook{
				ID:             pg.NewID(),
				CompanyID:      company,
				OwnerCompanyID: company,
				Profile:        "standard",
				URL:            "https://receiver.test/hook",
				Events:         []string{catalog.InterviewStarted, catalog.InterviewCompleted, RareEvent},
				IsActive:       true,
				MaxRetries:     3,
				TimeoutMS:      15_000,
				Secret:         []byte("sealed"),
				Headers:        []delivery.WebhookHeader{},
				CreatedAt:      now,
				UpdatedAt:      now,
			}
			if err := delivery.CreateWebhook(ctx, tx, w); err != nil {
				return err
			}
			p.Webhook = append(p.Webhook, w.ID)
		}
		return nil
	})
}

// fillDay generates the n deliveries of a day, whose numbers start at first and are unique over all days.
func (p *Past) fillDay(ctx context.Context, d *bun.DB, at time.Time, first, n int) error {
	from := at.Truncate(24 * time.Hour)
	to := from.AddDate(0, 0, 1)
	if to.After(p.Until) {
		to = p.Until
	}
	step := float64(to.Sub(from)) / float64(time.Second) / float64(n)
	for _, sql := range []string{fillEvents, fillDeliveries, fillAttempts} {
		_, err := d.ExecContext(ctx, fillRows+sql, first, n, from, step, p.Companies, p.Webhooks/p.Companies,
			uuidArray(p.Company), uuidArray(p.Webhook), rareFailure, rareEvent, RareEvent, payload)
		if err != nil {
			return err
		}
	}
	for _, table := range []string{"events", "deliveries", "attempts"} {
		if _, err := d.ExecContext(ctx, "VACUUM ?", bun.Ident(table+"_"+from.Format("20060102"))); err != nil {
			return err
		}
	}
	return nil
}

// fillRows numbers a day's deliveries (n) and events (e = n / 2) and derives their time, company and webhook. Ids
// derive from time and number, so the three inserts produce matching ids. ?0 first number, ?1 count, ?2 start, ?3
// seconds between deliveries, ?4 number of companies, ?5 webhooks per company, ?6 company ids, ?7 webhook ids, ?8
// rareFailure, ?9 rareEvent, ?10 type of the rare event, ?11 bytes of data.
const fillRows = `
WITH rows AS (
  SELECT n, n / 2 AS e, ?2::timestamptz + (n - ?0) * ?3 * interval '1 second' AS at,
    ?2::timestamptz + (n - n % 2 - ?0) * ?3 * interval '1 second' AS event_at
  FROM generate_series(?0::bigint, ?0 + ?1 - 1) n
), ids AS (
  SELECT n, e, at, event_at, (e % ?4)::int AS company, ((e % ?4) * ?5 + (e / ?4 + n % 2) % ?5)::int AS webhook,
    (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5('d' || n), 1, 3)
      || '8' || substr(md5('d' || n), 4, 15))::uuid AS id,
    (lpad(to_hex((extract(epoch FROM event_at) * 1000)::bigint), 12, '0') || '7' || substr(md5('e' || e), 1, 3)
      || '8' || substr(md5('e' || e), 4, 15))::uuid AS event_id,
    CASE WHEN e % ?9 = 5 THEN ?10 WHEN e / ?4 % 2 = 0 THEN 'interview.started' ELSE 'interview.completed' END AS type,
    rpad('{"number":' || e || ',"text":"', ?11 - 2, 'x') || '"}' AS data, n % ?8 = 11 AS failed
  FROM rows
)`

const fillEvents = `
INSERT INTO events (id, company_id, type, data, occurred_at)
SELECT event_id, (?6::uuid[])[company + 1], type, data, event_at FROM ids WHERE n % 2 = 0`

const fillDeliveries = `
INSERT INTO deliveries (id, event_id, webhook_id, company_id, event_type, status, attempts, body, workflow_id,
  last_status_code, last_error, created_at, updated_at)
SELECT id, event_id, (?7::uuid[])[webhook + 1], (?6::uuid[])[company + 1], type,
  CASE WHEN failed THEN 'failed' ELSE 'succeeded' END,
  CASE WHEN failed THEN 4 ELSE 1 END, convert_to(data, 'UTF8'), 'batch:' || id, CASE WHEN failed THEN 500 ELSE 204 END,
  CASE WHEN failed THEN 'the receiver answered 500' END, at, at + interval '20 ms'
FROM ids`

const fillAttempts = `
INSERT INTO attempts (delivery_id, run_id, attempt, workflow_id, started_at, duration_ms, outcome, status_code)
SELECT id, event_id, attempt, 'batch:' || id, at, 12,
  CASE WHEN NOT failed THEN 'succeeded' WHEN attempt < 4 THEN 'retry' ELSE 'failed' END,
  CASE WHEN failed THEN 500 ELSE 204 END
FROM ids CROSS JOIN generate_series(1, CASE WHEN failed THEN 4 ELSE 1 END) attempt`

// Wait adds n deliveries to the queue, distributed over all webhooks.
func (p *Past) Wait(ctx context.Context, d bun.IDB, n int) error {
	_, err := d.ExecContext(ctx, liveSQL+`, q AS (
		INSERT INTO delivery_queue (webhook_id, company_id, delivery_id) SELECT webhook_id, company_id, id FROM d) SELECT`,
		n, uuidArray(p.Company), uuidArray(p.Webhook), p.Webhooks/p.Companies, delivery.Pending)
	if err != nil {
		return fmt.Errorf("queue deliveries: %w", err)
	}
	return nil
}

// Pause adds n paused deliveries, all of the first webhook.
func (p *Past) Pause(ctx context.Context, d bun.IDB, n int) error {
	_, err := d.ExecContext(ctx, liveSQL+"SELECT",
		n, uuidArray(p.Company[:1]), uuidArray(p.Webhook[:1]), p.Webhooks/p.Companies, delivery.Paused)
	if err != nil {
		return fmt.Errorf("pause deliveries: %w", err)
	}
	return nil
}

// liveSQL inserts unfinished deliveries. ?0 count, ?1 company ids, ?2 webhook ids, ?3 webhooks per company, ?4 status.
const liveSQL = `
WITH ids AS (
  SELECT n, uuid_v7() AS id, uuid_v7() AS event_id, (n % array_length(?2::uuid[], 1))::int AS webhook
  FROM generate_series(1, ?0::bigint) n
), e AS (
  INSERT INTO events (id, company_id, type, data, occurred_at)
  SELECT event_id, (?1::uuid[])[webhook / ?3 + 1], 'interview.started', '{}', now() FROM ids
), d AS (
  INSERT INTO deliveries (id, event_id, webhook_id, company_id, event_type, status, created_at, updated_at)
  SELECT id, event_id, (?2::uuid[])[webhook + 1], (?1::uuid[])[webhook / ?3 + 1], 'interview.started', ?4, now(), now()
  FROM ids
  RETURNING id, webhook_id, company_id
)`

// uuidArray formats ids as a text literal of the type uuid[].
func uuidArray(ids []uuid.UUID) string {
	out := make([]byte, 0, len(ids)*37+2)
	out = append(out, '{')
	for i, id := range ids {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, id.String()...)
	}
	return string(append(out, '}'))
}
