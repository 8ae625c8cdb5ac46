package plan

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/catalog"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// Case is one use of the database whose cost must not grow with the size of the tables.
type Case struct {
	Name string
	// Waiting is the number of queued deliveries. Cases are ordered by it, because the queue only grows.
	Waiting int
	// Partitions is the largest number of a table's partitions that one statement may read, Rows the largest number of
	// rows in total. Zero Rows means unbounded: the filter is selective or PostgreSQL prefers to sort.
	Partitions, Rows int
	// Pool means that the function writes through the pool, so a run is not rolled back.
	Pool bool
	Run  Run
}

// Explain returns the plans of the case's statements.
func (c *Case) Explain(ctx context.Context, d *DB) ([]Plan, error) {
	if c.Pool {
		return d.ExplainUnsent(ctx, c.Run)
	}
	return d.Explain(ctx, c.Run)
}

// Sizes in the cases: the API's default page, and the dispatcher's batches.
const (
	page  = 20
	batch = 100
	// every allows any number of partitions, for statements without a time range, which read about a row from each.
	every = 1 << 10
)

// Cases returns the frequent uses of the API and the workers. In the last ones, many deliveries are queued.
func (p *Past) Cases(many int) []Case {
	cases := p.listCases()
	cases = append(cases, p.readCases()...)
	cases = append(cases, p.sourcingCases()...)
	cases = append(cases, p.overviewCases()...)
	cases = append(cases, p.queueCases(many)...)
	return cases
}

// next returns the number of the run, so that each uses another company, webhook or delivery. Repeating the same
// arguments would measure cached pages only.
func (p *Past) next() int {
	p.turn++
	return p.turn
}

func (p *Past) nextWebhook() *uuid.UUID { return &p.Webhook[p.next()%len(p.Webhook)] }

// nextCompany returns the next company and its first webhook.
func (p *Past) nextCompany() (pg.Scope, *uuid.UUID) {
	i := p.next() % p.Companies
	return pg.Scope{Company: &p.Company[i]}, &p.Webhook[i*p.Webhooks/p.Companies]
}

