package console_test

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/api"
	"greenroom/db/dbtest"
	"greenroom/db/delivery"
	"greenroom/db/pg"
	"greenroom/db/plan"
)

// rowsOfPage bounds the rows that all statements of a page read from the tables that grow with the deliveries. Most
// pages read a few hundred.
const rowsOfPage = 25_000

// TestPagesReadLittle reads from PostgreSQL's plans how much each page reads, with current statistics, with those of
// empty tables and with none: no page reads a table, or a partition, from end to end.
func TestPagesReadLittle(t *testing.T) {
	t.Parallel()
	_, address := dbtest.NewURL(t)
	l := fillLarge(t, address, 62_000)
	l.brief = true
	for _, state := range statistics {
		t.Run(state.name, func(t *testing.T) {
			l.run(t, state.sql...)
			l.planned(t, 3*delivery.LooksOfPage+1000)
		})
	}
}

// TestLarge measures every page on a database with a long history. GREENROOM_LARGE_DATABASE_URL names the database,
// which is filled when it has none and kept; GREENROOM_LARGE_DELIVERIES is the number of deliveries, by default ten
// million. GREENROOM_LARGE_REPEATS is how often each page is visited, by default 50 times; 0: only plans are
// read, and of fewer combinations of filters.
func TestLarge(t *testing.T) {
	address := os.Getenv("GREENROOM_LARGE_DATABASE_URL")
	if address == "" {
		t.Skip("GREENROOM_LARGE_DATABASE_URL names no database")
	}
	l := fillLarge(t, address, number(t, "GREENROOM_LARGE_DELIVERIES", 10_000_000))
	repeats := number(t, "GREENROOM_LARGE_REPEATS", 50)
	for _, state := range statistics {
		t.Run(state.name, func(t *testing.T) {
			l.run(t, state.sql...)
			if l.brief = repeats == 0; !l.brief {
				l.timed(t, repeats)
			}
			l.planned(t, rowsOfPage)
		})
	}
}

func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}

// statistics are states of what the planner knows.
var statistics = []struct {
	name string
	sql  []string
}{
	{"no_statistics", []string{forget("")}},
	{"current_statistics", []string{"VACUUM ANALYZE", "ANALYZE events, deliveries, attempts"}},
	{"statistics_of_an_empty_week", []string{
		"VACUUM ANALYZE", "ANALYZE events, deliveries, attempts",
		forget(" AND relname > 'deliveries_' || to_char(now() - interval '7 days', 'YYYYMMDD')"),
	}},
}

// forget removes the statistics of the partitions of deliveries that a condition selects.
func forget(condition string) string {
	of := "(SELECT oid FROM pg_class WHERE relname LIKE 'deliveries%' AND relkind IN ('r', 'p')" + condition + ")"
	return "DELETE FROM pg_statistic WHERE starelid IN " + of + "; UPDATE pg_class SET reltuples = 0 WHERE oid IN " + of
}

func (l *large) run(t *testing.T, statements ...string) {
	t.Helper()
	for _, sql := range statements {
		_, err := l.ExecContext(t.Context(), sql)
		require.NoError(t, err)
	}
}

// sight is a page as somebody sees it.
type sight struct{ who, name, path string }

