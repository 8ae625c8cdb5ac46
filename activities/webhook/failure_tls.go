package webhook

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"time"
)

// maxNamed is how much of a certificate a failure's text repeats, in names and in bytes.
const (
	maxNamed      = 5
	maxNamedBytes = 200
)

// tlsFailure says which certificate is wrong, and how; the receiver's owner cannot see our side of the handshake.
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
	case errors.As(err, &alert) && alert.Op == "remote error": // crypto/tls has no exported type for it
		return KindTLS, "TLS handshake failed: the receiver refused it (" + alert.Err.Error() + ")"
	case errors.As(err, &timeout) && timeout.Timeout():
		return KindTimeout, "Connection timeout: connected, but the TLS handshake was not finished in time"
	}
	return KindTLS, "TLS handshake failed"
}

// missingIssuer names the authority that was not found. It is usually an intermediate one that the receiver does not
// send.
func missingIssuer(cert *x509.Certificate) string {
	switch {
	case cert == nil:
		return ""
	case cert.Issuer.String() == cert.Subject.String():
		return ": it is self-signed"
	}
	return ": the certificate of " + clip(
		cert.Issuer.String(),
	) + " is missing from the chain that the receiver sends, or is not trusted"
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
		return ": it names none"
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

// clip bounds what a text repeats of a receiver's own words, and keeps it to one printable line.
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
