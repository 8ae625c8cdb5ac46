package webhook

import (
	"bufio"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// proxyTimeout bounds connecting to the proxy, which is near. It is shorter than any attempt's deadline, so that a
// proxy that is down does not look like a receiver that is.
const proxyTimeout = 3 * time.Second

// proxy opens connections through an HTTP proxy with CONNECT (RFC 9110 §9.3.6), for plain http too. The guard holds as
// without a proxy: the host is resolved here, each of its addresses is checked, and the proxy is sent one of these. It
// gets no name that it could resolve to another address. The host's name reaches it only within TLS (SNI).
type proxy struct {
	address string // host:port; the operator's, so not guarded
	auth    string // value of Proxy-Authorization; "" for none
	guard   guard
	dialer  net.Dialer
}

// newProxy returns nil without a URL.
func newProxy(u *url.URL, g guard) *proxy {
	if u == nil {
		return nil
	}
	p := &proxy{
		address: hostPort(u), guard: g, dialer: net.Dialer{Timeout: proxyTimeout, KeepAlive: 30 * time.Second},
	}
	if u.User != nil {
		password, _ := u.User.Password()
		p.auth = basic(u.User.Username(), password)
	}
	return p
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password)) // RFC 7617 §2
}

// proxyError means that the proxy opens no connection, whatever the receiver does.
type proxyError struct {
	text string // without the proxy's address
	err  error
}

func (e *proxyError) Error() string { return e.text }
func (e *proxyError) Unwrap() error { return e.err }

// unreachedError means that the proxy could not connect to the receiver.
type unreachedError struct{ status int }

func (e *unreachedError) Error() string { return "the egress proxy answered " + statusText(e.status) }

// connect opens a connection to a host and port. It tries the host's allowed addresses in turn while the proxy cannot
// reach them.
func (p *proxy) connect(ctx context.Context, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	targets, err := p.resolve(ctx, addr)
	if err != nil {
		return nil, err
	}
	var conn net.Conn
	for _, target := range targets {
		var unreached *unreachedError
		if conn, err = p.tunnel(ctx, target); err == nil || !errors.As(err, &unreached) {
			return conn, err
		}
	}
	return nil, err
}

// resolve returns the host's addresses that may be called, IPv4 first: there is at least one, or an error.
func (p *proxy) resolve(ctx context.Context, addr string) ([]netip.AddrPort, error) {
	host, portText, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("port: %w", err)
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	var allowed []netip.AddrPort
	for _, ip := range ips {
		ip = ip.Unmap().WithZone("")
		if err = p.guard.check(ip); err == nil {
			allowed = append(allowed, netip.AddrPortFrom(ip, uint16(port)))
		}
	}
	if len(allowed) == 0 {
		return nil, err
	}
	slices.SortStableFunc(
		allowed,
		func(a, b netip.AddrPort) int { return cmp.Compare(a.Addr().BitLen(), b.Addr().BitLen()) },
	)
	return allowed, nil
}

// tunnel opens a connection to an address.
func (p *proxy) tunnel(ctx context.Context, target netip.AddrPort) (net.Conn, error) {
	conn, err := p.dialer.DialContext(ctx, "tcp", p.address)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, &proxyError{"The egress proxy cannot be reached", err}
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(0, 0)) }) // ends a read that waits
	err = p.request(conn, target.String())
	if !stop() {
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close() // the first error matters more
		return nil, err
	}
	return conn, nil
}

// request asks the proxy for a tunnel and reads its answer.
func (p *proxy) request(conn net.Conn, target string) error {
	r := &http.Request{
		Method: http.MethodConnect, URL: &url.URL{Opaque: target}, Host: target,
		Header: http.Header{"User-Agent": {UserAgent}},
	}
	if p.auth != "" {
		r.Header.Set("Proxy-Authorization", p.auth)
	}
	if err := r.Write(conn); err != nil {
		return &proxyError{"The egress proxy closed the connection", err}
	}
	answer := bufio.NewReader(io.LimitReader(conn, maxHeaderBytes))
	resp, err := http.ReadResponse(answer, r)
	if err != nil {
		return &proxyError{"The egress proxy gave no valid answer", err}
	}
	_ = resp.Body.Close() // of an answer to CONNECT: there is none, or the connection is closed
	switch {
	case resp.StatusCode >= http.StatusBadGateway && resp.StatusCode <= http.StatusGatewayTimeout:
		return &unreachedError{resp.StatusCode}
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return &proxyError{"The egress proxy refused the connection: " + statusText(resp.StatusCode), nil}
	case answer.Buffered() > 0: // a receiver does not speak first, in TLS and in HTTP
		return &proxyError{"The egress proxy gave no valid answer", nil}
	}
	return nil
}

// proxyFailure covers a proxy that opens no connection.
func proxyFailure(err error) (ErrorKind, string) {
	var failed *proxyError
	var unreached *unreachedError
	switch {
	case errors.As(err, &failed):
		return KindProxy, failed.text
	case errors.As(err, &unreached):
		return KindConnect, "Connection failed: " + unreached.Error()
	}
	return KindNone, ""
}
