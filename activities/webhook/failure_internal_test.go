package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"

	"code.dny.dev/ssrf"
	"github.com/stretchr/testify/assert"
)

// TestFailureOf covers errors that a test cannot get from a real network. failure_test.go covers the others.
func TestFailureOf(t *testing.T) {
	t.Parallel()
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	handshake := func(err error) error { return &handshakeError{err} }
	for _, tc := range []struct {
		name string
		err  error
		kind ErrorKind
		text string
	}{
		{"name_not_found", dial(&net.DNSError{IsNotFound: true}), KindDNS, "Host name not found"},
		{"name_server_silent", dial(&net.DNSError{IsTimeout: true}), KindDNS, "Host name lookup timed out"},
		{"name_server_broken", dial(&net.DNSError{IsTemporary: true}), KindDNS, "Host name lookup failed"},
		{"refused", dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), KindConnect, "Connection refused"},
		{"no_host", dial(os.NewSyscallError("connect", syscall.EHOSTUNREACH)), KindConnect, "Host unreachable"},
		{"no_network", dial(os.NewSyscallError("connect", syscall.ENETUNREACH)), KindConnect, "Host unreachable"},
		{"other_dial", dial(os.NewSyscallError("socket", syscall.EMFILE)), KindConnect, "Connection failed"},
		{
			"connect_timeout", dial(os.ErrDeadlineExceeded), KindTimeout,
			"Connection timeout: no connection within 10 s",
		},
		{
			"dial_deadline", dial(context.DeadlineExceeded), KindTimeout,
			"Connection timeout: no connection within 10 s",
		},
		{
			"handshake_timeout", handshake(context.DeadlineExceeded), KindTimeout,
			"Connection timeout: connected, but the TLS handshake did not end in time",
		},
		{"handshake_broken", handshake(syscall.ECONNRESET), KindTLS, "TLS handshake failed"},
		{
			"certificate_without_detail", handshake(x509.CertificateInvalidError{Reason: x509.Expired}), KindTLS,
			"TLS certificate is not valid",
		},
		{"not_tls", handshake(tls.RecordHeaderError{Msg: "first record"}), KindTLS, "The receiver does not speak TLS"},
		{
			"prohibited_network", dial(fmt.Errorf("%w: udp", ssrf.ErrProhibitedNetwork)), KindBlocked,
			"Blocked: the host resolves to a private, local or reserved address",
		},
		{
			"prohibited_address", dial(fmt.Errorf("%w: x", ssrf.ErrProhibitedIP)), KindBlocked,
			"Blocked: the host resolves to a private, local or reserved address",
		},
		{
			"unreadable_address", dial(fmt.Errorf("%w: x", ssrf.ErrInvalidHostPort)), KindBlocked,
			"Blocked: the host resolves to a private, local or reserved address",
		},
		{
			"broken_in_use", &net.OpError{Op: "read", Err: syscall.ECONNRESET}, KindClosed,
			"Connection closed before an answer came",
		},
		{"anything_else", errors.New("x"), KindClosed, "Connection closed before an answer came"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			kind, text := failureOf(t.Context(), t.Context(), new(progress), tc.err)
			assert.Equal(t, tc.kind, kind)
			assert.Equal(t, tc.text, text)
		})
	}
}

// TestTimeoutText: an attempt that reaches its deadline says what it was waiting for.
func TestTimeoutText(t *testing.T) {
	t.Parallel()
	over, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	answered := &progress{conn: new(conn)}
	answered.answered.Store(true)
	for want, p := range map[string]*progress{
		"Connection timeout: no connection in time":                                 {},
		"Connection timeout: connected, but no answer came in time":                 {conn: new(conn)},
		"Connection timeout: the answer began, but its headers did not end in time": answered,
	} {
		kind, text := failureOf(t.Context(), over, p, errors.New("x"))
		assert.Equal(t, KindTimeout, kind)
		assert.Equal(t, want, text)
	}
}
