package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/db/delivery"
)

const hookURL = "https://api.example.com/webhooks/instaview"

// newHook creates a webhook with the company's key.
func (b *bundle) newHook(events ...any) object {
	b.t.Helper()
	return b.do("POST", "/webhooks", object{"url": hookURL, "events": events}).is(http.StatusCreated)
}

func (b *bundle) row(id any) *delivery.Webhook {
	b.t.Helper()
	w, err := delivery.GetWebhook(b.ctx, b, uuid.MustParse(id.(string)))
	require.NoError(b.t, err)
	return w
}

func TestWebhookCreate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	refused := func(t *testing.T, body any, field string) response {
		t.Helper()
		return b.do("POST", "/webhooks", body).fails(400, "VALIDATION_ERROR", field)
	}
	t.Run("1.2_object_has_every_field", func(t *testing.T) {
		got := b.do("POST", "/webhooks", object{
			"url": hookURL, "name": "Production Webhook", "description": "…", "events": []int{3, 0}, "companyId": b.company,
			"headers": []object{{"name": "Authorization", "value": "Bearer x"}, {"name": "X-Custom-Header", "value": "y"}},
		}).is(201)
		require.Regexp(t, `^[0-9a-f]{64}$`, got["signingSecret"])
		row := b.row(got["id"])
		require.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`, got["createdAt"])
		for _, k := range []string{"id", "signingSecret", "signingSecretWhsec", "createdAt", "updatedAt"} {
			require.NotEmpty(t, got[k], k)
			delete(got, k)
		}
		require.Equal(t, object{
			"apiKeyId":       row.APIKeyID.String(),
			"companyId":      b.company.String(),
			"ownerCompanyId": b.company.String(),
			"heldByPlatform": false,
			"url":            hookURL,
			"name":           "Production Webhook",
			"description":    "…",
			"events":         []any{"interview.completed", "analysis.completed"},
			"filter":         nil,
			"notifyEmail":    nil,
			"isActive":       true,
			"headers": []any{
				object{"name": "Authorization", "isMasked": true},
				object{"name": "X-Custom-Header", "isMasked": false},
			},
			"auth":                nil,
			"maxRetries":          3.0,
			"timeoutMs":           30000.0,
			"consecutiveFailures": 0.0,
			"circuitOpenedAt":     nil,
			"profile":             "instaview",
			"rateLimit":           0.0,
			"ordering":            nil,
			"orderingOnFailure":   "skip",
			"circuitRecovery":     nil,
			"disabledReason":      nil,
			"signatureAlgorithms": []any{"v1"},
			"jwksUrl":             nil,
		}, got)
	})
	t.Run("1.4_minimum_body", func(t *testing.T) {
		got := b.newHook(3, 0)
		require.Empty(t, got["name"])
		require.Nil(t, got["companyId"], "global")
		require.Equal(t, []any{}, got["headers"])
	})
	t.Run("1.4_signing_secret_only_at_creation_and_sealed_at_rest", func(t *testing.T) {
		got := b.newHook(0)
		again := b.do("GET", "/webhooks/"+got["id"].(string), nil)
		require.NotContains(t, again.is(200), "signingSecret")
		row := b.row(got["id"])
		require.NotContains(t, string(row.Secret), got["signingSecret"])
		plain, err := b.box.Open(row.Secret, row.ID, delivery.SecretField)
		require.NoError(t, err)
		require.Len(t, plain, 32)
	})
	t.Run("1.4_url_is_required", func(t *testing.T) {
		b.do("POST", "/webhooks", object{"events": []int{0}}).fails(400, "MISSING_REQUIRED_FIELD", "url")
	})
	t.Run(
		"1.4_url_must_be_https",
		func(t *testing.T) { refused(t, object{"url": "http://a.example/", "events": []int{0}}, "url") },
	)
	t.Run("1.4_url_at_most_2048", func(t *testing.T) {
		long := "https://a.example/" + strings.Repeat("x", 2048-len("https://a.example/"))
		b.do("POST", "/webhooks", object{"url": long, "events": []int{0}}).is(201)
		refused(t, object{"url": long + "x", "events": []int{0}}, "url")
	})
	t.Run("1.4_name_at_most_255", func(t *testing.T) {
		b.do("POST", "/webhooks", object{"url": hookURL, "events": []int{0}, "name": strings.Repeat("ž", 255)}).is(201)
		refused(t, object{"url": hookURL, "events": []int{0}, "name": strings.Repeat("ž", 256)}, "name")
	})
	t.Run("1.4_events_are_required", func(t *testing.T) {
		b.do("POST", "/webhooks", object{"url": hookURL}).fails(400, "MISSING_REQUIRED_FIELD", "events")
		refused(t, object{"url": hookURL, "events": []int{}}, "events")
	})
	t.Run("1.8_events_by_id_label_and_name_collapse_to_labels", func(t *testing.T) {
		got := b.newHook(0, 1, 2, 3, 4, 5, "ping", "INTERVIEW_STARTED", "SOURCING_COMPLETED", "enrich.failed", 0)
		require.Equal(t, []any{
			"analysis.completed", "analysis.failed", "ping", "interview.completed", "interview.failed", "interview.started",
			"sourcing.completed", "enrich.failed",
		}, got["events"])
	})
	t.Run("1.12_url_must_be_a_valid_url", func(t *testing.T) {
		e := refused(t, object{"url": "not a url", "events": []int{0}}, "url").Error
		require.Equal(t, "url must be a valid URL", e.Message)
		require.Equal(t, object{"field": "url"}, e.Details)
	})
	t.Run("1.12_invalid_event_type", func(t *testing.T) {
		e := refused(t, object{"url": hookURL, "events": []any{99, 0}}, "events").Error
		require.Equal(t, "Invalid event type", e.Message)
		require.Equal(
			t,
			object{"field": "events", "provided": []any{99.0}, "allowed": []any{0.0, 1.0, 2.0, 3.0, 4.0, 5.0}},
			e.Details,
		)
		e = refused(t, object{"url": hookURL, "events": []any{"interview.strated"}}, "events").Error
		require.Contains(t, e.Details["allowed"], "interview.started", "names for a name")
		require.Contains(t, e.Details["allowed"], "sourcing.completed")
		for _, bad := range []any{-1, 6, 1.5, "", "3", "nope", nil, true, object{}, []int{1}, 1e20} {
			e := refused(t, object{"url": hookURL, "events": []any{bad}}, "events").Error
			require.Equal(t, "Invalid event type", e.Message, "%v", bad)
		}
		refused(t, object{"url": hookURL, "events": "ping"}, "events")
	})
	t.Run("standard_profile_has_its_own_names_and_schedule", func(t *testing.T) {
		got := b.do("POST", "/webhooks", object{"url": hookURL, "events": []string{"job.created"}, "profile": "standard"}).
			is(201)
		require.EqualValues(t, 9, got["maxRetries"])
		require.EqualValues(t, 15000, got["timeoutMs"])
		refused(t, object{"url": hookURL, "events": []int{0}, "profile": "standard"}, "events")
		e := refused(t, object{"url": hookURL, "events": []int{0}, "profile": "x"}, "profile").Error
		require.Subset(t, e.Details["allowed"], []any{"instaview", "standard"})
	})
	t.Run("1.2_retries_and_timeout_are_set_by_the_system", func(t *testing.T) {
		for _, f := range []string{"maxRetries", "timeoutMs"} {
			e := refused(t, object{"url": hookURL, "events": []int{0}, f: 5}, f)
			require.Contains(t, e.Error.Message, "is set by the system")
		}
	})
	t.Run("1.4_companyId", func(t *testing.T) {
		body := func(id any) object { return object{"url": hookURL, "events": []int{0}, "companyId": id} }
		b.do("POST", "/webhooks", body(b.other)).fails(403, "RESOURCE_ACCESS_DENIED")
		refused(t, body("x"), "companyId")
		require.Equal(t, b.other.String(), b.as(b.platformKey, "POST", "/webhooks", body(b.other)).is(201)["companyId"])
		b.as(b.platformKey, "POST", "/webhooks", body(uuid.New())).fails(404, "RESOURCE_NOT_FOUND")
		got := b.as(b.platformKey, "POST", "/webhooks?companyId="+b.other.String(), object{"url": hookURL, "events": []int{0}}).
			is(201)
		require.Equal(t, b.other.String(), got["companyId"])
	})
	t.Run("circuit_recovery_and_rate_limit", func(t *testing.T) {
		got := b.do("POST", "/webhooks", object{"url": hookURL, "events": []int{0}, "circuitRecovery": "probe", "rateLimit": 5}).
			is(201)
		require.Equal(t, "probe", got["circuitRecovery"])
		require.EqualValues(t, 5, got["rateLimit"])
		refused(t, object{"url": hookURL, "events": []int{0}, "circuitRecovery": "never"}, "circuitRecovery")
		refused(t, object{"url": hookURL, "events": []int{0}, "rateLimit": -1}, "rateLimit")
	})
}

func TestWebhookHeaders(t *testing.T) {
	t.Parallel()
	b := setup(t)
	create := func(headers ...object) response {
		return b.do("POST", "/webhooks", object{"url": hookURL, "events": []int{0}, "headers": headers})
	}
	t.Run("1.6_masked_names_ignore_case_and_values_never_come_back", func(t *testing.T) {
		r := create(
			object{"name": "authorization", "value": "v-1"},
			object{"name": "X-API-KEY", "value": "v-2"},
			object{
				"name":  "X-Secret",
				"value": "v-3",
			},
			object{"name": "api-key", "value": "v-4"},
			object{"name": "X-Source", "value": "v-5"},
		)
		got := r.is(201)
		require.NotContains(t, string(r.Body), "v-")
		row := b.row(got["id"])
		for i, h := range row.Headers {
			require.Empty(t, h.Value, "no plain value at rest")
			plain, err := b.box.Open(h.Sealed, row.ID, delivery.HeaderField(h.Name))
			require.NoError(t, err)
			require.Equal(t, "v-"+string(rune('1'+i)), string(plain))
		}
		for _, path := range []string{"/webhooks", "/webhooks/" + got["id"].(string)} {
			require.NotContains(t, string(b.do("GET", path, nil).Body), "v-")
		}
	})
	t.Run("1.6_at_most_50", func(t *testing.T) {
		hs := make([]object, 51)
		for i := range hs {
			hs[i] = object{"name": "X-" + strings.Repeat("a", i+1), "value": "v"}
		}
		create(hs[:50]...).is(201)
		create(hs...).fails(400, "VALIDATION_ERROR", "headers")
	})
	t.Run("1.6_name_1_to_255", func(t *testing.T) {
		create(object{"name": strings.Repeat("x", 255), "value": "v"}).is(201)
		create(object{"name": strings.Repeat("x", 256), "value": "v"}).fails(400, "VALIDATION_ERROR", "headers[0].name")
		create(object{"name": "", "value": "v"}).fails(400, "VALIDATION_ERROR", "headers[0].name")
		create(object{"value": "v"}).fails(400, "MISSING_REQUIRED_FIELD", "headers[0].name")
	})
	t.Run("1.6_value_1_to_4096", func(t *testing.T) {
		create(object{"name": "X-A", "value": strings.Repeat("x", 4096)}).is(201)
		create(object{"name": "X-A", "value": strings.Repeat("x", 4097)}).fails(400, "VALIDATION_ERROR", "headers[0].value")
		create(object{"name": "X-A", "value": ""}).fails(400, "VALIDATION_ERROR", "headers[0].value")
		create(object{"name": "X-A"}).fails(400, "MISSING_REQUIRED_FIELD", "headers[0].value")
	})
	t.Run("names_and_values_that_http_cannot_carry", func(t *testing.T) {
		for _, name := range []string{"X Y", "X:Y", "Ž", "X\r\nY", "X(Y)"} {
			create(object{"name": name, "value": "v"}).fails(400, "VALIDATION_ERROR", "headers[0].name")
		}
		for _, value := range []string{"a\r\nX-B: c", "a\nb", "a\x01b"} {
			create(object{"name": "X-A", "value": value}).fails(400, "VALIDATION_ERROR", "headers[0].value")
		}
		for _, name := range []string{"webhook-id", "Content-Type", "HOST", "x-webhook-signature", "User-Agent", "Transfer-Encoding"} {
			create(object{"name": name, "value": "v"}).fails(400, "VALIDATION_ERROR", "headers[0].name")
		}
		create(
			object{"name": "X-A", "value": "1"},
			object{"name": "x-a", "value": "2"},
		).fails(400, "VALIDATION_ERROR", "headers[1].name")
	})
}

func TestWebhookReadAndList(t *testing.T) {
	t.Parallel()
	b := setup(t)
	own := b.do("POST", "/webhooks", object{"url": hookURL, "events": []int{0}, "companyId": b.company}).is(201)["id"]
	global := b.newHook(0)["id"]
	foreign := b.as(b.otherKey, "POST", "/webhooks", object{"url": hookURL, "events": []int{0}}).is(201)["id"].(string)
	list := func(key, query string) (ids []any) {
		var l struct {
			Data  []object `json:"data"`
			Total int      `json:"total"`
		}
		b.as(key, "GET", "/webhooks"+query, nil).into(200, &l)
		require.Len(t, l.Data, l.Total)
		for _, w := range l.Data {
			ids = append(ids, w["id"])
		}
		return ids
	}
	t.Run(
		"1.5_without_companyId_own_and_global",
		func(t *testing.T) { require.Equal(t, []any{own, global}, list(b.key, "")) },
	)
	t.Run("1.5_with_companyId_exactly_that_company", func(t *testing.T) {
		require.Equal(t, []any{own}, list(b.key, "?companyId="+b.company.String()))
		require.Empty(t, list(b.key, "?companyId="+b.other.String()), "another company's are not seen")
		require.Equal(t, []any{own}, list(b.platformKey, "?companyId="+b.company.String()))
		require.Len(t, list(b.platformKey, ""), 3)
		b.do("GET", "/webhooks?companyId=nope", nil).fails(400, "VALIDATION_ERROR", "companyId")
	})
	t.Run("1.12_unknown_id_is_echoed_even_if_malformed", func(t *testing.T) {
		for _, call := range []string{"GET ", "PATCH ", "DELETE ", "POST /test", "POST /reset-circuit"} {
			method, tail, _ := strings.Cut(call, " ")
			for _, id := range []string{"invalid-uuid", uuid.NewString()} {
				e := b.do(method, "/webhooks/"+id+tail, object{}).fails(404, "RESOURCE_NOT_FOUND").Error
				require.Equal(t, "Webhook configuration not found", e.Message)
				require.Equal(t, object{"resourceType": "WebhookConfig", "resourceId": id}, e.Details)
			}
		}
	})
	t.Run("1.12_access_denied_without_details", func(t *testing.T) {
		for _, call := range []string{"GET ", "PATCH ", "DELETE ", "POST /test", "POST /reset-circuit"} {
			method, tail, _ := strings.Cut(call, " ")
			r := b.do(method, "/webhooks/"+foreign+tail, object{}).fails(403, "RESOURCE_ACCESS_DENIED")
			require.Equal(t, "Access denied to this webhook configuration", r.Error.Message)
			require.NotContains(t, string(r.Body), "details")
		}
	})
	t.Run("1.3_scopes", func(t *testing.T) {
		read, _ := b.newKey(&b.company, "read:webhooks")
		write, _ := b.newKey(&b.company, "write:webhooks")
		id := own.(string)
		for _, call := range []string{"GET /webhooks", "GET /webhooks/" + id} {
			method, path, _ := strings.Cut(call, " ")
			e := b.as(write, method, path, nil).fails(403, "INSUFFICIENT_PERMISSIONS").Error
			require.Equal(t, "This API key does not have the required scope: read:webhooks", e.Message)
			require.Equal(t, object{"requiredScope": "read:webhooks"}, e.Details)
			require.Equal(t, 200, b.as(read, method, path, nil).Status)
		}
		for _, call := range []string{
			"POST /webhooks", "PATCH /webhooks/" + id, "DELETE /webhooks/" + id, "POST /webhooks/" + id + "/test",
			"POST /webhooks/" + id + "/reset-circuit",
		} {
			method, path, _ := strings.Cut(call, " ")
			b.as(read, method, path, object{}).fails(403, "INSUFFICIENT_PERMISSIONS")
		}
		require.Equal(t, 204, b.as(write, "DELETE", "/webhooks/"+id, nil).Status, "there is no delete scope")
	})
}

func TestWebhookUpdate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.do("POST", "/webhooks", object{
		"url": hookURL, "events": []int{0}, "name": "N", "description": "D", "headers": []object{{"name": "X-A", "value": "1"}},
	}).is(201)["id"].(string)
	patch := func(body any) response { return b.do("PATCH", "/webhooks/"+id, body) }
	t.Run("1.7_only_what_is_sent_changes", func(t *testing.T) {
		before := b.do("GET", "/webhooks/"+id, nil).is(200)
		got := patch(object{"url": hookURL + "/x"}).is(200)
		require.NotEqual(t, before["updatedAt"], got["updatedAt"])
		before["url"], before["updatedAt"] = hookURL+"/x", got["updatedAt"]
		require.Equal(t, before, got)
		require.Equal(t, got, b.do("GET", "/webhooks/"+id, nil).is(200))
		value, err := b.box.Open(b.row(id).Headers[0].Sealed, uuid.MustParse(id), delivery.HeaderField("X-A"))
		require.NoError(t, err)
		require.Equal(t, "1", string(value))
	})
	t.Run("1.7_events_url_isActive_headers", func(t *testing.T) {
		require.Len(t, patch(object{"events": []int{0, 1, 2, 3, 4, 5}}).is(200)["events"], 6)
		require.Equal(t, false, patch(object{"isActive": false}).is(200)["isActive"])
		require.Equal(t, true, patch(object{"isActive": true}).is(200)["isActive"])
		require.Empty(t, patch(object{"name": nil}).is(200)["name"])
	})
	t.Run("1.6_headers_are_replaced_whole", func(t *testing.T) {
		got := patch(object{"headers": []object{{"name": "API-Key", "value": "k"}}}).is(200)
		require.Equal(t, []any{object{"name": "API-Key", "isMasked": true}}, got["headers"])
		require.Equal(t, []any{}, patch(object{"headers": []object{}}).is(200)["headers"])
	})
	t.Run("1.4_rules_hold_for_updates", func(t *testing.T) {
		for field, value := range map[string]any{
			"url": "ftp://x", "events": []int{}, "name": strings.Repeat("x", 256), "isActive": "yes", "headers": nil,
			"companyId": b.company, "profile": "standard", "maxRetries": 1, "timeoutMs": nil, "consecutiveFailures": 0,
		} {
			patch(object{field: value}).fails(400, "VALIDATION_ERROR", field)
		}
	})
	t.Run("an_empty_patch_is_fine", func(t *testing.T) { patch(object{}).is(200) })
}

func TestWebhookDeleteAndReset(t *testing.T) {
	t.Parallel()
	b := setup(t)
	t.Run("1.11_delete_is_204_and_cancels_what_is_pending", func(t *testing.T) {
		id := b.newHook(0)["id"].(string)
		b.do("POST", "/events", object{"type": "analysis.completed", "data": object{}}).is(202)
		r := b.do("DELETE", "/webhooks/"+id, nil)
		require.Equal(t, 204, r.Status)
		require.Empty(t, r.Body)
		ds := b.do("GET", "/deliveries?webhookId="+id, nil).items()
		require.Len(t, ds, 1)
		require.Equal(t, "canceled", ds[0]["status"])
		b.do("GET", "/webhooks/"+id, nil).fails(404, "RESOURCE_NOT_FOUND")
		b.do("DELETE", "/webhooks/"+id, nil).fails(404, "RESOURCE_NOT_FOUND")
	})
	t.Run("1.9_reset_closes_and_enables", func(t *testing.T) {
		id := b.newHook(0)["id"].(string)
		opened := time.Now().Add(-time.Minute).UTC()
		_, err := b.ExecContext(
			b.ctx,
			`UPDATE webhooks SET consecutive_failures = 10, circuit_opened_at = ?, is_active = false,
			updated_at = ? WHERE id = ?`,
			opened,
			opened,
			id,
		)
		require.NoError(t, err)
		before := b.do("GET", "/webhooks/"+id, nil).is(200)
		require.Equal(t, opened.Format("2006-01-02T15:04:05.000Z"), before["circuitOpenedAt"])
		got := b.do("POST", "/webhooks/"+id+"/reset-circuit", nil).is(200)
		require.EqualValues(t, 0, got["consecutiveFailures"])
		require.Nil(t, got["circuitOpenedAt"])
		require.Equal(t, true, got["isActive"])
		require.Greater(t, got["updatedAt"], before["updatedAt"])
		var told bool
		require.NoError(
			t,
			b.NewRaw("SELECT EXISTS (SELECT 1 FROM commands WHERE kind = 'circuit.changed' AND subject_id = ?)", id).
				Scan(b.ctx, &told),
		)
		require.True(t, told)
	})
}

func TestWebhookFilter(t *testing.T) {
	t.Parallel()
	b := setup(t)
	filter := object{"data": object{"rating": object{"$gte": 80.0}}}
	hook := b.made("/webhooks", object{"url": hookURL, "events": []int{0}, "filter": filter})
	require.Equal(t, filter, hook["filter"])
	path := "/webhooks/" + idOf(hook)
	require.Equal(t, filter, b.get(path)["filter"])
	publish := func(rating int) any {
		return b.do("POST", "/events", object{"type": "analysis.completed", "data": object{"rating": rating}}).is(202)["deliveries"]
	}
	require.EqualValues(t, 1, publish(80))
	require.EqualValues(t, 0, publish(79))
	b.do("PATCH", path, object{"filter": object{"data": object{"rating": 79}}}).is(200)
	require.EqualValues(t, 1, publish(79))
	b.do("PATCH", path, object{"name": "x"}).is(200)
	require.EqualValues(t, 0, publish(80))
	b.do("PATCH", path, object{"filter": object{"data": object{"rating": object{"$gt": nil}}}}).
		fails(400, "VALIDATION_ERROR", "filter")
	require.Nil(t, b.do("PATCH", path, object{"filter": nil}).is(200)["filter"])
	require.EqualValues(t, 1, publish(1))
	b.refuses("POST", "/webhooks", map[string]any{
		"another_member": object{"url": hookURL, "events": []int{0}, "filter": object{"body": 1}},
		"not_an_object":  object{"url": hookURL, "events": []int{0}, "filter": []int{}},
		"empty":          object{"url": hookURL, "events": []int{0}, "filter": object{}},
	})
}

// All faults of a body are named at once; the first one is the error, as if it were alone.
func TestBodies_have_all_faults_named(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bad := object{
		"url": "ftp://a.example", "events": []any{"interview.strated"}, "signatureAlgorithms": []string{"v2"},
		"maxRetries": 3, "timeoutMs": nil,
	}
	require.Equal(t, []any{"maxRetries", "timeoutMs", "signatureAlgorithms", "events", "url"}, b.fieldsOf(
		b.do("POST", "/webhooks", bad).fails(400, "VALIDATION_ERROR", "maxRetries").Error.Details["errors"]))
	require.Equal(t, []any{"nme", "events", "rateLimit"}, b.fieldsOf(b.do("POST", "/webhooks", object{
		"url": hookURL, "nme": "x", "rateLimit": -1,
	}).fails(400, "VALIDATION_ERROR", "nme").Error.Details["errors"]))
	hook := idOf(b.newHook(0))
	require.Equal(t, []any{"events", "url"}, b.fieldsOf(b.do("PATCH", "/webhooks/"+hook, object{
		"url": "https://10.0.0.1/", "events": []any{"no"},
	}).fails(400, "VALIDATION_ERROR", "events").Error.Details["errors"]))
	require.Equal(t, []any{"scopes", "allowedIPs", "expiresAt"}, b.fieldsOf(b.do("POST", "/api-keys", object{
		"name": "x", "scopes": []string{"all"}, "allowedIPs": []string{"?"}, "expiresAt": "2001-01-01T00:00:00Z",
	}).fails(400, "VALIDATION_ERROR", "scopes").Error.Details["errors"]))
	one := b.do("POST", "/interviews", object{"job": object{"title": "Engineer", "jobTitle": "Engineer"}, "candidate": object{
		"firstName": "A", "lastName": "B", "email": "a@b.example", "gdprExpiryDate": "2100-01-01",
	}, "agentId": uuid.New()}).
			fails(400, "VALIDATION_ERROR", "job.title").
			Error
	require.Equal(t, "job.title is not a known field; did you mean job.jobTitle?", one.Message)
	require.NotContains(t, one.Details, "errors", "there is one fault")
}

func (b *bundle) fieldsOf(faults any) (fields []any) {
	b.t.Helper()
	list, _ := faults.([]any)
	for _, one := range list {
		fields = append(fields, one.(object)["field"])
	}
	return fields
}
