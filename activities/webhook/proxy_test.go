package webhook_test

import (
	"bufio"
	"context"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"code.dny.dev/ssrf"
	"github.com/elazarl/goproxy"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook"
)

// egressProxy is a proxy that records what it is asked to connect to.
type egressProxy struct {
	*httptest.Server
	mu      sync.Mutex
	targets []string // of CONNECT
	auth    []string // Proxy-Authorization
	others  int      // requests that are not CONNECT
}

// startProxy starts a proxy that opens every tunnel for which refuse is 0, and answers others with that status.
func startProxy(t *testing.T, refuse func(target string) int) *egressProxy {
	t.Helper()
	p := new(egressProxy)
	server := goproxy.NewProxyHttpServer()
	server.OnRequest().HandleConnectFunc(func(host string, ctx *goproxy.ProxyCtx) (*goproxy.ConnectAction, string) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.targets = append(p.targets, host)
		p.auth = append(p.auth, ctx.Req.Header.Get("Proxy-Authorization"))
		if status := refuse(host); status != 0 {
			ctx.Resp = goproxy.NewResponse(ctx.Req, goproxy.ContentTypeText, status, "no")
			return goproxy.RejectConnect, host
		}
		return goproxy.OkConnect, host
	})
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			p.mu.Lock()
			p.others++
			p.mu.Unlock()
		}
		server.ServeHTTP(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

func allowAll(string) int { return 0 }

// took returns the targets since the last call.
func (p *egressProxy) took() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	targets := p.targets
	p.targets = nil
	return targets
}

func (p *egressProxy) url(t *testing.T, user *url.Userinfo) *url.URL {
	t.Helper()
	u, err := url.Parse(p.URL)
	require.NoError(t, err)
	u.User = user
	return u
}

// TestSendThroughAProxy: each request goes through the proxy, https with the receiver's own certificate.
func TestSendThroughAProxy(t *testing.T) {
	t.Parallel()
	plain := setup(t, answer(http.StatusOK, nil, "plain"))
	secure := httptest.NewTLSServer(answer(http.StatusOK, nil, "secure"))
	t.Cleanup(secure.Close)
	trusted := x509.NewCertPool()
	trusted.AddCert(secure.Certificate())
	p := startProxy(t, allowAll)
	client := webhook.NewClient(webhook.ClientOptions{
		AllowHTTP: true, AllowLoopback: true, RootCAs: trusted, Proxy: p.url(t, url.UserPassword("user", "pass:word")),
	})
	for _, tc := range []struct{ url, body string }{{plain.URL, "plain"}, {secure.URL, "secure"}} {
		for range 2 { // the second time on the same connection
			resp := client.Send(t.Context(), request(t, tc.url))
			require.Equal(t, http.StatusOK, resp.StatusCode, resp.Error)
			require.Equal(t, tc.body, string(resp.Body))
		}
		require.Equal(t, []string{strings.SplitN(tc.url, "//", 2)[1]}, p.took())
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, plain.URL, nil)
	require.NoError(t, err)
	client.CloseIdleConnections()
	resp, err := client.HTTPClient().Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Len(t, p.took(), 1, "notifications too")

	wrongName := client.Send(t.Context(), request(t, strings.Replace(secure.URL, "127.0.0.1", "localhost", 1)))
	require.Equal(t, webhook.KindTLS, wrongName.ErrorKind, "the certificate is checked for the name in the URL")
	for _, auth := range p.auth {
		require.Equal(t, "Basic dXNlcjpwYXNzOndvcmQ=", auth)
	}
	require.Zero(t, p.others)
}

// TestProxyIsGuarded: with a proxy, no URL reaches a blocked address. The proxy is never asked, and is sent addresses
// only, so that a name cannot resolve to another address there. Not parallel, because it replaces the process's resolver.
func TestProxyIsGuarded(t *testing.T) {
	b := setup(t, answer(http.StatusOK, nil, ""))
	port := b.URL[strings.LastIndex(b.URL, ":"):]
	p := startProxy(t, allowAll)
	closed := webhook.NewClient(webhook.ClientOptions{AllowHTTP: true, Proxy: p.url(t, nil)})
	open := webhook.NewClient(webhook.ClientOptions{AllowHTTP: true, AllowLoopback: true, Proxy: p.url(t, nil)})

	for _, host := range []string{
		"127.0.0.1", "10.0.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "168.63.129.16", "[::1]",
		"[::ffff:127.0.0.1]", "[fd00:ec2::254]", "localhost",
	} {
		resp := closed.Send(t.Context(), request(t, "http://"+host+port))
		assert.Equal(t, webhook.KindBlocked, resp.ErrorKind, host)
	}
	rebinding := "http://rebind.example." + port
	resolveAll(t, [4]byte{169, 254, 169, 254}, [4]byte{127, 0, 0, 1})
	require.NoError(t, closed.CheckURL(rebinding))
	resp := closed.Send(t.Context(), request(t, rebinding))
	assert.Equal(t, webhook.KindBlocked, resp.ErrorKind, resp.Error)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, rebinding, nil)
	require.NoError(t, err)
	_, err = closed.HTTPClient().Do(req)
	require.ErrorIs(t, err, ssrf.ErrProhibitedIP)
	assert.Empty(t, p.took(), "the proxy is not asked")
	assert.Zero(t, b.conns.Load())

	resp = open.Send(t.Context(), request(t, rebinding))
	require.Equal(t, http.StatusOK, resp.StatusCode, resp.Error)
	assert.Equal(t, []string{"127.0.0.1" + port}, p.took(), "the one address that is allowed, and no name")
}

