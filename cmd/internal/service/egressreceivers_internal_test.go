package service

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/elazarl/goproxy"
	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook"
	"greenroom/activities/webhook/profiles"
	"greenroom/cmd/internal/config"
)

// issuer is a certificate authority of its own.
type issuer struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newIssuer(t *testing.T, name string) *issuer {
	t.Helper()
	i := &issuer{t: t}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	i.cert, i.key = i.issue(template)
	return i
}

// issue signs a certificate for an hour, or lets it sign itself.
func (i *issuer) issue(template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	i.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(i.t, err)
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := i.cert, i.key
	if parent == nil {
		parent, signer = template, key
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	require.NoError(i.t, err)
	cert, err := x509.ParseCertificate(raw)
	require.NoError(i.t, err)
	return cert, key
}

// client writes a client certificate and its key to files.
func (i *issuer) client(name, certFile, keyFile string) {
	i.t.Helper()
	cert, key := i.issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	raw, err := x509.MarshalECPrivateKey(key)
	require.NoError(i.t, err)
	writePEM(i.t, certFile, "CERTIFICATE", cert.Raw)
	writePEM(i.t, keyFile, "EC PRIVATE KEY", raw)
}

// receiver starts a server that answers with the name in the client's certificate, in its header Client.
func (i *issuer) receiver(auth tls.ClientAuthType, clients *issuer) *httptest.Server {
	i.t.Helper()
	cert, key := i.issue(
		&x509.Certificate{Subject: pkix.Name{CommonName: "receiver"}, IPAddresses: []net.IP{{127, 0, 0, 1}}},
	)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, c := range r.TLS.PeerCertificates {
			w.Header().Add("Client", c.Subject.CommonName)
		}
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	pool := x509.NewCertPool()
	pool.AddCert(clients.cert)
	server.TLS = &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}},
		ClientAuth:   auth, ClientCAs: pool,
	}
	server.StartTLS()
	i.t.Cleanup(server.Close)
	return server
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}

// sendTo makes one attempt.
func sendTo(t *testing.T, c *webhook.Client, url string) webhook.Response {
	t.Helper()
	p, err := profiles.ByName(profiles.Default)
	require.NoError(t, err)
	return c.Send(t.Context(), webhook.Request{URL: url, Profile: p, Body: []byte("{}"), Timeout: 30 * time.Second})
}

// TestEgressClientCertificate: receivers that ask for a client certificate get the configured one, a renewed one without
// a restart, and the last usable one while the files do not fit.
func TestEgressClientCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, certFile, keyFile := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "client.pem"), filepath.Join(dir, "key.pem")
	receivers, clients := newIssuer(t, "Receivers"), newIssuer(t, "Clients")
	writePEM(t, ca, "CERTIFICATE", receivers.cert.Raw)
	clients.client("first", certFile, keyFile)
	requires := receivers.receiver(tls.RequireAndVerifyClientCert, clients)
	asks := receivers.receiver(tls.VerifyClientCertIfGiven, newIssuer(t, "Others"))
	silent := receivers.receiver(tls.NoClientCert, clients)

	var logged bytes.Buffer
	egress := config.Egress{AllowLoopback: true, CAFile: ca, ClientCert: certFile, ClientKey: keyFile}
	client, err := EgressClient(config.Config{Egress: egress}, slog.New(slog.NewTextHandler(&logged, nil)))
	require.NoError(t, err)
	sends := func(url string, want ...string) {
		t.Helper()
		client.CloseIdleConnections()
		resp := sendTo(t, client, url)
		require.Equal(t, http.StatusOK, resp.StatusCode, resp.Error)
		require.Equal(t, want, resp.Header.Values("Client"))
	}
	sends(requires.URL, "first")
	sends(asks.URL)
	sends(silent.URL)

	clients.client("second", certFile, filepath.Join(dir, "second-key.pem")) // the key is not there yet
	other := receivers.receiver(tls.RequireAndVerifyClientCert, clients)     // no session to resume
	sends(other.URL, "first")
	require.Contains(t, logged.String(), "client certificate for receivers cannot be read")
	require.NoError(t, os.Rename(filepath.Join(dir, "second-key.pem"), keyFile))
	sends(receivers.receiver(tls.RequireAndVerifyClientCert, clients).URL, "second")

	egress.ClientCert, egress.ClientKey = "", ""
	without, err := EgressClient(config.Config{Egress: egress}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	resp := sendTo(t, without, requires.URL)
	require.Equal(t, webhook.KindTLS, resp.ErrorKind, resp.Error)
	require.Equal(t, "TLS handshake failed: the receiver refused it (tls: certificate required)", resp.Error)
}

func TestEgressClientRefusesUnusableFiles(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "none.pem")
	open := func(e config.Egress) error {
		_, err := EgressClient(config.Config{Egress: e}, slog.New(slog.DiscardHandler))
		return err
	}
	require.ErrorIs(t, open(config.Egress{CAFile: file}), os.ErrNotExist)
	require.ErrorIs(t, open(config.Egress{ClientCert: file, ClientKey: file}), os.ErrNotExist)
	require.NoError(t, os.WriteFile(file, []byte("no certificate"), 0o600))
	require.EqualError(t, open(config.Egress{CAFile: file}), "egress.ca_file holds no PEM certificate")
	require.ErrorContains(t, open(config.Egress{ClientCert: file, ClientKey: file}), "egress.client_cert_file: ")
}

// TestEgressProxy: the proxy is for customers' URLs alone. The operator's services are called without it.
func TestEgressProxy(t *testing.T) {
	t.Parallel()
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(receiver.Close)
	var tunnels atomic.Int32
	server := goproxy.NewProxyHttpServer()
	server.OnRequest().HandleConnectFunc(func(host string, ctx *goproxy.ProxyCtx) (*goproxy.ConnectAction, string) {
		tunnels.Add(1)
		if ctx.Req.Header.Get("Proxy-Authorization") == "" {
			return goproxy.RejectConnect, host
		}
		return goproxy.OkConnect, host
	})
	proxy := httptest.NewServer(server)
	t.Cleanup(proxy.Close)
	cfg := config.Config{
		Analysis: config.Service{URL: receiver.URL},
		Egress: config.Egress{
			AllowHTTP: true, AllowLoopback: true, ProxyURL: strings.Replace(proxy.URL, "//", "//user:password@", 1),
		},
	}
	client, err := EgressClient(cfg, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	resp := sendTo(t, client, receiver.URL)
	require.Equal(t, http.StatusOK, resp.StatusCode, resp.Error)
	require.Equal(t, int32(1), tunnels.Load())

	services, err := servicesClient(cfg)
	require.NoError(t, err)
	status, err := get(t, services, receiver.URL)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, int32(1), tunnels.Load())
}
