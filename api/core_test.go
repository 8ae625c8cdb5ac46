package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/api"
	"greenroom/api/surface"
	"greenroom/db"
)

func TestEnvelopeAndRouting(t *testing.T) {
	t.Parallel()
	b := setup(t)
	t.Run("2.1_success_has_error_null_and_failure_data_null", func(t *testing.T) {
		var whole map[string]any
		require.NoError(t, json.Unmarshal(b.do("GET", "/companies", nil).Body, &whole))
		require.Len(t, whole, 4)
		require.Nil(t, whole["error"])
		require.NoError(t, json.Unmarshal(b.do("GET", "/webhooks/x", nil).Body, &whole))
		require.Len(t, whole, 4)
		require.Nil(t, whole["data"])
	})
	t.Run("unknown_path_and_method", func(t *testing.T) {
		b.do("GET", "/nothing", nil).fails(404, "RESOURCE_NOT_FOUND")
		b.do("GET", "/webhooks/", nil).fails(404, "RESOURCE_NOT_FOUND")
		r := b.do("PUT", "/webhooks", object{}).fails(405, "METHOD_NOT_ALLOWED")
		require.Contains(t, r.Header.Get("Allow"), "POST")
	})
	t.Run("a_malformed_query_is_refused_whole", func(t *testing.T) {
		b.do("GET", "/webhooks?companyId=%zz", nil).fails(400, "VALIDATION_ERROR")
	})
	t.Run("3.2_with_and_without_v1", func(t *testing.T) {
		require.Equal(t, 200, b.do("GET", "/v1/webhooks", nil).Status)
		require.Equal(t, 200, b.do("GET", "/v1/company", nil).Status)
		require.Equal(t, 404, b.do("GET", "/v1/healthz", nil).Status)
	})
	t.Run("request_id_is_kept_or_made", func(t *testing.T) {
		require.Equal(t, "abc-1", b.do("GET", "/webhooks", nil, "X-Request-Id", "abc-1").Header.Get("X-Request-Id"))
		require.Len(t, b.do("GET", "/webhooks", nil, "X-Request-Id", "a b\x7f").Header.Get("X-Request-Id"), 36)
	})
}

func TestAuthentication(t *testing.T) {
	t.Parallel()
	b := setup(t)
	change := func(row *db.APIKey, set string, args ...any) {
		_, err := b.ExecContext(b.ctx, "UPDATE api_keys SET "+set+" WHERE id = ?", append(args, row.ID)...)
		require.NoError(t, err)
	}
	t.Run("2.7_key_is_sk_and_43_base62_digits_and_only_its_hash_is_stored", func(t *testing.T) {
		plain, row := b.newKey(&b.company)
		require.Regexp(t, `^sk_[0-9A-Za-z]{43}$`, plain)
		require.Equal(t, plain[:9], row.Prefix)
		stored, err := db.GetAPIKey(b.ctx, b, row.ID)
		require.NoError(t, err)
		require.NotContains(t, string(stored.Hash), plain)
	})
	t.Run("2.3_missing_unknown_revoked_and_expired_keys", func(t *testing.T) {
		b.as("", "GET", "/webhooks", nil).fails(401, "INVALID_API_KEY")
		for _, header := range []string{"", "Bearer", "Bearer ", "Basic x", b.key, "Bearer  "} {
			r := b.as("", "GET", "/webhooks", nil, "Authorization", header).fails(401, "INVALID_API_KEY")
			require.NotEmpty(t, r.Header.Get("WWW-Authenticate"))
		}
		gone, row := b.newKey(&b.company)
		change(row, "revoked_at = now()")
		old, row := b.newKey(&b.company)
		change(row, "expires_at = now() - interval '1 s'")
		for _, key := range []string{"sk_unknown", gone, old, strings.Repeat("x", 5000)} {
			r := b.as(key, "GET", "/webhooks", nil).fails(401, "INVALID_API_KEY")
			require.Equal(t, "The provided API key is invalid or has been revoked", r.Error.Message)
			require.Empty(t, r.Header.Get("X-RateLimit-Limit-Minute"))
		}
	})
	t.Run("2.3_suspended_key", func(t *testing.T) {
		key, row := b.newKey(&b.company)
		change(row, "suspended_at = now(), suspended_reason = 'audit'")
		e := b.as(key, "GET", "/webhooks", nil).fails(401, "API_KEY_SUSPENDED").Error
		require.Equal(t, "This API key has been suspended", e.Message)
		require.Equal(t, "audit", e.Details["reason"])
		require.Regexp(t, `Z$`, e.Details["suspendedAt"])
	})
	t.Run("2.7_allowed_addresses_and_ranges", func(t *testing.T) {
		key, row := b.newKey(&b.company)
		change(row, "allowed_ips = '{192.0.2.0/24}'") // the address of httptest's requests is 192.0.2.1
		require.Equal(t, 200, b.as(key, "GET", "/webhooks", nil).Status)
		change(row, "allowed_ips = '{192.0.2.1}'")
		require.Equal(t, 200, b.as(key, "GET", "/webhooks", nil).Status)
		change(row, "allowed_ips = '{10.0.0.0/8,::1}'")
		b.as(key, "GET", "/webhooks", nil).fails(403, "IP_NOT_ALLOWED")
		b.as(key, "GET", "/webhooks", nil, "X-Forwarded-For", "10.0.0.1").fails(403, "IP_NOT_ALLOWED")
	})
	t.Run("the_scheme_ignores_case", func(t *testing.T) {
		require.Equal(t, 200, b.as("", "GET", "/webhooks", nil, "Authorization", "bearer "+b.key).Status)
	})
}

