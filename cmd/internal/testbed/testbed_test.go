package testbed_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/testbed"
)

func TestEnvironment_leaves_out_the_callers_settings(t *testing.T) {
	t.Setenv("GREENROOM_CIRCUIT_THRESHOLD", "9")
	for _, name := range []string{"TEMPORAL_TLS", "TEMPORAL_API_KEY", "TEMPORAL_PROFILE", "TEMPORAL_ADDRESS"} {
		t.Setenv(name, "mine")
	}
	t.Setenv("UNRELATED", "stays")

	env := testbed.Environment([]string{"GREENROOM_KEYSET=k"}, []string{"dispatch.batch_above=0"})

	require.Subset(t, env, []string{"UNRELATED=stays", "GREENROOM_KEYSET=k", "GREENROOM_DISPATCH_BATCH_ABOVE=0"})
	for _, v := range env {
		require.NotContains(t, v, "TEMPORAL_")
		require.NotContains(t, v, "GREENROOM_CIRCUIT_THRESHOLD")
	}
}

func TestNewWorkDir_removes_abandoned_directories(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	abandoned := filepath.Join(dir, "run-1")
	require.NoError(t, os.Mkdir(abandoned, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(abandoned, "data"), nil, 0o600))

	work, err := testbed.NewWorkDir(dir)

	require.NoError(t, err)
	require.DirExists(t, work)
	require.NoDirExists(t, abandoned)
}

func TestCheckReady(t *testing.T) {
	t.Parallel()
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "/readyz", r.URL.Path)
		w.WriteHeader(status)
	}))
	defer server.Close()
	require.NoError(t, testbed.CheckReady(t.Context(), server.URL))
	status = http.StatusServiceUnavailable
	require.ErrorContains(t, testbed.CheckReady(t.Context(), server.URL), "not ready: 503")
}

func TestSleep(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	require.NoError(t, testbed.Sleep(ctx, time.Millisecond))
	require.NoError(t, testbed.Sleep(ctx, -time.Second))
	cancel()
	require.ErrorIs(t, testbed.Sleep(ctx, time.Hour), context.Canceled)
}
