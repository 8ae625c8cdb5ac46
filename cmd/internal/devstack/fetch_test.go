package devstack_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/devstack"
)

// Tests of downloads and installations must not depend on the network: all connections from the machine are refused.
func TestMain(m *testing.M) {
	os.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	os.Exit(m.Run())
}

// The tests here are not parallel: they change PATH.

func TestFindTemporal_prefers_path(t *testing.T) {
	machine := newMachine(t)
	want := machine.program(t, "temporal", "exit 0")

	path, err := devstack.FindTemporal(t.Context(), io.Discard)

	require.NoError(t, err)
	assert.Equal(t, want, path)
}

func TestFindTemporal_builds_once_with_go(t *testing.T) {
	machine := newMachine(t)
	machine.program(t, "go", `
		echo "$@" >>"$HOME/calls"
		echo "go: downloading example.org v1.0.0" >&2; echo internal/race >&2; echo unsafe >&2
		echo built >"$GOBIN/temporal"; chmod +x "$GOBIN/temporal"`)
	var log bytes.Buffer

	first, err := devstack.FindTemporal(t.Context(), &log)
	require.NoError(t, err)
	second, err := devstack.FindTemporal(t.Context(), io.Discard)
	require.NoError(t, err)

	assert.Equal(t, first, second)
	assert.Equal(t, "built\n", read(t, first))
	calls := strings.Split(strings.TrimSpace(read(t, filepath.Join(machine.home, "calls"))), "\n")
	require.Len(t, calls, 1)
	assert.Regexp(t, `^install -v .*github.com/temporalio/cli/cmd/temporal@v1\.5\.1$`, calls[0])
	assert.Regexp(
		t,
		`(?s)^the Temporal program is not on PATH .*\nbuilding Temporal 1\.5\.1 \(once\) …\n.* done after \d+s\n$`,
		log.String(),
	)
	left, err := filepath.Glob(filepath.Join(filepath.Dir(first), "fetch-*"))
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestFindTemporal_reports_why_the_build_failed(t *testing.T) {
	machine := newMachine(t)
	machine.program(t, "go", `echo "go: no space left on device" >&2; exit 1`)

	_, err := devstack.FindTemporal(t.Context(), io.Discard)

	require.ErrorContains(t, err, "no space left on device")
	require.ErrorContains(t, err, "set GREENROOM_TEMPORAL_ADDRESS to a Temporal you have")
}

func TestFindTemporal_without_go_says_what_to_do(t *testing.T) {
	newMachine(t)

	_, err := devstack.FindTemporal(t.Context(), io.Discard)

	require.EqualError(
		t,
		err,
		"the Temporal program is not on PATH, could not be downloaded, and cannot be built without Go: "+
			"install Temporal CLI 1.5.1, or set GREENROOM_TEMPORAL_ADDRESS to a Temporal you have",
	)
}

func TestFindTemporal_stops_the_build_when_canceled(t *testing.T) {
	machine := newMachine(t)
	machine.program(t, "go", `echo unsafe >&2; sleep 600`)
	ctx, cancel := context.WithCancel(t.Context())
	started := newSignal("building Temporal")
	go func() {
		<-started.seen
		cancel()
	}()

	begin := time.Now()
	_, err := devstack.FindTemporal(ctx, started)

	require.ErrorIs(t, err, context.Canceled)
	assert.Less(t, time.Since(begin), 9*time.Second, "the children of go end too")
}

func TestFindTemporal_waits_for_another_process_that_fetches(t *testing.T) {
	machine := newMachine(t)
	machine.program(t, "go", `echo "built twice" >&2; exit 1`)
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	dir := filepath.Join(cache, "greenroom", "temporal-1.5.1")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	lock, err := os.Create(filepath.Join(dir, "lock"))
	require.NoError(t, err)
	require.NoError(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))
	waiting := newSignal("another Greenroom is fetching")
	go func() {
		<-waiting.seen
		_ = os.WriteFile(filepath.Join(dir, "temporal"), []byte("theirs"), 0o755)
		_ = lock.Close()
	}()

	path, err := devstack.FindTemporal(t.Context(), waiting)

	require.NoError(t, err)
	assert.Equal(t, "theirs", read(t, path))
}

func TestInstallPostgres_uses_the_package_manager(t *testing.T) {
	machine := newMachine(t)
	machine.program(t, "brew", `echo "$@" >"$HOME/calls"`)
	var log bytes.Buffer

	require.NoError(t, devstack.InstallPostgres(t.Context(), &log))

	assert.Equal(t, "install postgresql@17\n", read(t, filepath.Join(machine.home, "calls")))
	assert.Regexp(
		t,
		`^installing PostgreSQL with brew …\ninstalling PostgreSQL with brew … done after \d+s\n$`,
		log.String(),
	)
}

func TestInstallPostgres_reports_why_it_failed(t *testing.T) {
	machine := newMachine(t)
	machine.program(t, "brew", `echo "Error: no network"; exit 1`)

	err := devstack.InstallPostgres(t.Context(), io.Discard)

	require.ErrorContains(t, err, `Error: no network: run "brew install postgresql@17" by hand`)
}

func TestInstallPostgres_without_permission_says_what_to_do(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root has permission")
	}
	machine := newMachine(t)
	machine.program(t, "apt-get", "exit 1")
	machine.program(t, "sudo", "exit 1")

	err := devstack.InstallPostgres(t.Context(), io.Discard)

	require.EqualError(
		t,
		err,
		`PostgreSQL is not installed and this user may not install it: run "sudo apt-get install postgresql", `+
			`or set GREENROOM_DATABASE_URL to a database you have`,
	)
}

func TestInstallPostgres_without_a_package_manager_says_what_to_do(t *testing.T) {
	newMachine(t)

	err := devstack.InstallPostgres(t.Context(), io.Discard)

	require.ErrorContains(t, err, "no known package manager was found: install release 15 or newer")
}

// machine is an environment with only the given programs (and those a shell needs) and an empty home.
type machine struct{ bin, home string }

func newMachine(t *testing.T) machine {
	t.Helper()
	m := machine{bin: t.TempDir(), home: t.TempDir()}
	for _, name := range []string{"sh", "chmod", "sleep"} {
		for _, dir := range []string{"/bin", "/usr/bin"} {
			_ = os.Symlink(filepath.Join(dir, name), filepath.Join(m.bin, name)) // it may exist from /bin
		}
	}
	t.Setenv("PATH", m.bin)
	t.Setenv("HOME", m.home)
	t.Setenv("XDG_CACHE_HOME", filepath.Join(m.home, "cache"))
	return m
}

func (m machine) program(t *testing.T, name, script string) string {
	t.Helper()
	path := filepath.Join(m.bin, name)
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755))
	return path
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(data)
}

// signal is a log that signals when a text was written.
type signal struct {
	text string
	seen chan struct{}
	once sync.Once
}

func newSignal(text string) *signal { return &signal{text: text, seen: make(chan struct{})} }

func (s *signal) Write(p []byte) (int, error) {
	if strings.Contains(string(p), s.text) {
		s.once.Do(func() { close(s.seen) })
	}
	return len(p), nil
}
