package webhook_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook"
)

// bench is a receiver and a client that is allowed to call it.
type bench struct {
	*httptest.Server
	client *webhook.Client
	posts  atomic.Int64 // requests that reached the handler
	conns  atomic.Int64 // connections that were opened
}

func setup(t testing.TB, handler http.HandlerFunc) *bench {
	t.Helper()
	b := &bench{client: webhook.NewClient(webhook.ClientOptions{AllowHTTP: true, AllowLoopback: true})}
	b.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.posts.Add(1)
		handler(w, r)
	}))
	b.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			b.conns.Add(1)
		}
	}
	b.Start()
	t.Cleanup(b.Close)
	return b
}

func request(t testing.TB, url string) webhook.Request {
	t.Helper()
	p := profile(t, "instaview")
	m := message("ping", "ping", nil)
	body, err := p.Render(m)
	require.NoError(t, err)
	return webhook.Request{
		URL:     url,
		Profile: p,
		Message: m,
		Body:    body,
		Secrets: webhook.Secrets{testSecret(1)},
		Timeout: 5 * time.Second,
	}
}

func answer(status int, header http.Header, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for name, values := range header {
			w.Header()[name] = values
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// hang holds a request until its client gives up. net/http notices that only after the body is read.
func hang(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

func TestSendWhatArrives(t *testing.T) {
	t.Parallel()
	var got *http.Request
	var body []byte
	b := setup(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, "thanks")
	})
	req := request(t, b.URL+"/hook?a=b")
	req.Headers = []webhook.Header{
		{Name: "Authorization", Value: "Bearer abc"},
		{Name: "Content-Type", Value: "text/plain"},
	}
	before := time.Now()
	resp := b.client.Send(t.Context(), req)

	assert.Equal(t, http.StatusAccepted, resp.StatusCode)
	assert.Empty(t, resp.ErrorKind)
	assert.Empty(t, resp.Error)
	assert.Equal(t, "thanks", string(resp.Body))
	assert.Positive(t, resp.Duration)
	assert.WithinRange(t, resp.StartedAt, before, time.Now())
	assert.Equal(t, webhook.Succeeded, webhook.Classify(req.Profile, resp))

	require.NotNil(t, got)
	assert.Equal(t, http.MethodPost, got.Method)
	assert.Equal(t, "/hook?a=b", got.RequestURI)
	assert.Equal(t, int64(len(req.Body)), got.ContentLength, "not chunked")
	assert.Equal(t, string(req.Body), string(body))
	assert.Equal(t, "Bearer abc", got.Header.Get("Authorization"))
	assert.Equal(t, []string{"application/json"}, got.Header.Values("Content-Type"))
	assert.Equal(t, "Greenroom-Webhooks/1.0", got.UserAgent())
	assert.Empty(t, got.Header.Get("Accept-Encoding"))
	require.NoError(t, verify(t, testSecret(1), body, got.Header))
}

func TestSendStatus(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		status  int
		text    string
		outcome webhook.Outcome
	}{
		{200, "", webhook.Succeeded},
		{204, "", webhook.Succeeded},
		{299, "", webhook.Succeeded},
		{400, "HTTP 400 Bad Request", webhook.Retry},
		{410, "HTTP 410 Gone", webhook.Gone},
		{503, "HTTP 503 Service Unavailable", webhook.Retry},
		{599, "HTTP 599", webhook.Retry},
	} {
		b := setup(t, answer(tc.status, nil, ""))
		req := request(t, b.URL)
		resp := b.client.Send(t.Context(), req)
		assert.Equal(t, tc.status, resp.StatusCode)
		assert.Equal(t, webhook.KindNone, resp.ErrorKind)
		assert.Equal(t, tc.text, resp.Error)
		assert.Empty(t, resp.Body)
		assert.Equal(t, tc.outcome, webhook.Classify(req.Profile, resp), tc.status)
	}
}

