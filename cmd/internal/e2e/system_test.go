package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"go.temporal.io/sdk/client"

	"greenroom/cmd/internal/config"
	"greenroom/cmd/internal/service"
	"greenroom/db/dbtest"
	"greenroom/db/seal"
)

// system is a running Greenroom with its own database and task queue.
type system struct {
	t           *testing.T
	cfg         config.Config
	db          *bun.DB
	databaseURL string
	url, key    string
	log         *slog.Logger // of API and worker
}

// wait is the limit of all waits in tests. It is long because the machine may be slow.
const wait = 3 * time.Minute

// secretHex is the secret of all systems under test.
const secretHex = "6b6579206f66207468652074657374732c20333220627974657320696e206865"

// setup starts an API and a worker that stop at the end of the test.
func setup(t *testing.T, mods ...func(*config.Config)) *system {
	t.Helper()
	s := prepare(t, mods...)
	s.serve()
	s.work()
	return s
}

// prepare creates the database and the configuration without starting anything.
func prepare(t *testing.T, mods ...func(*config.Config)) *system {
	t.Helper()
	t.Parallel()
	s := &system{t: t, log: discard()}
	s.db, s.databaseURL = dbtest.NewURL(t)
	cfg, err := config.Load(nil)
	require.NoError(t, err)
	keyset, err := seal.NewKeyset()
	require.NoError(t, err)
	cfg, err = cfg.WithSecrets(secretHex, keyset)
	require.NoError(t, err)
	cfg.Database.URL = s.databaseURL
	cfg.Temporal.Address, cfg.Temporal.Managed = temporalAddress(t), true
	cfg.Temporal.TaskQueue = "e2e-" + uuid.NewString()
	cfg.Egress.AllowHTTP, cfg.Egress.AllowLoopback = true, true
	cfg.Circuit.Span = 0 // failures open a circuit at once
	cfg.Media.Dir = t.TempDir()
	for _, mod := range mods {
		mod(&cfg)
	}
	s.cfg = cfg
	return s
}

func temporalAddress(t *testing.T) string {
	t.Helper()
	addr := os.Getenv("GREENROOM_TEST_TEMPORAL_ADDRESS")
	if addr == "" {
		t.Fatal("GREENROOM_TEST_TEMPORAL_ADDRESS is not set: run the tests with `make test`")
	}
	return addr
}

// serve starts the API in this process, creates the key, and returns a function that stops the API.
func (s *system) serve() (stop func()) {
	s.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(s.t, err)
	s.cfg.HTTP.Addr = ln.Addr().String()
	s.cfg.HTTP.PublicURL = "http://" + s.cfg.HTTP.Addr
	s.url = s.cfg.HTTP.PublicURL
	s.serveKey()
	return s.background(func(ctx context.Context) error { return service.API(ctx, s.cfg, s.db, ln, s.log, nil) })
}

// serveKey makes later calls use the system's key.
func (s *system) serveKey() {
	s.t.Helper()
	var err error
	s.key, _, err = service.DemoKey(s.t.Context(), s.cfg, s.db)
	require.NoError(s.t, err)
}

// work starts a worker in this process and returns a function that stops it.
func (s *system) work() (stop func()) {
	s.t.Helper()
	return s.background(func(ctx context.Context) error { return service.Worker(ctx, s.cfg, s.db, s.log, nil) })
}

// background runs fn until the test ends or stop is called. Both wait for its end.
func (s *system) background(fn func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- fn(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil && ctx.Err() == nil {
			s.t.Errorf("ended by itself: %v", err)
		}
	}
	s.t.Cleanup(stop)
	return stop
}

