package webhook

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"code.dny.dev/ssrf"
)

// ErrorKind says why an attempt has no usable answer. The set is closed and the values are stored.
type ErrorKind = string

// The kinds of failure. An attempt that got an answer has KindNone whatever the status, except KindRedirect.
const (
	KindNone     ErrorKind = ""
	KindTimeout  ErrorKind = "timeout"  // no answer within the attempt's deadline
	KindDNS      ErrorKind = "dns"      // the host's name does not resolve
	KindConnect  ErrorKind = "connect"  // the connection is refused, or the host is unreachable
	KindTLS      ErrorKind = "tls"      // no trusted TLS connection, e.g. an expired certificate
	KindBlocked  ErrorKind = "blocked"  // the URL, scheme or address is not allowed
	KindClosed   ErrorKind = "closed"   // the connection closed before the end of the answer's headers
	KindProtocol ErrorKind = "protocol" // the answer is not valid HTTP
	KindRedirect ErrorKind = "redirect" // the answer is a redirect; redirects are not followed
	KindRequest  ErrorKind = "request"  // the webhook's settings cannot be sent, e.g. a header value with a line break
	KindToken    ErrorKind = "token"    // the webhook's OAuth2 token endpoint gave no token; nothing was sent
	KindProxy    ErrorKind = "proxy"    // the operator's proxy opens no connection; the receiver is not at fault
	KindCanceled ErrorKind = "canceled" // the sender gave up; the receiver is not at fault

	// KindUnprepared: nothing was sent, because the worker lacks the key of a secret or does not know the profile. Another
	// worker may have it.
	KindUnprepared ErrorKind = "unprepared"
)

// Gist returns a failure's text without its detail. The detail may name hosts; the gist holds no customer data.
func Gist(failure string) string {
	gist, _, _ := strings.Cut(failure, ": ")
	return gist
}

// failureOf turns a transport error into a kind and a text for people: what failed and, after ": ", the detail that
// helps to repair it. The standard library's texts are not used, because they name URLs and resolved addresses.
func failureOf(caller, attempt context.Context, p *progress, err error) (ErrorKind, string) {
	var token *tokenError
	switch {
	case caller.Err() != nil:
		return KindCanceled, "Canceled by the sender before an answer came"
	case errors.As(err, &token):
		return tokenFailure(err)
	case expired(attempt):
		return KindTimeout, p.timeoutText()
	}
	if kind, text := transportFailure(err); kind != KindNone {
		return kind, text
	}
	return p.brokenAnswer(err)
}

// expired reports whether the deadline of ctx has passed. The timer of a dial may fire shortly before that of ctx.
func expired(ctx context.Context) bool {
	deadline, has := ctx.Deadline()
	return errors.Is(ctx.Err(), context.DeadlineExceeded) || has && !time.Now().Before(deadline)
}

// transportFailure describes an error on the way to a connection; KindNone for others.
func transportFailure(err error) (ErrorKind, string) {
	for _, match := range []func(error) (ErrorKind, string){
		notSent, proxyFailure, dnsFailure, tlsFailure, timedOut, notConnected,
	} {
		if kind, text := match(err); kind != KindNone {
			return kind, text
		}
	}
	return KindNone, ""
}

// TransportFailure describes a network error in general words. It names no URL, host or address, so that the text can
// be part of a workflow history.
func TransportFailure(err error) string {
	if errors.Is(err, context.Canceled) {
		return "Canceled before an answer came"
	}
	if kind, text := transportFailure(err); kind != KindNone {
		return Gist(text)
	}
	return "No valid answer came"
}

// IsBlocked reports whether the guard refused the address of a request, which a retry would not change.
func IsBlocked(err error) bool {
	kind, _ := transportFailure(err)
	return kind == KindBlocked
}

// timeoutText says what the attempt was waiting for at its deadline.
func (p *progress) timeoutText() string {
	switch {
	case p.answered.Load():
		return "Connection timeout: the answer began, but its headers did not end in time"
	case p.connected():
		return "Connection timeout: connected, but no answer came in time"
	}
	return "Connection timeout: no connection in time"
}

// brokenAnswer says what was wrong with the answer on an established connection.
func (p *progress) brokenAnswer(err error) (ErrorKind, string) {
	switch {
	case !p.answered.Load():
		return KindClosed, "Connection closed before an answer came"
	case errors.Is(err, errInformational):
		return KindProtocol, fmt.Sprintf(
			"More than %d informational answers (1xx) came before the final answer",
			maxInformational,
		)
	case p.headerTooLarge():
		return KindProtocol, fmt.Sprintf("The answer's headers are larger than %d KiB", maxHeaderBytes>>10)
	case p.ended():
		return KindClosed, "The answer ended early: the connection closed within the headers"
	}
	return KindProtocol, "The answer is not valid HTTP"
}

// notSent covers what the client itself refuses to send.
func notSent(err error) (ErrorKind, string) {
	var urlErr *URLError
	switch {
	case errors.As(err, &urlErr):
		return KindBlocked, "Blocked: " + urlErr.Error()
	case errors.Is(err, ssrf.ErrProhibitedIP),
		errors.Is(err, ssrf.ErrProhibitedNetwork),
		errors.Is(err, ssrf.ErrInvalidHostPort):
		return KindBlocked, "Blocked: the host resolves to a private, local or reserved address"
	case errors.Is(err, ErrInvalidHeader):
		return KindRequest, "A custom header cannot be sent: " + err.Error()
	}
	return KindNone, ""
}

func dnsFailure(err error) (ErrorKind, string) {
	var dns *net.DNSError
	switch {
	case !errors.As(err, &dns):
		return KindNone, ""
	case dns.IsTimeout:
		return KindDNS, "Host name lookup timed out"
	case dns.IsNotFound:
		return KindDNS, "Host name not found"
	}
	return KindDNS, "Host name lookup failed"
}

// timedOut covers connectTimeout, which is shorter than most attempts' deadlines.
func timedOut(err error) (ErrorKind, string) {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return KindTimeout, fmt.Sprintf(
			"Connection timeout: no connection within %.0f s",
			connectTimeout.Seconds(),
		)
	}
	return KindNone, ""
}

func notConnected(err error) (ErrorKind, string) {
	var op *net.OpError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return KindConnect, "Connection refused"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return KindConnect, "Host unreachable"
	case errors.As(err, &op) && op.Op == "dial":
		return KindConnect, "Connection failed"
	}
	return KindNone, ""
}
