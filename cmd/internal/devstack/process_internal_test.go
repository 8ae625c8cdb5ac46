package devstack

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var errNotReady = errors.New("does not answer")

func never(context.Context) error { return errNotReady }

// shell starts a child that runs the script and is killed when the test ends.
func shell(t *testing.T, script string) *process {
	t.Helper()
	p, err := startProcess(processSpec{
		name:    "child",
		path:    "/bin/sh",
		args:    []string{"-c", script},
		logFile: filepath.Join(t.TempDir(), "logs", "child.log"),
	})
	require.NoError(t, err)
	t.Cleanup(p.kill)
	return p
}

func TestProcess_that_does_not_become_ready(t *testing.T) {
	t.Parallel()

	t.Run("ends_with_the_end_of_its_log", func(t *testing.T) {
		t.Parallel()
		p := shell(t, "echo one; echo two; echo three; echo four >&2; exit 3")
		err := p.waitReady(t.Context(), time.Minute, never)
		require.ErrorContains(t, err, "child ended while starting (exit status 3): two | three | four (all of it: "+p.logFile)
	})
	t.Run("takes_too_long", func(t *testing.T) {
		t.Parallel()
		err := shell(t, "exec sleep 60").waitReady(t.Context(), 100*time.Millisecond, never)
		require.ErrorIs(t, err, errNotReady)
		require.ErrorContains(t, err, "not ready after 100ms")
	})
	t.Run("is_given_up_by_ctrl_c", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		err := shell(t, "exec sleep 60").waitReady(ctx, time.Minute, func(context.Context) error {
			cancel()
			return errNotReady
		})
		require.ErrorIs(t, err, context.Canceled)
	})
	t.Run("is_not_started_without_its_program", func(t *testing.T) {
		t.Parallel()
		_, err := startProcess(processSpec{
			name: "child", path: filepath.Join(t.TempDir(), "none"), logFile: filepath.Join(t.TempDir(), "log"),
		})
		require.ErrorIs(t, err, os.ErrNotExist)
		require.ErrorContains(t, err, "start child")
	})
}

func TestProcess_stop(t *testing.T) {
	t.Parallel()

	t.Run("by_its_signal", func(t *testing.T) {
		t.Parallel()
		p := shell(t, "exec sleep 60")
		require.NoError(t, p.stop(t.Context(), syscall.SIGTERM, time.Minute))
		require.True(t, p.ended())
		require.NoError(t, p.stop(t.Context(), syscall.SIGTERM, time.Minute), "an ended one is stopped")
	})
	// Both children of the group must go: the shell and its sleep.
	deaf := func(t *testing.T) *process {
		t.Helper()
		p := shell(t, "trap '' TERM; echo ready; while :; do sleep 1; done")
		require.NoError(t, p.waitReady(t.Context(), time.Minute, func(context.Context) error {
			if strings.Contains(p.logTail(), "ready") {
				return nil
			}
			return errNotReady
		}))
		return p
	}
	t.Run("kills_after_the_grace_period", func(t *testing.T) {
		t.Parallel()
		p := deaf(t)
		err := p.stop(t.Context(), syscall.SIGTERM, 50*time.Millisecond)
		require.ErrorContains(t, err, "child did not stop within 50ms and was killed")
		require.True(t, p.ended())
	})
	t.Run("kills_at_once_when_the_caller_gives_up", func(t *testing.T) {
		t.Parallel()
		p := deaf(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.Error(t, p.stop(ctx, syscall.SIGTERM, time.Hour))
		require.True(t, p.ended())
	})
}

func TestOpenLog_truncates_above_its_limit(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "child.log")
	for size, want := range map[int64]int64{maxLogSize: maxLogSize, maxLogSize + 1: 0} {
		require.NoError(t, os.WriteFile(path, nil, 0o600))
		require.NoError(t, os.Truncate(path, size))
		log, err := openLog(path)
		require.NoError(t, err)
		info, err := log.Stat()
		require.NoError(t, err)
		require.NoError(t, log.Close())
		require.Equal(t, want, info.Size())
	}
}

func TestReadPID(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pid")
	require.Zero(t, readPID(path), "no file")
	for text, want := range map[string]int{
		"123\n": 123, "123": 123, " 123 \n/data\n5432\n": 123, "": 0, "\n123": 0, "x": 0, "1\n": 0, "0": 0, "-5": 0,
		"99999999999999999999": 0, "12 34": 0,
	} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		require.Equal(t, want, readPID(path), "%q", text)
	}
}

