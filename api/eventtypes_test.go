package api_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/db/pg"
)

const shipped = `{"type":"object","required":["order"],"properties":{"order":{"type":"string","pattern":"^o-[0-9]+$"},
	"lines":{"type":"array","items":{"type":"object","required":["sku"],"properties":{"sku":{"type":"string"},"count":{"type":"integer","minimum":1}}}}}}`

// register registers an event type of the company.
func (b *bundle) register(name, schema string) object {
	b.t.Helper()
	return b.do("POST", "/event-types", fmt.Sprintf(`{"name":%q,"description":"words","schema":%s}`, name, schema)).is(201)
}

func schemaBody(schema string, more ...string) string {
	return `{"schema":` + schema + strings.Join(more, "") + `}`
}

func TestRegisterEventType(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made := b.register("order.shipped", shipped)
	t.Run("created", func(t *testing.T) {
		require.Equal(t, "order.shipped", made["type"])
		require.Equal(t, "words", made["description"])
		require.Equal(t, true, made["custom"])
		require.EqualValues(t, 1, made["version"])
		require.Equal(
			t,
			object{"standard": object{"id": nil, "label": "order.shipped", "name": "order.shipped"}},
			made["profiles"],
		)
		got := b.get("/event-types/order.shipped")
		require.Equal(t, made, got)
		require.Equal(t, []any{"order"}, got["schema"].(object)["required"])
	})
	t.Run("listed_after_the_catalogue", func(t *testing.T) {
		b.register("order.lost", `{}`)
		types := b.do("GET", "/event-types", nil).items()
		require.Equal(t, "order.lost", types[len(types)-2]["type"])
		last := types[len(types)-1]
		require.Equal(t, "order.shipped", last["type"])
		require.NotContains(t, last, "schema")
		require.Equal(t, false, types[0]["custom"])
	})
	t.Run("names", func(t *testing.T) {
		for _, bad := range []string{
			"order", "Order.Shipped", "order.", ".order", "order..shipped", "1order.x", "order shipped", "order/shipped", "order.shipped\n",
			"o." + strings.Repeat("x", 99), "órder.shipped", "order-shipped.x",
		} {
			b.do("POST", "/event-types", object{"name": bad, "schema": object{}}).fails(400, "VALIDATION_ERROR", "name")
		}
		for _, taken := range []string{"interview.started", "ping", "FeeInvoiceChargedEvent", "order.shipped"} {
			b.do("POST", "/event-types", object{"name": taken, "schema": object{}}).fails(409, "ALREADY_EXISTS", "name")
		}
		b.register("a1.b_2.3", `{}`)
	})
	t.Run("schemas", func(t *testing.T) {
		for schema, path := range map[string]string{
			`{"properties":{"a":{"type":"text"}}}`:                      "/properties/a/type",
			`{"properties":{"a":{"$ref":"http://127.0.0.1:1/a.json"}}}`: "/properties/a/$ref",
			`{"properties":{"a":{"$ref":"file:///etc/passwd"}}}`:        "/properties/a/$ref",
			`{"$schema":"http://json-schema.org/draft-07/schema#"}`:     "/$schema",
			`{"properties":{"a":{"pattern":"(?!a)"}}}`:                  "/properties/a/pattern",
			`{"type":"array"}`: "/type",
			`{"description":"` + strings.Repeat("x", 65<<10) + `"}`:               "",
			`{"$defs":{"a":{"$ref":"#/$defs/a"}},"allOf":[{"$ref":"#/$defs/a"}]}`: "/$defs/a",
		} {
			e := b.do("POST", "/event-types", `{"name":"bad.schema","schema":`+schema+`}`).
				fails(400, "VALIDATION_ERROR", "schema").
				Error
			require.Equal(t, path, e.Details["path"], e.Message)
			require.NotEmpty(t, e.Details["message"])
			b.do("PUT", "/event-types/order.shipped", schemaBody(schema, `,"force":true`)).
				fails(400, "VALIDATION_ERROR", "schema")
		}
		for _, bad := range []any{nil, true, "x", []int{}} {
			require.Equal(t, 400, b.do("POST", "/event-types", object{"name": "bad.schema", "schema": bad}).Status)
		}
		b.do("GET", "/event-types/bad.schema", nil).fails(404, "RESOURCE_NOT_FOUND")
	})
	t.Run("a_company_has_its_own", func(t *testing.T) {
		b.as(b.otherKey, "GET", "/event-types/order.shipped", nil).fails(404, "RESOURCE_NOT_FOUND")
		b.as(b.otherKey, "GET", "/event-types/order.shipped/versions", nil).fails(404, "RESOURCE_NOT_FOUND")
		b.as(b.otherKey, "PUT", "/event-types/order.shipped", schemaBody(`{}`, `,"force":true`)).
			fails(404, "RESOURCE_NOT_FOUND")
		b.as(b.otherKey, "DELETE", "/event-types/order.shipped?force=true", nil).fails(404, "RESOURCE_NOT_FOUND")
		for _, e := range b.as(b.otherKey, "GET", "/event-types", nil).items() {
			require.Equal(t, false, e["custom"])
		}
		b.as(b.otherKey, "POST", "/event-types", object{"name": "order.shipped", "schema": object{}}).is(201)
		require.Equal(t, made, b.get("/event-types/order.shipped"))
	})
	t.Run("a_platform_key_names_the_company", func(t *testing.T) {
		b.as(b.platformKey, "GET", "/event-types/order.shipped", nil).fails(400, "MISSING_REQUIRED_FIELD")
		require.Equal(
			t,
			made,
			b.as(b.platformKey, "GET", "/event-types/order.shipped?companyId="+b.company.String(), nil).is(200),
		)
		b.as(b.platformKey, "POST", "/event-types", object{"name": "x.y", "schema": object{}}).
			fails(400, "MISSING_REQUIRED_FIELD")
		b.as(b.platformKey, "POST", "/event-types", object{"name": "x.y", "schema": object{}, "companyId": b.other}).is(201)
		b.as(b.platformKey, "POST", "/event-types", object{"name": "x.y", "schema": object{}, "companyId": pg.NewID()}).
			fails(404, "RESOURCE_NOT_FOUND")
		b.as(b.otherKey, "GET", "/event-types/x.y", nil).is(200)
		for _, e := range b.as(b.platformKey, "GET", "/event-types", nil).items() {
			require.Equal(t, false, e["custom"])
		}
		b.as(b.platformKey, "DELETE", "/event-types/x.y?companyId="+b.other.String(), nil)
		b.as(b.otherKey, "GET", "/event-types/x.y", nil).fails(404, "RESOURCE_NOT_FOUND")
	})
	t.Run("scopes", func(t *testing.T) {
		reader, _ := b.newKey(&b.company, "read:webhooks")
		b.as(reader, "GET", "/event-types/order.shipped", nil).is(200)
		b.as(reader, "POST", "/event-types", object{"name": "x.y", "schema": object{}}).fails(403, "INSUFFICIENT_PERMISSIONS")
		b.as(reader, "PUT", "/event-types/order.shipped", schemaBody(`{}`)).fails(403, "INSUFFICIENT_PERMISSIONS")
		b.as(reader, "DELETE", "/event-types/order.shipped", nil).fails(403, "INSUFFICIENT_PERMISSIONS")
	})
}

