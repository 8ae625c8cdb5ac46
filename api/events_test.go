package api_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/db/delivery"
	"greenroom/db/pg"
)

func (b *bundle) count(table string) (n int) {
	b.t.Helper()
	require.NoError(b.t, b.NewSelect().TableExpr(table).ColumnExpr("count(*)").Scan(b.ctx, &n))
	return n
}

func TestEvents(t *testing.T) {
	t.Parallel()
	b := setup(t)
	started := object{"type": "interview.started", "data": object{"interviewId": "x"}}
	t.Run("accepted_with_the_number_of_deliveries", func(t *testing.T) {
		b.newHook(5)
		b.newHook("INTERVIEW_STARTED")
		b.newHook(0)
		got := b.do("POST", "/events", started).is(202)
		require.Equal(t, "interview.started", got["type"])
		require.EqualValues(t, 2, got["deliveries"])
		require.Len(t, got, 3)
		e := b.do("GET", "/events/"+got["id"].(string), nil).is(200)
		require.Equal(t, b.company.String(), e["companyId"])
		require.Equal(t, started["data"], e["data"])
		require.Regexp(t, `Z$`, e["occurredAt"])
	})
	t.Run("data_is_kept_byte_for_byte", func(t *testing.T) {
		data := `{"b": 1.50,` + "\n\t" + `"a":"\u00fc<&>", "n":12345678901234567890}`
		got := b.do("POST", "/events", `{"type":"job.created","data": `+data+` }`).is(202)
		e, err := delivery.GetEvent(b.ctx, b, pg.Scope{}, uuid.MustParse(got["id"].(string)))
		require.NoError(t, err)
		require.Equal(t, data, string(e.Data))
	})
	t.Run("2.5_company_routing", func(t *testing.T) {
		tied := func(key string, company any) string {
			body := object{"url": hookURL, "events": []string{"ANALYSIS_FAILED"}, "companyId": company}
			return b.as(key, "POST", "/webhooks", body).is(201)["id"].(string)
		}
		want := []string{tied(b.key, b.company), tied(b.key, nil), tied(b.platformKey, nil)}
		tied(b.otherKey, nil)
		tied(b.otherKey, b.other)
		id := b.do("POST", "/events", object{"type": "analysis.failed", "data": object{}}).is(202)["id"]
		var got []string
		for _, d := range b.as(b.platformKey, "GET", "/deliveries?eventType=analysis.failed", nil).items() {
			require.Equal(t, id, d["eventId"])
			got = append(got, d["webhookId"].(string))
		}
		require.ElementsMatch(t, want, got)
	})
	t.Run("companyId", func(t *testing.T) {
		with := func(id any) object { return object{"type": "job.created", "data": object{}, "companyId": id} }
		b.do("POST", "/events", with(b.company)).is(202)
		b.do("POST", "/events", with(b.other)).fails(403, "RESOURCE_ACCESS_DENIED")
		b.as(b.platformKey, "POST", "/events", with(nil)).fails(400, "MISSING_REQUIRED_FIELD", "companyId")
		b.as(b.platformKey, "POST", "/events", with(uuid.New())).fails(404, "RESOURCE_NOT_FOUND")
		b.as(b.platformKey, "POST", "/events", with(b.other)).is(202)
		b.as(b.platformKey, "POST", "/events?companyId="+b.other.String(), with(nil)).is(202)
	})
	t.Run("type_must_be_publishable", func(t *testing.T) {
		for _, bad := range []string{"ping", "nope", "INTERVIEW_STARTED", strings.Repeat("x", 1000)} {
			e := b.do("POST", "/events", object{"type": bad, "data": object{}}).fails(400, "VALIDATION_ERROR", "type").Error
			require.Contains(t, e.Details["allowed"], "interview.started")
			require.NotContains(t, e.Details["allowed"], "ping")
		}
		b.do("POST", "/events", object{"data": object{}}).fails(400, "MISSING_REQUIRED_FIELD", "type")
	})
	t.Run("data_must_be_an_object", func(t *testing.T) {
		b.do("POST", "/events", object{"type": "job.created"}).fails(400, "MISSING_REQUIRED_FIELD", "data")
		for _, data := range []any{"x", 1, []int{}, true} {
			b.do("POST", "/events", object{"type": "job.created", "data": data}).fails(400, "VALIDATION_ERROR", "data")
		}
	})
	t.Run("foreign_and_unknown_events", func(t *testing.T) {
		id := b.do("POST", "/events", started).is(202)["id"].(string)
		b.as(b.otherKey, "GET", "/events/"+id, nil).fails(403, "RESOURCE_ACCESS_DENIED")
		require.Equal(t, id, b.as(b.platformKey, "GET", "/events/"+id, nil).is(200)["id"])
		e := b.do("GET", "/events/nope", nil).fails(404, "RESOURCE_NOT_FOUND").Error
		require.Equal(t, object{"resourceType": "Event", "resourceId": "nope"}, e.Details)
	})
	t.Run("scopes", func(t *testing.T) {
		reader, _ := b.newKey(&b.company, "read:events")
		b.as(reader, "POST", "/events", started).fails(403, "INSUFFICIENT_PERMISSIONS")
		writer, _ := b.newKey(&b.company, "write:events")
		b.as(writer, "POST", "/events", started).is(202)
	})
}

