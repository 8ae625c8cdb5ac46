package workflows_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"go.temporal.io/sdk/testsuite"

	"greenroom/activities"
	"greenroom/activities/webhook"
	"greenroom/db"
	"greenroom/db/dbtest"
	"greenroom/db/pg"
	"greenroom/workflows"
)

// sourcing is a test environment around one sourcing in a real database, with a service over HTTP.
type sourcing struct {
	*testsuite.TestWorkflowEnvironment
	t     *testing.T
	db    *bun.DB
	real  *activities.Activities
	row   *db.ServiceRun
	asked atomic.Int32
	// answer is what the service answers to its n-th request, from 1.
	answer func(n int32, w http.ResponseWriter)
}

func setupSourcing(t *testing.T, answer func(n int32, w http.ResponseWriter)) *sourcing {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(slog.New(slog.DiscardHandler))
	s := &sourcing{TestWorkflowEnvironment: suite.NewTestWorkflowEnvironment(), t: t, db: dbtest.New(t), answer: answer}
	s.SetTestTimeout(time.Minute)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.answer(s.asked.Add(1), w)
	}))
	t.Cleanup(srv.Close)
	client := webhook.NewClient(webhook.ClientOptions{AllowHTTP: true, AllowLoopback: true})
	t.Cleanup(client.CloseIdleConnections)
	s.real = &activities.Activities{
		DB: s.db, Client: client, Services: client, Logger: slog.New(slog.DiscardHandler),
		Sourcing: activities.Service{URL: srv.URL}, Secret: []byte("s"),
	}
	s.RegisterActivity(s.real)
	company := pg.NewID()
	_, err := s.db.ExecContext(t.Context(), "INSERT INTO companies (id, name) VALUES (?, 'Acme')", company)
	require.NoError(t, err)
	s.row = &db.ServiceRun{CompanyID: company, Kind: db.RunSourcing, Request: db.RunRequest{Title: "T", Limit: 5}}
	s.tx(func(ctx context.Context, tx bun.Tx) error { return db.CreateRun(ctx, tx, s.row, time.Hour) })
	return s
}

func (s *sourcing) tx(fn func(ctx context.Context, tx bun.Tx) error) {
	s.t.Helper()
	require.NoError(s.t, pg.InTx(s.t.Context(), s.db, fn))
}

func (s *sourcing) run() *db.ServiceRun {
	s.t.Helper()
	s.ExecuteWorkflow(workflows.ServiceRun, workflows.ServiceRunInput{RunID: s.row.ID})
	require.True(s.t, s.IsWorkflowCompleted())
	require.NoError(s.t, s.GetWorkflowError())
	row, err := db.GetRun(s.t.Context(), s.db, s.row.ID)
	require.NoError(s.t, err)
	return row
}

// later does something to the row at a time of the workflow, and signals it.
func (s *sourcing) later(after time.Duration, fn func(ctx context.Context, tx bun.Tx) error) {
	s.RegisterDelayedCallback(func() {
		s.tx(fn)
		s.SignalWorkflow(workflows.SignalRunChanged, nil)
	}, after)
}

func found(ids ...string) *db.Sourced {
	out := &db.Sourced{}
	for _, id := range ids {
		out.Candidates = append(out.Candidates, &db.SourcedCandidate{ProfileID: id, Name: id, Skills: []string{}})
	}
	return out
}

func accepts(_ int32, w http.ResponseWriter) { w.WriteHeader(http.StatusAccepted) }

const onePerson = `{"candidates":[{"profileId":"a","name":"A"}]}`

