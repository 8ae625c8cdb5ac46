package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/client"
	"greenroom/cmd/internal/devstack"
)

// These tests run the program itself because they check signals, exit codes and orphaned processes.

var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "greenroom-program-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "greenroom")
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := program(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

func TestDevExec_passes_environment_output_and_exit_code(t *testing.T) {
	t.Parallel()
	cmd := greenroom(
		t,
		"dev",
		"exec",
		"--",
		"sh",
		"-c",
		`echo "$GREENROOM_TEST_DATABASE_URL $GREENROOM_TEST_TEMPORAL_ADDRESS"; `+
			`test -x "$GREENROOM_TEST_TEMPORAL_BIN" && exit 7`,
	)
	var stdout bytes.Buffer
	cmd.Stdout = &stdout

	err := cmd.Run()

	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	assert.Equal(t, 7, exit.ExitCode())
	assert.Regexp(
		t,
		`^postgres://greenroom:\w+@127.0.0.1:\d+/greenroom\?sslmode=disable 127.0.0.1:\d+\n$`,
		stdout.String(),
	)
	assert.Empty(t, leftovers(t, cmd.Dir), "everything is removed")
}

func TestDevExec_ends_all_processes_on_a_signal(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			cmd := greenroom(t, "dev", "exec", "--", "sh", "-c", "sleep 600 & echo $!; wait")
			stdout, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			grandchild := readNumber(t, stdout)

			require.NoError(t, cmd.Process.Signal(sig))

			var exit *exec.ExitError
			require.ErrorAs(t, cmd.Wait(), &exit)
			assert.Equal(t, 128+int(sig), exit.ExitCode())
			waitUntilGone(t, grandchild)
			assert.Empty(t, leftovers(t, cmd.Dir))
		})
	}
}

func TestDev_keeps_its_data_after_a_kill(t *testing.T) {
	t.Parallel()
	first := startDev(t, t.TempDir())
	before := readDevEnv(t, first.Dir)
	require.NoError(t, first.Process.Kill())
	_ = first.Wait() // killed

	second := startDev(t, first.Dir)

	assert.Equal(t, before.APIKey, readDevEnv(t, first.Dir).APIKey)
	requireLinksSignIn(t, first.Dir)
	doctor := greenroom(t, "doctor")
	doctor.Dir = first.Dir
	found, _ := doctor.Output() // whatever the exit code: only Temporal matters
	assert.Regexp(t, `(?m)^ok +temporal`, string(found), "on the port of this greenroom dev")
	postgres, temporal := pidIn(t, first.Dir, "postgres/postmaster.pid"), pidIn(t, first.Dir, "temporal.pid")
	require.NoError(t, second.Process.Signal(os.Interrupt))
	require.NoError(t, second.Wait(), "a stop by a signal is not a failure")
	waitUntilGone(t, postgres)
	waitUntilGone(t, temporal)
	require.NoFileExists(t, filepath.Join(first.Dir, ".data", "dev.env"))
}

func TestDev_can_be_stopped_while_it_starts(t *testing.T) {
	t.Parallel()
	cmd := greenroom(t, "dev")
	cmd.Env = append(cmd.Env, devEnvironment(t)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	require.NoError(t, cmd.Start())
	waitFor(t, func() bool { return pidIn(t, cmd.Dir, "temporal.pid") > 0 })
	temporal := pidIn(t, cmd.Dir, "temporal.pid")

	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))

	require.NoError(t, cmd.Wait(), stderr.String())
	assert.Equal(t, "stopping … (Ctrl-C again ends at once)\n", stderr.String())
	waitUntilGone(t, temporal)
}

func TestDev_refuses_a_port_in_use_in_one_line(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()

	out, err := greenroom(t, "dev", "--http-addr", listener.Addr().String()).CombinedOutput()

	require.Error(t, err)
	assert.Regexp(t, `^greenroom: port \d+ for the API is in use.*: stop that program, or choose another port with `+
		"GREENROOM_HTTP_ADDR or --http-addr\n$", string(out))
}

func TestDev_refuses_settings_in_a_line_each(t *testing.T) {
	t.Parallel()
	cmd := greenroom(t, "dev", "--postgres-port", "none")
	cmd.Env = append(cmd.Env, "GREENROOM_CIRCUIT_THRESHOLD=5")

	out, err := cmd.CombinedOutput()

	require.Error(t, err)
	assert.Equal(
		t,
		`greenroom: circuit.threshold (GREENROOM_CIRCUIT_THRESHOLD) must be a whole number from 6 to 19, not "5"`+"\n"+
			`dev.postgres_port (GREENROOM_DEV_POSTGRES_PORT) must be a whole number from 1 to 65535, not "none"`+"\n",
		string(out),
	)
}