func TestEventTypesOfACompanyAreLimited(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.ExecContext(b.ctx, `INSERT INTO event_types (id, company_id, name, schema)
		SELECT gen_random_uuid(), ?, 'order.n' || n, '{}' FROM generate_series(1, 499) n`, b.company)
	require.NoError(t, err)
	b.register("order.last", `{}`)
	e := b.do("POST", "/event-types", object{"name": "order.more", "schema": object{}}).fails(409, "QUOTA_EXCEEDED").Error
	require.Contains(t, e.Message, "500")
	b.as(b.otherKey, "POST", "/event-types", object{"name": "order.more", "schema": object{}}).is(201)
}

func TestCatalogueTypes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	t.Run("with_a_schema", func(t *testing.T) {
		got := b.get("/event-types/FeeInvoiceChargedEvent")
		require.Equal(t, "FeeInvoiceChargedEvent", got["schema"].(object)["title"])
		require.Equal(t, false, got["custom"])
		require.Nil(t, got["version"])
		require.Contains(t, got["profiles"], "wise")
		require.Contains(t, got["profiles"], "standard")
		versions := b.do("GET", "/event-types/FeeInvoiceChargedEvent/versions", nil).items()
		require.Len(t, versions, 1)
	})
	t.Run("without", func(t *testing.T) {
		got := b.as(b.platformKey, "GET", "/event-types/interview.started", nil).is(200)
		require.Contains(t, got, "schema")
		require.Nil(t, got["schema"])
		require.Empty(t, b.do("GET", "/event-types/interview.started/versions", nil).items())
	})
	t.Run("cannot_be_changed", func(t *testing.T) {
		for _, name := range []string{"interview.started", "FeeInvoiceChargedEvent"} {
			b.do("PUT", "/event-types/"+name, schemaBody(`{}`, `,"force":true`)).fails(409, "INVALID_STATE")
			b.do("DELETE", "/event-types/"+name+"?force=true", nil).fails(409, "INVALID_STATE")
		}
	})
	t.Run("all_of_them", func(t *testing.T) {
		published := 0
		for _, e := range b.do("GET", "/event-types", nil).items() {
			if strings.HasSuffix(e["type"].(string), "Event") {
				published++
				require.Equal(t, true, e["publishable"])
			}
		}
		require.Equal(t, 19, published)
	})
	t.Run("unknown", func(t *testing.T) {
		for _, name := range []string{"nope", "No.Such", "order.shipped", "%00", "..", strings.Repeat("x", 500)} {
			b.do("GET", "/event-types/"+name, nil).fails(404, "RESOURCE_NOT_FOUND")
			b.do("DELETE", "/event-types/"+name, nil).fails(404, "RESOURCE_NOT_FOUND")
		}
	})
}

