package delivery_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db/catalog"
	"greenroom/db/dbtest"
	"greenroom/db/delivery"
	"greenroom/db/pg"
	"greenroom/db/plan"
)

// A state is what the tables hold when their statistics are taken. What they hold afterwards is the same in all states.
type state struct {
	name string
	// then has n deliveries in that status, Day days ago.
	then []heap
	// noStatistics: none are taken.
	noStatistics bool
}

type heap struct {
	n      int
	status delivery.Status
	day    int
	queued bool
}

const (
	many = 100_000
	some = 20_000
)

// states are those in which a planner believes what is not so later.
var states = []state{
	{name: "fresh_database_without_statistics", noStatistics: true},
	{name: "statistics_when_all_is_delivered", then: []heap{{n: some, status: delivery.Succeeded}}},
	{name: "statistics_when_many_wait", then: []heap{{n: many, status: delivery.Pending, queued: true}}},
	{
		name: "statistics_when_most_are_paused",
		then: []heap{{n: some, status: delivery.Paused}, {n: 1000, status: delivery.Succeeded}},
	},
	{name: "statistics_before_a_new_day", then: []heap{{n: some, status: delivery.Succeeded, day: 1}}},
}

// TestPlansFollowNoStatistics has each statement of the engine run in each state with one delivery that waits and
// with many. What a statement touches is bounded by what it was asked for. Autovacuum is off: statistics stay as they
// are.
func TestPlansFollowNoStatistics(t *testing.T) {
	t.Parallel()
	for _, s := range states {
		t.Run(s.name, func(t *testing.T) {
			e := setupEngine(t, s)
			for _, waiting := range []int{1, many} {
				e.wait(waiting)
				for _, c := range e.cases() {
					t.Run(fmt.Sprintf("%s_beside_%d", c.name, waiting), func(t *testing.T) { e.require(t, c) })
				}
			}
		})
	}
}

// engine is a database in a state.
type engine struct {
	*bundle
	traced  map[string]*plan.DB // by the pool whose plans it shows
	hooks   []uuid.UUID
	waiting []uuid.UUID // the oldest of them
	first   uuid.UUID   // the webhook of the first of them
	replay  *delivery.Replay
	queued  int
}

func setupEngine(t *testing.T, s state) *engine {
	t.Helper()
	d, url := dbtest.NewURL(t)
	e := &engine{bundle: &bundle{DB: d, t: t, ctx: t.Context(), company: pg.NewID()}}
	e.exec("INSERT INTO companies (id, name) VALUES (?, 'Acme')", e.company)
	for range 20 {
		e.hook = e.webhook(catalog.InterviewStarted)
		e.hooks = append(e.hooks, e.hook.ID)
	}
	e.exec(`DO $$ DECLARE r record; BEGIN
		FOR r IN SELECT oid::regclass AS name FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace LOOP
			EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = false)', r.name);
		END LOOP; END $$`)
	for _, h := range s.then {
		e.add(h)
	}
	if !s.noStatistics {
		e.exec("VACUUM ANALYZE")
	}
	e.exec("UPDATE deliveries SET status = 'succeeded' WHERE status <> 'succeeded'")
	e.exec("DELETE FROM delivery_queue")
	if !s.noStatistics {
		e.vacuumQueue()
		e.exec("VACUUM") // dead rows are gone, but the statistics of the values are as they were
	}
	e.exec(`INSERT INTO idempotency_keys (api_key_id, key, request_hash, status_code, response)
		SELECT ?, 'key-' || n, '', 202, '' FROM generate_series(1, ?) n`, e.company, some)
	e.add(heap{n: 1000, status: delivery.Paused})
	e.add(heap{n: some, status: delivery.Succeeded})
	e.replay = &delivery.Replay{
		WebhookID: e.hooks[0],
		Since:     time.Now().Add(-time.Hour),
		Until:     time.Now().Add(time.Hour),
		Statuses:  []string{"failed"},
	}
	e.tx(func(tx bun.Tx) error { return delivery.CreateReplay(e.ctx, tx, e.replay) })
	e.exec(`INSERT INTO events (id, company_id, type, data, occurred_at, position)
		SELECT uuid_v7(), CASE WHEN n % 1000 = 0 THEN ?1::uuid ELSE ?2 END, 'interview.started', '{}', now(), n / 100
		FROM generate_series(1, ?0) n`, some, e.company, pg.NewID())
	e.traced = map[string]*plan.DB{}
	for pool, o := range map[string]pg.Options{"": {URL: url}, "engine": {URL: url, Engine: true}} {
		traced, err := plan.Open(o)
		require.NoError(t, err)
		t.Cleanup(func() { _ = traced.Close() })
		e.traced[pool] = traced
	}
	return e
}