func discard() *slog.Logger {
	if os.Getenv("GREENROOM_TEST_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(slog.DiscardHandler)
}

// answer is the API's response envelope.
type answer struct {
	Status  int
	Success bool            `json:"success"`
	Data    json.RawMessage `json:"data"`
	Error   *struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// object returns the response's data as a map.
func (a answer) object(t *testing.T) map[string]any {
	t.Helper()
	var m map[string]any
	require.NoError(t, json.Unmarshal(a.Data, &m), string(a.Data))
	return m
}

// do calls the API; a body that is not nil is sent as JSON.
func (s *system) do(method, path string, body any) answer {
	s.t.Helper()
	a, err := s.try(method, path, body)
	require.NoError(s.t, err)
	return a
}

func (s *system) try(method, path string, body any) (a answer, err error) {
	var rd io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return a, err
		}
		rd = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, s.url+path, rd)
	if err != nil {
		return a, err
	}
	req.Header.Set("Authorization", "Bearer "+s.key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return a, err
	}
	a.Status = resp.StatusCode
	if len(raw) > 0 {
		err = json.Unmarshal(raw, &a)
	}
	return a, err
}

// must is do for calls that must succeed. It returns the data.
func (s *system) must(method, path string, body any) map[string]any {
	s.t.Helper()
	a := s.do(method, path, body)
	require.Less(s.t, a.Status, 300, "%s %s: %d %+v", method, path, a.Status, a.Error)
	if a.Status == http.StatusNoContent || string(a.Data) == "true" {
		return nil
	}
	return a.object(s.t)
}

// webhook registers the receiver for events and returns the new webhook.
func (s *system) webhook(r *receiver, profile string, events ...any) map[string]any {
	s.t.Helper()
	return s.must(http.MethodPost, "/webhooks", map[string]any{"url": r.URL, "events": events, "profile": profile})
}

// publish publishes n events of a type with their number in the data.
func (s *system) publish(eventType string, n int) {
	s.t.Helper()
	for i := range n {
		s.must(http.MethodPost, "/events", map[string]any{"type": eventType, "data": map[string]any{"n": i}})
	}
}

// deliveries lists the deliveries of a webhook, newest first, at most 100.
func (s *system) deliveries(webhook any) []map[string]any {
	s.t.Helper()
	a := s.do(http.MethodGet, fmt.Sprintf("/deliveries?limit=100&webhookId=%s", webhook), nil)
	require.Equal(s.t, http.StatusOK, a.Status)
	var page struct{ Data []map[string]any }
	require.NoError(s.t, json.Unmarshal(a.Data, &page), string(a.Data))
	return page.Data
}

// statuses counts a webhook's deliveries by status.
func (s *system) statuses(webhook any) map[string]int {
	s.t.Helper()
	var rows []struct {
		Status string
		N      int
	}
	require.NoError(
		s.t,
		s.db.NewRaw("SELECT status, count(*) AS n FROM deliveries WHERE webhook_id = ? GROUP BY 1", webhook).
			Scan(s.t.Context(), &rows),
	)
	counts := map[string]int{}
	for _, r := range rows {
		counts[r.Status] = r.N
	}
	return counts
}

// forgetConnections closes the idle connections of the pool: after a kill of PostgreSQL each would fail once, also in
// the test's queries.
func (s *system) forgetConnections() {
	s.db.SetMaxIdleConns(0)
	s.db.SetMaxIdleConns(10)
}

// eventually waits until ok is true.
func (s *system) eventually(ok func() bool, what string, args ...any) {
	s.t.Helper()
	// In the test's own goroutine: require.Eventually leaves one that a later failure of ok would make panic.
	for end := time.Now().Add(wait); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			require.FailNowf(s.t, "not within "+wait.String(), what, args...)
		}
	}
}

// temporal returns a client of the test's Temporal, for actions of an engineer in its UI.
func (s *system) temporal() client.Client {
	s.t.Helper()
	c, err := client.Dial(client.Options{HostPort: s.cfg.Temporal.Address})
	require.NoError(s.t, err)
	s.t.Cleanup(c.Close)
	return c
}

// workflowEnds waits for a workflow to complete without an error.
func (s *system) workflowEnds(id string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), wait)
	defer cancel()
	require.NoError(s.t, s.temporal().GetWorkflow(ctx, id, "").Get(ctx, nil), "workflow %s ends by itself", id)
}