func (p *Past) listCases() []Case {
	list := func(f delivery.Filter) Run {
		f.Limit = page
		return func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			s, _ := p.nextCompany()
			_, err := delivery.PageDeliveries(ctx, tx, s, f)
			return err
		}
	}
	ofWebhook := func(f delivery.Filter) Run {
		f.Limit = page
		return func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			s, w := p.nextCompany()
			f.Webhook = w
			_, err := delivery.PageDeliveries(ctx, tx, s, f)
			return err
		}
	}
	ofAll := func(f delivery.Filter) Run {
		f.Limit = page
		return func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			f.Until = p.Until.Add(time.Duration(p.next()) * time.Minute)
			_, err := delivery.PageDeliveries(ctx, tx, pg.Scope{}, f)
			return err
		}
	}
	feed := func(q delivery.FeedQuery) Run {
		q.Limit = page
		return func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			s, _ := p.nextCompany()
			if q.Company != nil {
				q.Company = s.Company
			}
			_, err := delivery.ReadFeed(ctx, tx, q)
			return err
		}
	}
	newest := func(q delivery.NewestQuery) Run {
		q.Limit = page
		return func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			s, _ := p.nextCompany()
			if q.Company != nil {
				q.Company = s.Company
			}
			_, err := delivery.ReadNewest(ctx, tx, q)
			return err
		}
	}
	deep := pg.FloorID(p.Until.AddDate(0, 0, -p.Days/2))
	hour := p.Until.Add(-13 * time.Hour)
	return []Case{
		{Name: "list, newest page of all", Partitions: every, Rows: 200, Run: ofAll(delivery.Filter{})},
		{Name: "list, newest page", Partitions: every, Rows: 200, Run: list(delivery.Filter{})},
		{Name: "list, page in the middle", Partitions: every, Rows: 200, Run: list(delivery.Filter{Before: deep})},
		{Name: "list, by webhook", Partitions: every, Rows: 200, Run: ofWebhook(delivery.Filter{})},
		{Name: "list, by status", Partitions: every, Rows: 200, Run: list(delivery.Filter{Status: delivery.Succeeded})},
		{
			Name:       "list, by event type",
			Partitions: every,
			Rows:       200,
			Run:        list(delivery.Filter{EventType: catalog.InterviewStarted}),
		},
		{
			Name:       "list, an hour",
			Partitions: 2,
			Rows:       200,
			Run:        list(delivery.Filter{Since: hour, Until: hour.Add(time.Hour)}),
		},
		{Name: "list, rare status", Partitions: every, Rows: 200, Run: list(delivery.Filter{Status: delivery.Failed})},
		{
			Name: "list, rare status of a webhook", Partitions: every, Rows: 200,
			Run: ofWebhook(delivery.Filter{Status: delivery.Failed}),
		},
		{Name: "list, paused", Partitions: every, Rows: 1000, Run: list(delivery.Filter{Status: delivery.Paused})},
		{Name: "list, paused of all", Partitions: every, Rows: 1000, Run: ofAll(delivery.Filter{Status: delivery.Paused})},
		{
			Name: "list, paused of a webhook", Partitions: every, Rows: 200,
			Run: ofWebhook(delivery.Filter{Status: delivery.Paused}),
		},
		{
			Name:       "list, rare status of all",
			Partitions: every,
			Rows:       200,
			Run:        ofAll(delivery.Filter{Status: delivery.Failed}),
		},
		{
			Name: "list, rare event type", Partitions: every, Rows: 3*delivery.LooksOfPage + 200,
			Run: list(delivery.Filter{EventType: RareEvent}),
		},
		{
			Name: "list, rare event type of all", Partitions: every, Rows: 3*delivery.LooksOfPage + 200,
			Run: ofAll(delivery.Filter{EventType: RareEvent}),
		},
		{Name: "feed, page", Partitions: every, Rows: 400, Run: feed(delivery.FeedQuery{Company: &p.Company[0]})},
		{Name: "feed, page of all", Partitions: every, Rows: 400, Run: feed(delivery.FeedQuery{})},
		{
			Name: "newest events, page", Partitions: every, Rows: 400,
			Run: newest(delivery.NewestQuery{Company: &p.Company[0]}),
		},
		{Name: "newest events, page of all", Partitions: every, Rows: 400, Run: newest(delivery.NewestQuery{})},
		{
			Name: "newest events, rare type", Partitions: every, Rows: 5000,
			Run: newest(delivery.NewestQuery{Company: &p.Company[0], Types: []string{RareEvent}}),
		},
		{Name: "filter, test", Partitions: every, Rows: 600, Run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			out, _, err := delivery.TestFilter(ctx, tx, delivery.FilterTest{
				Webhook: &delivery.Webhook{CompanyID: &p.Company[0], Events: []string{RareEvent}},
				Filter:  json.RawMessage(`{"data": {"a": 1, "b": 2}}`), Limit: page,
			})
			return enough("events", len(out), page, err)
		}},
		{
			Name:       "feed, rare event type",
			Partitions: every,
			Rows:       5000,
			Run:        feed(delivery.FeedQuery{Company: &p.Company[0], Types: []string{RareEvent}}),
		},
	}
}

func (p *Past) readCases() []Case {
	return []Case{
		{Name: "get, with attempts", Partitions: 1, Rows: 10, Run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			id := p.sample[p.next()%len(p.sample)]
			if _, err := delivery.GetDelivery(ctx, tx, pg.Scope{Company: &p.Company[0]}, id); err != nil {
				return err
			}
			_, err := delivery.ListAttempts(ctx, tx, id)
			return err
		}},
		{Name: "event, its deliveries", Partitions: 2, Rows: 1000, Run: p.eventDeliveries},
		{Name: "erasure, page of events", Partitions: every, Rows: 400, Run: p.erasurePage},
		{Name: "replay, page of 100", Partitions: 2, Rows: 1000, Run: p.replayPage},
		{Name: "circuit, load", Partitions: every, Rows: 10, Run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			_, err := delivery.LoadCircuit(ctx, tx, *p.nextWebhook())
			return err
		}},
		{
			Name:       "circuit, release 100 of 1000",
			Partitions: every,
			Rows:       2000,
			Run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
				n, err := delivery.ReleasePaused(ctx, tx, p.Webhook[0], batch, false)
				return enough("released", n, batch, err)
			},
		},
	}
}

// erasurePage looks for a person of whom no event knows.
func (p *Past) erasurePage(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
	nobody := delivery.Person{Patterns: []string{"%nobody@example.com%"}, In: func(string) bool { return false }}
	page, err := delivery.EraseEvents(ctx, tx, p.Company[0], uuid.Nil, nobody, "{}", batch)
	return enough("looked at", page.Looked, batch, err)
}

