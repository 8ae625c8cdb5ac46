package e2e_test

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/devstack"
	"greenroom/cmd/internal/testbed"
)

// ownTemporal gives the system a Temporal server that the test may stop.
func (s *system) ownTemporal() *devstack.Temporal {
	s.t.Helper()
	temporal, err := devstack.StartTemporal(s.t.Context(), devstack.TemporalOptions{
		Dir:     s.t.TempDir(),
		DBFile:  filepath.Join(s.t.TempDir(), "temporal.db"),
		Program: os.Getenv("GREENROOM_TEST_TEMPORAL_BIN"),
	})
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = temporal.Stop(context.Background()) })
	s.cfg.Temporal.Address = temporal.Address()
	return temporal
}

func TestAPIAcceptsWhileTemporalIsStopped(t *testing.T) {
	s := prepare(t, eachAlone)
	temporal := s.ownTemporal()
	s.serve()
	s.work()
	r := listen(t, nil)
	w := s.webhook(r, "instaview", 5)
	s.publish("interview.started", 1)
	s.eventually(func() bool { return r.count() == 1 }, "it works with Temporal")

	require.NoError(t, temporal.Stop(t.Context()))
	s.publish("interview.started", 20)
	require.Equal(t, 20, s.statuses(w["id"])["pending"], "accepted and stored")
	require.NoError(t, temporal.Start(t.Context()))
	s.eventually(func() bool { return s.statuses(w["id"])["succeeded"] == 21 }, "delivered once it is back")
	deliveries, _ := r.acceptedOnce()
	require.Equal(t, 21, deliveries)
}

// programDir holds the built program. TestMain removes it.
var programDir string

// testsAtOnce is how many tests run at the same time, on two processors too: most of their time is waits for retries,
// circuits and stores.
const testsAtOnce = 4

// TestMain runs testsAtOnce tests at a time unless -parallel says otherwise.
func TestMain(m *testing.M) {
	flag.Parse()
	if at := flag.Lookup("test.parallel"); at.Value.String() == at.DefValue {
		if err := flag.Set("test.parallel", strconv.Itoa(max(testsAtOnce, runtime.GOMAXPROCS(0)))); err != nil {
			panic(err) // the flag exists
		}
	}
	code := m.Run()
	if programDir != "" {
		_ = os.RemoveAll(programDir)
	}
	os.Exit(code)
}

// program builds the product once for the tests that run it as a process.
var program = sync.OnceValues(func() (path string, err error) {
	if programDir, err = os.MkdirTemp("", "greenroom-e2e-"); err != nil {
		return "", err
	}
	path = filepath.Join(programDir, "greenroom")
	out, err := exec.Command("go", "build", "-o", path, "greenroom/cmd/greenroom").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return path, nil
})

// process starts `greenroom worker` as a child process.
func (s *system) process() *exec.Cmd {
	s.t.Helper()
	path, err := program()
	require.NoError(s.t, err)
	cmd := exec.Command(path, "worker")
	cmd.Env = testbed.Environment([]string{
		"GREENROOM_DATABASE_URL=" + s.databaseURL,
		"GREENROOM_TEMPORAL_ADDRESS=" + s.cfg.Temporal.Address,
		"GREENROOM_TEMPORAL_TASK_QUEUE=" + s.cfg.Temporal.TaskQueue,
		"GREENROOM_SECRET=" + secretHex,
		"GREENROOM_KEYSET=" + s.cfg.Keyset,
		"GREENROOM_EGRESS_ALLOW_HTTP=true",
		"GREENROOM_EGRESS_ALLOW_LOOPBACK=true",
		"GREENROOM_HTTP_PUBLIC_URL=" + s.url,
		"GREENROOM_SOURCING_URL=" + s.cfg.Sourcing.URL,
		"GREENROOM_DISPATCH_BATCH_ABOVE=" + strconv.Itoa(s.cfg.Dispatch.BatchAbove),
		"GREENROOM_CIRCUIT_SPAN=" + s.cfg.Circuit.Span.String(),
		"GREENROOM_CIRCUIT_THRESHOLD=" + strconv.Itoa(s.cfg.Circuit.Threshold),
		"GREENROOM_SMTP_URL=" + s.cfg.SMTP.URL,
		"GREENROOM_SMTP_FROM=" + s.cfg.SMTP.From,
		"GREENROOM_NOTIFY_WINDOW=" + s.cfg.Notify.Window.String(),
	}, nil)
	if os.Getenv("GREENROOM_TEST_LOG") != "" {
		cmd.Stderr = os.Stderr
	}
	require.NoError(s.t, cmd.Start())
	s.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

func TestWorkerKilledInTheMiddleLosesNothing(t *testing.T) {
	const total = 500
	s := prepare(t, eachAlone)
	s.serve()
	var worker *exec.Cmd
	kill := make(chan struct{})
	var once sync.Once
	r := listen(t, func(n int, _ received) (int, http.Header) {
		if n == total/3 {
			once.Do(func() { close(kill) })
		}
		return http.StatusOK, nil
	})
	w := s.webhook(r, "instaview", 5)
	s.publish("interview.started", total)
	worker = s.process()
	select {
	case <-kill:
		require.NoError(t, worker.Process.Kill())
	case <-time.After(wait):
		t.Fatalf("only %d arrived", r.count())
	}
	_ = worker.Wait()
	s.process()
	s.eventually(
		func() bool { return s.statuses(w["id"])["succeeded"] == total },
		"all are delivered: %v",
		s.statuses(w["id"]),
	)
	deliveries, extra := r.acceptedOnce()
	require.Equal(t, total, deliveries)
	t.Logf("%d of %d arrived twice", extra, total)
}
