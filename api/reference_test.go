package api_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/db/delivery"
)

// The tests of this file hold Part 1 of the reference of the webhooks API, one row for each of its statements; what a
// client's code relies on (§3.1) is TestWebhookClient, and deliveries as receivers see them (§2.5) are in
// cmd/internal/e2e. Limits and bad input in all their forms are with the tests of each resource.

// row is one statement and how it is held.
type row struct {
	name string
	hold func(b *bundle)
}

// holds runs each row on an API of its own.
func holds(t *testing.T, rows []row) {
	t.Helper()
	t.Parallel()
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) { r.hold(setup(t)) })
	}
}

// hook creates a webhook with more than the minimum, and returns its path too.
func (b *bundle) hook(more object) (w object, path string) {
	b.t.Helper()
	w = b.made("/webhooks", object{"url": hookURL, "events": []int{3, 0}}, more)
	return w, "/webhooks/" + idOf(w)
}

// TestReferenceObject is the table of 1.2, a row for each field.
func TestReferenceObject(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made, path := b.hook(object{
		"name": "Production Webhook", "description": "words", "companyId": b.company,
		"headers": []object{{"name": "Authorization", "value": "Bearer x"}, {"name": "X-Custom-Header", "value": "y"}},
	})
	got := b.get(path)
	const isUUID, stamp = `^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`
	for _, f := range []struct {
		name string
		want any // a text is an expression
	}{
		{"id", isUUID},
		{"apiKeyId", isUUID},
		{"companyId", b.company.String()},
		{"url", "^https://api.example.com/webhooks/instaview$"},
		{"name", "^Production Webhook$"},
		{"description", "^words$"},
		{"headers", []any{object{"name": "Authorization", "isMasked": true}, object{"name": "X-Custom-Header", "isMasked": false}}},
		{"events", []any{"interview.completed", "analysis.completed"}},
		{"isActive", true},
		{"maxRetries", 3.0},
		{"timeoutMs", 30000.0},
		{"consecutiveFailures", 0.0},
		{"circuitOpenedAt", nil},
		{"createdAt", stamp},
		{"updatedAt", stamp},
	} {
		t.Run("1.2_"+f.name, func(t *testing.T) {
			require.Contains(t, got, f.name)
			if text, is := f.want.(string); is {
				require.Regexp(t, text, got[f.name])
				return
			}
			require.Equal(t, f.want, got[f.name])
		})
	}
	t.Run("1.2_signingSecret_in_the_create_answer_alone", func(t *testing.T) {
		require.Regexp(t, `^[0-9a-f]{64}$`, made["signingSecret"])
		require.NotContains(t, got, "signingSecret")
		require.NotContains(t, b.do("GET", "/webhooks", nil).items()[0], "signingSecret")
		require.NotContains(t, b.do("PATCH", path, object{"name": "n"}).is(200), "signingSecret")
	})
	t.Run("1.2_companyId_null_is_global", func(t *testing.T) {
		w, _ := b.hook(nil)
		require.Nil(t, w["companyId"])
	})
}

// TestReferenceOperations is the table of 1.3: what each operation answers to a key that holds its scope alone, and
// to one that holds every other.
func TestReferenceOperations(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.worker(delivery.Attempt{Outcome: delivery.OutcomeSucceeded, StatusCode: ptr(200), DurationMS: 156})
	for _, o := range []struct {
		name, method, path string
		body               any
		scope              string
		status             int
	}{
		{"list", "GET", "/webhooks", nil, "read:webhooks", 200},
		{"list_of_a_company", "GET", "/webhooks?companyId=" + b.company.String(), nil, "read:webhooks", 200},
		{"get_one", "GET", "/webhooks/{id}", nil, "read:webhooks", 200},
		{"create", "POST", "/webhooks", object{"url": hookURL, "events": []int{3, 0}}, "write:webhooks", 201},
		{"update", "PATCH", "/webhooks/{id}", object{"isActive": true}, "write:webhooks", 200},
		{"test", "POST", "/webhooks/{id}/test", nil, "write:webhooks", 200},
		{"reset_circuit", "POST", "/webhooks/{id}/reset-circuit", nil, "write:webhooks", 200},
		{"delete", "DELETE", "/webhooks/{id}", nil, "write:webhooks", 204},
	} {
		t.Run("1.3_"+o.name, func(t *testing.T) {
			w, _ := b.hook(object{"events": []int{2}})
			path := strings.Replace(o.path, "{id}", idOf(w), 1)
			others := []string{"read:webhooks", "write:webhooks", "delete:webhooks", "write:jobs", "delete:jobs"}
			without, _ := b.newKey(&b.company, except(others, o.scope)...)
			e := b.as(without, o.method, path, o.body).fails(403, "INSUFFICIENT_PERMISSIONS").Error
			require.Equal(t, "This API key does not have the required scope: "+o.scope, e.Message)
			b.as("", o.method, path, o.body).fails(401, "INVALID_API_KEY")
			with, _ := b.newKey(&b.company, o.scope)
			require.Equal(t, o.status, b.as("", o.method, path, o.body, "Authorization", "Bearer "+with).Status)
		})
	}
}

