package delivery_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db/catalog"
	"greenroom/db/delivery"
)

func TestFilterClauses(t *testing.T) {
	t.Parallel()
	for filter, want := range map[string][]string{
		`{"type": "a.b"}`: {"type"},
		`{"data": {"rating": {"$gte": 1, "$lt": 5}, "a": {"b": null}}}`:    {"data.a.b", "data.rating.$gte", "data.rating.$lt"},
		`{"$and": [{"data": {"x": 1}}, {"data": {"y": {"$in": [1, 2]}}}]}`: {"$and[0].data.x", "$and[1].data.y.$in"},
		`{"data": {"$or": [{"x": 1}, {"y": 2}], "z": {"$exists": true}}}`:  {"data.$or", "data.z.$exists"},
		`{"$not": {"data": {"x": 1, "y": 2}}}`:                             {"$not"},
	} {
		clauses, err := delivery.FilterClauses(json.RawMessage(filter))
		require.NoError(t, err, filter)
		var names []string
		for _, c := range clauses {
			names = append(names, c.Name)
		}
		require.Equal(t, want, names, filter)
	}
	_, err := delivery.FilterClauses(json.RawMessage(`{"data": {}}`))
	require.ErrorAs(t, err, new(*delivery.FilterError))
}

// TestFilterTestAgreesWithDeliveries: a filter on trial lets through exactly the events that it lets through when they
// are published.
func TestFilterTestAgreesWithDeliveries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	filters := []string{
		`{"data": {"n": {"$gte": 2}, "tags": "b"}}`,
		`{"data": {"n": {"$ne": 1}}}`,
		`{"data": {"tags": {"$in": ["a"]}, "n": 1}}`,
		`{"$not": {"data": {"n": {"$gt": "0"}}}}`,
		`{"$and": [{"data": {"n": {"$lt": 3}}}, {"data": {"x": {"y": {"$exists": false}}}}]}`,
		`{"data": {"list": {"n": {"$gt": 4}, "m": 1}}}`,
		`{"context": {"interview": {"status": "FAILED"}}}`,
		`{"data": {"$or": [{"n": 1}, {"x": {"y": 1}}]}, "type": {"$startsWith": "interview"}}`,
	}
	var hooks []*delivery.Webhook
	for _, f := range filters {
		hooks = append(hooks, b.filtered(f, catalog.InterviewFailed))
	}
	for n, data := range []string{
		`{"n": 1, "tags": ["a", "b"]}`, `{"n": 2, "tags": ["b"]}`, `{"n": "1"}`, `{"n": 3, "x": {"y": 1}}`, `{}`,
		`{"list": [{"n": 5, "m": 2}, {"n": 1, "m": 1}]}`, `{"n": null, "tags": "b"}`,
	} {
		e := &delivery.Event{CompanyID: &b.company, Type: catalog.InterviewFailed, Data: json.RawMessage(data)}
		if n%2 == 0 {
			e.Context = json.RawMessage(`{"interview": {"status": "FAILED"}}`)
		}
		b.tx(func(tx bun.Tx) error { _, err := delivery.RecordEvent(b.ctx, tx, e); return err })
	}
	for i, w := range hooks {
		out, complete, err := delivery.TestFilter(b.ctx, b.DB, delivery.FilterTest{
			Webhook: w, Filter: json.RawMessage(filters[i]), Limit: 100,
		})
		require.NoError(t, err)
		require.True(t, complete)
		require.Len(t, out, 7)
		sent := 0
		for _, o := range out {
			n := b.number("SELECT count(*) FROM deliveries WHERE webhook_id = ? AND event_id = ?", w.ID, o.ID)
			require.Equal(t, n == 1, len(o.Failed) == 0, "%s: %v", filters[i], o)
			sent += n
		}
		require.Positive(t, sent, filters[i])
		require.Less(t, sent, 7, filters[i])
	}
}

// TestFilterTestIsBounded: large events end the test early, and the answer says so.
func TestFilterTestIsBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.filtered(`{"data": {"text": "x"}}`, catalog.InterviewFailed)
	for range 5 {
		e := &delivery.Event{
			CompanyID: &b.company, Type: catalog.InterviewFailed, ID: uuid.Nil,
			Data: json.RawMessage(fmt.Sprintf(`{"text": %q}`, strings.Repeat("x", 3<<20))),
		}
		b.tx(func(tx bun.Tx) error { _, err := delivery.RecordEvent(b.ctx, tx, e); return err })
	}
	out, complete, err := delivery.TestFilter(b.ctx, b.DB, delivery.FilterTest{
		Webhook: w, Filter: json.RawMessage(`{"data": {"text": "x"}}`), Limit: 5,
	})
	require.NoError(t, err)
	require.False(t, complete)
	require.Len(t, out, 2)
}
