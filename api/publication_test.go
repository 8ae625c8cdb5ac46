package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook/profiles"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// sample is the data of a published type, as its profile's tests have it.
func sample(t *testing.T, eventType string) string {
	t.Helper()
	s, found := profiles.SampleOf(eventType)
	require.True(t, found, eventType)
	return string(s.Data)
}

func publication(eventType, data string) string {
	return fmt.Sprintf(`{"type":%q,"data":%s}`, eventType, data)
}

// data is what is stored of an event, byte for byte.
func (b *bundle) data(id any) string {
	b.t.Helper()
	e, err := delivery.GetEvent(b.ctx, b, pg.Scope{}, uuid.MustParse(id.(string)))
	require.NoError(b.t, err)
	return string(e.Data)
}

func TestPublishWithSchema(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.made("/webhooks", object{"url": hookURL, "profile": "wise", "events": []string{"CertificateIssuedEvent"}})
	b.made("/webhooks", object{"url": hookURL, "profile": "standard", "events": []string{"CertificateIssuedEvent"}})
	t.Run("all_19_of_the_tutoring_contract", func(t *testing.T) {
		n := 0
		for _, e := range b.do("GET", "/event-types", nil).items() {
			name := e["type"].(string)
			if !strings.HasSuffix(name, "Event") {
				continue
			}
			n++
			got := b.do("POST", "/events", publication(name, sample(t, name))).is(202)
			require.Equal(t, sample(t, name), b.data(got["id"]))
			if name == "CertificateIssuedEvent" {
				require.EqualValues(t, 2, got["deliveries"])
			}
			misfit := b.do("POST", "/events", publication(name, `{}`)).fails(422, "VALIDATION_ERROR", "data").Error
			require.Equal(t, "is required", misfit.Details["message"])
			require.Regexp(t, "^/[a-zA-Z_]+$", misfit.Details["path"])
		}
		require.Equal(t, 19, n)
	})
	t.Run("the_deepest_fault_is_named", func(t *testing.T) {
		before := b.count("events")
		bad := strings.Replace(sample(t, "MeetingStartedEvent"), `"duration":60`, `"duration":"an hour"`, 1)
		e := b.do("POST", "/events", publication("MeetingStartedEvent", bad)).fails(422, "VALIDATION_ERROR", "data").Error
		require.Equal(t, "/payload/object/duration", e.Details["path"])
		require.Equal(t, "must be a number", e.Details["message"])
		require.Contains(t, e.Message, "MeetingStartedEvent: /payload/object/duration: must be a number")
		require.Equal(t, before, b.count("events"))
	})
	t.Run("types_of_the_company", func(t *testing.T) {
		b.register("order.shipped", shipped)
		got := b.do("POST", "/events", publication("order.shipped", `{ "order": "o-1" }`)).is(202)
		require.Equal(t, `{ "order": "o-1" }`, b.data(got["id"]))
		e := b.do("POST", "/events", publication("order.shipped", `{"order":"o-1","lines":[{"sku":"a"},{"sku":7}]}`)).
			fails(422, "VALIDATION_ERROR", "data").
			Error
		require.Equal(t, "/lines/1/sku", e.Details["path"])
		b.as(b.otherKey, "POST", "/events", publication("order.shipped", `{"order":"o-1"}`)).
			fails(400, "VALIDATION_ERROR", "type")
		b.as(b.platformKey, "POST", "/events?companyId="+b.company.String(), publication("order.shipped", `{"order":"o-1"}`)).
			is(202)
		b.as(b.platformKey, "POST", "/events?companyId="+b.other.String(), publication("order.shipped", `{"order":"o-1"}`)).
			fails(400, "VALIDATION_ERROR", "type")
	})
	t.Run("a_registration_and_a_change_hold_at_once", func(t *testing.T) {
		for i := range 5 {
			name := fmt.Sprintf("fresh.n%d", i)
			b.do("POST", "/events", publication(name, `{"n":1}`)).fails(400, "VALIDATION_ERROR", "type")
			b.register(name, `{}`)
			b.do("POST", "/events", publication(name, `{"n":1}`)).is(202)
			b.do("PUT", "/event-types/"+name, schemaBody(`{"properties":{"n":{"type":"string"}}}`)).is(200)
			b.do("POST", "/events", publication(name, `{"n":1}`)).fails(422, "VALIDATION_ERROR", "data")
			require.Equal(t, 204, b.do("DELETE", "/event-types/"+name, nil).Status)
			b.do("POST", "/events", publication(name, `{"n":1}`)).fails(400, "VALIDATION_ERROR", "type")
		}
	})
	t.Run("arrays", func(t *testing.T) {
		before := b.count("events")
		p := b.do("POST", "/events", "["+strings.Join([]string{
			publication(
				"order.shipped",
				`{"order":"o-1"}`,
			),
			publication("order.shipped", `{"order":1}`),
			publication("order.unknown", `{}`),
			publication(
				"AttendanceComputedEvent",
				sample(t, "AttendanceComputedEvent"),
			),
			publication("AttendanceComputedEvent", `{"session":{}}`),
			publication("job.created", `{}`),
		}, ",")+"]").published(207)
		require.Equal(t, []int{3, 3}, []int{p.Accepted, p.Refused})
		require.Equal(t, "/order", p.Results[1].Error.Details["path"])
		require.Equal(t, "type", p.Results[2].Error.Details["field"])
		require.Equal(t, "/session/_id", p.Results[4].Error.Details["path"])
		require.Equal(t, "job.created", p.Results[5].Data.Type)
		require.Equal(t, before+3, b.count("events"))
	})
	t.Run("of_many_companies", func(t *testing.T) {
		b.as(b.otherKey, "POST", "/event-types", object{"name": "order.shipped", "schema": object{"required": []string{"theirs"}}}).
			is(201)
		with := func(company uuid.UUID, data object) object {
			return object{"type": "order.shipped", "companyId": company, "data": data}
		}
		p := b.as(b.platformKey, "POST", "/events", []any{
			with(
				b.company,
				object{"order": "o-1"},
			),
			with(b.other, object{"order": "o-1"}),
			with(b.other, object{"theirs": 1}),
			with(uuid.New(), object{}),
		}).published(207)
		require.Equal(t, 2, p.Accepted)
		require.Equal(t, "/theirs", p.Results[1].Error.Details["path"])
		require.True(t, p.Results[2].Success)
	})
	t.Run("idempotent", func(t *testing.T) {
		body := publication("order.shipped", `{"order":"o-9"}`)
		first := b.do("POST", "/events", body, "Idempotency-Key", "schema-1").is(202)
		require.Equal(t, first["id"], b.do("POST", "/events", body, "Idempotency-Key", "schema-1").is(202)["id"])
		bad := publication("order.shipped", `{"order":9}`)
		b.do("POST", "/events", bad, "Idempotency-Key", "schema-2").fails(422, "VALIDATION_ERROR", "data")
		b.do("POST", "/events", body, "Idempotency-Key", "schema-2").is(202)
	})
	t.Run("an_answer_outlives_the_schema", func(t *testing.T) {
		b.register("order.paid", `{}`)
		body := publication("order.paid", `{"order":1}`)
		array := "[" + body + "]"
		post := func(key, body string) response { return b.do("POST", "/events", body, "Idempotency-Key", key) }
		one, many := post("kept-1", body), post("kept-2", array)
		one.is(202)
		many.published(202)
		require.Equal(t, 204, b.do("DELETE", "/event-types/order.paid", nil).Status)
		require.Equal(t, string(one.Body), string(post("kept-1", body).Body))
		require.Equal(t, string(many.Body), string(post("kept-2", array).Body))
		post("kept-3", body).fails(400, "VALIDATION_ERROR", "type")
		require.Equal(t, 1, post("kept-4", array).published(207).Refused)
		post("kept-1", array).fails(409, "IDEMPOTENCY_CONFLICT")
	})
}