func TestServiceRun(t *testing.T) {
	t.Parallel()
	t.Run("stores_the_answer", func(t *testing.T) {
		t.Parallel()
		s := setupSourcing(t, func(_ int32, w http.ResponseWriter) { _, _ = io.WriteString(w, onePerson) })
		require.Equal(t, db.RunCompleted, s.run().Status)
		require.EqualValues(t, 1, s.asked.Load())
	})
	t.Run("asks_again_when_the_service_is_away", func(t *testing.T) {
		t.Parallel()
		s := setupSourcing(t, func(n int32, w http.ResponseWriter) {
			if n < 3 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			_, _ = io.WriteString(w, onePerson)
		})
		require.Equal(t, db.RunCompleted, s.run().Status)
		require.EqualValues(t, 3, s.asked.Load())
	})
	t.Run("fails_at_the_time_limit_when_the_service_stays_away", func(t *testing.T) {
		t.Parallel()
		s := setupSourcing(t, func(_ int32, w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) })
		row := s.run()
		require.Equal(t, db.RunFailed, row.Status)
		require.Equal(t, db.RunUnavailable, *row.ErrorCode)
	})
	t.Run("waits_for_the_report", func(t *testing.T) {
		t.Parallel()
		s := setupSourcing(t, accepts)
		s.later(10*time.Minute, func(context.Context, bun.Tx) error { return nil }) // a signal without a change
		s.later(20*time.Minute, func(ctx context.Context, tx bun.Tx) error {
			return db.CompleteSourcing(ctx, tx, s.row.ID, 1, found("a"))
		})
		require.Equal(t, db.RunCompleted, s.run().Status)
		require.EqualValues(t, 1, s.asked.Load(), "it is asked once")
	})
	t.Run("fails_at_the_time_limit_without_a_report", func(t *testing.T) {
		t.Parallel()
		row := setupSourcing(t, accepts).run()
		require.Equal(t, db.RunFailed, row.Status)
		require.Equal(t, db.RunTimedOut, *row.ErrorCode)
	})
	t.Run("asks_for_a_pass_that_is_begun_before_it_ends", func(t *testing.T) {
		t.Parallel()
		s := setupSourcing(t, accepts)
		s.later(time.Minute, func(ctx context.Context, tx bun.Tx) error {
			if err := db.CompleteSourcing(ctx, tx, s.row.ID, 1, found("a")); err != nil {
				return err
			}
			_, err := db.RefineSourcing(ctx, tx, s.row.ID, "more", 2, 2*time.Hour)
			return err
		})
		s.later(90*time.Minute, func(ctx context.Context, tx bun.Tx) error {
			return db.CompleteSourcing(ctx, tx, s.row.ID, 2, found("b"))
		})
		row := s.run()
		require.Equal(t, db.RunCompleted, row.Status)
		require.Equal(t, 2, row.Pass)
		require.EqualValues(t, 2, s.asked.Load())
	})
	t.Run("fails_without_a_service", func(t *testing.T) {
		t.Parallel()
		s := setupSourcing(t, accepts)
		s.real.Sourcing.URL = ""
		row := s.run()
		require.Equal(t, db.RunUnavailable, *row.ErrorCode)
		require.Contains(t, *row.ErrorMessage, "not configured")
		require.Zero(t, s.asked.Load())
	})
	t.Run("ends_when_the_request_was_dropped", func(t *testing.T) {
		t.Parallel()
		s := setupSourcing(t, accepts)
		s.later(time.Minute, func(ctx context.Context, tx bun.Tx) error {
			_, err := tx.ExecContext(ctx, "DELETE FROM service_runs")
			return err
		})
		s.ExecuteWorkflow(workflows.ServiceRun, workflows.ServiceRunInput{RunID: s.row.ID})
		require.NoError(t, s.GetWorkflowError())
	})
	for name, after := range map[string]time.Duration{
		"fails_the_request_when_it_is_canceled":         time.Minute,
		"fails_the_request_when_it_is_canceled_at_once": 0, // before the row is read
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setupSourcing(t, accepts)
			s.RegisterDelayedCallback(s.CancelWorkflow, after)
			s.ExecuteWorkflow(workflows.ServiceRun, workflows.ServiceRunInput{RunID: s.row.ID})
			require.Error(t, s.GetWorkflowError())
			row, err := db.GetRun(t.Context(), s.db, s.row.ID)
			require.NoError(t, err)
			require.Equal(t, db.RunStopped, *row.ErrorCode)
		})
	}
}
