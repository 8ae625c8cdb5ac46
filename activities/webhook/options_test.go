package webhook_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook"
)

// TestHTTPClientLimits: calls that are not deliveries have a deadline and a bound on what they read, by default too.
func TestHTTPClientLimits(t *testing.T) {
	t.Parallel()
	b := setup(t, func(w http.ResponseWriter, r *http.Request) {
		size := map[string]int{"/10MiB": 10 << 20, "/more": 10<<20 + 1, "/small": 1000, "/large": 1001}[r.URL.Path]
		_, _ = io.WriteString(w, strings.Repeat("x", size))
	})
	byDefault := webhook.NewClient(webhook.ClientOptions{AllowHTTP: true, AllowLoopback: true}).HTTPClient()
	assert.Equal(t, time.Minute, byDefault.Timeout)
	configured := webhook.NewClient(webhook.ClientOptions{
		AllowHTTP: true, AllowLoopback: true, Timeout: time.Second, MaxResponseBytes: 1000,
	}).HTTPClient()
	assert.Equal(t, time.Second, configured.Timeout)

	for _, tc := range []struct {
		name    string
		client  *http.Client
		path    string
		tooLong bool
	}{
		{"default", byDefault, "/10MiB", false},
		{"over_the_default", byDefault, "/more", true},
		{"configured", configured, "/small", false},
		{"over_the_configured", configured, "/large", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.URL+tc.path, nil)
			require.NoError(t, err)
			resp, err := tc.client.Do(req)
			require.NoError(t, err)
			_, err = io.Copy(io.Discard, resp.Body)
			require.NoError(t, resp.Body.Close())
			if tc.tooLong {
				require.ErrorAs(t, err, new(*http.MaxBytesError))
			} else {
				require.NoError(t, err)
			}
		})
	}
}

// TestHTTPClientClosesARefusedBody: the caller may have a file behind it.
func TestHTTPClientClosesARefusedBody(t *testing.T) {
	t.Parallel()
	body := &closing{Reader: strings.NewReader("x")}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1/", body)
	require.NoError(t, err)
	_, err = webhook.NewClient(webhook.ClientOptions{}).HTTPClient().Do(req)
	require.ErrorAs(t, err, new(*webhook.URLError))
	assert.True(t, body.closed)
}

type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Close() error {
	c.closed = true
	return nil
}

// TestSendKeepsIdleConnections sends two bursts. By default the second opens no connection.
func TestSendKeepsIdleConnections(t *testing.T) {
	t.Parallel()
	const burst = 10
	for name, tc := range map[string]struct{ maxIdle, want int }{
		"all_by_default": {0, burst},
		"as_configured":  {2, burst + burst - 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var arrived sync.WaitGroup
			b := setup(t, func(http.ResponseWriter, *http.Request) {
				arrived.Done()
				arrived.Wait()
			})
			client := webhook.NewClient(webhook.ClientOptions{
				AllowHTTP: true, AllowLoopback: true, MaxIdlePerHost: tc.maxIdle,
			})
			for range 2 {
				arrived.Add(burst)
				var sending sync.WaitGroup
				for range burst {
					sending.Go(func() { client.Send(t.Context(), request(t, b.URL)) })
				}
				sending.Wait()
			}
			assert.Equal(t, int64(tc.want), b.conns.Load())
		})
	}
}

// TestSendTakesSomeInformationalAnswers: a proxy may send a few 1xx answers before the receiver's own.
func TestSendTakesSomeInformationalAnswers(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]webhook.ErrorKind{1: webhook.KindNone, 10: webhook.KindNone, 11: webhook.KindProtocol} {
		address := rawReceiver(t, func(conn net.Conn, r *bufio.Reader) {
			if _, err := http.ReadRequest(r); err == nil {
				_, _ = io.WriteString(conn, strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", n)+
					"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			}
		})
		client := webhook.NewClient(webhook.ClientOptions{AllowHTTP: true, AllowLoopback: true})
		assert.Equal(t, want, client.Send(t.Context(), request(t, "http://"+address)).ErrorKind, "%d before it", n)
	}
}

// TestSendMeasuresEachAnswer: what an earlier answer brought over the same connection does not count as headers.
func TestSendMeasuresEachAnswer(t *testing.T) {
	t.Parallel()
	address := rawReceiver(t, func(conn net.Conn, r *bufio.Reader) {
		for _, text := range []string{
			"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n" + strings.Repeat("x", 60_000),
			"HTTP/1.1 200 OK\r\n\tx: y\r\n\r\n",
		} {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, req.Body)
			_, _ = io.WriteString(conn, text)
		}
	})
	client := webhook.NewClient(webhook.ClientOptions{AllowHTTP: true, AllowLoopback: true})
	require.Equal(t, http.StatusOK, client.Send(t.Context(), request(t, "http://"+address)).StatusCode)
	assert.Equal(t, "The answer is not valid HTTP", client.Send(t.Context(), request(t, "http://"+address)).Error)
}
