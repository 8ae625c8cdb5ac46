package delivery_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db/catalog"
	"greenroom/db/delivery"
)

// TestFilter publishes one event for a webhook of each filter.
func TestFilter(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const data = `{"status": "COMPLETED", "rating": 80, "tags": ["a", "b"], "list": [{"n": 1}, {"n": 5}], "none": null,
		"ok": true, "deep": {"er": {"x": "it's \"quoted\" \\ \u00fc"}}, "$odd key.": 1, "text": "10"}`
	filters := map[string]bool{
		`{"data": {"status": "COMPLETED"}}`:                                true,
		`{"data": {"status": "FAILED"}}`:                                   false,
		`{"data": {"status": "COMPLETED", "rating": 81}}`:                  false,
		`{"data": {"status": {"$ne": "FAILED"}}}`:                          true,
		`{"data": {"status": {"$ne": "COMPLETED"}}}`:                       false,
		`{"data": {"status": {"$ne": 5}}}`:                                 true,
		`{"data": {"missing": {"$ne": 5}}}`:                                true,
		`{"data": {"status": {"$in": ["X", "COMPLETED", 3]}}}`:             true,
		`{"data": {"status": {"$in": ["X", 3, null]}}}`:                    false,
		`{"data": {"rating": {"$gte": 80}}}`:                               true,
		`{"data": {"rating": {"$gt": 80}}}`:                                false,
		`{"data": {"rating": {"$gt": 79.5, "$lt": 8.1e1}}}`:                true,
		`{"data": {"rating": {"$lte": -1}}}`:                               false,
		`{"data": {"rating": {"$gte": "80"}}}`:                             false,
		`{"data": {"text": {"$lt": "2"}}}`:                                 true,
		`{"data": {"missing": {"$exists": false}}}`:                        true,
		`{"data": {"none": {"$exists": true}, "deep": {"$exists": true}}}`: true,
		`{"data": {"deep": {"er": {"y": {"$exists": true}}}}}`:             false,
		`{"data": {"none": null}}`:                                         true,
		`{"data": {"missing": null}}`:                                      false,
		`{"data": {"ok": true}}`:                                           true,
		`{"data": {"status": {"$startsWith": "COMP"}}}`:                    true,
		`{"data": {"status": {"$startsWith": "comp"}}}`:                    false,
		`{"data": {"rating": {"$startsWith": "8"}}}`:                       false,
		`{"data": {"tags": "b"}}`:                                          true,
		`{"data": {"tags": {"$in": ["c", "d"]}}}`:                          false,
		`{"data": {"list": {"n": {"$gt": 4}}}}`:                            true,
		`{"data": {"deep": {"er": {"x": "it's \"quoted\" \\ ü"}}}}`:        true,
		`{"data": {"$or": [{"status": "FAILED"}, {"rating": 80}]}}`:        true,
		`{"$or": [{"data": {"rating": 1}}, {"type": "interview.failed"}]}`: true,
		`{"$and": [{"data": {"rating": 80}}, {"type": "job.created"}]}`:    false,
		`{"$not": {"data": {"rating": 80}}}`:                               false,
		`{"$not": {"data": {"rating": {"$gt": "a"}}}}`:                     true,
		`{"type": {"$startsWith": "interview."}}`:                          true,
		`{"context": {"interview": {"status": "FAILED"}}}`:                 true,
		`{"context": {"interview": {"status": "COMPLETED"}}}`:              false,
	}
	hooks := map[string]uuid.UUID{}
	for filter := range filters {
		hooks[filter] = b.filtered(filter, catalog.InterviewFailed).ID
	}
	e := &delivery.Event{
		CompanyID: &b.company, Type: catalog.InterviewFailed, Data: json.RawMessage(data),
		Context: json.RawMessage(`{"interview": {"status": "FAILED"}}`),
	}
	b.tx(func(tx bun.Tx) error { _, err := delivery.RecordEvent(b.ctx, tx, e); return err })
	for filter, want := range filters {
		n := b.number("SELECT count(*) FROM deliveries WHERE webhook_id = ?", hooks[filter])
		require.Equal(t, want, n == 1, filter)
	}
	t.Run("of_a_catch_up", func(t *testing.T) {
		for filter, want := range map[string]int{`{"data": {"rating": 80}}`: 1, `{"data": {"rating": 81}}`: 0} {
			w := b.filtered(filter, catalog.InterviewFailed)
			require.Eventually(t, func() bool { // transactions of other tests' databases may be open
				n, complete, err := delivery.CountMissed(b.ctx, b.DB, w.ID, time.Now().Add(-time.Hour))
				require.NoError(t, err)
				return complete && n == want
			}, time.Minute, 10*time.Millisecond, filter)
		}
	})
	t.Run("each_event_of_a_request_by_its_own_data", func(t *testing.T) {
		w := b.filtered(`{"data": {"n": {"$in": [1, 3]}}}`, catalog.JobCreated)
		var es []*delivery.Event
		for _, data := range []string{`{"n":1}`, `{"n":2}`, `{"n":3}`, `[]`, `"x"`} {
			es = append(es, &delivery.Event{CompanyID: &b.company, Type: catalog.JobCreated, Data: []byte(data)})
		}
		var ns []int
		b.tx(func(tx bun.Tx) (err error) { ns, err = delivery.RecordEvents(b.ctx, tx, es); return err })
		require.Equal(t, []int{1, 0, 1, 0, 0}, ns)
		require.Equal(t, 2, b.number("SELECT count(*) FROM deliveries WHERE webhook_id = ?", w.ID))
	})
}