// eventDeliveries reads the deliveries of an event from the middle of the period; their number does not matter.
func (p *Past) eventDeliveries(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
	e := &delivery.Event{ID: p.sample[p.next()%len(p.sample)], CompanyID: &p.Company[0]}
	_, err := delivery.EventDeliveries(ctx, tx, pg.Scope{Company: &p.Company[0]}, e)
	return err
}

// overviewCases are the figures of the console that no list has.
func (p *Past) overviewCases() []Case {
	const counted = 1000
	waiting := func(s func() pg.Scope) Run {
		return func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			_, err := delivery.CountWaiting(ctx, tx, s(), counted)
			return err
		}
	}
	all := func() pg.Scope { return pg.Scope{} }
	company := func() pg.Scope { s, _ := p.nextCompany(); return s }
	return []Case{
		{
			Name: "overview, newest 500", Partitions: every, Rows: 700,
			Run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
				s, _ := p.nextCompany()
				since := p.Until.Add(-15 * time.Minute)
				_, err := delivery.PageDeliveries(ctx, tx, s, delivery.Filter{Since: since, Limit: 500, WithoutTests: true})
				return err
			},
		},
		{Name: "overview, waiting", Partitions: every, Rows: counted + 200, Run: waiting(all)},
		{Name: "overview, waiting of a company", Partitions: every, Rows: counted + 200, Run: waiting(company)},
		{Name: "replay, count", Partitions: 2, Rows: 1000, Run: p.countReplay},
	}
}

func (p *Past) countReplay(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
	since := p.Until.AddDate(0, 0, -min(10, p.Days/2))
	_, err := delivery.EstimateReplay(ctx, tx, &delivery.Replay{
		WebhookID: *p.nextWebhook(), Since: since, Until: since.AddDate(0, 0, 1), Statuses: []string{"succeeded"},
	})
	return err
}

// replayPage reads the first page of a replay of a webhook's deliveries ten days ago.
func (p *Past) replayPage(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
	since := p.Until.AddDate(0, 0, -min(10, p.Days/2))
	r := &delivery.Replay{
		WebhookID: *p.nextWebhook(),
		Since:     since,
		Until:     since.AddDate(0, 0, 1),
		Statuses:  []string{"succeeded"},
	}
	if err := delivery.CreateReplay(ctx, tx, r); err != nil {
		return err
	}
	_, err := delivery.ReplayPage(ctx, tx, r.ID, batch)
	return err
}

func (p *Past) queueCases(many int) []Case {
	take := func(wanted int) Run {
		return func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			t, err := delivery.TakeDeliveries(ctx, tx, delivery.TakeOptions{Limit: batch, PerFlow: batch})
			return enough("taken", t.Taken, wanted, err)
		}
	}
	sweep := func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
		_, err := delivery.SweepDeliveries(ctx, tx, delivery.SweepCursor{}, 2*time.Minute, 1000)
		return err
	}
	length := func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
		_, err := delivery.QueueLength(ctx, tx, 10_000)
		return err
	}
	const few = 1000
	name := func(what string) string { return fmt.Sprintf(what, many) }
	return []Case{
		{Name: "take, of none", Rows: 10, Run: take(0)},
		{Name: "publish 100", Rows: 2000, Run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			_, err := delivery.RecordEvents(ctx, tx, p.someEvents())
			return err
		}},
		{Name: "sweep, empty queue", Partitions: every, Rows: 2000, Run: sweep},
		{Name: "take 100 of 1000", Waiting: few, Partitions: 2, Rows: 3 * few, Run: take(batch)},
		{
			Name: "take 100 of 1000, with their traces", Waiting: few, Partitions: 2, Rows: 3*few + batch,
			Run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
				t, err := delivery.TakeDeliveries(ctx, tx, delivery.TakeOptions{Limit: batch, PerFlow: batch})
				if err != nil {
					return err
				}
				return enough("taken", t.Taken, batch, delivery.ReadTraces(ctx, tx, t.Ready))
			},
		},
		{Name: "load one", Waiting: few, Partitions: 1, Rows: 10, Run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			_, err := delivery.LoadJob(ctx, tx, p.nextWaiting().DeliveryID, uuid.New(), 1)
			return err
		}},
		// A partition that holds only queued deliveries may be scanned sequentially: it has few pages.
		{
			Name:       "load 100",
			Waiting:    few,
			Partitions: 2,
			Rows:       3 * few,
			Run: func(ctx context.Context, _ bun.Tx, pool *bun.DB) error {
				b := delivery.Batch{ID: uuid.New(), Deliveries: p.someWaiting()}
				jobs, err := delivery.LoadBatch(ctx, pool, b, uuid.New(), true)
				return enough("loaded", len(jobs), batch, err)
			},
		},
		{
			Name:       "record one",
			Waiting:    few,
			Partitions: 1,
			Rows:       10,
			Run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
				_, err := delivery.RecordAttempt(ctx, tx, p.recording(p.nextWaiting(), delivery.OutcomeFailed))
				return err
			},
		},
		{Name: "queue length, 1000", Waiting: few, Partitions: 2, Rows: few + 110, Run: length},
		{Name: name("take 100 of %d"), Waiting: many, Partitions: 2, Rows: 1000, Run: take(batch)},
		{Name: name("sweep, %d wait"), Waiting: many, Partitions: every, Rows: 10 * many, Run: sweep},
		{Name: name("queue length, %d"), Waiting: many, Partitions: 2, Rows: 10_110, Run: length},
		// The last case, because it changes the queued deliveries.
		{Name: "record 100", Waiting: many, Partitions: 2, Rows: 1000, Pool: true, Run: p.recordBatch},
	}
}

