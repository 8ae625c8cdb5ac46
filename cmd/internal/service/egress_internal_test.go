package service

import (
	"crypto/tls"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook"
	"greenroom/api/media"
	"greenroom/cmd/internal/config"
)

// TestServicesClient: a service at a private address needs no egress setting, its client reaches no other host, and
// customers' URLs do not reach the service.
func TestServicesClient(t *testing.T) {
	t.Parallel()
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/redirect" {
			http.Redirect(w, r, "http://"+r.Host+"/", http.StatusFound)
		}
	})
	analyser, other := httptest.NewServer(answer), httptest.NewServer(answer)
	secure := httptest.NewTLSServer(answer)
	for _, server := range []*httptest.Server{analyser, other, secure} {
		t.Cleanup(server.Close)
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	require.NoError(t, os.WriteFile(ca, block, 0o600))

	cfg := config.Config{
		Analysis: config.Service{URL: analyser.URL + "/base"}, Generator: config.Service{URL: secure.URL},
		Provider: config.Service{URL: "http://169.254.169.254"}, Egress: config.Egress{ServicesCA: ca},
	}
	services, err := servicesClient(cfg)
	require.NoError(t, err)
	refused := func(client *webhook.Client, url string) {
		t.Helper()
		_, err := get(t, client, url)
		var urlError *webhook.URLError
		require.ErrorAs(t, err, &urlError, url)
	}

	customers, err := EgressClient(cfg, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	for _, url := range []string{analyser.URL, secure.URL} {
		status, err := get(t, services, url+"/calls")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, status)
		refused(customers, url)
	}
	refused(services, other.URL)
	refused(services, "https://example.com")
	refused(services, "http://169.254.169.254/latest")
	status, err := get(t, services, analyser.URL+"/redirect")
	require.NoError(t, err)
	require.Equal(t, http.StatusFound, status, "redirects are not followed")

	none, err := servicesClient(config.Config{})
	require.NoError(t, err)
	refused(none, analyser.URL)

	cfg.Egress.ServicesCA = filepath.Join(t.TempDir(), "missing.pem")
	_, err = servicesClient(cfg)
	require.ErrorContains(t, err, "egress.services_ca_file")
	require.NoError(t, os.WriteFile(cfg.Egress.ServicesCA, []byte("no certificate"), 0o600))
	_, err = servicesClient(cfg)
	require.EqualError(t, err, "egress.services_ca_file holds no PEM certificate")
}

// TestMailServerAndBucketAreReachedAlone: the clients of SMTP and S3 reach private addresses without an egress setting,
// trust the authorities of egress.services_ca_file, and connect to no other host.
func TestMailServerAndBucketAreReachedAlone(t *testing.T) {
	t.Parallel()
	backend := s3mem.New()
	require.NoError(t, backend.CreateBucket("videos"))
	bucket := httptest.NewTLSServer(gofakes3.New(backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server())
	t.Cleanup(bucket.Close)
	var stray atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { stray.Add(1) }))
	t.Cleanup(other.Close)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	t.Cleanup(elsewhere.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: bucket.Certificate().Raw})
	require.NoError(t, os.WriteFile(ca, block, 0o600))
	at := func(endpoint, authorities string) media.Store {
		t.Helper()
		cfg := config.Config{Egress: config.Egress{ServicesCA: authorities}}
		cfg.Media.S3 = config.S3{
			Endpoint: endpoint, Bucket: "videos", Region: "us-east-1", AccessKey: "key", SecretKey: "secret",
		}
		store, err := MediaStore(t.Context(), cfg)
		require.NoError(t, err)
		return store
	}

	t.Run("a_bucket_of_a_company's_authority", func(t *testing.T) {
		store := at(bucket.URL, ca)
		size, err := store.Put(t.Context(), "one", strings.NewReader("content"), 100)
		require.NoError(t, err)
		require.EqualValues(t, 7, size)
		file, err := store.Open(t.Context(), "one")
		require.NoError(t, err)
		require.NoError(t, file.Close())
	})
	t.Run("not_with_an_unknown_authority", func(t *testing.T) {
		_, err := at(bucket.URL, "").Put(t.Context(), "one", strings.NewReader("content"), 100)
		require.ErrorContains(t, err, "certificate signed by unknown authority")
	})
	t.Run("a_redirect_to_another_host_is_refused", func(t *testing.T) {
		store := at(elsewhere.URL, "")
		_, err := store.Put(t.Context(), "one", strings.NewReader("content"), 100)
		require.Error(t, err)
		_, err = store.Open(t.Context(), "one")
		require.Error(t, err)
		require.Error(t, store.Delete(t.Context(), "one"))
		require.Zero(t, stray.Load())
	})
	t.Run("a_metadata_address_is_refused", func(t *testing.T) {
		_, err := at("http://169.254.169.254", "").Put(t.Context(), "one", strings.NewReader("content"), 100)
		require.ErrorContains(t, err, "must not point to a private, local or reserved address")
	})
	t.Run("Amazon's_host_of_the_bucket", func(t *testing.T) {
		urls, err := media.S3Options{
			Endpoint: "https://s3.amazonaws.com", Bucket: "videos", Region: "eu-central-1", AccessKey: "k", SecretKey: "s",
		}.URLs(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{"https://s3.amazonaws.com", "https://videos.s3.dualstack.eu-central-1.amazonaws.com"}, urls)
	})
	t.Run("a_mail_server", func(t *testing.T) {
		address := bucket.Listener.Addr().String()
		server, err := MailServer(config.Config{
			SMTP: config.SMTP{URL: "smtps://u:p@" + address, From: "jobs@example.com"}, Egress: config.Egress{ServicesCA: ca},
		})
		require.NoError(t, err)
		raw, err := server.Dial(t.Context(), "tcp", address)
		require.NoError(t, err)
		defer raw.Close()
		secure := tls.Client(raw, &tls.Config{RootCAs: server.RootCAs, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12})
		require.NoError(t, secure.HandshakeContext(t.Context()))
		var refused *webhook.URLError
		_, err = server.Dial(t.Context(), "tcp", other.Listener.Addr().String())
		require.ErrorAs(t, err, &refused)
		require.Zero(t, stray.Load())
	})
	t.Run("customers_reach_neither", func(t *testing.T) {
		for _, url := range []string{bucket.URL, elsewhere.URL} {
			require.Error(t, CheckEgressURL(config.Config{Media: config.Media{S3: config.S3{Endpoint: url}}})(url))
		}
	})
}

func get(t *testing.T, client *webhook.Client, url string) (status int, err error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	resp, err := client.HTTPClient().Do(req)
	if err != nil {
		return 0, err
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, resp.Body.Close()
}