func TestRateLimit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key, row := b.newKey(&b.company, "read:webhooks")
	_, err := b.ExecContext(b.ctx, "UPDATE api_keys SET rate_per_minute = 3, rate_per_hour = 5 WHERE id = ?", row.ID)
	require.NoError(t, err)
	t.Run("2.9_six_headers_on_every_authenticated_answer", func(t *testing.T) {
		b.as(key, "GET", "/webhooks", nil).is(200)
		r := b.as(key, "GET", "/companies", nil).fails(403, "INSUFFICIENT_PERMISSIONS")
		require.Equal(t, "3", r.Header.Get("X-RateLimit-Limit-Minute"))
		require.Equal(t, "5", r.Header.Get("X-RateLimit-Limit-Hour"))
		require.Equal(t, "1", r.Header.Get("X-RateLimit-Remaining-Minute"))
		require.Equal(t, "3", r.Header.Get("X-RateLimit-Remaining-Hour"))
		for _, w := range []string{"Minute", "Hour"} {
			require.Regexp(t, `^\d{10}$`, r.Header.Get("X-RateLimit-Reset-"+w), "Unix seconds")
		}
	})
	t.Run("2.9_excess_is_429_outside_the_envelope", func(t *testing.T) {
		b.as(key, "GET", "/webhooks", nil).is(200)
		r := b.as(key, "GET", "/webhooks", nil)
		require.Equal(t, 429, r.Status)
		var body map[string]any
		require.NoError(t, json.Unmarshal(r.Body, &body))
		require.Equal(t, "Rate limit exceeded", body["message"])
		require.Equal(t, "Too Many Requests", body["error"])
		require.EqualValues(t, 429, body["statusCode"])
		require.EqualValues(t, 3, body["limit"])
		require.EqualValues(t, 0, body["remaining"])
		require.Positive(t, body["retryAfter"])
		require.Greater(t, body["reset"], float64(time.Now().Unix()))
		require.Len(t, body, 7)
		require.Regexp(t, `^[1-9]\d?$`, r.Header.Get("Retry-After"))
		require.Equal(t, 200, b.do("GET", "/webhooks", nil).Status, "another key is not concerned")
	})
}

func TestHealth(t *testing.T) {
	t.Parallel()
	var broken error
	b := setup(t, func(o *api.Options) { o.Ready = func(context.Context) error { return broken } })
	require.Equal(t, "up", b.as("", "GET", "/healthz", nil).is(200)["status"])
	require.Equal(t, "ready", b.as("", "GET", "/readyz", nil).is(200)["status"])
	metrics := b.as("", "GET", "/metrics", nil)
	require.Equal(t, 200, metrics.Status)
	require.Contains(
		t,
		string(metrics.Body),
		`greenroom_http_request_duration_seconds_count{method="GET",route="/healthz",status="200"} 1`,
	)
	broken = errors.New("no worker")
	b.as("", "GET", "/readyz", nil).fails(503, "SERVICE_UNAVAILABLE")
	broken = nil
	_, err := b.ExecContext(b.ctx, "DELETE FROM bun_migrations")
	require.NoError(t, err)
	b.as("", "GET", "/readyz", nil).fails(503, "SERVICE_UNAVAILABLE")
	require.NoError(t, b.Close())
	b.as("", "GET", "/readyz", nil).fails(503, "SERVICE_UNAVAILABLE")
	require.Equal(t, 200, b.as("", "GET", "/healthz", nil).Status)
	r := b.do("GET", "/webhooks", nil).fails(500, "INTERNAL_ERROR")
	require.Equal(t, r.Header.Get("X-Request-Id"), r.Error.Details["requestId"])
	require.NotContains(t, string(r.Body), "sql")
}

