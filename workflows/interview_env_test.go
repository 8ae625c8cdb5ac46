package workflows_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/testsuite"

	"greenroom/activities"
	"greenroom/activities/webhook"
	"greenroom/db"
	"greenroom/db/dbtest"
	"greenroom/db/pg"
	"greenroom/workflows"
)

// interviewing is a test environment around one interview in a real database. Its activities are the real ones, and
// the call provider and the analyser are one HTTP server; only time is Temporal's to skip. The database's own clock
// stands still meanwhile; so what it dates, a talk and an analysis, has ten hours, and what happens before takes two
// at the most. The environment gives up an activity after ten tries: what is down is back before, or stays down.
type interviewing struct {
	*testsuite.TestWorkflowEnvironment
	t     *testing.T
	ctx   context.Context
	db    *bun.DB
	real  *activities.Activities
	row   *db.Interview
	in    workflows.InterviewInput
	start time.Time

	// calls says how each call goes, ten seconds after it was placed; the last one is repeated.
	calls []func(call uuid.UUID)
	// analysis answers POST /analyses.
	analysis func(w http.ResponseWriter)
	// down: the services answer 503.
	down atomic.Bool
	// asked is what the services were asked, and when, in seconds since the start.
	asked   []string
	askedAt []time.Duration
	server  chan struct{} // one request at a time
}

// ring is the time from withPlaceCall a call to the provider's news of it.
const ring = 10 * time.Second

func setupInterview(t *testing.T, kind db.InterviewType, in time.Duration) *interviewing {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(slog.New(slog.DiscardHandler))
	i := &interviewing{
		TestWorkflowEnvironment: suite.NewTestWorkflowEnvironment(), t: t, ctx: t.Context(), db: dbtest.New(t),
		start: time.Now(), server: make(chan struct{}, 1),
	}
	i.SetStartTime(i.start)
	i.SetTestTimeout(time.Minute)
	srv := httptest.NewServer(http.HandlerFunc(i.serve))
	t.Cleanup(srv.Close)
	client := webhook.NewClient(webhook.ClientOptions{AllowHTTP: true, AllowLoopback: true})
	t.Cleanup(client.CloseIdleConnections)
	i.real = &activities.Activities{
		DB:        i.db,
		Client:    client,
		Services:  client,
		Logger:    slog.New(slog.DiscardHandler),
		PublicURL: "https://greenroom.test",
		Secret:    []byte("s"),
		Calls:     activities.Service{URL: srv.URL},
		Analyser:  activities.Service{URL: srv.URL},
	}
	i.RegisterActivity(i.real)
	i.createInterview(kind, in)
	i.in = workflows.InterviewInput{InterviewID: i.row.ID, NoAnswerRetries: 2, NoAnswerDelay: 5 * time.Minute}
	i.analysis = func(w http.ResponseWriter) { _, _ = io.WriteString(w, `{"general":{"overallRating":80}}`) }
	return i
}

func (i *interviewing) createInterview(kind db.InterviewType, in time.Duration) {
	i.t.Helper()
	company, candidate, agent := pg.NewID(), pg.NewID(), pg.NewID()
	for query, id := range map[string]uuid.UUID{
		`INSERT INTO candidates (id, company_id, first_name, last_name, phone_number)
			VALUES (?, ?, 'Ada', 'Byron', '+421900000000')`: candidate,
		"INSERT INTO agents (id, company_id, name, type) VALUES (?, ?, 'Agent', 'PHONE')": agent,
	} {
		_, err := i.db.ExecContext(
			i.ctx,
			"INSERT INTO companies (id, name) VALUES (?, 'Acme') ON CONFLICT DO NOTHING",
			company,
		)
		require.NoError(i.t, err)
		_, err = i.db.ExecContext(i.ctx, query, id, company)
		require.NoError(i.t, err)
	}
	deadline := i.start.Add(48 * time.Hour).UTC()
	i.row = &db.Interview{
		ID: pg.NewID(), CompanyID: company, CandidateID: candidate, AgentID: agent, Type: kind, DeadlineAt: &deadline,
		ScheduledAt: i.start.Add(in).UTC(), MaxMinutes: 600, Metadata: json.RawMessage("{}"),
	}
	i.tx(func(tx bun.Tx) error { return db.CreateInterview(i.ctx, tx, i.row) })
}

