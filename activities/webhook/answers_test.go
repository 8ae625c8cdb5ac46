package webhook_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook"
)

// TestSendToAReceiverThatClosesIdleConnections: the receiver closes each connection after its answer without announcing
// it. The sender notices only when it sends the next attempt.
func TestSendToAReceiverThatClosesIdleConnections(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	address := rawReceiver(t, func(conn net.Conn, r *bufio.Reader) {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, req.Body)
		requests.Add(1)
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	})
	client := webhook.NewClient(webhook.ClientOptions{AllowHTTP: true, AllowLoopback: true})
	attempts, failed := 1000, 0
	if testing.Short() {
		attempts = 100
	}
	for range attempts {
		if client.Send(t.Context(), request(t, "http://"+address)).StatusCode != http.StatusOK {
			failed++
		}
	}
	assert.Zero(t, failed, "of %d attempts", attempts)
	assert.Equal(t, int64(attempts), requests.Load(), "no request arrived twice")
}

// TestSendReadsAnEarlyAnswer: a receiver may answer and close before it has read the request (RFC 9112 §9.6).
func TestSendReadsAnEarlyAnswer(t *testing.T) {
	t.Parallel()
	address := rawReceiver(t, func(conn net.Conn, r *bufio.Reader) {
		_, _ = r.ReadString('\n')
		_, _ = io.WriteString(conn, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	})
	client := webhook.NewClient(webhook.ClientOptions{AllowHTTP: true, AllowLoopback: true})
	attempts, lost := 500, 0
	if testing.Short() {
		attempts = 50
	}
	for range attempts {
		req := request(t, "http://"+address)
		req.Body = []byte(`{"filler":"` + strings.Repeat("x", 200<<10) + `"}`)
		if client.Send(t.Context(), req).StatusCode != http.StatusRequestEntityTooLarge {
			lost++
		}
	}
	assert.Zero(t, lost, "of %d answers", attempts)
}

func TestSendSaysWhereARedirectPoints(t *testing.T) {
	t.Parallel()
	for location, want := range map[string]string{
		"https://user:hunter2@new.example/hook?token=hunter2#x": ": it points to https://new.example/hook",
		"":           ": it names no address",
		"http://%zz": ": it names no valid address",
	} {
		b := setup(t, answer(http.StatusFound, http.Header{"Location": {location}}, ""))
		resp := b.client.Send(t.Context(), request(t, b.URL))
		assert.Equal(t, webhook.KindRedirect, resp.ErrorKind)
		assert.Equal(t, "HTTP 302 Found (redirects are not followed)"+want, resp.Error)
		assert.Equal(t, "HTTP 302 Found (redirects are not followed)", webhook.Gist(resp.Error))
	}
	b := setup(t, answer(http.StatusPermanentRedirect, http.Header{"Location": {"/hook/"}}, ""))
	assert.Equal(t, "HTTP 308 Permanent Redirect (redirects are not followed): it points to "+b.URL+"/hook/",
		b.client.Send(t.Context(), request(t, b.URL+"/hook")).Error)

	for status, want := range map[int]string{
		300: "HTTP 300 Multiple Choices", 304: "HTTP 304 Not Modified", 305: "HTTP 305 Use Proxy",
	} {
		b := setup(t, answer(status, nil, ""))
		resp := b.client.Send(t.Context(), request(t, b.URL))
		assert.Equal(t, webhook.KindNone, resp.ErrorKind, "%d is no redirect", status)
		assert.Equal(t, want, resp.Error)
		assert.Equal(t, webhook.Retry, webhook.Classify(profile(t, "instaview"), resp))
	}
}

func TestSendAllowsForTheReceiversClock(t *testing.T) {
	t.Parallel()
	there := time.Now().UTC().Add(time.Hour).Truncate(time.Second)
	b := setup(t, answer(http.StatusServiceUnavailable, http.Header{
		"Date": {there.Format(http.TimeFormat)}, "Retry-After": {there.Add(time.Minute).Format(http.TimeFormat)},
	}, ""))
	resp := b.client.Send(t.Context(), request(t, b.URL))
	assert.Equal(t, time.Minute, resp.RetryAfter)
	assert.Regexp(t, `^HTTP 503 Service Unavailable: the receiver's clock is (59m\d\ds|1h0m0s) ahead$`, resp.Error)

	b = setup(
		t,
		answer(http.StatusUnauthorized, http.Header{"Date": {there.Add(-2 * time.Hour).Format(http.TimeFormat)}}, ""),
	)
	assert.Contains(t, b.client.Send(t.Context(), request(t, b.URL)).Error, " behind")
}

func TestSendSaysHowAnAnswerEnded(t *testing.T) {
	t.Parallel()
	for sent, want := range map[string]string{
		"":                                  "Connection closed before an answer came",
		"HTTP/1.1 2":                        "The answer ended early: the connection closed within the headers",
		"HTTP/1.1 200 OK\r\nContent-Type":   "The answer ended early: the connection closed within the headers",
		"HTTP/1.1 200 OK\r\n\tx: y\r\n\r\n": "The answer is not valid HTTP",
	} {
		address := rawReceiver(t, func(conn net.Conn, r *bufio.Reader) {
			if req, err := http.ReadRequest(r); err == nil {
				_, _ = io.Copy(io.Discard, req.Body)
				_, _ = io.WriteString(conn, sent)
			}
		})
		client := webhook.NewClient(webhook.ClientOptions{AllowHTTP: true, AllowLoopback: true})
		assert.Equal(t, want, client.Send(t.Context(), request(t, "http://"+address)).Error, "%q", sent)
	}
}

// silent discards a server's log of failed handshakes.
var silent = log.New(io.Discard, "", 0)

// certificate makes a certificate that is signed by a parent, or by itself.
func certificate(t *testing.T, template *x509.Certificate, parent *tls.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	signer, signerKey := template, any(key)
	if parent != nil {
		signer, signerKey = parent.Leaf, parent.PrivateKey
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, signer, &key.PublicKey, signerKey)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(raw)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key, Leaf: leaf}
}