// filtered is a webhook with a filter.
func (b *bundle) filtered(filter string, events ...string) *delivery.Webhook {
	b.t.Helper()
	path, err := delivery.CompileFilter(json.RawMessage(filter))
	require.NoError(b.t, err, filter)
	w := b.webhook(events...)
	b.exec("UPDATE webhooks SET filter = ?, filter_path = ?::jsonpath WHERE id = ?", filter, path, w.ID)
	return w
}

func TestFilterIsRefused(t *testing.T) {
	t.Parallel()
	for filter, path := range map[string]string{
		`[]`: "", `"x"`: "", `null`: "", `{}`: "", `{"data": {}}`: "data", `{"body": 1}`: "body",
		`{"data": {"a": []}}`: "data.a", `{"data": {"a": {"$eq": {}}}}`: "data.a.$eq", `{"data": {"a": {"$in": []}}}`: "data.a.$in",
		`{"data": {"a": {"$in": [[1]]}}}`: "data.a.$in", `{"data": {"a": {"$in": 1}}}`: "data.a.$in",
		`{"data": {"a": {"$gt": true}}}`: "data.a.$gt", `{"data": {"a": {"$lte": null}}}`: "data.a.$lte",
		`{"data": {"a": {"$exists": 1}}}`: "data.a.$exists", `{"data": {"a": {"$startsWith": 1}}}`: "data.a.$startsWith",
		`{"data": {"a": {"$regex": "x"}}}`: "data.a.$regex", `{"data": {"a": {"$gt": 1, "b": 2}}}`: "data.a",
		`{"$or": {}}`: "$or", `{"$or": []}`: "$or", `{"$or": [1]}`: "$or[0]", `{"$and": [{"x": 1}]}`: "$and[0].x", `{"$not": 1}`: "$not",
		`{"$gt": 1}`: "$gt",
		`{"data": ` + strings.Repeat(`{"a":`, 8) + `1` + strings.Repeat(`}`, 8) + `}`: "data.a.a.a.a.a.a.a",
		`{"data": {"a": {"$in": [` + strings.Repeat("1,", 50) + `1]}}}`:               "data.a.$in",
		`{"data": {"a": "` + strings.Repeat("x", delivery.FilterBytes) + `"}}`:        "",
	} {
		_, err := delivery.CompileFilter(json.RawMessage(filter))
		var refused *delivery.FilterError
		require.ErrorAs(t, err, &refused, filter)
		require.Equal(t, path, refused.Path, filter)
		require.NotEmpty(t, refused.Message)
	}
}

// TestFilterReadsOnce: what $not and $ne negate is evaluated once, however deep it is. Otherwise each $not doubles what
// an event costs: a filter of 1 KB took minutes for 1 MB of data.
func TestFilterReadsOnce(t *testing.T) {
	t.Parallel()
	const inner, around = `{"data":{"a":{"$ne":12345}}}`, 5
	path, err := delivery.CompileFilter([]byte(strings.Repeat(`{"$not":`, around) + inner + strings.Repeat("}", around)))
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(path, "12345"))
}
