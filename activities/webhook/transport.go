package webhook

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

const (
	// connectTimeout bounds connecting and the TLS handshake each. The attempt's own deadline is usually longer.
	connectTimeout = 10 * time.Second
	keepAlive      = 30 * time.Second

	// idleTimeout is below the 5 s after which Node, Apache and uvicorn close an idle connection by default: an attempt
	// that reuses a connection while the receiver closes it would fail. Busy endpoints reuse connections sooner.
	idleTimeout = 4 * time.Second

	maxHeaderBytes = 64 << 10
)

// newTransport leaves Proxy nil on purpose: a proxy from the environment would resolve names and so bypass the guard.
// The configured proxy is one of the dialer's.
func newTransport(opts ClientOptions, g guard) *http.Transport {
	dialer := &dialer{
		Dialer: net.Dialer{Timeout: connectTimeout, KeepAlive: keepAlive, Control: g.control},
		proxy:  newProxy(opts.Proxy, g),
	}
	secure := &tls.Config{
		MinVersion:           tls.VersionTLS12,
		RootCAs:              opts.RootCAs,
		GetClientCertificate: opts.ClientCertificate,
		ClientSessionCache:   tls.NewLRUClientSessionCache(1024),
	}
	t := &http.Transport{
		DialContext:            dialer.plain,
		DialTLSContext:         dialTLS(dialer, secure),
		IdleConnTimeout:        idleTimeout,
		MaxIdleConnsPerHost:    opts.MaxIdlePerHost,
		MaxConnsPerHost:        opts.MaxConnsPerHost,
		MaxResponseHeaderBytes: maxHeaderBytes,
		// Compressed answers are not unpacked, so that a small answer cannot inflate.
		DisableCompression: true,
		Protocols:          new(http.Protocols),
	}
	// HTTP/1.1 only: with one attempt per connection, a receiver that stalls one does not delay others.
	t.Protocols.SetHTTP1(true)
	return t
}

// freshTransport returns a copy of t that opens a connection for each request.
func freshTransport(t *http.Transport) *http.Transport {
	fresh := t.Clone()
	fresh.DisableKeepAlives = true
	return fresh
}

// deadlineKey is the context key of a request's deadline for connecting. net/http detaches a dial from its request;
// without this deadline, a receiver that stalls the handshake would hold a connection for longer than the attempt.
type deadlineKey struct{}

func withDialDeadline(ctx context.Context, deadline time.Time) context.Context {
	return context.WithValue(ctx, deadlineKey{}, deadline)
}

// dialer opens connections within their request's deadline.
type dialer struct {
	net.Dialer
	proxy *proxy // nil: connections are direct
}

// plain opens a connection without TLS.
func (d *dialer) plain(ctx context.Context, network, addr string) (net.Conn, error) {
	tcp, err := d.tcp(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: tcp, tcp: tcp}, nil
}

func (d *dialer) tcp(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := d.bound(ctx)
	defer cancel()
	open := d.DialContext
	if d.proxy != nil {
		open = func(ctx context.Context, _, addr string) (net.Conn, error) { return d.proxy.connect(ctx, addr) }
	}
	raw, err := open(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return earlyReader{raw}, nil
}

// bound applies the request's deadline to ctx.
func (d *dialer) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if deadline, has := ctx.Value(deadlineKey{}).(time.Time); has {
		return context.WithDeadline(ctx, deadline)
	}
	return context.WithCancel(ctx)
}

// handshakeError marks an error of the TLS handshake; the standard library has no common type for them.
type handshakeError struct{ err error }

func (e *handshakeError) Error() string { return "tls handshake: " + e.err.Error() }
func (e *handshakeError) Unwrap() error { return e.err }

// dialTLS connects and makes the handshake itself, to distinguish failures of the two.
func dialTLS(dialer *dialer, base *tls.Config) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		raw, err := dialer.tcp(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		config := base.Clone()
		config.ServerName = host
		ctx, cancel := dialer.bound(ctx)
		defer cancel()
		ctx, cancel = context.WithTimeout(ctx, connectTimeout)
		defer cancel()
		secure := tls.Client(raw, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = raw.Close() // the handshake's error matters more
			return nil, &handshakeError{err}
		}
		return &conn{Conn: secure, tcp: raw}, nil
	}
}