// wrongCertificates has a certificate for each text that a failure may have, and the authority that the client trusts.
func wrongCertificates(t *testing.T) (byText map[string]tls.Certificate, trusted *x509.CertPool) {
	t.Helper()
	long, now := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	authority := func(name string) *x509.Certificate {
		return &x509.Certificate{
			Subject: pkix.Name{CommonName: name}, NotBefore: now, NotAfter: long, IsCA: true, BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageCertSign,
		}
	}
	root := certificate(t, authority("Root"), nil)
	middle := certificate(t, authority("Intermediate 7"), &root)
	leaf := func(from, until time.Time, names ...string) *x509.Certificate {
		return &x509.Certificate{
			Subject:     pkix.Name{CommonName: "leaf"},
			NotBefore:   from,
			NotAfter:    until,
			DNSNames:    names,
			IPAddresses: []net.IP{{127, 0, 0, 1}},
		}
	}
	ended := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	other := leaf(now, long, "a.example", "b.example")
	other.IPAddresses = nil
	unnamed, many, clientOnly := leaf(now, long), leaf(now, long, "1.x", "2.x", "3.x", "4.x", "5.x"), leaf(now, long)
	unnamed.IPAddresses, many.IPAddresses = nil, []net.IP{{192, 0, 2, 1}}
	clientOnly.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	five := leaf(now, long, "1.x", "2.x", "3.x", "4.x", "5.x")
	five.IPAddresses = nil
	longest, tooLong := "CN=~ "+strings.Repeat("b", 195), "CN="+strings.Repeat("c", 198)
	byAuthority := func(name string) tls.Certificate {
		signer := certificate(t, authority(strings.TrimPrefix(name, "CN=")), &root)
		return certificate(t, leaf(now, long), &signer)
	}
	const unknown = "TLS certificate is signed by an unknown authority"
	const missing = " is missing from the chain that the receiver sends, or is not trusted"
	const wrongName = "TLS certificate is not valid for this host"
	trusted = x509.NewCertPool()
	trusted.AddCert(root.Leaf)
	return map[string]tls.Certificate{
		unknown + ": the certificate of CN=Intermediate 7" + missing: certificate(
			t,
			leaf(now, long),
			&middle,
		),
		unknown + ": the certificate of CN=? Z" + missing:                   byAuthority("CN=\u00c4 Z"),
		unknown + ": the certificate of " + longest + missing:               byAuthority(longest),
		unknown + ": the certificate of " + tooLong[:200] + "..." + missing: byAuthority(tooLong),
		unknown + ": it is self-signed": certificate(
			t,
			leaf(now, long),
			nil,
		),
		"TLS certificate has expired: it was valid until 2024-05-06T07:08:09Z": certificate(
			t,
			leaf(ended.Add(-time.Hour), ended),
			&root,
		),
		"TLS certificate is not yet valid: it is valid from " + long.UTC().Format(time.RFC3339): certificate(
			t,
			leaf(long, long.Add(time.Hour)),
			&root,
		),
		"TLS certificate is not valid": certificate(
			t,
			clientOnly,
			&root,
		),
		wrongName + ": it is valid for a.example, b.example":               certificate(t, other, &root),
		wrongName + ": it is valid for 1.x, 2.x, 3.x, 4.x, 5.x":            certificate(t, five, &root),
		wrongName + ": it is valid for 1.x, 2.x, 3.x, 4.x, 5.x and others": certificate(t, many, &root),
		wrongName + ": it names no host": certificate(
			t,
			unnamed,
			&root,
		),
	}, trusted
}

func TestSendSaysWhichCertificateIsWrong(t *testing.T) {
	t.Parallel()
	certificates, trusted := wrongCertificates(t)
	for want, cert := range certificates {
		server := httptest.NewUnstartedServer(answer(http.StatusOK, nil, ""))
		server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
		server.Config.ErrorLog = silent
		server.StartTLS()
		t.Cleanup(server.Close)
		client := webhook.NewClient(webhook.ClientOptions{AllowLoopback: true, RootCAs: trusted})
		resp := client.Send(t.Context(), request(t, server.URL))
		assert.Equal(t, webhook.KindTLS, resp.ErrorKind)
		assert.Equal(t, want, resp.Error)
	}
}