func TestStopLeftover(t *testing.T) {
	t.Parallel()
	pidFile := func(t *testing.T, pid int) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), "pid")
		require.NoError(t, writePID(path, pid))
		return path
	}

	t.Run("ends_the_process_that_has_the_marker", func(t *testing.T) {
		t.Parallel()
		const marker = "marker-of-this-test"
		p := shell(t, "sleep 60; : "+marker)
		require.NoError(t, p.waitReady(t.Context(), time.Minute, func(ctx context.Context) error {
			if strings.Contains(commandLine(ctx, p.pid()), marker) { // the kernel sets it shortly after the start
				return nil
			}
			return errNotReady
		}))
		path := pidFile(t, p.pid())
		require.NoError(t, stopLeftover(t.Context(), path, marker, syscall.SIGKILL))
		<-p.done
		require.Equal(t, syscall.SIGKILL, p.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal())
		require.NoFileExists(t, path)
	})
	t.Run("spares_another_process_with_a_reused_id", func(t *testing.T) {
		t.Parallel()
		p := shell(t, "exec sleep 60")
		path := pidFile(t, p.pid())
		require.NoError(t, stopLeftover(t.Context(), path, "another marker", syscall.SIGKILL))
		require.NoFileExists(t, path, "the file is stale")
		require.NoError(t, syscall.Kill(p.pid(), 0))
		require.False(t, p.ended())
	})
	t.Run("forgets_a_process_that_ended", func(t *testing.T) {
		t.Parallel()
		p := shell(t, "exit 0")
		<-p.done
		path := pidFile(t, p.pid())
		require.NoError(t, stopLeftover(t.Context(), path, "marker-of-no-process", syscall.SIGKILL))
		require.NoFileExists(t, path)
	})
	t.Run("without_a_file_there_is_nothing_to_do", func(t *testing.T) {
		t.Parallel()
		require.NoError(t, stopLeftover(t.Context(), filepath.Join(t.TempDir(), "pid"), "x", syscall.SIGKILL))
	})
}

func TestFreePort_is_different_each_time(t *testing.T) {
	t.Parallel()
	seen := map[int]bool{}
	for range 200 {
		port, err := FreePort()
		require.NoError(t, err)
		require.False(t, seen[port], port)
		seen[port] = true
	}
	var all sync.Map
	for port := range 1 << 16 {
		all.Store(port, true)
	}
	_, err := freePort(&all)
	require.ErrorIs(t, err, errNoFreePort, "it does not search for ever")
	port, err := portOrFree(4711)
	require.NoError(t, err)
	require.Equal(t, 4711, port)
	require.Equal(t, "127.0.0.1:4711", loopback(port))
}

func TestCheckAddr(t *testing.T) {
	t.Parallel()
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	addr := taken.Addr().String()
	_, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)

	t.Run("names_the_port_its_process_and_the_setting", func(t *testing.T) {
		err := CheckAddr(t.Context(), addr, "the API", "GREENROOM_HTTP_ADDR")
		require.ErrorContains(t, err, "port "+port+" for the API is in use by process "+strconv.Itoa(os.Getpid()))
		require.ErrorContains(t, err, "choose another port with GREENROOM_HTTP_ADDR")
		require.NotContains(t, err.Error(), "\n")
	})
	t.Run("gives_up_by_ctrl_c", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(portWait/10, cancel)
		require.ErrorIs(t, CheckAddr(ctx, addr, "the API", "X"), context.Canceled)
	})
	t.Run("waits_for_a_port_that_is_about_to_be_free", func(t *testing.T) {
		time.AfterFunc(portWait/5, func() { _ = taken.Close() })
		require.NoError(t, CheckAddr(t.Context(), addr, "the API", "X"))
	})
	t.Run("says_why_an_address_cannot_be_opened", func(t *testing.T) {
		err := CheckAddr(t.Context(), "192.0.2.1:0", "the API", "GREENROOM_HTTP_ADDR") // a documentation address
		require.ErrorContains(t, err, "192.0.2.1:0 cannot be opened for the API")
		require.ErrorContains(t, err, "choose another with GREENROOM_HTTP_ADDR")
	})
}

func TestRunningDatabase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := &Postgres{opts: PostgresOptions{Dir: dir}}
	state := filepath.Join(dir, "postgres", "postmaster.pid")
	refused := func(reason string) {
		t.Helper()
		_, err := RunningDatabase(dir)
		require.ErrorIs(t, err, ErrNotRunning)
		require.ErrorContains(t, err, reason)
	}
	refused("read the cluster's password")
	require.NoError(t, os.WriteFile(p.passwordFile(), []byte("secret\n"), 0o600))
	refused("read the server's state")
	require.NoError(t, os.MkdirAll(filepath.Dir(state), 0o700))
	require.NoError(t, os.WriteFile(state, []byte("123\n/data\n"), 0o600))
	refused("still starting")
	require.NoError(t, os.WriteFile(state, []byte("123\n/data\n1700000000\nx\n"), 0o600))
	_, err := RunningDatabase(dir)
	require.ErrorContains(t, err, "read the server's port")
	require.NoError(t, os.WriteFile(state, []byte("123\n/data\n1700000000\n5433\n/tmp\n"), 0o600))
	url, err := RunningDatabase(dir)
	require.NoError(t, err)
	assert.Contains(t, url, ":secret@127.0.0.1:5433/")
}

func TestRemove(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	require.NoError(t, Remove(dir), "a missing directory is not an error")
	require.NoError(t, CheckUnused(dir))
	outside := filepath.Join(t.TempDir(), "outside")
	require.NoError(t, os.MkdirAll(filepath.Join(outside, "postgres"), 0o700))
	require.NoError(t, os.MkdirAll(dir, 0o700))
	require.NoError(t, os.Symlink(filepath.Join(outside, "postgres"), filepath.Join(dir, "postgres")))
	lock, err := lockDir(dir)
	require.NoError(t, err)
	require.ErrorContains(t, Remove(dir), "another Greenroom runs in")
	require.ErrorContains(t, CheckUnused(dir), "another Greenroom runs in")
	require.DirExists(t, dir)
	require.NoError(t, lock.Close())
	require.NoError(t, CheckUnused(dir))
	require.NoError(t, Remove(dir))
	require.NoDirExists(t, dir)
	require.DirExists(
		t,
		filepath.Join(outside, "postgres"),
		"a link to a directory that is not Greenroom's is not followed",
	)
}