// enough checks that a case processed the expected number of rows.
func enough(what string, n, wanted int, err error) error {
	if err == nil && n != wanted {
		return fmt.Errorf("%d %s, not %d", n, what, wanted)
	}
	return err
}

func (p *Past) someEvents() []*delivery.Event {
	es := make([]*delivery.Event, batch)
	for i := range es {
		company, _ := p.nextCompany()
		es[i] = &delivery.Event{CompanyID: company.Company, Type: catalog.InterviewStarted, Data: []byte(`{"number":1}`)}
	}
	return es
}

func (p *Past) nextWaiting() queued { return p.waiting[p.next()%len(p.waiting)] }

func (p *Past) someWaiting() []uuid.UUID {
	ids := make([]uuid.UUID, batch)
	for i := range ids {
		ids[i] = p.nextWaiting().DeliveryID
	}
	return ids
}

// recordBatch records the next hundred queued deliveries. The statement is only explained, so they stay in the queue.
func (p *Past) recordBatch(ctx context.Context, _ bun.Tx, pool *bun.DB) error {
	rs := make([]delivery.AttemptRecord, batch)
	for i := range rs {
		rs[i] = p.recording(p.nextWaiting(), delivery.OutcomeSucceeded)
	}
	return delivery.RecordSuccesses(ctx, pool, rs)
}

func (p *Past) recording(q queued, outcome delivery.Outcome) delivery.AttemptRecord {
	code := 204
	return delivery.AttemptRecord{
		WebhookID: q.WebhookID, Body: make([]byte, payload), Counts: true, Threshold: 10,
		Attempt: delivery.Attempt{
			DeliveryID: q.DeliveryID, RunID: uuid.New(), Attempt: 1, WorkflowID: "batch:" + q.DeliveryID.String(),
			StartedAt: time.Now(), DurationMS: 12, Outcome: outcome, StatusCode: &code,
		},
	}
}

type queued struct{ DeliveryID, WebhookID uuid.UUID }

// Ready prepares the rows that a case needs: queued deliveries, paused deliveries and current statistics.
func (p *Past) Ready(ctx context.Context, d *bun.DB, c Case) error {
	if len(p.sample) == 0 {
		err := d.NewRaw("SELECT id FROM deliveries WHERE company_id = ? AND id < ? ORDER BY id DESC LIMIT 100", p.Company[0],
			pg.FloorID(p.Until.AddDate(0, 0, -p.Days/3))).Scan(ctx, &p.sample)
		if err != nil {
			return fmt.Errorf("choose deliveries: %w", err)
		}
		if err := p.Pause(ctx, d, 1000); err != nil {
			return err
		}
	}
	if c.Waiting <= p.queued {
		return nil
	}
	if err := p.Wait(ctx, d, c.Waiting-p.queued); err != nil {
		return err
	}
	p.queued = c.Waiting
	p.waiting = nil
	if err := d.NewRaw("SELECT delivery_id, webhook_id FROM delivery_queue ORDER BY delivery_id LIMIT 10000").
		Scan(ctx, &p.waiting); err != nil {
		return fmt.Errorf("read queued deliveries: %w", err)
	}
	return Analyze(ctx, d)
}