func TestSendTimeout(t *testing.T) {
	t.Parallel()
	b := setup(t, hang)
	req := request(t, b.URL)
	req.Timeout = 100 * time.Millisecond
	resp := b.client.Send(t.Context(), req)
	assert.Equal(t, webhook.KindTimeout, resp.ErrorKind)
	assert.Equal(t, "Connection timeout: connected, but no answer came in time", resp.Error)
	assert.Zero(t, resp.StatusCode)
	assert.GreaterOrEqual(t, resp.Duration, req.Timeout)
	assert.Less(t, resp.Duration, 5*time.Second)
}

func TestSendTimeoutOfTheProfile(t *testing.T) {
	t.Parallel()
	b := setup(t, hang)
	hasty := *profile(t, "standard")
	hasty.Timeout = 50 * time.Millisecond
	req := request(t, b.URL)
	req.Profile, req.Timeout = &hasty, 0
	resp := b.client.Send(t.Context(), req)
	assert.Equal(t, webhook.KindTimeout, resp.ErrorKind)
	assert.GreaterOrEqual(t, resp.Duration, hasty.Timeout)
}

func TestSendCanceledByUs(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	b := setup(t, func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		hang(nil, r)
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	resp := b.client.Send(ctx, request(t, b.URL))
	assert.Equal(t, webhook.KindCanceled, resp.ErrorKind)

	ctx, cancel = context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	resp = b.client.Send(ctx, request(t, b.URL))
	assert.Equal(t, webhook.KindCanceled, resp.ErrorKind, "the caller's own deadline is not the receiver's failure")
}

func TestSendEndlessBodyIsCapped(t *testing.T) {
	t.Parallel()
	written := make(chan int, 1)
	b := setup(t, func(w http.ResponseWriter, _ *http.Request) {
		chunk, total := []byte(strings.Repeat("x", 1<<10)), 0
		for {
			n, err := w.Write(chunk)
			if total += n; err != nil {
				written <- total
				return
			}
		}
	})
	resp := b.client.Send(t.Context(), request(t, b.URL))
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	assert.Equal(t, strings.Repeat("x", 4<<10), string(resp.Body))
	assert.Less(t, resp.Duration, 2*time.Second)
	select {
	case total := <-written:
		assert.Less(t, total, 64<<20, "the connection is closed, not drained")
	case <-time.After(5 * time.Second):
		t.Fatal("the receiver can still write")
	}
}

func TestSendTrickledBodyDoesNotHoldTheAttempt(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes the two seconds that a body is waited for")
	}
	b := setup(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "started")
		_ = http.NewResponseController(w).Flush()
		hang(w, r)
	})
	req := request(t, b.URL)
	req.Timeout = time.Minute
	resp := b.client.Send(t.Context(), req)
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	assert.Equal(t, "started", string(resp.Body))
	assert.Equal(t, webhook.Succeeded, webhook.Classify(req.Profile, resp), "the status line decides")
	assert.Less(t, resp.Duration, 10*time.Second)
}

func TestSendReusesItsConnection(t *testing.T) {
	t.Parallel()
	bodies := []string{"", "ok", strings.Repeat("x", 4<<10), strings.Repeat("x", 40<<10)}
	var turn atomic.Int64
	b := setup(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, bodies[int(turn.Add(1))%len(bodies)])
	})
	for range 5 * len(bodies) {
		require.Equal(t, http.StatusOK, b.client.Send(t.Context(), request(t, b.URL)).StatusCode)
	}
	assert.Equal(t, int64(1), b.conns.Load())
}

func TestSendDoesNotFollowRedirects(t *testing.T) {
	t.Parallel()
	target := setup(t, answer(http.StatusOK, nil, ""))
	for _, status := range []int{301, 302, 303, 307, 308} {
		b := setup(t, answer(status, http.Header{"Location": {target.URL}}, ""))
		req := request(t, b.URL)
		resp := b.client.Send(t.Context(), req)
		assert.Equal(t, webhook.KindRedirect, resp.ErrorKind)
		assert.Equal(t, status, resp.StatusCode)
		assert.Contains(t, resp.Error, http.StatusText(status))
		assert.Equal(t, webhook.Retry, webhook.Classify(req.Profile, resp))
	}
	assert.Zero(t, target.posts.Load())
}

