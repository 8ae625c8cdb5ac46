package devstack_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"greenroom/cmd/internal/devstack"
)

func TestStack_belongs_to_one_greenroom_at_a_time(t *testing.T) {
	t.Parallel()
	opts := devstack.Options{Dir: openDir(t), TemporalAddress: "unused:1", Throwaway: true}
	stack, err := devstack.Start(t.Context(), opts)
	require.NoError(t, err)

	_, err = devstack.Start(t.Context(), opts)
	require.ErrorContains(t, err, "another Greenroom runs in "+opts.Dir+": stop it first")
	require.ErrorContains(t, devstack.Remove(opts.Dir), "another Greenroom runs in")
	assert.Equal(t, "1", query(t, stack.DatabaseURL, "SELECT '1'"), "the refused start did no harm")

	require.NoError(t, stack.Stop(context.WithoutCancel(t.Context())))
	assert.NoDirExists(t, opts.Dir)
}

func TestStack_uses_what_it_is_given(t *testing.T) {
	t.Parallel()
	opts := devstack.Options{Dir: openDir(t), DatabaseURL: "postgres://elsewhere/db", TemporalAddress: "elsewhere:7233"}

	stack, err := devstack.Start(t.Context(), opts)

	require.NoError(t, err)
	assert.Equal(t, opts.DatabaseURL, stack.DatabaseURL)
	assert.Equal(t, opts.TemporalAddress, stack.TemporalAddress)
	assert.Nil(t, stack.Postgres)
	assert.Nil(t, stack.Temporal)
	require.NoError(t, stack.Stop(t.Context()))
}

func TestStack_leaves_nothing_running_when_one_store_cannot_start(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	opts := devstack.Options{Dir: openDir(t), TemporalPort: listener.Addr().(*net.TCPAddr).Port}

	_, err = devstack.Start(t.Context(), opts)

	require.ErrorContains(t, err, "GREENROOM_DEV_TEMPORAL_PORT or --temporal-port")
	assert.NoFileExists(t, filepath.Join(opts.Dir, "postgres", "postmaster.pid"))
	require.NoError(t, devstack.Remove(opts.Dir), "the directory is not locked")
}

func TestStack_reports_a_store_that_exits(t *testing.T) {
	t.Parallel()
	stack, err := devstack.Start(
		t.Context(),
		devstack.Options{Dir: openDir(t), TemporalAddress: "unused:1", Throwaway: true},
	)
	require.NoError(t, err)
	lost := stack.Lost()

	stack.Postgres.Kill()

	require.ErrorContains(t, <-lost, "PostgreSQL ended (signal: killed)")
	require.NoError(t, stack.Stop(context.WithoutCancel(t.Context())))
}

func TestSecrets_are_made_once(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()

	first, err := devstack.LoadSecrets(dir)
	require.NoError(t, err)
	second, err := devstack.LoadSecrets(dir)
	require.NoError(t, err)

	assert.Equal(t, first, second)
	assert.Len(t, first.Secret, 64)
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(strings.NewReader(first.Keyset)))
	require.NoError(t, err)
	_, err = aead.New(handle)
	require.NoError(t, err, "the keyset is valid")
	assertPrivate(t, filepath.Join(dir, "secrets"))
}

func TestSecrets_do_not_replace_a_damaged_file(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "secrets"), []byte("GREENROOM_SECRET=aa\n"), 0o600))

	_, err := devstack.LoadSecrets(dir)

	require.ErrorContains(t, err, "lacks GREENROOM_SECRET or GREENROOM_KEYSET")
}

func TestDevEnv(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, devstack.RemoveDevEnv(dir), "a missing file is not an error")

	env := devstack.DevEnv{URL: "http://127.0.0.1:8080", APIKey: "sk_abc"}
	require.NoError(t, devstack.WriteDevEnv(dir, env))
	text, err := os.ReadFile(filepath.Join(dir, "dev.env"))
	require.NoError(t, err)
	assert.Equal(t, "GREENROOM_URL=http://127.0.0.1:8080\nGREENROOM_API_KEY=sk_abc\n", string(text))
	assertPrivate(t, filepath.Join(dir, "dev.env"))
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, files, 1, "no temporary file stays")

	require.NoError(t, devstack.RemoveDevEnv(dir))
	require.NoFileExists(t, filepath.Join(dir, "dev.env"))
}

func TestBanner(t *testing.T) {
	t.Parallel()
	var out strings.Builder

	devstack.Banner{APIURL: "http://a", DocsURL: "http://a/docs", Dir: ".data"}.Print(&out)

	assert.Contains(t, out.String(), "API          http://a\n")
	assert.Contains(t, out.String(), "API key      in .data/dev.env\n")
	assert.NotContains(t, out.String(), "Temporal UI", "a given Temporal may have none")
	assert.NotContains(t, out.String(), "onsole", "it may be switched off")
	out.Reset()
	devstack.Banner{ConsoleURL: "http://a/console/enter/x", APIURL: "http://a", Dir: ".data"}.Print(&out)
	assert.Contains(t, out.String(), "Console      http://a/console/enter/x\n")
	assert.Contains(t, out.String(), "signs in once, within 15 minutes")
}

func assertPrivate(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}