func TestChangeEventType(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register("order.shipped", shipped)
	const path = "/event-types/order.shipped"
	t.Run("a_compatible_schema_is_a_new_version", func(t *testing.T) {
		tighter := strings.Replace(shipped, `"minimum":1`, `"minimum":2`, 1)
		got := b.do("PUT", path, schemaBody(tighter)).is(200)
		require.EqualValues(t, 2, got["version"])
		require.Equal(t, "words", got["description"], "it was not sent")
		require.EqualValues(
			t,
			2,
			b.do("PUT", path, schemaBody(tighter, `,"description":"other"`)).is(200)["version"],
			"nothing new",
		)
		require.Equal(t, "other", b.get(path)["description"])
		versions := b.do("GET", path+"/versions", nil).items()
		require.Len(t, versions, 2)
		require.EqualValues(t, 2, versions[0]["version"])
		require.EqualValues(t, 1, versions[1]["version"])
		require.Equal(t, []any{"order"}, versions[1]["schema"].(object)["required"])
	})
	looser := strings.NewReplacer(`"required":["order"],`, ``, `"minimum":1`, `"minimum":0`).Replace(shipped)
	t.Run("one_that_breaks_receivers_is_refused", func(t *testing.T) {
		e := b.do("PUT", path, schemaBody(looser)).fails(409, "CONFLICT", "schema").Error
		require.EqualValues(t, 2, e.Details["version"])
		require.Equal(t, []any{
			object{"path": "/lines/*/count", "message": "may now be less than before (2)"},
			object{"path": "/order", "message": "may now be missing; it was required"},
		}, e.Details["reasons"])
		require.EqualValues(t, 2, b.get(path)["version"])
		b.do("PUT", path+"?force=false", schemaBody(looser, `,"force":false`)).fails(409, "CONFLICT")
		b.do("PUT", path+"?force=yes", schemaBody(looser)).fails(400, "VALIDATION_ERROR", "force")
	})
	t.Run("unless_forced", func(t *testing.T) {
		require.EqualValues(t, 3, b.do("PUT", path, schemaBody(looser, `,"force":true`)).is(200)["version"])
		require.EqualValues(t, 4, b.do("PUT", path+"?force=true", schemaBody(`{}`)).is(200)["version"])
		b.do("POST", "/events", `{"type":"order.shipped","data":{"order":7}}`).is(202)
	})
	t.Run("of_two_at_once_the_second_sees_the_first", func(t *testing.T) {
		statuses := make([]int, 6)
		var all sync.WaitGroup
		for i := range statuses { // each of them is compatible with {}, none with another
			all.Go(func() {
				statuses[i] = b.do("PUT", path, schemaBody(fmt.Sprintf(`{"required":["p%d"]}`, i))).Status
			})
		}
		all.Wait()
		accepted := 0
		for _, s := range statuses {
			if s == 200 {
				accepted++
			} else {
				require.Equal(t, 409, s)
			}
		}
		require.Equal(t, 1, accepted)
	})
}