func TestSendRetryAfter(t *testing.T) {
	t.Parallel()
	in := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	for name, tc := range map[string]struct {
		status   int
		value    string
		from, to time.Duration
	}{
		"seconds":               {429, "120", 2 * time.Minute, 2 * time.Minute},
		"seconds_on_any_status": {500, " 7 ", 7 * time.Second, 7 * time.Second},
		"date":                  {503, in(time.Hour), time.Hour - time.Minute, time.Hour},
		"date_in_the_past":      {503, in(-time.Hour), 0, 0},
		"over_a_day":            {503, "604800", 7 * 24 * time.Hour, 7 * 24 * time.Hour},
		"over_any_duration":     {503, "9223372036854775807", 24 * time.Hour, 1<<63 - 1},
		"more_digits_than_fit":  {503, strings.Repeat("9", 40), 24 * time.Hour, 1<<63 - 1},
		"zero":                  {503, "0", 0, 0},
		"negative":              {503, "-5", 0, 0},
		"fraction":              {503, "1.5", 0, 0},
		"garbage":               {503, "tomorrow", 0, 0},
		"empty":                 {503, "", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, answer(tc.status, http.Header{"Retry-After": {tc.value}}, ""))
			got := b.client.Send(t.Context(), request(t, b.URL)).RetryAfter
			assert.GreaterOrEqual(t, got, tc.from)
			assert.LessOrEqual(t, got, tc.to)
			assert.LessOrEqual(t, webhook.NextWait(5*time.Second, got, 1), 24*time.Hour)
		})
	}
}

func TestSendTLS(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(answer(http.StatusOK, nil, ""))
	t.Cleanup(server.Close)
	trusting := x509.NewCertPool()
	trusting.AddCert(server.Certificate())

	t.Run("untrusted", func(t *testing.T) {
		t.Parallel()
		c := webhook.NewClient(webhook.ClientOptions{AllowLoopback: true})
		resp := c.Send(t.Context(), request(t, server.URL))
		assert.Equal(t, webhook.KindTLS, resp.ErrorKind)
		assert.Equal(t, "TLS certificate is signed by an unknown authority: it is self-signed", resp.Error)
	})
	t.Run("trusted", func(t *testing.T) {
		t.Parallel()
		c := webhook.NewClient(webhook.ClientOptions{AllowLoopback: true, RootCAs: trusting})
		assert.Equal(t, http.StatusOK, c.Send(t.Context(), request(t, server.URL)).StatusCode)
	})
	t.Run("wrong_host", func(t *testing.T) {
		t.Parallel()
		c := webhook.NewClient(webhook.ClientOptions{AllowLoopback: true, RootCAs: trusting})
		resp := c.Send(t.Context(), request(t, strings.Replace(server.URL, "127.0.0.1", "localhost", 1)))
		assert.Equal(t, webhook.KindTLS, resp.ErrorKind)
		assert.Equal(
			t,
			"TLS certificate is not valid for this host: it is valid for example.com, *.example.com, 127.0.0.1, ::1",
			resp.Error,
		)
	})
	t.Run("too_old", func(t *testing.T) {
		t.Parallel()
		old := httptest.NewUnstartedServer(answer(http.StatusOK, nil, ""))
		old.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
		old.StartTLS()
		t.Cleanup(old.Close)
		c := webhook.NewClient(webhook.ClientOptions{AllowLoopback: true, RootCAs: trusting})
		resp := c.Send(t.Context(), request(t, old.URL))
		assert.Equal(t, webhook.KindTLS, resp.ErrorKind)
		assert.Equal(
			t,
			"TLS handshake failed: the receiver refused it (tls: protocol version not supported)",
			resp.Error,
		)
	})
	t.Run("plain_http_behind_https", func(t *testing.T) {
		t.Parallel()
		b := setup(t, answer(http.StatusOK, nil, ""))
		resp := b.client.Send(t.Context(), request(t, strings.Replace(b.URL, "http:", "https:", 1)))
		assert.Equal(t, webhook.KindTLS, resp.ErrorKind)
		assert.Equal(t, "The receiver does not speak TLS", resp.Error)
	})
}
