package webhook

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"time"
)

// maxNamed and maxNamedBytes bound what a failure's text repeats of a certificate.
const (
	maxNamed      = 5
	maxNamedBytes = 200
)

// tlsFailure says what is wrong with the certificate, because the receiver's owner cannot see the client's side of the
// handshake.
func tlsFailure(err error) (ErrorKind, string) {
	var (
		handshake *handshakeError
		unknownCA x509.UnknownAuthorityError
		wrongName x509.HostnameError
		invalid   x509.CertificateInvalidError
		notTLS    tls.RecordHeaderError
		alert     *net.OpError
		timeout   net.Error
	)
	switch {
	case errors.As(err, &alert) && alert.Op == "remote error": // crypto/tls has no exported type for it
		// Also after the handshake: a TLS 1.3 receiver refuses the client's certificate then.
		return KindTLS, "TLS handshake failed: the receiver refused it (" + alert.Err.Error() + ")"
	case !errors.As(err, &handshake):
		return KindNone, ""
	case errors.As(err, &unknownCA):
		return KindTLS, "TLS certificate is signed by an unknown authority" + missingIssuer(unknownCA.Cert)
	case errors.As(err, &wrongName):
		return KindTLS, "TLS certificate is not valid for this host" + namesOf(wrongName.Certificate)
	case errors.As(err, &invalid):
		return KindTLS, invalidText(invalid)
	case errors.As(err, &notTLS):
		return KindTLS, "The receiver does not speak TLS"
	case errors.As(err, &timeout) && timeout.Timeout():
		return KindTimeout, "Connection timeout: connected, but the TLS handshake did not end in time"
	}
	return KindTLS, "TLS handshake failed"
}

// missingIssuer names the authority that was not found: usually an intermediate one, which the receiver does not send.
func missingIssuer(cert *x509.Certificate) string {
	switch {
	case cert == nil:
		return ""
	case cert.Issuer.String() == cert.Subject.String():
		return ": it is self-signed"
	}
	issuer := clip(cert.Issuer.String())
	return ": the certificate of " + issuer + " is missing from the chain that the receiver sends, or is not trusted"
}

func namesOf(cert *x509.Certificate) string {
	if cert == nil {
		return ""
	}
	names := cert.DNSNames
	for _, ip := range cert.IPAddresses {
		names = append(names[:len(names):len(names)], ip.String())
	}
	if len(names) == 0 {
		return ": it names no host"
	}
	more := ""
	if len(names) > maxNamed {
		names, more = names[:maxNamed], " and others"
	}
	return ": it is valid for " + clip(strings.Join(names, ", ")) + more
}

func invalidText(e x509.CertificateInvalidError) string {
	if e.Reason != x509.Expired || e.Cert == nil {
		return "TLS certificate is not valid"
	}
	if now := time.Now(); now.Before(e.Cert.NotBefore) {
		return "TLS certificate is not yet valid: it is valid from " + e.Cert.NotBefore.UTC().Format(time.RFC3339)
	}
	return "TLS certificate has expired: it was valid until " + e.Cert.NotAfter.UTC().Format(time.RFC3339)
}

// clip makes text from a receiver safe to show: printable ASCII, at most maxNamedBytes.
func clip(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return '?'
		}
		return r
	}, s)
	if len(s) > maxNamedBytes {
		return s[:maxNamedBytes] + "..."
	}
	return s
}