// sights are all pages, with all combinations of the filters of deliveries, for three visitors.
func (l *large) sights(t *testing.T) (all []sight) {
	t.Helper()
	deliveryOf := func(condition string, args ...any) (id uuid.UUID) {
		require.NoError(t, l.NewRaw("SELECT id FROM deliveries WHERE id < ? AND "+condition+" ORDER BY id DESC LIMIT 1",
			append([]any{pg.FloorID(l.until.AddDate(0, 0, -1))}, args...)...).Scan(t.Context(), &id))
		return id
	}
	var event, interview, replay uuid.UUID
	failed := deliveryOf("status = 'failed' AND webhook_id = ?", l.webhook[broken])
	require.NoError(t, l.NewRaw("SELECT event_id FROM deliveries WHERE id = ?", failed).Scan(t.Context(), &event))
	require.NoError(t, l.NewRaw("SELECT id FROM interviews ORDER BY id LIMIT 1").Scan(t.Context(), &interview))
	r := &delivery.Replay{
		WebhookID: l.webhook[broken], Since: l.until.AddDate(0, 0, -30), Until: l.until, Statuses: []string{"failed"},
	}
	require.NoError(t, pg.InTx(t.Context(), l, func(ctx context.Context, tx bun.Tx) error {
		return delivery.CreateReplay(ctx, tx, r)
	}))
	replay = r.ID
	since := url.QueryEscape(l.until.AddDate(0, 0, -30).Format(time.RFC3339))
	pages := map[string]string{
		"overview":            "",
		"events":              "/events",
		"event":               "/events/" + event.String(),
		"event type":          "/event-types/interview.completed",
		"publish":             "/events/new?type=interview.started",
		"interviews":          "/interviews",
		"interviews, failed":  "/interviews?status=FAILED",
		"interviews, deep":    "/interviews?page=100",
		"interview":           "/interviews/" + interview.String(),
		"keys":                "/keys",
		"audit":               "/audit",
		"audit, rare":         "/audit?action=deleted",
		"system":              "/system",
		"webhooks":            "/webhooks",
		"delivery, failed":    "/deliveries/" + failed.String(),
		"delivery, paused":    "/deliveries/" + deliveryOf("status = 'paused'").String(),
		"delivery, succeeded": "/deliveries/" + deliveryOf("webhook_id = ?", l.webhook[calm]).String(),
		"find":                "/deliveries?id=" + event.String(),
		"replay":              "/webhooks/" + l.webhook[broken].String() + "/replays/" + replay.String(),
	}
	for i, name := range []string{"broken", "blocked", "calm"} {
		at := "/webhooks/" + l.webhook[i].String()
		pages["webhook, "+name], pages["circuit, "+name], pages["replays, "+name] = at, at+"/circuit", at+"/replays"
		pages["count, "+name] = at + "/replays?status=failed&since=" + since
		pages["count of all, "+name] = at + "/replays?status=succeeded&status=failed&since=" + since
	}
	pages["webhook, of a small company"] = "/webhooks/" + l.webhook[bigWebhooks].String()
	maps.Copy(pages, l.filters())
	for _, who := range []string{"operator", "large", "small"} {
		for _, name := range slices.Sorted(maps.Keys(pages)) {
			if l.brief && who == "small" {
				continue
			}
			all = append(all, sight{who, name, pages[name]})
		}
	}
	return all
}

// filters are the combinations of filters that the page of deliveries offers, or some of them.
func (l *large) filters() map[string]string {
	old := l.until.AddDate(0, 0, -15).Truncate(time.Hour)
	deep := pg.FloorID(l.until.AddDate(0, 0, -largeDays/2))
	all := map[string]string{}
	leaveOut := func(hook, kind, period string) bool {
		return l.brief && (hook == "blocked" || hook == "of a small company" || kind == "interview.started" ||
			kind == "job.created" || period != "")
	}
	for _, status := range append([]string{""}, statusNames()...) {
		for hook, id := range map[string]string{
			"": "", "broken": l.webhook[broken].String(), "blocked": l.webhook[blocked].String(), "calm": l.webhook[calm].String(),
			"of a small company": l.webhook[bigWebhooks].String(),
		} {
			for _, kind := range []string{"", "interview.started", "sourcing.failed", "job.created"} {
				for period, window := range map[string]url.Values{
					"": nil, "24h": {"period": {"24h"}}, "an old hour": {
						"since": {old.Format(time.RFC3339)},
						"until": {old.Add(time.Hour).Format(time.RFC3339)},
					},
					"the older half": {"cursor": {cursorOf(deep)}},
				} {
					if leaveOut(hook, kind, period) {
						continue
					}
					q := url.Values{}
					for name, value := range map[string]string{"status": status, "webhookId": id, "eventType": kind} {
						if value != "" {
							q.Set(name, value)
						}
					}
					maps.Copy(q, window)
					name := "deliveries, " + strings.Join([]string{
						cmp.Or(status, "*"), cmp.Or(hook, "*"), cmp.Or(kind, "*"), cmp.Or(period, "*"),
					}, " ")
					all[name] = "/deliveries?" + q.Encode()
				}
			}
		}
	}
	return all
}

func statusNames() (names []string) {
	for _, s := range delivery.Statuses() {
		names = append(names, string(s))
	}
	return names
}

