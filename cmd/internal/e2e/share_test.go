package e2e_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"

	"greenroom/cmd/internal/config"
	"greenroom/cmd/internal/devstack"
	"greenroom/cmd/internal/service"
	"greenroom/db"
)

func TestAReceiverThatHangsHoldsOnlyItsOwnShare(t *testing.T) {
	for name, mode := range dispatchModes {
		t.Run(name, func(t *testing.T) { aReceiverThatHangsHoldsOnlyItsOwnShare(t, mode) })
	}
}

func aReceiverThatHangsHoldsOnlyItsOwnShare(t *testing.T, mode func(*config.Config)) {
	t.Helper()
	s := setup(t, mode, func(c *config.Config) { c.Dispatch.MaxInFlightPerEndpoint = 10 })
	hold := make(chan struct{})
	var now, most atomic.Int64
	hanging := listen(t, func(int, received) (int, http.Header) {
		most.Store(max(most.Load(), now.Add(1)))
		<-hold
		now.Add(-1)
		return http.StatusOK, nil
	})
	t.Cleanup(func() { close(hold) }) // before the receiver is closed, which waits for its calls
	healthy := listen(t, nil)
	s.webhook(hanging, "instaview", 4)
	h := s.webhook(healthy, "instaview", 5)
	s.publish("interview.failed", 60)
	share := int64(s.cfg.Dispatch.MaxInFlightPerEndpoint)
	s.eventually(func() bool { return now.Load() >= share }, "the hanging one has its share in flight")
	s.publish("interview.started", 40)
	s.eventually(
		func() bool { return s.statuses(h["id"])["succeeded"] == 40 },
		"the healthy one gets all deliveries",
	)
	require.LessOrEqual(t, most.Load(), share)
	require.Zero(t, hanging.count(), "the other has not responded yet")
}

func TestARateLimitIsKept(t *testing.T) {
	for name, mode := range dispatchModes {
		t.Run(name, func(t *testing.T) { aRateLimitIsKept(t, mode) })
	}
}

func aRateLimitIsKept(t *testing.T, mode func(*config.Config)) {
	t.Helper()
	s := setup(t, mode)
	r := listen(t, nil)
	s.must(http.MethodPost, "/webhooks", map[string]any{"url": r.URL, "events": []any{5}, "rateLimit": 4})
	begin := time.Now()
	s.publish("interview.started", 20)
	s.eventually(func() bool { return r.count() == 20 }, "all arrive")
	// 4 at once and 4 per second: the last of 20 cannot arrive before 4 s on any machine.
	require.GreaterOrEqual(t, r.all()[19].At.Sub(begin), 4*time.Second)
}

func TestOperatorsFindDeliveriesBySearchAttributes(t *testing.T) {
	s := setup(t)
	r := listen(t, status(http.StatusInternalServerError))
	w := s.webhook(r, "instaview", 5)
	s.publish("interview.started", 2)
	c := s.temporal()
	query := "WebhookId = '" + w["id"].(string) + "' AND EventType = 'interview.started' AND DeliveryStatus = 'retrying'"
	s.eventually(func() bool {
		n, err := c.CountWorkflow(
			t.Context(),
			&workflowservice.CountWorkflowExecutionsRequest{Namespace: "default", Query: query},
		)
		require.NoError(t, err)
		return n.Count == 2
	}, "both are found as retrying")
}

func TestPostgresKilledLosesNothing(t *testing.T) {
	for name, mode := range dispatchModes {
		t.Run(name, func(t *testing.T) { postgresKilledLosesNothing(t, mode) })
	}
}

func postgresKilledLosesNothing(t *testing.T, mode func(*config.Config)) {
	t.Helper()
	s := prepare(t, mode)
	dir := openDir(t)
	postgres, err := devstack.StartPostgres(t.Context(), devstack.PostgresOptions{Dir: dir})
	require.NoError(t, err)
	t.Cleanup(func() { _ = postgres.Stop(context.Background()) })
	s.useDatabase(postgres.URL())
	s.serve()
	s.work()
	r := listen(t, nil)
	w := s.webhook(r, "instaview", 5)

	accepted := 0
	for i := range 120 {
		if i == 40 {
			postgres.Kill()
			require.NoError(t, postgres.Start(t.Context()))
			s.forgetConnections()
		}
		a, err := s.try(
			http.MethodPost,
			"/events",
			map[string]any{"type": "interview.started", "data": map[string]any{"n": i}},
		)
		if err == nil && a.Status == http.StatusAccepted {
			accepted++
		}
	}
	require.Greater(t, accepted, 60, "it accepts again once the database is back")
	s.eventually(
		func() bool { deliveries, _ := r.acceptedOnce(); return deliveries >= accepted },
		"every accepted event arrives",
	)
	s.eventually(func() bool { return s.statuses(w["id"])["succeeded"] >= accepted }, "and is recorded")
}

// openDir returns a folder of the test that PostgreSQL's unprivileged user can enter.
func openDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chmod(filepath.Dir(dir), 0o711))
	}
	return dir
}

// useDatabase moves the system to another database, which it migrates.
func (s *system) useDatabase(url string) {
	s.t.Helper()
	var err error
	s.cfg.Database.URL, s.databaseURL = url, url
	s.db, err = service.OpenDB(s.t.Context(), s.cfg)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = s.db.Close() })
	_, err = db.Migrate(s.t.Context(), s.db)
	require.NoError(s.t, err)
}