func TestEventTypes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	byType := map[string]object{}
	for _, e := range b.do("GET", "/event-types", nil).items() {
		byType[e["type"].(string)] = e
	}
	for id, label := range []string{
		"analysis.completed", "analysis.failed", "ping", "interview.completed", "interview.failed", "interview.started",
	} {
		t.Run("1.8_"+label, func(t *testing.T) {
			profile := byType[label]["profiles"].(object)["instaview"].(object)
			require.EqualValues(t, id, profile["id"])
			require.Equal(t, label, profile["label"])
			require.Equal(t, strings.ToUpper(strings.ReplaceAll(label, ".", "_")), profile["name"])
		})
	}
	require.Nil(t, byType["sourcing.failed"]["profiles"].(object)["instaview"].(object)["id"])
	require.NotContains(t, byType["job.created"]["profiles"], "instaview")
	require.Equal(t, false, byType["ping"]["publishable"])
}

func TestIdempotency(t *testing.T) {
	t.Parallel()
	b := setup(t)
	body := `{"type":"job.created","data":{"n":1}}`
	post := func(key, body string) response { return b.do("POST", "/events", body, "Idempotency-Key", key) }
	t.Run("same_key_and_body_answers_the_same_bytes", func(t *testing.T) {
		first := post("k1", body)
		require.Equal(t, 202, first.Status)
		require.Empty(t, first.Header.Get("Idempotency-Replayed"))
		events := b.count("events")
		for _, path := range []string{"/events", "/v1/events"} {
			again := b.do("POST", path, body, "Idempotency-Key", "k1")
			require.Equal(t, 202, again.Status)
			require.Equal(t, string(first.Body), string(again.Body))
			require.Equal(t, "true", again.Header.Get("Idempotency-Replayed"))
			require.Contains(t, again.Header.Get("Content-Type"), "application/json")
		}
		require.Equal(t, events, b.count("events"), "nothing was done again")
	})
	t.Run("same_key_other_body_is_a_conflict", func(t *testing.T) {
		post("k2", body).is(202)
		post("k2", `{"type":"job.created","data":{"n":2}}`).fails(409, "IDEMPOTENCY_CONFLICT")
	})
	t.Run("the_key_belongs_to_the_api_key", func(t *testing.T) {
		post("k3", body).is(202)
		r := b.as(b.otherKey, "POST", "/events", body, "Idempotency-Key", "k3")
		r.is(202)
		require.Empty(t, r.Header.Get("Idempotency-Replayed"))
	})
	t.Run("a_refused_request_keeps_no_answer", func(t *testing.T) {
		post("k4", `{"type":"nope","data":{}}`).fails(400, "VALIDATION_ERROR")
		post("k4", body).is(202)
	})
	t.Run("at_most_255_printable_characters", func(t *testing.T) {
		post(strings.Repeat("k", 255), body).is(202)
		post(strings.Repeat("k", 256), body).fails(400, "VALIDATION_ERROR", "Idempotency-Key")
		post("ü", body).fails(400, "VALIDATION_ERROR", "Idempotency-Key")
	})
	t.Run("without_a_key_each_request_counts", func(t *testing.T) {
		first := b.do("POST", "/events", body).is(202)["id"]
		require.NotEqual(t, first, b.do("POST", "/events", body).is(202)["id"])
	})
	t.Run("kept_24_hours", func(t *testing.T) {
		first := post("k5", body).is(202)["id"]
		_, err := b.ExecContext(
			b.ctx,
			"UPDATE idempotency_keys SET created_at = now() - interval '23 h 59 min' WHERE key = 'k5'",
		)
		require.NoError(t, err)
		require.Equal(t, first, post("k5", body).is(202)["id"])
		_, err = b.ExecContext(b.ctx, "UPDATE idempotency_keys SET created_at = now() - interval '24 h 1 s' WHERE key = 'k5'")
		require.NoError(t, err)
		require.NotEqual(t, first, post("k5", body).is(202)["id"])
	})
	t.Run("of_many_at_once_one_does_the_work", func(t *testing.T) {
		before := b.count("events")
		answers := make([]response, 12)
		var wg sync.WaitGroup
		for i := range answers {
			wg.Go(func() { answers[i] = post("k6", body) })
		}
		wg.Wait()
		for _, a := range answers {
			require.Equal(t, 202, a.Status)
			require.Equal(t, string(answers[0].Body), string(a.Body))
		}
		require.Equal(t, before+1, b.count("events"))
	})
}
