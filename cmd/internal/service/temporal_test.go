package service_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/config"
	"greenroom/cmd/internal/service"
)

// TestWorkerUsesTLS delivers through a Temporal that requires TLS and a client certificate. Some settings are the
// variables of Temporal's command line, so the test changes the environment and does not run in parallel.
func TestWorkerUsesTLS(t *testing.T) {
	b := newBundle(t)
	dir := t.TempDir()
	address := serveTLS(t, dir, b.cfg.Temporal.Address)
	b.cfg.Temporal.Managed = false
	t.Setenv("TEMPORAL_ADDRESS", address)
	t.Setenv("TEMPORAL_TLS_SERVER_CA_CERT_PATH", filepath.Join(dir, "cert.pem"))

	t.Run("not_without_the_certificate", func(t *testing.T) {
		b := newBundle(t)
		b.cfg.Temporal.Managed = false
		url := b.work()
		b.eventually(func() bool { return b.log.find("waiting for Temporal") != nil })
		require.False(t, b.ready(url))
	})
	b.cfg.Temporal.CertFile = filepath.Join(dir, "cert.pem")
	b.cfg.Temporal.KeyFile = filepath.Join(dir, "key.pem")
	url := b.work()
	b.eventually(func() bool { return b.ready(url) })
	b.publish(1)
	b.arrives(1)
}

func TestTemporalOptions(t *testing.T) {
	file := filepath.Join(t.TempDir(), "temporal.toml")
	require.NoError(t, os.WriteFile(file, []byte(`[profile.default]
address = "file:7233"
namespace = "of-the-file"
[profile.cloud]
address = "cloud:7233"
api_key = "secret"
`), 0o600))
	tests := map[string]struct {
		env                map[string]string
		args               map[string]string
		managed            bool
		address, namespace string
		tls                bool
		fails              string
	}{
		"nothing": {address: "127.0.0.1:7233", namespace: "default"},
		"temporal's own": {
			env:       map[string]string{"TEMPORAL_ADDRESS": "env:1", "TEMPORAL_NAMESPACE": "n"},
			address:   "env:1",
			namespace: "n",
		},
		"greenroom's win": {
			env: map[string]string{
				"TEMPORAL_ADDRESS": "env:1", "TEMPORAL_NAMESPACE": "n", "TEMPORAL_TLS": "true",
				"GREENROOM_TEMPORAL_ADDRESS": "mine:2", "GREENROOM_TEMPORAL_NAMESPACE": "m",
			},
			address: "mine:2", namespace: "m", tls: true,
		},
		"a file": {
			env:       map[string]string{"TEMPORAL_CONFIG_FILE": file},
			address:   "file:7233",
			namespace: "of-the-file",
		},
		"a profile": {
			env:       map[string]string{"TEMPORAL_CONFIG_FILE": file, "TEMPORAL_PROFILE": "cloud"},
			address:   "cloud:7233",
			namespace: "default",
			tls:       true,
		},
		"none such": {env: map[string]string{"TEMPORAL_CONFIG_FILE": file, "TEMPORAL_PROFILE": "x"}, fails: "TEMPORAL_"},
		"a key": {
			env:       map[string]string{"TEMPORAL_API_KEY": "k"},
			address:   "127.0.0.1:7233",
			namespace: "default",
			tls:       true,
		},
		"one's own": {
			managed:   true,
			env:       map[string]string{"TEMPORAL_ADDRESS": "env:1", "TEMPORAL_TLS": "true"},
			address:   "127.0.0.1:7233",
			namespace: "default",
		},
		"greenroom's key": {
			env:     map[string]string{"GREENROOM_TEMPORAL_API_KEY": "k", "TEMPORAL_ADDRESS": "env:1"},
			address: "env:1", namespace: "default", tls: true,
		},
		"greenroom's tls": {
			env:     map[string]string{"GREENROOM_TEMPORAL_TLS": "true"},
			address: "127.0.0.1:7233", namespace: "default", tls: true,
		},
		"greenroom's file wins": {
			env: map[string]string{
				"TEMPORAL_TLS_SERVER_CA_CERT_PATH": "/nowhere", "GREENROOM_TEMPORAL_TLS_CA_FILE": "/elsewhere",
			},
			fails: "/elsewhere",
		},
		"a broken path": {env: map[string]string{"TEMPORAL_TLS_SERVER_CA_CERT_PATH": "/nowhere"}, fails: "/nowhere"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for k, v := range tt.env {
				t.Setenv(k, v)
			}
			cfg, err := config.Load(nil)
			require.NoError(t, err)
			cfg.Temporal.Managed = tt.managed
			o, err := service.TemporalOptions(cfg)
			if tt.fails != "" {
				require.ErrorContains(t, err, tt.fails)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.address, o.HostPort)
			require.Equal(t, tt.namespace, o.Namespace)
			require.Equal(t, tt.tls, o.ConnectionOptions.TLS != nil)
		})
	}
}

// serveTLS accepts TLS from clients with a known certificate and forwards their data to backend. It writes
// cert.pem and key.pem, for both sides, into dir.
func serveTLS(t *testing.T, dir, backend string) (address string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(
			1,
		),
		Subject:               pkix.Name{CommonName: "temporal.test"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	rawKey, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: rawKey})
	require.NoError(t, os.WriteFile(filepath.Join(dir, "cert.pem"), certPEM, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "key.pem"), keyPEM, 0o600))
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	require.NoError(t, err)
	clients := x509.NewCertPool()
	require.True(t, clients.AppendCertsFromPEM(certPEM))
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients,
		NextProtos: []string{"h2"},
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			go pass(in, backend)
		}
	}()
	return ln.Addr().String()
}

// pass copies both ways until one side closes.
func pass(in net.Conn, backend string) {
	defer in.Close()
	out, err := net.Dial("tcp", backend)
	if err != nil {
		return
	}
	defer out.Close()
	go func() {
		_, _ = io.Copy(out, in)
		_ = out.Close()
	}()
	_, _ = io.Copy(in, out)
}