func TestBind(t *testing.T) {
	t.Parallel()
	b := setup(t)
	post := func(body any, headers ...string) response { return b.do("POST", "/webhooks", body, headers...) }
	valid := `{"url":"https://a.example/","events":[0]}`
	t.Run("content_type", func(t *testing.T) {
		post(valid, "Content-Type", "text/plain").fails(415, "UNSUPPORTED_MEDIA_TYPE")
		post(valid, "Content-Type", "application/x-www-form-urlencoded").fails(415, "UNSUPPORTED_MEDIA_TYPE")
		post(valid, "Content-Type", "application/json; charset=utf-8").is(201)
		post(valid, "Content-Type", "").is(201)
	})
	t.Run("at_most_1_mib", func(t *testing.T) {
		pad := strings.Repeat(" ", 1<<20-len(valid))
		post(valid + pad).is(201)
		post(valid+pad+" ").fails(413, "PAYLOAD_TOO_LARGE")
	})
	t.Run("not_one_json_object", func(t *testing.T) {
		for _, body := range []string{
			"", " ", "{", "[]", "null", "1", `"x"`, valid + "x", valid + valid, "{'url':1}", `{"url"}`, `{"url":"\x"}`, "\xff",
			`{"name":"` + "\xff" + `"}`, `{"name":"\u0000"}`, `{"name":"a\\\u0000"}`, `{"name":"\ud800"}`, `{"name":"\udc00\ud800"}`,
			`{"name":"\ud800\u0041"}`, `{"rateLimit":1e999}`, strings.Repeat("[", 100_000),
			`{"x":` + strings.Repeat(`[`, 70) + strings.Repeat("]", 70) + "}",
			strings.Repeat(`{"a":`, 200_000/5) + "1" + strings.Repeat("}", 200_000/5), "\xef\xbb\xbf" + valid,
		} {
			post(body).fails(400, "VALIDATION_ERROR")
		}
		post(`{"name":"\ud83d\ude00 \\u0000","url":"https://a.example/","events":[0]}`).is(201)
	})
	t.Run("unknown_repeated_and_wrongly_cased_fields_are_named", func(t *testing.T) {
		post(`{"url":"https://a.example/","events":[0],"nmae":"x"}`).fails(400, "VALIDATION_ERROR", "nmae")
		post(`{"URL":"https://a.example/","events":[0]}`).fails(400, "VALIDATION_ERROR", "URL")
		post(`{"url":"https://a.example/","url":"x","events":[0]}`).fails(400, "VALIDATION_ERROR", "url")
		post(`{"url":"https://a.example/","events":[0],"headers":[{"name":"A","value":"b","x":1}]}`).
			fails(400, "VALIDATION_ERROR", "headers[0].x")
	})
	t.Run("wrong_types_are_named", func(t *testing.T) {
		for body, want := range map[string][2]string{
			`{"url":1}`:    {"url", "url must be a string"},
			`{"url":{}}`:   {"url", "url must be a string"},
			`{"url":[""]}`: {"url", "url must be a string"},
			`{"url":"https://a.example/","events":{}}`:                                     {"events", "events must be an array of event types"},
			`{"url":"https://a.example/","events":[0],"isActive":"true"}`:                  {"isActive", "isActive must be true or false"},
			`{"url":"https://a.example/","events":[0],"rateLimit":1.5}`:                    {"rateLimit", "rateLimit must be an integer"},
			`{"url":"https://a.example/","events":[0],"rateLimit":1e30}`:                   {"rateLimit", "rateLimit must be an integer"},
			`{"url":"https://a.example/","events":[0],"rateLimit":"1"}`:                    {"rateLimit", "rateLimit must be an integer"},
			`{"url":"https://a.example/","events":[0],"companyId":"x"}`:                    {"companyId", "companyId must be a UUID"},
			`{"url":"https://a.example/","events":[0],"companyId":1}`:                      {"companyId", "companyId must be a UUID"},
			`{"url":"https://a.example/","events":[0],"headers":{}}`:                       {"headers", "headers must be an array"},
			`{"url":"https://a.example/","events":[0],"headers":[1]}`:                      {"headers[0]", "headers[0] must be an object"},
			`{"url":"https://a.example/","events":[0],"headers":[null]}`:                   {"headers[0]", "headers[0] must not be null"},
			`{"url":"https://a.example/","events":[0],"headers":[{"name":1,"value":"x"}]}`: {"headers[0].name", "headers[0].name must be a string"},
		} {
			r := post(body).fails(400, "VALIDATION_ERROR", want[0])
			require.Equal(t, want[1], r.Error.Message)
		}
	})
	t.Run("null_is_absent_but_for_required_fields", func(t *testing.T) {
		post(`{"url":"https://a.example/","events":[0],"name":null,"headers":null,"companyId":null}`).is(201)
		post(`{"url":null,"events":[0]}`).fails(400, "MISSING_REQUIRED_FIELD", "url")
	})
}