// visitors returns an API on the database, with sessions of an operator, the large company and a small one.
func (l *large) visitors(t *testing.T, d *bun.DB) *crowd {
	t.Helper()
	b := setup(t, func(o *api.Options) { o.DB = d })
	for i := range l.webhook {
		sealed, err := b.Box.Seal([]byte("a secret of 32 bytes for a test."), l.webhook[i], delivery.SecretField)
		require.NoError(t, err)
		_, err = l.ExecContext(t.Context(), "UPDATE webhooks SET secret = ? WHERE id = ?", sealed, l.webhook[i])
		require.NoError(t, err)
	}
	return &crowd{b: b, companies: map[string]*uuid.UUID{"operator": nil, "large": &l.company[0], "small": &l.company[1]}}
}

// crowd are visitors, who get a new key before the limit of a session.
type crowd struct {
	b         *bundle
	companies map[string]*uuid.UUID
	sessions  map[string]*visitor
	visits    int
}

func (c *crowd) visitor(who string) *visitor {
	c.b.t.Helper()
	if c.visits++; c.visits%500 == 1 {
		c.sessions = map[string]*visitor{}
		for name, company := range c.companies {
			key, _ := c.b.NewKey(company)
			c.sessions[name] = c.b.signedIn(key)
		}
	}
	return c.sessions[who]
}

// see serves a page, and requires that it is one.
func (v *visitor) see(t *testing.T, s sight) {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/console"+s.path, nil)
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	req.AddCookie(v.cookie)
	rec := httptest.NewRecorder()
	v.b.Handler.ServeHTTP(rec, req)
	foreign := s.who != "operator" && rec.Code == http.StatusNotFound
	require.True(t, rec.Code < 400 || foreign, "%v: %d %s", s, rec.Code, rec.Body)
}

// planned requires that no page reads more than that many rows, or a whole partition.
func (l *large) planned(t *testing.T, most float64) {
	t.Helper()
	traced, err := plan.Open(pg.Options{URL: l.url})
	require.NoError(t, err)
	defer traced.Close()
	visitors := l.visitors(t, traced.DB)
	var faults []string
	worst := map[string]float64{}
	for _, s := range l.sights(t) {
		v := visitors.visitor(s.who)
		plans, err := traced.Explain(t.Context(), func(context.Context, bun.Tx, *bun.DB) error {
			v.see(t, s)
			return nil
		})
		require.NoError(t, err)
		rows := 0.0
		for _, p := range plans {
			rows += p.Rows()
			if p.Rows() > most {
				faults = append(faults, fmt.Sprintf("%s, %s: %.0f rows, %d buffers, %.0f + %.0f ms: %s",
					s.who, s.name, p.Rows(), p.Buffers, p.PlanningMS, p.ExecutionMS, p.SQL))
			}
		}
		worst[s.who+", "+s.name] = rows
	}
	names := slices.SortedFunc(maps.Keys(worst), func(a, b string) int { return cmp.Compare(worst[b], worst[a]) })
	for _, name := range names[:20] {
		t.Logf("%8.0f rows: %s", worst[name], name)
	}
	slices.Sort(faults)
	require.Empty(t, faults)
}

// timed logs how long pages took.
func (l *large) timed(t *testing.T, repeats int) {
	t.Helper()
	visitors := l.visitors(t, l.DB)
	type took struct {
		s        sight
		p50, p99 time.Duration
	}
	var all []took
	for _, s := range l.sights(t) {
		n := repeats
		if strings.HasPrefix(s.name, "deliveries, ") {
			n = max(repeats/10, 1)
		}
		var times []time.Duration
		for range n {
			v := visitors.visitor(s.who)
			begin := time.Now()
			v.see(t, s)
			times = append(times, time.Since(begin))
		}
		slices.Sort(times)
		all = append(all, took{s, times[(n-1)/2], times[(n*99+99)/100-1]})
	}
	slices.SortFunc(all, func(a, b took) int { return cmp.Compare(b.p99, a.p99) })
	slow := 0
	for i, one := range all {
		if one.p99 > 100*time.Millisecond {
			slow++
		}
		if i < 40 || !strings.HasPrefix(one.s.name, "deliveries, ") {
			t.Logf("p50 %8.1f ms, p99 %8.1f ms: %s, %s", one.p50.Seconds()*1000, one.p99.Seconds()*1000, one.s.who, one.s.name)
		}
	}
	t.Logf("%d of %d pages have a p99 above 100 ms", slow, len(all))
}

func cursorOf(id uuid.UUID) string { return base64.RawURLEncoding.EncodeToString(id[:]) }
