package webhook

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"code.dny.dev/ssrf"
)

// ErrorKind names why an attempt has no usable answer. The set is closed and the values are stored.
type ErrorKind = string

// The kinds of failure. Attempts that a receiver answered with a status have KindNone, whatever the status, but for
// redirects.
const (
	KindNone     ErrorKind = ""
	KindTimeout  ErrorKind = "timeout"  // no answer within the attempt's deadline
	KindDNS      ErrorKind = "dns"      // the host's name does not resolve
	KindConnect  ErrorKind = "connect"  // nothing listens there, or there is no way to it
	KindTLS      ErrorKind = "tls"      // no trusted TLS connection, e.g. an expired certificate
	KindBlocked  ErrorKind = "blocked"  // the address or scheme is one that must not be called
	KindClosed   ErrorKind = "closed"   // the connection broke before the answer's headers were there
	KindProtocol ErrorKind = "protocol" // what came back is not HTTP
	KindRedirect ErrorKind = "redirect" // the answer points elsewhere: never followed
	KindRequest  ErrorKind = "request"  // the webhook's own settings cannot be sent, e.g. a header value with a line break
	KindCanceled ErrorKind = "canceled" // our side gave up: not the receiver's doing
)

// Gist is a failure's text without its detail, which may name hosts: what may be kept where customers' data may not.
func Gist(failure string) string {
	gist, _, _ := strings.Cut(failure, ": ")
	return gist
}

// failureOf turns a transport error into a kind and a text for people: what failed and, after ": ", the detail that
// names the remedy. The texts are our own, since those of the standard library name URLs and resolved addresses.
func failureOf(caller, attempt context.Context, p *progress, err error) (ErrorKind, string) {
	switch {
	case caller.Err() != nil:
		return KindCanceled, "Canceled by the sender before an answer came"
	case errors.Is(attempt.Err(), context.DeadlineExceeded):
		return KindTimeout, p.timeoutText()
	}
	for _, match := range []func(error) (ErrorKind, string){refusedByUs, dnsFailure, tlsFailure, timedOut, notConnected} {
		if kind, text := match(err); kind != KindNone {
			return kind, text
		}
	}
	return p.brokenAnswer(err)
}

// timeoutText says what the attempt was waiting for when its time was over.
func (p *progress) timeoutText() string {
	switch {
	case p.answered.Load():
		return "Connection timeout: the answer began and did not come to the end of its headers in time"
	case p.connected():
		return "Connection timeout: connected, but no answer came in time"
	}
	return "Connection timeout: no connection came about in time"
}

// brokenAnswer tells what was wrong with the answer on a connection that came about.
func (p *progress) brokenAnswer(err error) (ErrorKind, string) {
	switch {
	case !p.answered.Load():
		return KindClosed, "Connection closed before an answer came"
	case errors.Is(err, errInformational):
		return KindProtocol, fmt.Sprintf(
			"More than %d informational answers (1xx) came in place of the answer",
			maxInformational,
		)
	case p.headerTooLarge():
		return KindProtocol, fmt.Sprintf("The answer's headers are larger than %d KiB", maxHeaderBytes>>10)
	case p.ended():
		return KindClosed, "The answer ended early: the connection closed within its headers"
	}
	return KindProtocol, "The answer is not valid HTTP"
}

func refusedByUs(err error) (ErrorKind, string) {
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

// timedOut covers the limit on connecting, which is shorter than most attempts' deadlines.
func timedOut(err error) (ErrorKind, string) {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return KindTimeout, fmt.Sprintf(
			"Connection timeout: no connection came about within %.0f s",
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