// TestNeverA500 throws what no client should send at every route.
func TestNeverA500(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hook := b.newHook(0)["id"].(string)
	nul, wide := "%00", strings.Repeat("9", 400)
	ids := []string{
		"x",
		"%20",
		nul,
		"%ff",
		"..%2f",
		"00000000-0000-0000-0000-000000000000",
		"ffffffff-ffff-ffff-ffff-ffffffffffff",
		wide,
		hook,
	}
	bodies := []any{
		nil,
		"",
		"{",
		"null",
		"[]",
		"{}",
		`{"a":1}`,
		"\xff\xfe",
		`{"name":"\u0000"}`,
		`{"type":"interview.started","data":{"a":"\ud800"}}`,
		`{"type":"interview.started","data":{"n":1e400}}`,
		`{"since":"0000-01-01T00:00:00Z"}`,
		`{"since":"9999-12-31T23:59:59-23:00"}`,
		`{"scopes":["*"],"name":"` + strings.Repeat("x", 300) + `"}`,
		`{"events":[null]}`,
		`{"metadata":{"a":"\ud800"}}`,
		`{"data":` + strings.Repeat(`{"a":`, 500) + "1" + strings.Repeat("}", 500) + "}",
	}
	queries := []string{
		"",
		"?companyId=" + nul,
		"?companyId=x&page=x&limit=x",
		"?page=" + wide,
		"?limit=-1",
		"?cursor=%00",
		"?cursor=AAAA",
		"?cursor=AAAAAAAAAAAAAAAAAAAAAA",
		"?since=x",
		"?since=0000-01-01T00:00:00Z",
		"?until=9999-12-31T23:59:59Z",
		"?status=%00",
		"?eventType=%ff",
		"?webhookId=%00",
		"?status=&eventType=",
		"?companyId=ffffffff-ffff-ffff-ffff-ffffffffffff",
		"?%zz",
		"?a=;b",
	}
	paths := []string{
		"/companies",
		"/companies/:id",
		"/webhooks",
		"/webhooks/:id",
		"/webhooks/:id/reset-circuit",
		"/webhooks/:id/replays",
		"/webhooks/:id/replays/:id",
		"/replays/:id",
		"/webhooks/:id/replays/:id/pause",
		"/webhooks/" + hook + "/replays",
		"/webhooks/" + hook + "/replays/:id",
		"/events",
		"/events/:id",
		"/event-types",
		"/deliveries",
		"/deliveries/:id",
		"/deliveries/:id/retry",
		"/api-keys",
		"/api-keys/:id",
	}
	for _, path := range paths {
		for _, key := range []string{b.key, b.platformKey} {
			for _, id := range ids {
				target := strings.ReplaceAll(path, ":id", id)
				for _, method := range []string{"GET", "POST", "PATCH"} {
					for _, body := range bodies {
						r := b.as(key, method, target, body)
						require.Less(t, r.Status, 500, "%s %s %v: %s", method, target, body, r.Body)
					}
				}
				if target == path {
					break
				}
			}
			for _, q := range queries {
				r := b.as(key, "GET", strings.ReplaceAll(path, ":id", hook)+q, nil)
				require.Less(t, r.Status, 500, "GET %s%s: %s", path, q, r.Body)
			}
		}
	}
}

func TestPanicIsA500(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *api.Options) { o.CheckURL = func(string) error { panic("boom") } })
	r := b.do("POST", "/webhooks", object{"url": hookURL, "events": []int{0}}).fails(500, "INTERNAL_ERROR")
	require.NotContains(t, string(r.Body), "boom")
	require.Equal(t, 200, b.do("GET", "/webhooks", nil).Status)
}

func TestNewRefusesIncompleteOptions(t *testing.T) {
	t.Parallel()
	_, err := api.New(api.Options{Options: surface.Options{DB: &bun.DB{}}})
	require.Error(t, err)
}