// TestSchemasThatAreSlowToCheck: neither one event nor many small ones take long; those after the request's share are
// refused.
func TestSchemasThatAreSlowToCheck(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(
		"slow.one",
		`{"properties":{"x":{"$ref":"#/$defs/a"}},"$defs":{"a":{"allOf":[{"items":{"$ref":"#/$defs/a"}},{"items":{"$ref":"#/$defs/a"}}]}}}`,
	)
	slow := publication("slow.one", `{"x":`+strings.Repeat("[", 60)+strings.Repeat("]", 60)+`}`)
	e := b.do("POST", "/events", slow).fails(422, "VALIDATION_ERROR", "data").Error
	require.Contains(t, e.Message, "it must be smaller")
	p := b.do("POST", "/events", "["+strings.Repeat(slow+",", 999)+slow+"]").published(207)
	require.Equal(t, 1000, p.Refused)
	require.Contains(t, p.Results[999].Error.Message, "fewer must be published at once")
	require.Equal(t, "data", p.Results[999].Error.Details["field"])
}

// TestCatalogueCostsNoQuery: what is published of the catalogue does not ask for what companies registered.
func TestCatalogueCostsNoQuery(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.ExecContext(b.ctx, "ALTER TABLE event_types RENAME TO out_of_reach")
	require.NoError(t, err)
	b.do("POST", "/events", anEvent).is(202)
	b.do("POST", "/events", publication("AttendanceComputedEvent", sample(t, "AttendanceComputedEvent"))).is(202)
	b.do("POST", "/events", "["+anEvent+","+anEvent+"]").published(202)
	require.Equal(t, 500, b.do("POST", "/events", publication("order.shipped", `{}`)).Status, "the table is out of reach")
}