// vacuumQueue vacuums until the emptied queue has no page left. An ANALYZE of the system tables that runs at the same
// time has a snapshot, for which VACUUM keeps the dead rows.
func (e *engine) vacuumQueue() {
	e.t.Helper()
	require.Eventually(e.t, func() bool {
		e.exec("VACUUM delivery_queue")
		var bytes int64
		require.NoError(e.t, e.NewRaw("SELECT pg_relation_size('delivery_queue')").Scan(e.ctx, &bytes))
		return bytes == 0
	}, time.Minute, 50*time.Millisecond)
}

// add makes deliveries of all webhooks, but for the paused ones, which are the first webhook's. They have no events.
func (e *engine) add(h heap) {
	e.t.Helper()
	hooks := e.hooks
	if h.status == delivery.Paused {
		hooks = hooks[:1]
	}
	e.exec(`WITH ids AS (
		SELECT n, overlay(uuid_v7()::text PLACING left(uuid_v7_floor(now() - ?1 * interval '1 day')::text, 13) FROM 1 FOR 13)::uuid AS id,
		  (ARRAY[?2]::uuid[])[1 + n % ?3] AS webhook_id
		FROM generate_series(1, ?0) n
	), d AS (
		INSERT INTO deliveries (id, event_id, webhook_id, company_id, event_type, status, attempts, created_at, updated_at)
		SELECT id, id, webhook_id, ?4, 'interview.started', ?5, 0, now(), now() FROM ids
	)
	INSERT INTO delivery_queue (webhook_id, company_id, delivery_id) SELECT webhook_id, ?4, id FROM ids WHERE ?6`,
		h.n, h.day, bun.List(hooks), len(hooks), e.company, h.status, h.queued)
}

// wait makes n deliveries wait in all.
func (e *engine) wait(n int) {
	e.t.Helper()
	e.add(heap{n: n - e.queued, status: delivery.Pending, queued: true})
	e.exec(`INSERT INTO line_waiting (delivery_id, webhook_id, subject, sequence, company_id)
		SELECT uuid_v7(), ?0, 's' || n % 1000, n, ?1 FROM generate_series(?2::bigint + 1, ?3) n`,
		e.hooks[0], e.company, e.queued, n)
	e.exec("SELECT setval('event_sequence', ?)", n)
	e.exec(`INSERT INTO line_heads (webhook_id, subject, delivery_id)
		SELECT ?0, 'other' || n, uuid_v7() FROM generate_series(?1::bigint + 1, ?2) n`, e.hooks[0], e.queued, n)
	e.queued, e.waiting = n, nil
	require.NoError(
		e.t,
		e.NewRaw("SELECT delivery_id FROM delivery_queue ORDER BY delivery_id LIMIT 500").Scan(e.ctx, &e.waiting),
	)
	require.NoError(e.t, e.NewRaw("SELECT webhook_id FROM deliveries WHERE id = ?", e.waiting[0]).Scan(e.ctx, &e.first))
	e.exec(
		"INSERT INTO events (id, company_id, type, data, occurred_at) SELECT id, ?, 'interview.started', '{}', now() FROM unnest(ARRAY[?]::uuid[]) id ON CONFLICT DO NOTHING",
		e.company,
		bun.List(e.waiting),
	)
}

// use is one use of the engine on that many deliveries.
type use struct {
	name string
	n    int
	pool bool
	run  plan.Run
}

// perDelivery bounds the pages that one use may touch for each delivery, and atMost for itself: a look-up by key
// touches three or four, an insert or update that many in each index, and a scan in order descends once in each of
// the partitions.
const (
	perDelivery = 120
	atMost      = 400
)

func (e *engine) require(t *testing.T, c use) {
	t.Helper()
	for pool, traced := range e.traced {
		explain := traced.Explain
		if c.pool {
			explain = traced.ExplainUnsent
		}
		plans, err := explain(t.Context(), c.run)
		require.NoError(t, err, pool)
		require.NotEmpty(t, plans)
		var buffers int64
		for _, p := range plans {
			buffers += p.Buffers
		}
		require.LessOrEqual(t, buffers, int64(atMost+perDelivery*c.n), "%s: %+v", pool, plans)
	}
}