// serve plays both services.
func (i *interviewing) serve(w http.ResponseWriter, r *http.Request) {
	i.server <- struct{}{}
	defer func() { <-i.server }()
	i.asked = append(i.asked, r.Method+" "+strings.Split(r.URL.Path, "/")[1])
	i.askedAt = append(i.askedAt, i.Now().Sub(i.start).Round(time.Second))
	var call struct{ CallAttemptID uuid.UUID }
	_ = json.NewDecoder(r.Body).Decode(&call)
	switch {
	case i.down.Load():
		w.WriteHeader(http.StatusServiceUnavailable)
	case r.Method == http.MethodPost && r.URL.Path == "/analyses":
		i.analysis(w)
	case r.Method == http.MethodPost:
		w.WriteHeader(http.StatusAccepted)
		goes := i.calls[0]
		i.calls = i.calls[min(1, len(i.calls)-1):]
		i.RegisterDelayedCallback(func() { goes(call.CallAttemptID) }, ring)
	}
}

func (i *interviewing) tx(fn func(tx bun.Tx) error) {
	i.t.Helper()
	require.NoError(i.t, pg.InTx(i.ctx, i.db, func(_ context.Context, tx bun.Tx) error { return fn(tx) }))
}

// change makes another caller's change to the row, and signals the workflow as the outbox would.
func (i *interviewing) change(fn func(tx bun.Tx) error) {
	i.t.Helper()
	i.tx(fn)
	i.SignalWorkflow(workflows.SignalInterviewChanged, nil)
}

// after does something that long after the start.
func (i *interviewing) after(d time.Duration, fn func()) { i.RegisterDelayedCallback(fn, d) }

func (i *interviewing) changeAfter(d time.Duration, fn func(tx bun.Tx) error) {
	i.after(d, func() { i.change(fn) })
}

// run runs the workflow to its end, which must be without an error.
func (i *interviewing) run() *db.Interview {
	i.t.Helper()
	i.ExecuteWorkflow(workflows.Interview, i.in)
	require.True(i.t, i.IsWorkflowCompleted())
	require.NoError(i.t, i.GetWorkflowError())
	i.AssertExpectations(i.t)
	row := new(db.Interview)
	require.NoError(i.t, i.db.NewSelect().Model(row).Where("i.id = ?", i.row.ID).Scan(i.ctx))
	return row
}

// elapsed is how long the workflow took, in its own time, to the minute.
func (i *interviewing) elapsed() time.Duration { return i.Now().Sub(i.start).Round(time.Minute) }

func (i *interviewing) events() []string {
	i.t.Helper()
	var types []string
	require.NoError(i.t, i.db.NewRaw("SELECT type FROM events ORDER BY id").Scan(i.ctx, &types))
	return types
}

func (i *interviewing) retryNumbers() []int {
	i.t.Helper()
	var numbers []int
	require.NoError(i.t, i.db.NewRaw("SELECT retry_number FROM call_attempts ORDER BY id").Scan(i.ctx, &numbers))
	return numbers
}

// How a call may go.

func (i *interviewing) unanswered(call uuid.UUID) {
	i.change(func(tx bun.Tx) error {
		return db.CallEnded(i.ctx, tx, call, db.CallEnd{Status: db.CallFailed, ReasonCode: db.ReasonNoAnswer})
	})
}

func (i *interviewing) answered(call uuid.UUID) {
	i.change(func(tx bun.Tx) error { return db.CallStarted(i.ctx, tx, call) })
}

func (i *interviewing) completed(call uuid.UUID) {
	i.answered(call)
	i.after(time.Minute, func() {
		i.change(func(tx bun.Tx) error {
			return db.CallEnded(
				i.ctx,
				tx,
				call,
				db.CallEnd{Status: db.CallCompleted, Finish: db.Finish{AnalysisWithin: 10 * time.Hour}},
			)
		})
	})
}

func (i *interviewing) silent(uuid.UUID) {}

func (i *interviewing) started(tx bun.Tx) error {
	_, err := db.StartInterview(i.ctx, tx, i.row.ID)
	return err
}

// finished is a candidate who starts and submits at once.
func (i *interviewing) finished(tx bun.Tx) error {
	if err := i.started(tx); err != nil {
		return err
	}
	_, err := db.FinishInterview(i.ctx, tx, i.row.ID, db.Finish{AnalysisWithin: 10 * time.Hour})
	return err
}

func (i *interviewing) analysed(tx bun.Tx) error {
	_, err := db.CompleteAnalysis(i.ctx, tx, i.row.ID, json.RawMessage(`{"overallRating":1}`), nil)
	return err
}

// tellOfActivity tells the workflow of the change that an activity made, as the outbox would.
func (i *interviewing) tellOfActivity(name string) {
	i.SetOnActivityCompletedListener(func(info *activity.Info, _ converter.EncodedValue, _ error) {
		if info.ActivityType.Name == name {
			i.SignalWorkflow(workflows.SignalInterviewChanged, nil)
		}
	})
}
