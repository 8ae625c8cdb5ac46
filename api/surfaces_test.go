package api_test

import (
	"encoding/base64"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/api/apitest"
	"greenroom/api/docs"
	"greenroom/api/openapi"
	"greenroom/api/surface"
)

// TestKeyPlaces: a key is taken from wherever one of the products' clients sends it, on every surface.
func TestKeyPlaces(t *testing.T) {
	t.Parallel()
	b := setup(t)
	call := func(headers ...string) response { return b.as("", "GET", "/webhooks", nil, headers...) }
	for _, header := range []string{
		"Authorization: Bearer ", "Authorization: bearer ", "Authorization: Token ", "authorization: TOKEN   ", "x-api-key: ", "X-API-KEY: ",
		"apiKey: ", "apikey: ", "APIKEY: ",
	} {
		t.Run(header, func(t *testing.T) {
			name, scheme, _ := strings.Cut(header, ": ")
			call(name, scheme+b.key).is(200)
			call(name, scheme+"sk_unknown").fails(401, "INVALID_API_KEY")
			call(name, scheme).fails(401, "INVALID_API_KEY")
		})
	}
	t.Run("the_same_key_twice_is_fine_and_two_keys_are_refused", func(t *testing.T) {
		call("Authorization", "Token "+b.key, "x-api-key", b.key, "apiKey", b.key).is(200)
		call("Authorization", "Bearer "+b.key, "apiKey", b.otherKey).fails(400, "VALIDATION_ERROR")
		call("x-api-key", b.key, "apiKey", "x").fails(400, "VALIDATION_ERROR")
		req := httptest.NewRequestWithContext(b.ctx, "GET", "/webhooks", strings.NewReader(""))
		req.Header["X-Api-Key"] = []string{b.key, b.otherKey}
		require.Equal(t, 400, b.Send(req).Status)
		for range 2 { // also of a route that remembers keys
			b.as(b.key, "POST", "/events", anEvent, "x-api-key", b.otherKey).fails(400, "VALIDATION_ERROR")
			b.as("", "POST", "/events", anEvent, "apiKey", b.key).is(202)
		}
	})
	t.Run("basic_has_it_as_the_password", func(t *testing.T) { // as Wise's clients
		basic := func(password string) string {
			return "Basic " + base64.StdEncoding.EncodeToString([]byte("62f0c3b7e1a4d95b8c6f7a10:"+password))
		}
		call("Authorization", basic(b.key)).is(200)
		call("Authorization", basic(b.key), "x-api-key", b.key).is(200)
		call("Authorization", basic("sk_unknown")).fails(401, "INVALID_API_KEY")
		call("Authorization", basic(b.otherKey), "x-api-key", b.key).fails(400, "VALIDATION_ERROR")
		call("Authorization", basic("no key"), "x-api-key", b.key).is(200)
		for range 2 { // also of a route that remembers keys
			b.as("", "POST", "/events", anEvent, "Authorization", basic(b.key)).is(202)
		}
	})
	t.Run("another_scheme_is_no_key", func(t *testing.T) {
		call("Authorization", "ActivationKey "+b.key).fails(401, "INVALID_API_KEY")
		call("Authorization", "ActivationKey x", "x-api-key", b.key).is(200)
		call("Authorization", b.key).fails(401, "INVALID_API_KEY")
	})
}

// TestStyles: what is refused before a surface's own handler is asked is refused in the words of the surface whose
// path it is.
func TestStyles(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for path, begin := range map[string]string{
		"/nothing": `{"success":false,`, "/apis/app": `{"success":false,`, "/api/application": `{"success":false,`,
		"/api/app/nothing": `{"error":`, "/api/v3/nothing/": `{"detail":"Not found."}`,
		"/ai-interviews/nothing": `{"error":"`, "/api/v2/ai-interviews/nothing": `{"error":"`, "/api/v2": `{"error":"`,
	} {
		t.Run(path, func(t *testing.T) {
			r := b.Do("GET", path, nil)
			require.Equal(t, 404, r.Status)
			require.True(t, strings.HasPrefix(string(r.Body), begin), "%s", r.Body)
		})
	}
	for _, s := range b.handler.Surfaces() {
		t.Run(s.Name, func(t *testing.T) {
			for _, r := range s.Routes {
				b.asksForAKey(t, &s, r)
			}
			i := slices.IndexFunc(s.Routes, func(r surface.Route) bool { return r.Scope != surface.Public })
			if i >= 0 {
				b.limits(t, s.Routes[i])
			}
		})
	}
}

var pathParameter = regexp.MustCompile(`:\w+`)

// asksForAKey: the bundle holds each answer against the contract, so the status is all that is left to ask.
func (b *bundle) asksForAKey(t *testing.T, s *surface.Surface, r surface.Route) {
	t.Helper()
	if r.Scope == surface.Public {
		return
	}
	path := pathParameter.ReplaceAllString(r.Path, "1")
	for _, key := range []string{"", "sk_unknown"} {
		refused := b.As(key, r.Method, path, nil)
		require.Equal(t, 401, refused.Status, "%s %s", r.Method, path)
		require.Equal(t, s.Style.Challenge, refused.Header.Get("WWW-Authenticate"))
	}
	wrong := b.Do("OPTIONS", path, nil)
	require.Equal(t, 405, wrong.Status, path)
	require.Contains(t, wrong.Header.Get("Allow"), r.Method)
}

func (b *bundle) limits(t *testing.T, r surface.Route) {
	t.Helper()
	key, row := b.newKey(&b.company, "read:nothing")
	_, err := b.ExecContext(b.ctx, "UPDATE api_keys SET rate_per_minute = 1 WHERE id = ?", row.ID)
	require.NoError(t, err)
	path := pathParameter.ReplaceAllString(r.Path, "1")
	b.As(key, r.Method, path, nil)
	over := b.As(key, r.Method, path, nil)
	require.Equal(t, 429, over.Status)
	require.Regexp(t, `^[1-9]\d?$`, over.Header.Get("Retry-After"))
	require.Equal(t, "0", over.Header.Get("X-RateLimit-Remaining-Minute"))
}

func TestDocumentationIsServed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	home := b.as("", "GET", "/", nil)
	require.Equal(t, 302, home.Status)
	index := b.as("", "GET", home.Header.Get("Location"), nil)
	require.Equal(t, 200, index.Status)
	require.Contains(t, string(index.Body), `href="/console"`)
	for _, name := range openapi.Names() {
		require.Contains(t, string(index.Body), `href="/docs/`+name+`"`)
		file := b.as("", "GET", "/openapi/"+name+".yaml", nil)
		require.Equal(t, 200, file.Status)
		require.True(t, strings.HasPrefix(string(file.Body), "openapi: 3.1.0\n"))
		if name != openapi.Webhooks {
			require.Contains(t, string(file.Body), "url: "+apitest.PublicURL)
		}
	}
	for _, path := range docs.New("", "").Paths() {
		page := b.as("", "GET", path, nil)
		require.Equal(t, 200, page.Status, path)
		require.NotEqual(t, "no-store", page.Header.Get("Cache-Control"))
		require.Equal(t, 304, b.as("", "GET", path, nil, "If-None-Match", page.Header.Get("Etag")).Status)
	}
	for _, path := range []string{
		"/docs/nothing", "/docs/guides/nothing", "/openapi/nothing.yaml", "/openapi/greenroom", "/openapi/..%2fgreenroom.yaml", "/v1/docs",
	} {
		b.as("", "GET", path, nil).fails(404, "RESOURCE_NOT_FOUND")
	}
}
