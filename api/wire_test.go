package api_test

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"greenroom/api"
)

// serve puts the API behind a real HTTP server.
func (b *bundle) serve(readLimit time.Duration) string {
	b.t.Helper()
	server := httptest.NewUnstartedServer(b.handler)
	server.Config.ReadTimeout = readLimit
	server.Start()
	b.t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// wire sends bytes, closes its own side if half is set, and returns the answer.
func (b *bundle) wire(address, sent string, half bool) *http.Response {
	b.t.Helper()
	conn, err := (&net.Dialer{}).DialContext(b.ctx, "tcp", address)
	require.NoError(b.t, err)
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, sent)
	require.NoError(b.t, err)
	if half {
		require.NoError(b.t, conn.(*net.TCPConn).CloseWrite())
	}
	require.NoError(b.t, conn.SetReadDeadline(time.Now().Add(30*time.Second)))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(b.t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(b.t, err)
	require.NoError(b.t, resp.Body.Close())
	require.NotEmpty(b.t, body)
	return resp
}

func (b *bundle) post(path string, length int, body string) string {
	return fmt.Sprintf(
		"POST %s HTTP/1.1\r\nHost: greenroom.test\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		path,
		b.key,
		length,
		body,
	)
}

func TestIncompleteBody(t *testing.T) {
	t.Parallel()
	b := setup(t)
	address := b.serve(300 * time.Millisecond)
	event := `{"type": "enrich.failed", "data": {}}`
	require.Equal(
		t,
		202,
		b.wire(address, b.post("/events", len(event), event), false).StatusCode,
		"the key is remembered from here on",
	)
	for _, path := range []string{"/events", "/webhooks", "/api/app/webhooks", "/ai-interviews/generate-interview"} {
		require.Equal(t, 400, b.wire(address, b.post(path, 500, `{"type":`), true).StatusCode, "%s: it breaks off", path)
		stalled := b.wire(address, b.post(path, 500, `{"type":`), false)
		require.Equal(t, 408, stalled.StatusCode, "%s: it stalls", path)
		require.True(t, stalled.Close)
	}
}

// A caller that has closed its own side still listens (RFC 9112 §9.6).
func TestRequestOfACallerThatHalfCloses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	address := b.serve(0)
	event := `{"type": "enrich.failed", "data": {}}`
	for range 30 {
		require.Equal(t, 202, b.wire(address, b.post("/events", len(event), event), true).StatusCode)
		get := "GET /webhooks HTTP/1.1\r\nHost: greenroom.test\r\nAuthorization: Bearer " + b.key + "\r\n\r\n"
		require.Equal(t, 200, b.wire(address, get, true).StatusCode)
	}
	require.Equal(t, 30, b.count("events"))
}

var parameter = regexp.MustCompile(`:\w+`)

// TestHead: HEAD is answered as GET on every path of every surface, without a body.
func TestHead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	address := "http://" + b.serve(0)
	ask := func(method, path string) (int, string, string) {
		req, err := http.NewRequestWithContext(b.ctx, method, address+path, nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+b.key)
		resp, err := http.DefaultTransport.RoundTrip(req)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp.StatusCode, resp.Header.Get("Content-Type"), string(body)
	}
	seen := 0
	for _, s := range b.handler.Surfaces() {
		for _, r := range s.Routes {
			if r.Method != http.MethodGet {
				continue
			}
			for _, path := range s.Addresses(r) {
				path = parameter.ReplaceAllString(path, uuid.NewString())
				status, kind, _ := ask("GET", path)
				head, headKind, body := ask("HEAD", path)
				require.Equal(t, status, head, path)
				require.Equal(t, kind, headKind, path)
				require.Empty(t, body, path)
				seen++
			}
		}
	}
	require.Greater(t, seen, 50)
	for _, path := range []string{"/healthz", "/readyz", "/docs", "/openapi/greenroom.yaml", "/webhooks"} {
		head, _, _ := ask("HEAD", path)
		require.Equal(t, 200, head, path)
	}
}