// invoice is a published list of instalments: the sample with n transactions, each with its own index.
func invoice(t *testing.T, n int) string {
	t.Helper()
	one := sample(t, "FeeInvoiceChargedEvent")
	before, transaction, found := strings.Cut(one, `"transaction":`)
	require.True(t, found)
	transaction = strings.TrimSuffix(transaction, "}")
	list := make([]string, n)
	for i := range list {
		list[i] = strings.Replace(transaction, `"index":0`, fmt.Sprintf(`"index": %d`, i), 1)
	}
	return before + ` "transactions" : [` + strings.Join(list, " , ") + `] , "more":1}`
}

// TestFeeInvoices holds the fan-out rule: with three instalments, adding a fourth makes four events.
func TestFeeInvoices(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.made("/webhooks", object{"url": hookURL, "profile": "wise", "events": []string{"FeeInvoiceChargedEvent"}})
	post := func(data string, headers ...string) response {
		return b.do("POST", "/events", publication("FeeInvoiceChargedEvent", data), headers...)
	}
	t.Run("one_event_for_each_instalment", func(t *testing.T) {
		before := b.count("deliveries")
		got := post(invoice(t, 4)).is(202)
		require.EqualValues(t, 4, got["deliveries"])
		events := got["events"].([]any)
		require.Len(t, events, 4)
		require.Equal(t, got["id"], events[0].(object)["id"])
		for i, e := range events {
			require.Equal(t, "FeeInvoiceChargedEvent", e.(object)["type"])
			require.EqualValues(t, 1, e.(object)["deliveries"])
			stored := b.data(e.(object)["id"])
			want := strings.Replace(sample(t, "FeeInvoiceChargedEvent"), `"transaction":`, ` "transaction":`, 1)
			want = strings.Replace(strings.TrimSuffix(want, "}"), `"index":0`, fmt.Sprintf(`"index": %d`, i), 1) + ` , "more":1}`
			require.Equal(t, want, stored, "byte for byte but for the list")
			require.NotContains(t, stored, "transactions")
			require.True(t, json.Valid([]byte(stored)))
		}
		require.Equal(t, before+4, b.count("deliveries"))
		var commits int
		require.NoError(
			t,
			b.NewRaw("SELECT count(DISTINCT xmin::text) FROM events WHERE id >= ?", got["id"]).Scan(b.ctx, &commits),
		)
		require.Equal(t, 1, commits)
	})
	t.Run("one_instalment_is_one_event", func(t *testing.T) {
		got := post(invoice(t, 1)).is(202)
		require.NotContains(t, got, "events")
		require.NotContains(t, post(sample(t, "FeeInvoiceChargedEvent")).is(202), "events")
	})
	t.Run("all_or_none", func(t *testing.T) {
		before := b.count("events")
		bad := strings.Replace(invoice(t, 3), `"index": 2`, `"index": "2"`, 1)
		e := post(bad).fails(422, "VALIDATION_ERROR", "data").Error
		require.Equal(t, "/transactions/2/metadata/index", e.Details["path"])
		e = post(strings.Replace(invoice(t, 2), `"subject"`, `"topic"`, 1)).fails(422, "VALIDATION_ERROR", "data").Error
		require.Equal(t, "/classroom/subject", e.Details["path"])
		for _, list := range []string{`[]`, `null`, `{}`, `1`} {
			e = post(`{"transactions":`+list+`}`).fails(422, "VALIDATION_ERROR", "data").Error
			require.Equal(t, "/transactions", e.Details["path"])
		}
		post(`{"transactions":[1]}`).fails(422, "VALIDATION_ERROR", "data")
		post(invoice(t, 101)).fails(422, "VALIDATION_ERROR", "data")
		both := strings.TrimSuffix(sample(t, "FeeInvoiceChargedEvent"), "}") + `,"transactions":[{}]}`
		e = post(both).fails(422, "VALIDATION_ERROR", "data").Error
		require.Equal(t, "must not be there beside transaction", e.Details["message"])
		require.Equal(t, before, b.count("events"))
	})
	t.Run("in_an_array", func(t *testing.T) {
		before := b.count("events")
		var p struct {
			Accepted int
			Results  []struct {
				Data struct{ Events []struct{ ID uuid.UUID } }
			}
		}
		body := "[" + publication(
			"FeeInvoiceChargedEvent",
			invoice(t, 3),
		) + "," + anEvent + "," + publication(
			"FeeInvoiceChargedEvent",
			invoice(t, 2),
		) + "]"
		b.do("POST", "/events", body).into(202, &p)
		require.Equal(t, 3, p.Accepted)
		require.Len(t, p.Results[0].Data.Events, 3)
		require.Empty(t, p.Results[1].Data.Events)
		require.Len(t, p.Results[2].Data.Events, 2)
		require.Equal(t, before+6, b.count("events"))
		require.Contains(t, b.data(p.Results[2].Data.Events[1].ID.String()), `"index": 1`)
	})
	t.Run("once_with_an_idempotency_key", func(t *testing.T) {
		before := b.count("events")
		first := post(invoice(t, 4), "Idempotency-Key", "fees")
		first.is(202)
		again := post(invoice(t, 4), "Idempotency-Key", "fees")
		require.Equal(t, string(first.Body), string(again.Body))
		require.Equal(t, before+4, b.count("events"))
	})
	t.Run("what_stands_beside_the_list_is_not_multiplied_without_end", func(t *testing.T) {
		before := b.count("events")
		large := strings.Replace(invoice(t, 100), `"more":1`, `"more":"`+strings.Repeat("x", 500<<10)+`"`, 1)
		post(large).fails(413, "PAYLOAD_TOO_LARGE")
		require.Equal(t, before, b.count("events"))
	})
	t.Run("only_of_that_type", func(t *testing.T) {
		got := b.do("POST", "/events", publication("job.created", `{"transactions":[1,2]}`)).is(202)
		require.NotContains(t, got, "events")
	})
}
