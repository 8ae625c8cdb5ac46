package service_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/config"
	"greenroom/cmd/internal/devstack"
	"greenroom/cmd/internal/service"
	"greenroom/db"
)

// TestDatabaseOverTLS migrates, publishes and delivers on a PostgreSQL that takes connections over TLS alone, with a
// certificate of a CA of its own, and refuses to use one that cannot prove its name.
func TestDatabaseOverTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, other := newAuthority(t, filepath.Join(dir, "ca.pem")), newAuthority(t, filepath.Join(dir, "other.pem"))
	server := postgresOverTLS(t, ca)
	at := func(host string, query url.Values) string {
		u, err := url.Parse(server)
		require.NoError(t, err)
		u.Host, u.RawQuery = net.JoinHostPort(host, u.Port()), query.Encode()
		return u.String()
	}
	verified := url.Values{"sslmode": {"verify-full"}, "sslrootcert": {ca.file}}

	t.Run("refuses", func(t *testing.T) {
		for name, tt := range map[string]struct{ url, says string }{
			"another_name": {at("localhost", verified), "certificate is valid for postgres.test, not localhost"},
			"an_unknown_CA": {
				at("127.0.0.1", url.Values{"sslmode": {"verify-full"}, "sslrootcert": {other.file}}),
				"certificate signed by unknown authority",
			},
			"an_unknown_CA_of_the_system": {
				at("127.0.0.1", url.Values{"sslmode": {"verify-full"}}), "certificate signed by unknown authority",
			},
			"a_missing_file_of_CAs": {
				at("127.0.0.1", url.Values{"sslmode": {"verify-full"}, "sslrootcert": {"/nowhere/ca.pem"}}),
				"open /nowhere/ca.pem: no such file or directory",
			},
			"a_connection_without_TLS": {at("127.0.0.1", url.Values{"sslmode": {"disable"}}), "no encryption"},
			"an_unknown_mode":          {at("127.0.0.1", url.Values{"sslmode": {"verify-fully"}}), "sslmode is invalid"},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				cfg := config.Config{Database: config.Database{URL: tt.url, MaxConns: 2}}
				logger := slog.New(slog.DiscardHandler)
				_, err := service.AwaitDB(t.Context(), cfg, logger) // an error at once: waiting does not help
				require.ErrorContains(t, err, tt.says)
				require.NotContains(t, err.Error(), password(t, server))
			})
		}
	})
	t.Run("serves_every_process", func(t *testing.T) {
		address := at("127.0.0.1", verified)
		cfg := config.Config{Database: config.Database{URL: address, MaxConns: 10}}
		d, err := service.OpenDB(t.Context(), cfg)
		require.NoError(t, err)
		t.Cleanup(func() { _ = d.Close() })
		applied, err := db.Migrate(t.Context(), d)
		require.NoError(t, err)
		require.NotEmpty(t, applied)

		b := bundleOn(t, d, address)
		worker, api := b.work(), b.serve()
		b.eventually(func() bool { return b.ready(worker) && b.ready(api) })
		b.publish(3)
		b.arrives(3)
		var plain, listening int
		b.eventually(func() bool { // LISTEN is the last statement of its connection
			require.NoError(t, d.NewRaw(`SELECT count(*) FILTER (WHERE NOT s.ssl),
				count(*) FILTER (WHERE s.ssl AND a.query LIKE 'LISTEN %')
				FROM pg_stat_activity a JOIN pg_stat_ssl s USING (pid) WHERE a.datname = current_database()`).
				Scan(t.Context(), &plain, &listening))
			return listening == 1
		})
		require.Zero(t, plain)
	})
}

func password(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	word, set := u.User.Password()
	require.True(t, set)
	return word
}

// authority is a certificate authority. Its certificate is in file.
type authority struct {
	file string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, file string) authority {
	t.Helper()
	a := authority{file: file}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA " + filepath.Base(file)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	var err error
	a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	require.NoError(t, err)
	a.cert, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return a
}

// issue returns a certificate for the addresses and names, and its key, in PEM.
func (a authority) issue(t *testing.T, ips []net.IP, names ...string) (cert, key []byte) {
	t.Helper()
	leaf, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "server.test"}, IPAddresses: ips, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, a.cert, &leaf.PublicKey, a.key)
	require.NoError(t, err)
	raw, err := x509.MarshalPKCS8PrivateKey(leaf)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

// postgresOverTLS starts a PostgreSQL of its own with a certificate for 127.0.0.1 and postgres.test, which refuses connections without
// TLS, and returns its URL.
func postgresOverTLS(t *testing.T, ca authority) string {
	t.Helper()
	dir := t.TempDir()
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chmod(filepath.Dir(dir), 0o711)) // PostgreSQL's user needs access
	}
	server, err := devstack.StartPostgres(t.Context(), devstack.PostgresOptions{Dir: dir, Fast: true})
	require.NoError(t, err)
	t.Cleanup(server.Kill)
	data, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres"))
	require.NoError(t, err)
	info, err := os.Stat(data)
	require.NoError(t, err)
	owner := info.Sys().(*syscall.Stat_t)
	put := func(name string, content []byte) {
		path := filepath.Join(data, name)
		require.NoError(t, os.WriteFile(path, content, 0o600))
		require.NoError(t, os.Chown(path, int(owner.Uid), int(owner.Gid)))
	}
	cert, key := ca.issue(t, []net.IP{net.IPv4(127, 0, 0, 1)}, "postgres.test")
	put("server.crt", cert)
	put("server.key", key)
	put("pg_hba.conf", []byte("hostssl all all 127.0.0.1/32 scram-sha-256\n"))
	d, err := service.OpenDB(t.Context(), config.Config{Database: config.Database{URL: server.URL(), MaxConns: 1}})
	require.NoError(t, err)
	defer func() { _ = d.Close() }()
	for _, statement := range []string{"ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"} {
		_, err = d.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	secure := config.Config{Database: config.Database{
		URL: strings.Replace(server.URL(), "sslmode=disable", "sslmode=require", 1), MaxConns: 1,
	}}
	require.Eventually(t, func() bool { // the server reloads a moment later
		d, err := service.OpenDB(t.Context(), secure)
		if err == nil {
			_ = d.Close()
		}
		return err == nil
	}, wait, 20*time.Millisecond)
	return server.URL()
}
