package service

import (
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook"
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

	customers, err := egressClient(cfg, slog.New(slog.DiscardHandler))
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
