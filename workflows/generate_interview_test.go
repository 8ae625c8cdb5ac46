package workflows_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
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

// generating is a test environment around one generation in a real database. Generator and client are one HTTP server.
type generating struct {
	*testsuite.TestWorkflowEnvironment
	t    *testing.T
	db   *bun.DB
	real *activities.Activities
	row  *db.Generation
	// generator and client answer their next requests with these; the last one is repeated.
	generator, client []func(w http.ResponseWriter)
	news              []string
	asked             int
	turn              chan struct{} // one request at a time
}

func setupGeneration(t *testing.T) *generating {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(slog.New(slog.DiscardHandler))
	g := &generating{
		TestWorkflowEnvironment: suite.NewTestWorkflowEnvironment(),
		t:                       t,
		db:                      dbtest.New(t),
		turn:                    make(chan struct{}, 1),
	}
	g.SetTestTimeout(time.Minute)
	srv := httptest.NewServer(http.HandlerFunc(g.serve))
	t.Cleanup(srv.Close)
	client := webhook.NewClient(webhook.ClientOptions{AllowHTTP: true, AllowLoopback: true})
	t.Cleanup(client.CloseIdleConnections)
	g.real = &activities.Activities{
		DB: g.db, Client: client, Services: client, Logger: slog.New(slog.DiscardHandler),
		Generator: activities.Service{URL: srv.URL},
	}
	g.RegisterActivity(g.real)
	company := pg.NewID()
	_, err := g.db.ExecContext(t.Context(), "INSERT INTO companies (id, name) VALUES (?, 'Acme')", company)
	require.NoError(t, err)
	notify := srv.URL + "/news"
	g.row = &db.Generation{
		CompanyID:       company,
		JobRole:         "Receptionist",
		JobDescription:  "Greets people",
		NotificationURL: &notify,
	}
	require.NoError(
		t,
		pg.InTx(t.Context(), g.db, func(ctx context.Context, tx bun.Tx) error { return db.CreateGeneration(ctx, tx, g.row) }),
	)
	g.generator, g.client = says(http.StatusOK, `{"questions":["Why?"]}`), says(http.StatusOK, "")
	return g
}

func says(status int, body string) []func(http.ResponseWriter) {
	return []func(http.ResponseWriter){func(w http.ResponseWriter) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}}
}

func (g *generating) serve(w http.ResponseWriter, r *http.Request) {
	g.turn <- struct{}{}
	defer func() { <-g.turn }()
	answers := &g.client
	var body struct{ Status, Message string }
	_ = json.NewDecoder(r.Body).Decode(&body)
	if r.URL.Path == "/generations" {
		answers = &g.generator
		g.asked++
	} else {
		g.news = append(g.news, body.Status)
	}
	answer := (*answers)[0]
	*answers = (*answers)[min(1, len(*answers)-1):]
	answer(w)
}

func (g *generating) run() *db.Generation {
	g.t.Helper()
	g.ExecuteWorkflow(workflows.GenerateInterview, workflows.GenerateInterviewInput{GenerationID: g.row.ID})
	require.True(g.t, g.IsWorkflowCompleted())
	require.NoError(g.t, g.GetWorkflowError())
	row, err := db.GetGeneration(g.t.Context(), g.db, g.row.ID)
	require.NoError(g.t, err)
	return row
}

// heard is what the client has received so far, and asks how often the generator was asked: a call may still be under
// way.
func (g *generating) heard() []string {
	g.turn <- struct{}{}
	defer func() { <-g.turn }()
	return slices.Clone(g.news)
}

func (g *generating) asks() int {
	g.turn <- struct{}{}
	defer func() { <-g.turn }()
	return g.asked
}

func last(news []string) string { return news[len(news)-1] }

func TestGenerateInterview(t *testing.T) {
	t.Parallel()
	t.Run("makes_the_job_and_its_questions_and_tells_the_client", func(t *testing.T) {
		t.Parallel()
		g := setupGeneration(t)
		row := g.run()
		require.Equal(t, db.GenerationCompleted, row.Status)
		require.Equal(t, 1, *row.Questions)
		require.NotNil(t, row.JobNumber)
		require.Equal(t, "completed", last(g.heard()))
	})
	t.Run("makes_up_no_questions_without_a_generator", func(t *testing.T) {
		t.Parallel()
		g := setupGeneration(t)
		g.real.Generator.URL = ""
		row := g.run()
		require.Equal(t, db.GenerationCompleted, row.Status)
		require.Nil(t, row.Questions)
		require.Zero(t, g.asks())
		require.Equal(t, []string{"completed"}, g.heard())
	})
	t.Run("asks_again_when_the_generator_is_away", func(t *testing.T) {
		t.Parallel()
		g := setupGeneration(t)
		g.generator = append(says(http.StatusServiceUnavailable, ""), g.generator...)
		require.Equal(t, db.GenerationCompleted, g.run().Status)
		require.Equal(t, 2, g.asks())
	})
	t.Run("fails_when_the_generator_stays_away", func(t *testing.T) {
		t.Parallel()
		g := setupGeneration(t)
		g.generator = says(http.StatusServiceUnavailable, "")
		row := g.run()
		require.Equal(t, db.GenerationFailed, row.Status)
		require.Equal(t, "the generator could not be reached", *row.Error)
		require.NotNil(t, row.JobID, "the job stays")
		require.Equal(t, "failed", last(g.heard()))
	})
	t.Run("tells_the_end_to_a_client_that_was_away", func(t *testing.T) {
		t.Parallel()
		g := setupGeneration(t)
		g.client = append(says(http.StatusBadGateway, ""), g.client...)
		g.real.Generator.URL = ""
		require.Equal(t, db.GenerationCompleted, g.run().Status)
		require.Equal(t, []string{"completed", "completed"}, g.heard())
	})
	t.Run("ends_although_the_client_is_never_there", func(t *testing.T) {
		t.Parallel()
		g := setupGeneration(t)
		g.client = says(http.StatusBadGateway, "")
		require.Equal(t, db.GenerationCompleted, g.run().Status)
	})
}
