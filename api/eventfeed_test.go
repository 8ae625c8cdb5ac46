package api_test

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"greenroom/api"
)

// feedPage is the data of an answer of the feed.
type feedPage struct {
	Data       []object `json:"data"`
	NextCursor string   `json:"nextCursor"`
	HasMore    bool     `json:"hasMore"`
	HeldSince  *string  `json:"heldSince"`
}

// feed reads a page. A query with a wait finds events although transactions of other tests' databases are open.
func (b *bundle) feed(key, query string) (p feedPage) {
	b.t.Helper()
	b.as(key, "GET", "/events?"+query, nil).into(200, &p)
	return p
}

func (b *bundle) publishes(key string, data object, path string) {
	b.t.Helper()
	b.as(key, "POST", path, object{"type": "analysis.completed", "data": data}).is(202)
}

func TestFeed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ofCompany := "/events?companyId=" + b.company.String()
	for range 3 {
		b.publishes(b.key, object{"of": "the company"}, "/events")
	}
	b.publishes(b.otherKey, object{"of": "the other"}, "/events")
	b.publishes(b.platformKey, object{"of": "the company"}, ofCompany)
	b.job()

	t.Run("each_key_reads_its_company_and_a_platform_key_all_or_one", func(t *testing.T) {
		follow := func(key, query string, n int) (events []object) {
			after := ""
			for len(events) < n {
				p := b.feed(key, "wait=20&limit=2"+after+query)
				require.LessOrEqual(t, len(p.Data), 2)
				events, after = append(events, p.Data...), "&after="+p.NextCursor
			}
			require.Empty(t, b.feed(key, "limit=2"+after+query).Data)
			return events
		}
		mine := follow(b.key, "", 5)
		for _, e := range mine {
			require.Equal(t, b.company.String(), e["companyId"])
		}
		require.Equal(t, b.get("/events/"+idOf(mine[0])), mine[0], "an event as it is read by its id")
		require.Equal(t, mine, follow(b.key, "&companyId="+b.other.String(), 5), "a company's key ignores companyId")
		require.Len(t, follow(b.otherKey, "", 1), 1)
		require.Len(t, follow(b.platformKey, "", 6), 6)
		require.Equal(t, mine, follow(b.platformKey, "&companyId="+b.company.String(), 5))
		require.Len(t, follow(b.key, "&types=job.created,job.updated", 1), 1)
		require.Len(t, follow(b.key, "&types=job.*", 1), 1)
	})
	t.Run("a_key_without_the_scope_is_refused", func(t *testing.T) {
		key, _ := b.newKey(&b.company, "write:events")
		b.as(key, "GET", "/events", nil).fails(403, "INSUFFICIENT_PERMISSIONS")
	})
	t.Run("bad_parameters_are_named", func(t *testing.T) {
		cursor := b.feed(b.key, "").NextCursor
		for query, field := range map[string]string{
			"after=": "after", "after=x": "after", "after=" + cursor + "A": "after", "after=" + cursor[:40]: "after",
			"wait=21": "wait", "wait=-1": "wait", "wait=x": "wait", "limit=101": "limit", "types=": "types",
			"types=interview.started,,": "types", "types=Nothing": "types", "types=*": "types", "since=2026-01-01": "since",
		} {
			b.do("GET", "/events?"+query, nil).fails(400, "VALIDATION_ERROR", field)
		}
	})
}

func TestFeedWaits(t *testing.T) {
	t.Parallel()
	stopping := make(chan struct{})
	b := setup(t, func(o *api.Options) { o.Stopping = stopping })
	answer := func(ctx context.Context, after string) <-chan feedPage {
		answered := make(chan feedPage, 1)
		go func() {
			req := httptest.NewRequestWithContext(ctx, "GET", "/events?wait=20&after="+after, nil)
			req.Header.Set("Authorization", "Bearer "+b.key)
			r := response{t: t, Response: b.Send(req)}
			var p struct{ Data feedPage }
			r.Into(200, &p)
			answered <- p.Data
		}()
		return answered
	}
	soon := func(t *testing.T, answered <-chan feedPage) feedPage {
		t.Helper()
		select {
		case p := <-answered:
			return p
		case <-time.After(15 * time.Second):
			require.Fail(t, "it waited for the end of the wait")
			return feedPage{}
		}
	}
	t.Run("until_there_is_an_event", func(t *testing.T) {
		answered := answer(b.ctx, b.feed(b.key, "").NextCursor)
		b.publishes(b.otherKey, object{}, "/events")
		b.publishes(b.key, object{"n": 1}, "/events")
		p := soon(t, answered)
		require.Len(t, p.Data, 1)
		require.Equal(t, b.company.String(), p.Data[0]["companyId"])
	})
	t.Run("until_the_client_hangs_up", func(t *testing.T) {
		ctx, hangUp := context.WithCancel(b.ctx)
		at := b.feed(b.key, "wait=1").NextCursor
		answered := answer(ctx, at)
		hangUp()
		p := soon(t, answered)
		require.Empty(t, p.Data)
		require.NotEmpty(t, p.NextCursor)
	})
	t.Run("for_as_long_as_was_asked", func(t *testing.T) {
		p := b.feed(b.key, "wait=1&after="+b.feed(b.key, "").NextCursor)
		require.NotEmpty(t, p.NextCursor)
		require.False(t, p.HasMore)
	})
	t.Run("until_the_process_stops", func(t *testing.T) {
		answered := answer(b.ctx, b.feed(b.key, "").NextCursor)
		close(stopping)
		soon(t, answered)
	})
}

func TestFeedGap(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publishes(b.key, object{}, "/events")
	b.publishes(b.key, object{}, "/events")
	cursor := b.feed(b.key, "wait=20&limit=1").NextCursor
	_, err := b.ExecContext(b.ctx, `UPDATE event_feed SET dropped_through = (SELECT min(position) FROM events)`)
	require.NoError(t, err)
	r := b.do("GET", "/events?after="+cursor, nil).fails(410, "EVENTS_REMOVED")
	next := r.Error.Details["nextCursor"].(string)
	require.Len(t, b.feed(b.key, "wait=20&after="+next).Data, 1, "what is left is there")
	b.do("GET", "/events?after="+cursor, nil).fails(410, "EVENTS_REMOVED")
}