// TestNoProxyFromTheEnvironment: variables of the environment change nothing. Not parallel, because it sets them.
func TestNoProxyFromTheEnvironment(t *testing.T) {
	p := startProxy(t, allowAll)
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"} {
		t.Setenv(name, p.URL)
	}
	t.Setenv("NO_PROXY", "")
	resolveAll(t, [4]byte{127, 0, 0, 1})
	b := setup(t, answer(http.StatusOK, nil, ""))
	port := b.URL[strings.LastIndex(b.URL, ":"):]
	resp := b.client.Send(t.Context(), request(t, "http://receiver.example."+port))
	require.Equal(t, http.StatusOK, resp.StatusCode, resp.Error)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://receiver.example."+port, nil)
	require.NoError(t, err)
	got, err := b.client.HTTPClient().Do(req)
	require.NoError(t, err)
	require.NoError(t, got.Body.Close())
	require.Empty(t, p.took())
	require.Zero(t, p.others)
}

// TestProxyFailures: a proxy that opens no connection is not the receiver's fault, and its address is not shown.
func TestProxyFailures(t *testing.T) {
	t.Parallel()
	b := setup(t, answer(http.StatusOK, nil, ""))
	send := func(t *testing.T, proxy string) webhook.Response {
		t.Helper()
		u, err := url.Parse(proxy)
		require.NoError(t, err)
		client := webhook.NewClient(webhook.ClientOptions{AllowHTTP: true, AllowLoopback: true, Proxy: u})
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.URL, nil)
		require.NoError(t, err)
		resp := client.Send(t.Context(), request(t, b.URL))
		_, err = client.HTTPClient().Do(req)
		require.Error(t, err)
		require.Equal(t, webhook.Gist(resp.Error), webhook.TransportFailure(err))
		return resp
	}
	down := httptest.NewServer(nil)
	down.Close()
	for name, tc := range map[string]struct {
		proxy string
		kind  webhook.ErrorKind
		text  string
	}{
		"down":          {down.URL, webhook.KindProxy, "The egress proxy cannot be reached"},
		"unauthorized":  {refusing(t, 407), webhook.KindProxy, "The egress proxy refused the connection: HTTP 407 Proxy Authentication Required"},
		"forbidden":     {refusing(t, 403), webhook.KindProxy, "The egress proxy refused the connection: HTTP 403 Forbidden"},
		"unreached":     {refusing(t, 502), webhook.KindConnect, "Connection failed: the egress proxy answered HTTP 502 Bad Gateway"},
		"timed_out":     {refusing(t, 504), webhook.KindConnect, "Connection failed: the egress proxy answered HTTP 504 Gateway Timeout"},
		"not_http":      {speaking(t, "SSH-2.0-OpenSSH_9.6\r\n"), webhook.KindProxy, "The egress proxy gave no valid answer"},
		"speaks_first":  {speaking(t, "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n"), webhook.KindProxy, "The egress proxy gave no valid answer"},
		"endless":       {speaking(t, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 70<<10)), webhook.KindProxy, "The egress proxy gave no valid answer"},
		"closes_unread": {speaking(t, ""), webhook.KindProxy, "The egress proxy gave no valid answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			resp := send(t, tc.proxy)
			assert.Equal(t, tc.kind, resp.ErrorKind)
			assert.Equal(t, tc.text, resp.Error)
			assert.Zero(t, resp.StatusCode)
		})
	}
	t.Run("hangs", func(t *testing.T) {
		t.Parallel()
		u, err := url.Parse("http://" + rawReceiver(t, func(_ net.Conn, r *bufio.Reader) { _, _ = io.Copy(io.Discard, r) }))
		require.NoError(t, err)
		client := webhook.NewClient(webhook.ClientOptions{AllowHTTP: true, AllowLoopback: true, Proxy: u})
		req := request(t, b.URL)
		req.Timeout = 200 * time.Millisecond
		resp := client.Send(t.Context(), req)
		assert.Equal(t, webhook.KindTimeout, resp.ErrorKind)
		assert.Equal(t, "Connection timeout: no connection in time", resp.Error)

		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		req.Timeout = time.Minute
		assert.Equal(t, webhook.KindCanceled, client.Send(ctx, req).ErrorKind)
	})
}

// refusing returns the URL of a proxy that answers each CONNECT with the status.
func refusing(t *testing.T, status int) string {
	t.Helper()
	return startProxy(t, func(string) int { return status }).URL
}

// speaking returns the URL of a server that answers a request with text and closes the connection.
func speaking(t *testing.T, text string) string {
	t.Helper()
	return "http://" + rawReceiver(t, func(conn net.Conn, r *bufio.Reader) {
		if _, err := http.ReadRequest(r); err == nil {
			_, _ = io.WriteString(conn, text)
		}
	})
}
