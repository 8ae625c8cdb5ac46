package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	defaultMaxIdlePerHost = 256
	defaultTimeout        = 60 * time.Second
	defaultMaxResponse    = 10 << 20
)

// ClientOptions configure outbound calls. The zero value is the strictest: https to public addresses only.
type ClientOptions struct {
	AllowHTTP     bool // plain http too
	AllowLoopback bool // 127.0.0.0/8 and ::1 too
	AllowPrivate  bool // RFC 1918, RFC 6598 and RFC 4193 ranges too; link-local and metadata addresses stay blocked

	// Services, when not nil, are the only hosts that may be called, in the form of HostPort; empty means none. It is for
	// services of the operator, which are often inside a private network: the other options then apply to these hosts
	// alone.
	Services []string

	RootCAs *x509.CertPool // certificate authorities to trust; nil means the system's

	// ClientCertificate returns the certificate for a receiver that asks for one, as tls.Config.GetClientCertificate does;
	// nil means none.
	ClientCertificate func(*tls.CertificateRequestInfo) (*tls.Certificate, error)

	// Proxy is the HTTP proxy, http://[user:password@]host:port, that opens every connection; nil means that connections
	// are direct. Hosts are resolved and their addresses checked here; the proxy is sent an address. No proxy is taken
	// from the environment.
	Proxy *url.URL

	// MaxIdlePerHost bounds the idle connections to one receiver; 0 means 256, enough for a batch in flight.
	MaxIdlePerHost int
	// MaxConnsPerHost bounds all connections to one receiver; 0 means no bound: the caller bounds attempts in flight.
	MaxConnsPerHost int

	// Timeout is the total deadline of a call through HTTPClient; 0 means 60 s. Send uses the request's own.
	Timeout time.Duration
	// MaxResponseBytes bounds a response body read through HTTPClient; 0 means 10 MiB. Reading past it fails with an
	// *http.MaxBytesError. Send keeps 4 KiB.
	MaxResponseBytes int64
}

// Client makes all outbound calls of the process. It is safe for concurrent use; one client serves the whole process.
type Client struct {
	opts      ClientOptions
	guard     guard
	transport *http.Transport
	fresh     *http.Transport // opens a new connection for each request
	general   *http.Client
	tokens    *tokens
}

// NewClient returns a client with its own connection pool.
func NewClient(opts ClientOptions) *Client {
	if opts.MaxIdlePerHost == 0 {
		opts.MaxIdlePerHost = defaultMaxIdlePerHost
	}
	if opts.Timeout == 0 {
		opts.Timeout = defaultTimeout
	}
	if opts.MaxResponseBytes == 0 {
		opts.MaxResponseBytes = defaultMaxResponse
	}
	c := &Client{opts: opts, guard: newGuard(opts.AllowLoopback, opts.AllowPrivate)}
	c.transport = newTransport(opts, c.guard)
	c.fresh = freshTransport(c.transport)
	c.general = c.httpClient(opts.MaxResponseBytes)
	c.tokens = &tokens{http: c.httpClient(maxTokenAnswer), grants: map[string]*grant{}}
	return c
}

// httpClient returns a guarded client that fails to read an answer past the limit.
func (c *Client) httpClient(limit int64) *http.Client {
	return &http.Client{
		Transport: guarded{c, limit},
		Timeout:   c.opts.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
}

// HTTPClient returns the guarded client for outbound calls other than deliveries. It bounds responses, returns
// redirects instead of following them, and refuses a URL that CheckURL's rules forbid with a *URLError.
func (c *Client) HTTPClient() *http.Client { return c.general }

// DialContext opens a connection for a protocol other than HTTP, or for another HTTP client. The rules of URLs hold for
// address, a host with its port: it is refused with a *URLError, or when the host resolves to a blocked address.
func (c *Client) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if err := c.checkHost(host, strings.ToLower(address)); err != nil {
		return nil, err
	}
	d := net.Dialer{Timeout: connectTimeout, KeepAlive: keepAlive, Control: c.guard.control}
	return d.DialContext(ctx, network, address)
}

// Reach opens a connection to the endpoint, as an attempt does, and closes it: name, address guard, proxy, TLS. It
// sends no request. It returns KindNone, or why the endpoint is not reached, in words that may name hosts.
func (c *Client) Reach(ctx context.Context, endpoint string) (ErrorKind, string) {
	u, err := c.parseURL(endpoint)
	if err != nil {
		return KindBlocked, err.Error()
	}
	dial := c.transport.DialContext
	if u.Scheme == "https" {
		dial = c.transport.DialTLSContext
	}
	conn, err := dial(ctx, "tcp", hostPort(u))
	if err == nil {
		_ = conn.Close() // nothing was sent
		return KindNone, ""
	}
	if kind, text := transportFailure(err); kind != KindNone {
		return kind, text
	}
	return KindConnect, "Connection failed"
}

// CloseIdleConnections closes idle connections; call it at shutdown.
func (c *Client) CloseIdleConnections() { c.transport.CloseIdleConnections() }

// guarded applies the URL rules and the response bound to calls that do not go through Send.
type guarded struct {
	c     *Client
	limit int64 // of a response body
}

func (g guarded) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := g.c.checkParsed(req.URL); err != nil {
		if req.Body != nil {
			_ = req.Body.Close() // http.RoundTripper requires it, on errors too
		}
		return nil, err
	}
	resp, err := g.c.transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		_ = resp.Body.Close() // after 101 the body is the connection, and no deadline covers it
		resp.Body = http.NoBody
	}
	resp.Body = http.MaxBytesReader(nil, resp.Body, g.limit)
	return resp, nil
}

// CloseIdleConnections makes http.Client.CloseIdleConnections work.
func (g guarded) CloseIdleConnections() { g.c.CloseIdleConnections() }