func TestDeleteEventType(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register("order.shipped", shipped)
	hook := b.made("/webhooks", object{"url": hookURL, "profile": "standard", "events": []string{"order.shipped"}})
	const path = "/event-types/order.shipped"
	e := b.do("DELETE", path, nil).fails(409, "INVALID_STATE").Error
	require.Equal(t, []any{idOf(hook)}, e.Details["webhookIds"])
	require.EqualValues(t, 1, e.Details["webhooks"])
	require.Equal(t, 204, b.do("DELETE", path+"?force=true", nil).Status)
	b.do("GET", path, nil).fails(404, "RESOURCE_NOT_FOUND")
	b.do("POST", "/events", `{"type":"order.shipped","data":{"order":"o-1"}}`).fails(400, "VALIDATION_ERROR", "type")
	require.Equal(t, []any{"order.shipped"}, b.get("/webhooks/" + idOf(hook))["events"])
	b.register("order.shipped", shipped)
	require.EqualValues(
		t,
		1,
		b.do("POST", "/events", `{"type":"order.shipped","data":{"order":"o-1"}}`).is(202)["deliveries"],
	)
	b.register("order.lost", `{}`)
	require.Equal(t, 204, b.do("DELETE", "/event-types/order.lost", nil).Status)
}

func TestSubscribeToEventTypes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register("order.shipped", shipped)
	hook := func(key, profile string, more object, events ...string) response {
		body := object{"url": hookURL, "profile": profile, "events": events}
		for k, v := range more {
			body[k] = v
		}
		return b.as(key, "POST", "/webhooks", body)
	}
	t.Run("open_profiles_take_them", func(t *testing.T) {
		got := hook(
			b.key,
			"standard",
			object{"companyId": b.company},
			"order.shipped",
			"interview.started",
			"order.shipped",
		).is(201)
		require.Equal(t, []any{"order.shipped", "interview.started"}, got["events"])
		hook(b.key, "standard", nil, "order.shipped").is(201)
		hook(b.platformKey, "standard", object{"companyId": b.company}, "order.shipped").is(201)
		hook(b.key, "standard", nil, "FeeInvoiceChargedEvent").is(201)
		id := idOf(hook(b.key, "standard", nil, "interview.started").is(201))
		require.Equal(
			t,
			[]any{"order.shipped"},
			b.do("PATCH", "/webhooks/"+id, object{"events": []string{"order.shipped"}}).is(200)["events"],
		)
	})
	t.Run("others_do_not", func(t *testing.T) {
		for _, profile := range []string{"instaview", "wise", "wiseway"} {
			hook(b.key, profile, nil, "order.shipped").fails(400, "VALIDATION_ERROR", "events")
		}
	})
	t.Run("nor_for_another_company", func(t *testing.T) {
		hook(b.otherKey, "standard", nil, "order.shipped").fails(400, "VALIDATION_ERROR", "events")
		hook(
			b.platformKey,
			"standard",
			object{"companyId": b.other},
			"order.shipped",
		).fails(400, "VALIDATION_ERROR", "events")
		hook(b.platformKey, "standard", nil, "order.shipped").fails(400, "VALIDATION_ERROR", "events")
	})
	t.Run("unregistered", func(t *testing.T) {
		e := hook(b.key, "standard", nil, "order.lost", "order.shipped").fails(400, "VALIDATION_ERROR", "events").Error
		require.Equal(t, []any{"order.lost"}, e.Details["provided"])
	})
	t.Run("deliveries_can_be_found", func(t *testing.T) {
		id := b.do("POST", "/events", `{"type":"order.shipped","data":{"order":"o-1"}}`).is(202)["id"]
		found := b.do("GET", "/deliveries?eventType=order.shipped", nil).items()
		require.Len(t, found, 4)
		for _, d := range found {
			require.Equal(t, id, d["eventId"])
			require.Equal(t, "order.shipped", d["eventType"])
		}
	})
	t.Run("and_replayed", func(t *testing.T) {
		id := idOf(hook(b.key, "standard", nil, "order.shipped").is(201))
		got := b.do("POST", "/webhooks/"+id+"/replays", object{"since": "2024-01-01T00:00:00Z", "events": []string{"order.shipped"}}).
			is(202)
		require.Equal(t, []any{"order.shipped"}, got["events"])
		b.do("POST", "/webhooks/"+id+"/replays", object{"since": "2024-01-01T00:00:00Z", "events": []string{"order.lost"}}).
			fails(400, "VALIDATION_ERROR", "events")
	})
}
