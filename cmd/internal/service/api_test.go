package service_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/cmd/internal/config"
	"greenroom/cmd/internal/service"
	"greenroom/db"
	"greenroom/db/pg"
	"greenroom/db/seal"
)

// The key is allowed from one address and used through a proxy on this machine.
func TestTrustedProxies(t *testing.T) {
	t.Parallel()
	for trusted, want := range map[config.Networks]int{
		"": http.StatusForbidden, "10.0.0.0/8": http.StatusForbidden, "10.0.0.0/8,127.0.0.1": http.StatusOK,
	} {
		t.Run("trusting_"+string(trusted), func(t *testing.T) {
			b := setup(t)
			b.cfg.HTTP.TrustedProxies = trusted
			req, err := http.NewRequest(http.MethodGet, b.serve()+"/webhooks", nil)
			require.NoError(t, err)
			req.Header.Set("Authorization", "Bearer "+b.keyFrom("192.0.2.1"))
			req.Header.Set("X-Forwarded-For", "192.0.2.1")
			resp, err := http.DefaultClient.Do(req)
			require.NoError(t, err)
			defer resp.Body.Close()
			require.Equal(t, want, resp.StatusCode)
		})
	}
}

// serve starts an API that stops at the end of the test.
func (b *bundle) serve() (url string) {
	b.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- service.API(ctx, b.cfg, b.db, ln, slog.New(slog.DiscardHandler), nil) }()
	b.t.Cleanup(func() {
		cancel()
		require.NoError(b.t, <-served)
	})
	return "http://" + ln.Addr().String()
}

// keyFrom creates a key that is allowed only from that address.
func (b *bundle) keyFrom(address string) (plain string) {
	b.t.Helper()
	plain, hash, prefix := db.GenerateKey(b.cfg.Secret.Bytes())
	require.NoError(b.t, pg.InTx(b.t.Context(), b.db, func(ctx context.Context, tx bun.Tx) error {
		return db.CreateAPIKey(ctx, tx, &db.APIKey{
			CompanyID: &b.co.ID, Hash: hash, Prefix: prefix, Scopes: []string{db.AllScopes}, AllowedIPs: []string{address},
			RatePerMinute: 60, RatePerHour: 60,
		}, "test")
	}))
	return plain
}

// A process with another keyset could sign nothing, and the others could not open what it seals.
func TestAnotherKeysetIsRefused(t *testing.T) {
	b := setup(t)
	worker, api := b.work(), b.serve()
	b.eventually(func() bool { return b.ready(worker) && b.ready(api) })
	keyset, err := seal.NewKeyset()
	require.NoError(t, err)
	b.cfg.Keyset = keyset

	err = service.Worker(t.Context(), b.cfg, b.db, slog.New(slog.DiscardHandler), nil)
	require.ErrorIs(t, err, db.ErrOtherKeyset)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	err = service.API(t.Context(), b.cfg, b.db, ln, slog.New(slog.DiscardHandler), nil)
	require.ErrorIs(t, err, db.ErrOtherKeyset)

	other, err := seal.New(keyset)
	require.NoError(t, err)
	_, err = b.db.ExecContext(t.Context(), "UPDATE keyset_check SET sealed = ''")
	require.NoError(t, err)
	require.NoError(t, db.CheckKeyset(t.Context(), b.db, other))
	for _, url := range []string{worker, api} {
		status, body := b.get(url + "/readyz")
		require.Equal(t, http.StatusServiceUnavailable, status)
		require.Contains(t, body, "is not this installation's")
	}
}