// except is a list without one of its elements.
func except(scopes []string, one string) (out []string) {
	for _, s := range scopes {
		if s != one {
			out = append(out, s)
		}
	}
	return out
}

func TestReferenceCreate(t *testing.T) {
	create := func(b *bundle, body object) response { return b.do("POST", "/webhooks", body) }
	with := func(field string, value any) object { return object{"url": hookURL, "events": []any{0}, field: value} }
	bad := func(b *bundle, field string, values ...any) {
		b.t.Helper()
		for _, v := range values {
			create(b, with(field, v)).fails(400, "VALIDATION_ERROR", field)
		}
	}
	holds(t, []row{
		{"1.4_url_is_required_https_and_at_most_2048", func(b *bundle) {
			create(b, object{"events": []int{0}}).fails(400, "MISSING_REQUIRED_FIELD", "url")
			bad(b, "url", "http://a.example/", "not a url", "https://a.example/"+strings.Repeat("x", 2031))
			create(b, with("url", "https://a.example/"+strings.Repeat("x", 2030))).is(201)
		}},
		{"1.4_events_are_required_ids_0_to_5", func(b *bundle) {
			create(b, object{"url": hookURL}).fails(400, "MISSING_REQUIRED_FIELD", "events")
			bad(b, "events", []int{}, []int{6}, []int{-1}, 0)
			create(b, with("events", []int{0, 1, 2, 3, 4, 5})).is(201)
		}},
		{"1.4_name_is_optional_and_at_most_255", func(b *bundle) {
			bad(b, "name", strings.Repeat("x", 256))
			require.Equal(b.t, strings.Repeat("x", 255), create(b, with("name", strings.Repeat("x", 255))).is(201)["name"])
		}},
		{"1.4_description_is_free_text", func(b *bundle) {
			text := "Zeile 1\nžluťoučký \"quoted\" <b> \U0001F600"
			require.Equal(b.t, text, create(b, with("description", text)).is(201)["description"])
		}},
		{"1.4_companyId_ties_it_to_one_company", func(b *bundle) {
			require.Equal(b.t, b.company.String(), create(b, with("companyId", b.company)).is(201)["companyId"])
			create(b, with("companyId", b.other)).fails(403, "RESOURCE_ACCESS_DENIED")
		}},
		{"1.4_headers_are_names_with_values", func(b *bundle) {
			create(b, with("headers", []object{{"name": "X-A"}})).fails(400, "MISSING_REQUIRED_FIELD", "headers[0].value")
			create(b, with("headers", []object{{"name": "X-A", "value": "b"}})).is(201)
		}},
		{
			"2.4_isActive_is_always_true_on_creation",
			func(b *bundle) {
				require.Equal(b.t, true, create(b, with("name", "n")).is(201)["isActive"])
				require.Equal(b.t, true, create(b, with("isActive", false)).is(201)["isActive"])
			},
		},
		{"1.4_the_order_of_events_means_nothing", func(b *bundle) {
			one, other := create(b, with("events", []int{2, 3, 0})).is(201)["events"], create(b, with("events", []int{0, 2, 3})).is(201)["events"]
			require.ElementsMatch(b.t, one, other)
		}},
		{"1.4_the_secret_cannot_be_had_again", func(b *bundle) {
			w, path := b.hook(nil)
			for _, call := range [][2]string{{"GET", path}, {"GET", "/webhooks"}, {"POST", path + "/reset-circuit"}, {"POST", path + "/test"}} {
				require.NotContains(b.t, string(b.do(call[0], call[1], nil).Body), w["signingSecret"])
			}
		}},
	})
}

