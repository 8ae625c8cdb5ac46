package docs_test

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"greenroom/api/docs"
	"greenroom/api/openapi"
)

const base = "https://greenroom.example.com"

func get(t *testing.T, s *docs.Site, path string, headers ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	found, err := s.Serve(w, r)
	require.NoError(t, err)
	require.True(t, found, path)
	return w.Result()
}

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	raw, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return string(raw)
}

func TestPages(t *testing.T) {
	t.Parallel()
	s := docs.New(base, "")
	for _, path := range s.Paths() {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			plain := get(t, s, path)
			require.Equal(t, http.StatusOK, plain.StatusCode)
			body := text(t, plain)
			require.NotEmpty(t, body)
			require.Empty(t, plain.Header.Get("Content-Encoding"))
			require.Contains(t, plain.Header.Get("Content-Security-Policy"), "default-src 'none'; script-src 'self'")

			compressed := get(t, s, path, "Accept-Encoding", "br, gzip;q=0.8")
			require.Equal(t, "gzip", compressed.Header.Get("Content-Encoding"))
			r, err := gzip.NewReader(compressed.Body)
			require.NoError(t, err)
			unpacked, err := io.ReadAll(r)
			require.NoError(t, err)
			require.Equal(t, body, string(unpacked))

			tag := plain.Header.Get("Etag")
			require.Equal(t, tag, compressed.Header.Get("Etag"))
			for _, encoding := range []string{"", "gzip"} {
				again := get(t, s, path, "If-None-Match", tag, "Accept-Encoding", encoding)
				require.Equal(t, http.StatusNotModified, again.StatusCode)
				require.Empty(t, text(t, again))
			}
			require.Equal(t, http.StatusOK, get(t, s, path, "If-None-Match", `"other"`).StatusCode)
			require.Empty(t, get(t, s, path, "Accept-Encoding", "gzip;q=0").Header.Get("Content-Encoding"))
		})
	}
	found, err := s.Serve(
		httptest.NewRecorder(),
		httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/docs/nothing", nil),
	)
	require.NoError(t, err)
	require.False(t, found)
}

// TestNothingIsLoadedFromElsewhere looks at what the pages name, as the policy forbids the rest.
func TestNothingIsLoadedFromElsewhere(t *testing.T) {
	t.Parallel()
	s := docs.New(base, "")
	for _, path := range s.Paths() {
		page := get(t, s, path)
		if !strings.HasPrefix(page.Header.Get("Content-Type"), "text/html") {
			continue
		}
		body := text(t, page)
		require.NotRegexp(t, `<(script|link|img|iframe)[^>]*(src|href)="(https?:)?//`, body, path)
		require.NotRegexp(t, `<script>`, body, "%s: inline scripts are refused by the policy", path)
		require.NotContains(t, body, "<!-- raw HTML omitted -->", path)
	}
}

func TestContractFiles(t *testing.T) {
	t.Parallel()
	s := docs.New(base, "")
	for _, name := range openapi.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var fromYAML, fromJSON map[string]any
			file := text(t, get(t, s, "/openapi/"+name+".yaml"))
			require.True(t, strings.HasPrefix(file, "openapi: 3.1.0\n"))
			require.NoError(t, yaml.Unmarshal([]byte(file), &fromYAML))
			raw := text(t, get(t, s, "/openapi/"+name+".json"))
			require.NoError(t, json.Unmarshal([]byte(raw), &fromJSON))
			same, err := json.Marshal(fromYAML)
			require.NoError(t, err)
			require.JSONEq(t, string(same), raw)
			require.NotEmpty(t, fromJSON["webhooks"], "each contract has the webhooks of its profiles")
			if name != openapi.Webhooks {
				require.Equal(t, []any{map[string]any{"url": base}}, fromJSON["servers"])
			}
		})
	}
}

func TestReferencePages(t *testing.T) {
	t.Parallel()
	s := docs.New("", "")
	page := text(t, get(t, s, "/docs/greenroom"))
	require.Contains(t, page, `data-url="/openapi/greenroom.json"`)
	plain := page[strings.Index(page, "<noscript>"):strings.Index(page, "</noscript>")]
	for _, part := range []string{
		`<code>POST /webhooks</code>`, `scope <code>read:deliveries</code> or <code>read:webhooks</code>`, `<a href="#schema-webhookinput">`,
		`id="schema-webhookinput"`, "receiver.example.com/hooks", "webhook-signature",
	} {
		require.Contains(t, plain, part)
	}
	require.NotContains(t, text(t, get(t, s, "/docs")), "console")
	require.Contains(t, text(t, get(t, docs.New("", "/console"), "/docs")), `<a href="/console">console</a>`)
	markdown := text(t, get(t, s, "/docs/wise.md"))
	require.Contains(t, markdown, "### SessionsCreatedEvent")
	require.Contains(t, markdown, `"event": "SessionsCreatedEvent"`, "the recorded body")
}

var linked = regexp.MustCompile(`(?:href="|\]\()(/[a-z][^")#]*)`)

// TestLinks follows each link of the pages within this server's documentation.
func TestLinks(t *testing.T) {
	t.Parallel()
	s := docs.New("", "")
	seen := 0
	for _, path := range s.Paths() {
		kind := get(t, s, path).Header.Get("Content-Type")
		if !strings.HasPrefix(kind, "text/html") && !strings.HasPrefix(kind, "text/markdown") {
			continue
		}
		for _, m := range linked.FindAllStringSubmatch(text(t, get(t, s, path)), -1) {
			if strings.HasPrefix(m[1], "/docs") || strings.HasPrefix(m[1], "/openapi") || strings.HasPrefix(m[1], "/llms") {
				target, err := url.Parse(m[1])
				require.NoError(t, err)
				require.Contains(t, s.Paths(), target.Path, "%s links there", path)
				seen++
			}
		}
	}
	require.Greater(t, seen, 50)
	index := text(t, get(t, docs.New(base, ""), "/llms.txt"))
	for _, m := range regexp.MustCompile(`\]\(([^)]*)\)`).FindAllStringSubmatch(index, -1) {
		path, found := strings.CutPrefix(m[1], base)
		require.True(t, found, m[1])
		require.Contains(t, s.Paths(), path)
	}
}

// TestGuidesAreListed finds a guide that no list names.
func TestGuidesAreListed(t *testing.T) {
	t.Parallel()
	s := docs.New("", "")
	files, err := filepath.Glob("guides/*.md")
	require.NoError(t, err)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".md")
		require.Contains(t, text(t, get(t, s, "/docs")), `href="/docs/guides/`+name+`"`)
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, string(raw), text(t, get(t, s, "/docs/guides/"+name+".md")))
	}
}
