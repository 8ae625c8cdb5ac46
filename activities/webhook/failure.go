package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"syscall"

	"code.dny.dev/ssrf"
)

// ErrorKind names why an attempt has no usable answer. The set is closed and the values are stored.
type ErrorKind = string

// The kinds of failure. Attempts that a receiver answered with a status have KindNone, whatever the status, but for redirects.
const (
	KindNone     ErrorKind = ""
	KindTimeout  ErrorKind = "timeout"  // no answer within the attempt's deadline
	KindDNS      ErrorKind = "dns"      // the host's name does not resolve
	KindConnect  ErrorKind = "connect"  // nothing listens there, or there is no way to it
	KindTLS      ErrorKind = "tls"      // no trusted TLS connection, e.g. an expired certificate
	KindBlocked  ErrorKind = "blocked"  // the address or scheme is one that must not be called
	KindClosed   ErrorKind = "closed"   // the connection broke before a status line came
	KindProtocol ErrorKind = "protocol" // what came back is not HTTP
	KindRedirect ErrorKind = "redirect" // 3xx: never followed
	KindRequest  ErrorKind = "request"  // the webhook's own settings cannot be sent, e.g. a header value with a line break
	KindCanceled ErrorKind = "canceled" // our side gave up: not the receiver's doing
)

// failureOf turns a transport error into a kind and a text for people. The texts are our own, since those of the standard
// library name URLs and resolved addresses.
func failureOf(caller, attempt context.Context, err error) (ErrorKind, string) {
	switch {
	case caller.Err() != nil:
		return KindCanceled, "Canceled by the sender before an answer came"
	case errors.Is(attempt.Err(), context.DeadlineExceeded):
		return KindTimeout, "Connection timeout"
	}
	for _, match := range []func(error) (ErrorKind, string){refusedByUs, dnsFailure, timedOut, tlsFailure, brokenConnection} {
		if kind, text := match(err); kind != KindNone {
			return kind, text
		}
	}
	return KindProtocol, "The answer is not valid HTTP"
}

func refusedByUs(err error) (ErrorKind, string) {
	var urlErr *URLError
	switch {
	case errors.As(err, &urlErr):
		return KindBlocked, "Blocked: " + urlErr.Error()
	case errors.Is(err, ssrf.ErrProhibitedIP), errors.Is(err, ssrf.ErrProhibitedNetwork), errors.Is(err, ssrf.ErrInvalidHostPort):
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

// timedOut covers the limits on connecting and on the TLS handshake, which are shorter than most attempts' deadlines.
func timedOut(err error) (ErrorKind, string) {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return KindTimeout, "Connection timeout"
	}
	return KindNone, ""
}

func tlsFailure(err error) (ErrorKind, string) {
	var (
		handshake *handshakeError
		unknownCA x509.UnknownAuthorityError
		wrongName x509.HostnameError
		invalid   x509.CertificateInvalidError
		notTLS    tls.RecordHeaderError
	)
	switch {
	case !errors.As(err, &handshake):
		return KindNone, ""
	case errors.As(err, &unknownCA):
		return KindTLS, "TLS certificate is signed by an unknown authority"
	case errors.As(err, &wrongName):
		return KindTLS, "TLS certificate is not valid for this host"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return KindTLS, "TLS certificate has expired or is not yet valid"
	case errors.As(err, &notTLS):
		return KindTLS, "The receiver does not speak TLS"
	}
	return KindTLS, "TLS handshake failed"
}

func brokenConnection(err error) (ErrorKind, string) {
	var op *net.OpError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return KindConnect, "Connection refused"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return KindConnect, "Host unreachable"
	case errors.As(err, &op) && op.Op == "dial":
		return KindConnect, "Connection failed"
	case errors.As(err, &op), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return KindClosed, "Connection closed before an answer came"
	}
	return KindNone, ""
}