// TestListsRefuseUnknownParameters: a filter that is passed over would show everything for what was asked for.
func TestListsRefuseUnknownParameters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var number string
	require.NoError(t, b.NewRaw("SELECT number::text FROM companies WHERE id = ?", b.company).Scan(b.ctx, &number))
	seen := map[string]int{}
	for _, s := range b.handler.Surfaces() {
		for _, r := range s.Routes {
			if !r.IsList() {
				continue
			}
			path := parameter.ReplaceAllString(strings.Replace(r.Path, ":company", number, 1), uuid.NewString())
			for _, query := range []string{"?foo=bar", "?webhookid=x", "?companyId=" + b.company.String() + "&companyId=" + b.company.String(), "?Page=1"} {
				got := b.Do("GET", path+query, nil)
				require.Equal(t, 400, got.Status, "%s%s: %s", path, query, got.Body)
			}
			seen[s.Name]++
		}
	}
	require.Len(t, seen, 4, "every surface has lists")
	b.do("GET", "/deliveries?status=failed&status=paused", nil).fails(400, "VALIDATION_ERROR", "status")
	got := b.do("GET", "/deliveries?webhookid=x", nil).fails(400, "VALIDATION_ERROR", "webhookid")
	require.Equal(t, "webhookid is not a known query parameter", got.Error.Message)
	require.Contains(t, got.Error.Details["allowed"], "webhookId")
	b.do("GET", "/webhooks?companyId="+b.company.String(), nil).is(200)
}

func TestEncodingsAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	event := `{"type": "enrich.failed", "data": {}}`
	for _, encoding := range []string{"gzip", "br", "identity, gzip", "x-anything"} {
		for _, path := range []string{"/events", "/webhooks", "/jobs"} {
			got := b.do("POST", path, event, "Content-Encoding", encoding).fails(415, "UNSUPPORTED_MEDIA_TYPE")
			require.Equal(t, "identity", got.Header.Get("Accept-Encoding"))
		}
		require.Equal(t, 415, b.Do("POST", "/api/app/positions", event, "Content-Encoding", encoding).Status)
	}
	b.do("POST", "/events", event, "Content-Encoding", "identity").is(202)
	for _, charset := range []string{"utf-16", "ISO-8859-1", "windows-1252"} {
		b.do("POST", "/events", event, "Content-Type", "application/json; charset="+charset).
			fails(415, "UNSUPPORTED_MEDIA_TYPE")
	}
	b.do("POST", "/events", event, "Content-Type", `application/json; charset="UTF-8"`).is(202)
	got := b.do("POST", "/events", "\xef\xbb\xbf"+event).fails(400, "VALIDATION_ERROR")
	require.Contains(t, got.Error.Message, "byte order mark")
}

// TestNumbersAreKept: whatever fits a double is taken and kept digit for digit; in jsonb too.
func TestNumbersAreKept(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, number := range []string{
		"0E-10", "0e0", "0.00E+2", "-0e1", "-0.0", "0e5000", "0e-16383", "1e308", "5e-324", strings.Repeat("1", 65), "0." + strings.Repeat("3", 98),
		"1" + strings.Repeat("0", 300), "1." + strings.Repeat("0", 2000) + "e5",
	} {
		data := `{"amount": ` + number + ` }`
		id := b.do("POST", "/events", `{"type": "enrich.failed", "data": `+data+`}`).is(202)["id"]
		var kept string
		require.NoError(t, b.NewRaw("SELECT data FROM events WHERE id = ?", id).Scan(b.ctx, &kept))
		require.Equal(t, data, kept)
		b.do("POST", "/jobs", `{"title": "t", "description": "d", "metadata": `+data+`}`).is(201)
	}
	for _, number := range []string{"1e309", "-1e309", "1e-400", "10e-400000", "0e-16384", "0e99999999999", "0e-99999999999", "0.0e2147483647"} {
		b.do("POST", "/events", `{"type": "enrich.failed", "data": {"amount": `+number+`}}`).fails(400, "VALIDATION_ERROR")
	}
}

func TestIdempotencyKeyMustBeOne(t *testing.T) {
	t.Parallel()
	b := setup(t)
	event := `{"type": "enrich.failed", "data": {}}`
	b.do("POST", "/events", event).is(202) // the key is remembered from here on
	for _, path := range []string{"/events", "/webhooks", "/api/app/positions", "/api/app/webhooks"} {
		for _, keys := range [][]string{{""}, {" "}, {"a", "b"}, {"a", "a"}, {"", "a"}} {
			req := httptest.NewRequestWithContext(b.ctx, "POST", path, strings.NewReader(event))
			req.Header = http.Header{
				"Authorization":   {"Bearer " + b.key},
				"Content-Type":    {"application/json"},
				"Idempotency-Key": keys,
			}
			require.Equal(t, 400, b.Send(req).Status, "%s %q", path, keys)
		}
	}
	require.Equal(t, 1, b.count("events"))
}

func TestWebhookIsCreatedOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for path, body := range map[string]string{
		"/webhooks":         `{"url": "https://receiver.test/", "events": ["ping"]}`,
		"/api/app/webhooks": `{"url": "https://receiver.test/", "events": ["interview.completed"]}`,
	} {
		before := b.count("webhooks")
		first := b.Do("POST", path, body, "Idempotency-Key", "w1"+path)
		require.Equal(t, 201, first.Status, "%s", first.Body)
		again := b.Do("POST", path, body, "Idempotency-Key", "w1"+path)
		require.Equal(t, string(first.Body), string(again.Body))
		require.Equal(t, 201, again.Status)
		require.Equal(t, "true", again.Header.Get("Idempotency-Replayed"))
		require.Equal(t, before+1, b.count("webhooks"))
		other := strings.Replace(body, "receiver", "other", 1)
		require.Equal(t, 409, b.Do("POST", path, other, "Idempotency-Key", "w1"+path).Status)

		secret := regexp.MustCompile(`[0-9a-f]{64}`).FindString(string(first.Body))
		require.NotEmpty(t, secret)
		var clear int
		require.NoError(
			t,
			b.NewRaw("SELECT count(*) FROM idempotency_keys k WHERE k::text LIKE ? OR encode(sealed, 'escape') LIKE ?",
				"%"+secret+"%", "%"+secret+"%").Scan(b.ctx, &clear),
		)
		require.Zero(t, clear, "the secret is at rest in the clear")
	}
}

func TestTimesOfRFC3339(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, good := range []string{"2026-01-01T01:00:00Z", "2026-01-01T01:00:00%2B01:00", "2026-01-01T01:00:00.123456-23:59"} {
		b.do("GET", "/deliveries?since="+good, nil).is(200)
	}
	for _, bad := range []string{
		"2026-01-01T01:00:00%2B24:00", "2026-01-01T01:00:00%2B01:60", "2026-01-01T01:00:00,5Z", "2026-01-01T1:00:00Z", "2026-01-01T01:00:00", "2026-01-01",
	} {
		b.do("GET", "/deliveries?since="+bad, nil).fails(400, "VALIDATION_ERROR", "since")
	}
	got := b.do("GET", "/deliveries?since=2026-01-01T01:00:00+01:00", nil).fails(400, "VALIDATION_ERROR", "since")
	require.Contains(t, got.Error.Message, "%2B")
}

func TestInvalidCursorsAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, bad := range []string{"", "AAAAAAAAAAAAAAAAAAAAAA", "AZr9qGrRdvyx49Eljaob2B", "x", "AZr9qGrRdvyx49Eljaob2A=="} {
		b.do("GET", "/deliveries?cursor="+bad, nil).fails(400, "VALIDATION_ERROR", "cursor")
	}
	b.do("GET", "/deliveries?cursor=AZr9qGrRdvyx49Eljaob2A", nil).is(200)
}

// TestStorageUnavailable: every surface says that it is not the caller's fault and when to come back, and the log
// says it once.
func TestStorageUnavailable(t *testing.T) {
	t.Parallel()
	config, err := pgx.ParseConfig("postgres://greenroom@127.0.0.1:1/greenroom?sslmode=disable")
	require.NoError(t, err)
	nowhere := stdlib.OpenDB(*config)
	t.Cleanup(func() { require.NoError(t, nowhere.Close()) })
	var logged strings.Builder
	var handler http.Handler
	b := setup(t, func(o *api.Options) {
		away := *o
		away.DB, away.Logger = bun.NewDB(nowhere, pgdialect.New()), slog.New(slog.NewTextHandler(&logged, nil))
		handler, err = api.New(away)
		require.NoError(t, err)
	})
	for _, path := range []string{"/webhooks", "/api/app/webhooks", "/api/v3/companies/1/projects/", "/ai-interviews/settings/webhooks", "/v1/jobs"} {
		req := httptest.NewRequestWithContext(t.Context(), "GET", path, nil)
		req.Header.Set("Authorization", "Bearer "+b.key)
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, req)
		require.Equal(t, 503, rec.Code, "%s: %s", path, rec.Body)
		require.Equal(t, "5", rec.Header().Get("Retry-After"), path)
	}
	require.Equal(t, 1, strings.Count(logged.String(), "level=ERROR"), logged.String())
	require.Contains(t, logged.String(), "storage unavailable")
}
