package webhook_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"code.dny.dev/ssrf"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook"
)

func TestSendBlocked(t *testing.T) {
	t.Parallel()
	b := setup(t, answer(http.StatusOK, nil, ""))
	port := b.URL[strings.LastIndex(b.URL, ":"):]
	noLoopback := webhook.NewClient(webhook.ClientOptions{AllowHTTP: true, AllowPrivate: true})
	noHTTP := webhook.NewClient(webhook.ClientOptions{AllowLoopback: true})
	for _, tc := range []struct {
		name   string
		client *webhook.Client
		url    string
	}{
		{"literal_address", noLoopback, "http://127.0.0.1" + port},
		{"name_of_loopback", noLoopback, "http://localhost" + port},
		{"disguised_name", noLoopback, "http://ｌｏｃａｌｈｏｓｔ" + port},
		{"disguised_address", noLoopback, "http://１２７.０.０.１" + port},
		{"plain_http", noHTTP, "http://127.0.0.1" + port},
		{"no_url", noLoopback, "http://bad host/"},
		{"credentials", b.client, "http://user:hunter2@127.0.0.1" + port},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			resp := tc.client.Send(t.Context(), request(t, tc.url))
			assert.Equal(t, webhook.KindBlocked, resp.ErrorKind)
			assert.NotContains(t, resp.Error, "127.0.0.1")
			assert.NotContains(t, resp.Error, "hunter2")
			assert.Equal(t, webhook.Retry, webhook.Classify(profile(t, "standard"), resp))
		})
	}
	t.Cleanup(func() { assert.Zero(t, b.posts.Load()) })
}

func TestSendBrokenConnection(t *testing.T) {
	t.Parallel()
	b := setup(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/fine" {
			return
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_ = conn.Close()
		}
	})
	assert.Equal(t, http.StatusOK, b.client.Send(t.Context(), request(t, b.URL+"/fine")).StatusCode)
	resp := b.client.Send(t.Context(), request(t, b.URL+"/broken"))
	assert.Equal(t, webhook.KindClosed, resp.ErrorKind)
	assert.Equal(t, "Connection closed before an answer came", resp.Error)
	assert.Equal(t, int64(3), b.posts.Load(), "one retry on a new connection after a reused one")
	b.client.CloseIdleConnections()
	b.client.Send(t.Context(), request(t, b.URL+"/broken"))
	assert.Equal(t, int64(4), b.posts.Load(), "a new connection is not retried")
}

func TestSendNoAnswerKinds(t *testing.T) {
	t.Parallel()
	client := webhook.NewClient(webhook.ClientOptions{AllowHTTP: true, AllowLoopback: true})
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())

	resp := client.Send(t.Context(), request(t, "http://"+closed.Addr().String()))
	assert.Equal(t, webhook.KindConnect, resp.ErrorKind)
	assert.Equal(t, "Connection refused", resp.Error)

	resp = client.Send(t.Context(), request(t, "http://nowhere.invalid/"))
	assert.Equal(t, webhook.KindDNS, resp.ErrorKind)
	assert.Equal(t, "Host name not found", resp.Error)

	resp = client.Send(t.Context(), request(t, "http://"+babbler(t)))
	assert.Equal(t, webhook.KindProtocol, resp.ErrorKind)

	bad := request(t, "http://"+closed.Addr().String())
	bad.Headers = []webhook.Header{{Name: "X-Source", Value: "a\r\nb"}}
	assert.Equal(t, webhook.KindRequest, client.Send(t.Context(), bad).ErrorKind)
}

// babbler answers every connection with something other than HTTP.
func babbler(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1024))
			_, _ = io.WriteString(conn, "220 mail.example.com ESMTP\r\n\r\n")
			_ = conn.Close()
		}
	}()
	return listener.Addr().String()
}

func TestHTTPClientIsGuarded(t *testing.T) {
	t.Parallel()
	get := func(c *webhook.Client, url string) (*http.Response, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		require.NoError(t, err)
		return c.HTTPClient().Do(req)
	}
	b := setup(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/moved" {
			http.Redirect(w, r, "/", http.StatusFound)
			return
		}
		_, _ = io.WriteString(w, strings.Repeat("x", 1001))
	})

	// The text passes; the address is blocked once the name is resolved.
	_, err := get(
		webhook.NewClient(webhook.ClientOptions{AllowHTTP: true}),
		strings.Replace(b.URL, "127.0.0.1", "ｌｏｃａｌｈｏｓｔ", 1),
	)
	require.ErrorIs(t, err, ssrf.ErrProhibitedIP)

	var urlErr *webhook.URLError
	_, err = get(webhook.NewClient(webhook.ClientOptions{}), b.URL)
	require.ErrorAs(t, err, &urlErr)
	_, err = get(webhook.NewClient(webhook.ClientOptions{AllowHTTP: true}), b.URL)
	require.ErrorAs(t, err, &urlErr)
	require.Zero(t, b.posts.Load())

	small := webhook.NewClient(webhook.ClientOptions{AllowHTTP: true, AllowLoopback: true, MaxResponseBytes: 1000})
	resp, err := get(small, b.URL)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	var tooLong *http.MaxBytesError
	_, err = io.ReadAll(resp.Body)
	require.ErrorAs(t, err, &tooLong)

	moved, err := get(small, b.URL+"/moved")
	require.NoError(t, err)
	require.NoError(t, moved.Body.Close())
	assert.Equal(t, http.StatusFound, moved.StatusCode, "redirects are returned")
}

// TestGuardSeesTheDialledAddress: the host becomes an address only when net/http turns it to ASCII, so the check of the
// URL's text passes. A name that resolves to a blocked address passes it too.
func TestGuardSeesTheDialledAddress(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	open := webhook.ClientOptions{AllowHTTP: true, AllowLoopback: true, AllowPrivate: true}
	for host, opts := range map[string]webhook.ClientOptions{
		"１６８.６３.１２９.１６":   open, // Azure's metadata service: a public address
		"１００.１００.１００.２００": open, // Alibaba Cloud's metadata service: in a private range
		"１６９.２５４.１６９.２５４": open,
		"１０.０.０.１":        {AllowHTTP: true, AllowLoopback: true},
		"１２７.０.０.１":       {AllowHTTP: true, AllowPrivate: true},
	} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+"/", nil)
		require.NoError(t, err)
		_, err = webhook.NewClient(opts).HTTPClient().Do(req)
		require.ErrorIs(t, err, ssrf.ErrProhibitedIP, host)
	}
}