func TestReferenceListHeadersUpdate(t *testing.T) {
	ids := func(b *bundle, query string) []any {
		var out []any
		for _, w := range b.do("GET", "/webhooks"+query, nil).items() {
			out = append(out, w["id"])
		}
		return out
	}
	holds(t, []row{
		{"1.5_without_companyId_own_and_global_with_it_own_alone", func(b *bundle) {
			global, _ := b.hook(nil)
			own, _ := b.hook(object{"companyId": b.company})
			require.ElementsMatch(b.t, []any{global["id"], own["id"]}, ids(b, ""))
			require.Equal(b.t, []any{own["id"]}, ids(b, "?companyId="+b.company.String()))
		}},
		{"1.5_data_and_total", func(b *bundle) {
			b.hook(nil)
			got := b.do("GET", "/webhooks", nil).is(200)
			require.Len(b.t, got, 2)
			require.Len(b.t, got["data"], 1)
			require.EqualValues(b.t, 1, got["total"])
		}},
		{"1.6_at_most_50_names_to_255_values_to_4096", func(b *bundle) {
			many := make([]object, 50)
			for i := range many {
				many[i] = object{
					"name":  fmt.Sprintf("X-%d-%s", i, strings.Repeat("n", 255-len(fmt.Sprintf("X-%d-", i)))),
					"value": strings.Repeat("v", 4096),
				}
			}
			body := object{"url": hookURL, "events": []int{0}, "headers": many}
			b.do("POST", "/webhooks", body).is(201)
			body["headers"] = append(many, object{"name": "X-B", "value": "v"})
			b.do("POST", "/webhooks", body).fails(400, "VALIDATION_ERROR", "headers")
		}},
		{"1.6_four_names_are_encrypted_and_masked", func(b *bundle) {
			w, _ := b.hook(object{"headers": []object{
				{"name": "Authorization", "value": "v-1"},
				{"name": "X-API-Key", "value": "v-2"},
				{"name": "X-Secret", "value": "v-3"},
				{"name": "API-Key", "value": "v-4"},
				{"name": "X-Source", "value": "v-5"},
				{"name": "X-Environment", "value": "v-6"},
			}})
			for i, h := range b.row(w["id"]).Headers {
				require.NotEmpty(b.t, h.Sealed, h.Name)
				require.Empty(b.t, h.Value, "%s is not kept in plain text", h.Name)
				require.Equal(b.t, i < 4, headerOf(w, i)["isMasked"], h.Name)
			}
			require.NotContains(b.t, string(b.do("GET", "/webhooks", nil).Body), "v-")
		}},
		{"1.6_an_update_replaces_all_headers", func(b *bundle) {
			_, path := b.hook(object{"headers": []object{{"name": "X-A", "value": "1"}, {"name": "X-B", "value": "2"}}})
			got := b.do("PATCH", path, object{"headers": []object{{"name": "X-B", "value": "3"}}}).is(200)
			require.Equal(b.t, []any{object{"name": "X-B", "isMasked": false}}, got["headers"])
		}},
		{"1.7_only_what_is_sent_changes", func(b *bundle) {
			before, path := b.hook(object{"name": "N", "headers": []object{{"name": "X-A", "value": "1"}}})
			for field, value := range map[string]any{
				"url": "https://new.example.com/", "isActive": false, "name": "M", "description": "D",
				"events": []any{"analysis.completed", "analysis.failed", "ping", "interview.completed", "interview.failed", "interview.started"},
			} {
				sent := value
				if field == "events" {
					sent = []int{0, 1, 2, 3, 4, 5}
				}
				got := b.do("PATCH", path, object{field: sent}).is(200)
				require.Equal(b.t, value, got[field])
				before[field], before["updatedAt"] = value, got["updatedAt"]
				if field == "url" { // another host gets no credentials of the one before
					before["headers"] = []any{}
				}
				delete(before, "signingSecret")
				delete(before, "signingSecretWhsec")
				require.Equal(b.t, before, got, field)
			}
		}},
	})
}

// headerOf is a header of a webhook.
func headerOf(w object, i int) object { return w["headers"].([]any)[i].(object) }

// TestReferenceErrors is 1.12: whole bodies, but for the time.
func TestReferenceErrors(t *testing.T) {
	create := func(body object) func(*bundle) response {
		return func(b *bundle) response { return b.do("POST", "/webhooks", body) }
	}
	get := func(id string) func(*bundle) response {
		return func(b *bundle) response { return b.do("GET", "/webhooks/"+id, nil) }
	}
	var rows []row
	for _, e := range []struct {
		name   string
		call   func(*bundle) response
		status int
		want   object
	}{
		{"url", create(object{"url": "no url", "events": []int{0}}), 400, object{
			"code": "VALIDATION_ERROR", "message": "url must be a valid URL", "details": object{"field": "url"},
		}},
		{"event_type", create(object{"url": hookURL, "events": []int{99}}), 400, object{
			"code": "VALIDATION_ERROR", "message": "Invalid event type",
			"details": object{"field": "events", "provided": []any{99.0}, "allowed": []any{0.0, 1.0, 2.0, 3.0, 4.0, 5.0}},
		}},
		{"not_found_echoes_what_is_no_uuid", get("invalid-uuid"), 404, object{
			"code": "RESOURCE_NOT_FOUND", "message": "Webhook configuration not found",
			"details": object{"resourceType": "WebhookConfig", "resourceId": "invalid-uuid"},
		}},
		{"access_denied_has_no_details", func(b *bundle) response {
			foreign := b.as(b.otherKey, "POST", "/webhooks", object{"url": hookURL, "events": []int{0}}).is(201)
			return get(idOf(foreign))(b)
		}, 403, object{"code": "RESOURCE_ACCESS_DENIED", "message": "Access denied to this webhook configuration"}},
	} {
		rows = append(rows, row{"1.12_" + e.name, func(b *bundle) {
			r := e.call(b).fails(e.status, e.want["code"].(string))
			var whole object
			r.Into(e.status, &whole)
			delete(whole, "timestamp")
			require.Equal(b.t, object{"success": false, "data": nil, "error": e.want}, whole) // §2.1
		}})
	}
	holds(t, rows)
}