// greenroom returns a command that runs the program in an empty directory, which is also its TMPDIR. It does not
// inherit the caller's settings.
func greenroom(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := program()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir = t.TempDir()
	makePassable(t, cmd.Dir)
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "GREENROOM_") {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	cmd.Env = append(cmd.Env, "TMPDIR="+cmd.Dir)
	t.Cleanup(func() {
		if cmd.Process != nil && cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
		}
	})
	return cmd
}

// startDev starts `greenroom dev` in dir and returns when it reports that it is ready.
func startDev(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	cmd := greenroom(t, "dev")
	makePassable(t, dir)
	cmd.Dir, cmd.Env = dir, append(cmd.Env, devEnvironment(t)...)
	log, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	require.NoError(t, err)
	defer log.Close()
	cmd.Stderr = log
	require.NoError(t, cmd.Start())
	ready := func() bool {
		text, err := os.ReadFile(log.Name())
		return err == nil && strings.Contains(string(text), "Greenroom is ready")
	}
	if !assert.Eventually(t, ready, time.Minute, 100*time.Millisecond) {
		text, _ := os.ReadFile(log.Name())
		require.FailNow(t, "greenroom dev is not ready", string(text))
	}
	return cmd
}

// readDevEnv reads the dev.env of a ready `greenroom dev`.
func readDevEnv(t *testing.T, dir string) client.Settings {
	t.Helper()
	settings, err := client.LoadSettings(func(name string) string {
		if name == "GREENROOM_DEV_DIR" {
			return filepath.Join(dir, ".data")
		}
		return ""
	})
	require.NoError(t, err)
	return settings
}

// makePassable makes a temporary directory reachable for the user that PostgreSQL runs as when root runs the tests.
func makePassable(t *testing.T, dir string) {
	t.Helper()
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chmod(filepath.Dir(dir), 0o711))
	}
}

func devEnvironment(t *testing.T) []string {
	t.Helper()
	var env []string
	settings := []string{"DEV_TEMPORAL_PORT=", "DEV_TEMPORAL_UI_PORT=", "DEV_POSTGRES_PORT=", "HTTP_ADDR=127.0.0.1:"}
	for _, name := range settings {
		port, err := devstack.FreePort()
		require.NoError(t, err)
		env = append(env, "GREENROOM_"+name+strconv.Itoa(port))
	}
	return env
}

func pidIn(t *testing.T, dir, file string) int {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, ".data", file))
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(data), "\n")
	pid, err := strconv.Atoi(first)
	require.NoError(t, err)
	return pid
}

func readNumber(t *testing.T, from io.Reader) int {
	t.Helper()
	var number int
	_, err := fmt.Fscan(from, &number)
	require.NoError(t, err)
	return number
}

func leftovers(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "greenroom-*"))
	require.NoError(t, err)
	return found
}

// waitUntilGone waits for the end of a process that need not be a child of the test.
func waitUntilGone(t *testing.T, pid int) {
	t.Helper()
	waitFor(t, func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		zombie := err == nil && strings.Contains(string(stat), ") Z ")
		return zombie || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
	})
}

func waitFor(t *testing.T, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, time.Minute, 100*time.Millisecond)
}

// The first Ctrl-C waits for the answer of an attempt in flight. The second ends the program and the stores at once.
func TestDev_waits_for_an_attempt_until_a_second_signal(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}, 1), make(chan struct{})
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(receiver.Close)
	t.Cleanup(func() { close(release) })
	dev := startDev(t, t.TempDir())
	env := readDevEnv(t, dev.Dir)
	post(t, env, "/webhooks", fmt.Sprintf(`{"url":%q,"events":["interview.started"],"profile":"standard"}`, receiver.URL))
	post(t, env, "/events", `{"type":"interview.started","data":{}}`)
	<-arrived
	postgres, temporal := pidIn(t, dev.Dir, "postgres/postmaster.pid"), pidIn(t, dev.Dir, "temporal.pid")

	require.NoError(t, dev.Process.Signal(os.Interrupt))
	ended := make(chan error, 1)
	go func() { ended <- dev.Wait() }()
	select {
	case err := <-ended:
		require.FailNow(t, "the stop did not wait for the attempt", err)
	case <-time.After(3 * time.Second):
	}
	require.NoError(t, dev.Process.Signal(os.Interrupt))
	select {
	case err := <-ended:
		require.ErrorContains(t, err, "signal: interrupt")
	case <-time.After(10 * time.Second):
		require.FailNow(t, "a second Ctrl-C did not end it")
	}
	waitUntilGone(t, postgres)
	waitUntilGone(t, temporal)
}

func post(t *testing.T, env client.Settings, path, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, env.URL+path, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+env.APIKey)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Less(t, res.StatusCode, 300, string(answer))
}
