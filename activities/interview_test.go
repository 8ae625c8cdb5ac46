package activities_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/activities"
	"greenroom/activities/webhook"
	"greenroom/db"
	"greenroom/db/catalog"
	"greenroom/db/dbtest"
	"greenroom/db/pg"
)

// interviews are the activities of one interview on a separate database, with an external service that records requests
// and answers from a list.
type interviews struct {
	*bun.DB
	*activities.Activities
	t       *testing.T
	ctx     context.Context
	id      uuid.UUID
	outside *outside
}

type outside struct {
	mu      sync.Mutex
	asked   []asked
	answers []answer // the next ones; none left: 204
	agents  []string // the User-Agent of each request
}

type asked struct {
	method, path, authorization string
	body                        map[string]any
}

type answer struct {
	status int
	body   string
}

func (o *outside) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	raw, _ := io.ReadAll(r.Body)
	q := asked{method: r.Method, path: r.URL.Path, authorization: r.Header.Get("Authorization")}
	_ = json.Unmarshal(raw, &q.body)
	o.asked, o.agents = append(o.asked, q), append(o.agents, r.UserAgent())
	a := answer{status: http.StatusNoContent}
	if len(o.answers) > 0 {
		a, o.answers = o.answers[0], o.answers[1:]
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

const secret = "0123456789abcdef0123456789abcdef"

// setupInterview creates an interview of the given type for a candidate with a telephone number.
func setupInterview(t *testing.T, kind db.InterviewType) *interviews {
	t.Helper()
	b := &interviews{DB: dbtest.New(t), t: t, ctx: t.Context(), outside: &outside{}}
	srv := httptest.NewServer(b.outside)
	t.Cleanup(srv.Close)
	client := webhook.NewClient(webhook.ClientOptions{AllowHTTP: true, AllowLoopback: true})
	t.Cleanup(client.CloseIdleConnections)
	service := activities.Service{URL: srv.URL + "/", Token: "t0ken"}
	b.Activities = &activities.Activities{
		DB: b.DB, Client: client, Services: client, Logger: slog.New(slog.DiscardHandler), Calls: service, Analyser: service,
		PublicURL: "https://greenroom.test/", Secret: []byte(secret),
	}
	company, candidate, job, agent := pg.NewID(), pg.NewID(), pg.NewID(), pg.NewID()
	b.exec("INSERT INTO companies (id, name) VALUES (?, 'Acme')", company)
	b.exec(`INSERT INTO candidates (id, company_id, first_name, last_name, phone_number)
		VALUES (?, ?, 'Ada', 'Byron', '+421900000000')`, candidate, company)
	b.exec(`INSERT INTO jobs (id, company_id, title, description, required_skills)
		VALUES (?, ?, 'Engineer', 'Engines', '{Go,SQL}')`, job, company)
	b.exec(`INSERT INTO agents (id, company_id, name, type, language, duration_minutes, questions)
		VALUES (?, ?, 'Agent', 'PHONE', 'SK', 20, '["Why?"]')`, agent, company)
	i := &db.Interview{
		ID: pg.NewID(), CompanyID: company, CandidateID: candidate, JobID: &job, AgentID: agent, Type: kind,
		ScheduledAt: time.Now().UTC(), MaxMinutes: 30, Metadata: json.RawMessage("{}"),
	}
	b.id = i.ID
	b.tx(func(ctx context.Context, tx bun.Tx) error { return db.CreateInterview(ctx, tx, i) })
	return b
}

func (b *interviews) exec(query string, args ...any) {
	b.t.Helper()
	_, err := b.ExecContext(b.ctx, query, args...)
	require.NoError(b.t, err)
}

func (b *interviews) tx(fn func(ctx context.Context, tx bun.Tx) error) {
	b.t.Helper()
	require.NoError(b.t, pg.InTx(b.ctx, b.DB, fn))
}

func (b *interviews) state() activities.InterviewState {
	b.t.Helper()
	s, err := b.LoadInterview(b.ctx, b.id)
	require.NoError(b.t, err)
	return s
}

// reason returns the interview's status_reason.
func (b *interviews) reason() string {
	b.t.Helper()
	var reason string
	require.NoError(
		b.t,
		b.NewRaw("SELECT COALESCE(status_reason, '') FROM interviews WHERE id = ?", b.id).Scan(b.ctx, &reason),
	)
	return reason
}

// event returns the data of the last event of a type, or nil.
func (b *interviews) event(eventType string) map[string]any {
	b.t.Helper()
	var events []string
	require.NoError(
		b.t,
		b.NewRaw("SELECT data FROM events WHERE type = ? ORDER BY id DESC LIMIT 1", eventType).Scan(b.ctx, &events),
	)
	if len(events) == 0 {
		return nil
	}
	var data map[string]any
	require.NoError(b.t, json.Unmarshal([]byte(events[0]), &data))
	return data
}

func (b *interviews) start() {
	b.t.Helper()
	b.tx(func(ctx context.Context, tx bun.Tx) error { _, err := db.StartInterview(ctx, tx, b.id); return err })
}

func (b *interviews) cancel() {
	b.t.Helper()
	b.tx(func(ctx context.Context, tx bun.Tx) error {
		_, err := db.CancelInterview(ctx, tx, b.id, "X")
		return err
	})
}

// finish completes a started interview; its analysis is due in an hour.
func (b *interviews) finish() {
	b.t.Helper()
	b.start()
	b.tx(func(ctx context.Context, tx bun.Tx) error {
		_, err := db.FinishInterview(ctx, tx, b.id, db.Finish{
			Transcript: json.RawMessage(
				`[{"role":"agent","content":"Why?"}]`,
			),
			Answers:        json.RawMessage(`["because"]`),
			AnalysisWithin: time.Hour,
		})
		return err
	})
}

func TestLoadInterview(t *testing.T) {
	t.Parallel()
	t.Run("does_not_exist", func(t *testing.T) {
		t.Parallel()
		b := setupInterview(t, db.Online)
		s, err := b.LoadInterview(b.ctx, pg.NewID())
		require.NoError(t, err)
		assert.Equal(t, activities.InterviewState{HasAnalyser: true}, s)
	})
	t.Run("phone_with_its_call", func(t *testing.T) {
		t.Parallel()
		b := setupInterview(t, db.Phone)
		s := b.state()
		assert.Equal(t, activities.InterviewScheduled, s.Status)
		assert.Equal(t, activities.Phone, s.Type)
		assert.Equal(t, 30*time.Minute, s.MaxDuration)
		assert.Equal(t, activities.CallScheduled, s.Call.Status)
		assert.True(t, s.Call.PlacedAt.IsZero())
		assert.WithinDuration(t, time.Now(), s.Call.ScheduledAt, time.Minute)
		assert.True(t, s.HasAnalyser)
		b.Analyser.URL = ""
		assert.False(t, b.state().HasAnalyser)
	})
	t.Run("deleted_is_still_loaded", func(t *testing.T) {
		t.Parallel()
		b := setupInterview(t, db.Online)
		b.tx(func(ctx context.Context, tx bun.Tx) error { return db.DeleteInterview(ctx, tx, pg.Scope{}, b.id) })
		s := b.state()
		assert.True(t, s.Deleted)
		assert.Equal(t, activities.InterviewCanceled, s.Status)
	})
	t.Run("state_has_no_personal_data", func(t *testing.T) {
		t.Parallel()
		b := setupInterview(t, db.Phone)
		b.finish()
		raw, err := json.Marshal(b.state())
		require.NoError(t, err)
		for _, personal := range []string{"Ada", "Byron", "+421", "because", "Why"} {
			assert.NotContains(t, string(raw), personal)
		}
	})
	t.Run("version_changes_with_row_and_call", func(t *testing.T) {
		t.Parallel()
		b := setupInterview(t, db.Phone)
		seen := map[string]bool{b.state().Version: true}
		for _, change := range []func(){
			func() { require.NoError(t, db.MarkCallPlaced(b.ctx, b.DB, b.state().Call.ID)) },
			func() {
				call := b.state().Call.ID
				b.tx(func(ctx context.Context, tx bun.Tx) error {
					return db.CallEnded(ctx, tx, call, db.CallEnd{Status: db.CallFailed, ReasonCode: db.ReasonNoAnswer})
				})
			},
			func() {
				b.tx(func(ctx context.Context, tx bun.Tx) error { return db.InvokeCall(ctx, tx, b.id, time.Now(), 1) })
			},
			b.cancel,
		} {
			before := b.state().Version
			assert.Equal(t, before, b.state().Version, "loading does not change the version")
			change()
			v := b.state().Version
			assert.False(t, seen[v])
			seen[v] = true
		}
	})
}

func TestFailInterview(t *testing.T) {
	t.Parallel()
	t.Run("records_the_reason", func(t *testing.T) {
		t.Parallel()
		for _, reason := range []string{
			db.ReasonInvitationExpired, db.ReasonMaxDuration, db.ReasonNoAnswer, db.ReasonProvider,
		} {
			b := setupInterview(t, db.Online)
			in := activities.FailInterviewInput{InterviewID: b.id, Version: b.state().Version, Reason: reason}
			require.NoError(t, b.FailInterview(b.ctx, in))
			require.NoError(t, b.FailInterview(b.ctx, in), "repeated by Temporal")
			assert.Equal(t, activities.InterviewFailed, b.state().Status)
			assert.Equal(t, reason, b.event(catalog.InterviewFailed)["reason"])
			assert.NotEmpty(t, b.event(catalog.InterviewFailed)["errorMessage"])
		}
	})
	t.Run("interview_started_since_is_not_failed", func(t *testing.T) {
		t.Parallel()
		b := setupInterview(t, db.Online)
		v := b.state().Version
		b.start()
		in := activities.FailInterviewInput{InterviewID: b.id, Version: v, Reason: db.ReasonInvitationExpired}
		require.NoError(t, b.FailInterview(b.ctx, in))
		assert.Equal(t, activities.InterviewInProgress, b.state().Status)
		assert.Nil(t, b.event(catalog.InterviewFailed))
	})
}

func TestFailInterviewWaitsForTheRowLock(t *testing.T) {
	t.Parallel()
	b := setupInterview(t, db.Online)
	in := activities.FailInterviewInput{InterviewID: b.id, Version: b.state().Version, Reason: db.ReasonInvitationExpired}
	failed := make(chan error, 1)
	b.tx(func(ctx context.Context, tx bun.Tx) error {
		_, err := db.StartInterview(ctx, tx, b.id)
		go func() { failed <- b.FailInterview(b.ctx, in) }()
		require.Eventually(t, func() bool {
			var waiting bool
			err := b.NewRaw(`SELECT EXISTS (SELECT 1 FROM pg_stat_activity
				WHERE datname = current_database() AND wait_event_type = 'Lock')`).Scan(ctx, &waiting)
			return err == nil && waiting
		}, 10*time.Second, 10*time.Millisecond)
		return err
	})
	require.NoError(t, <-failed)
	assert.Equal(t, activities.InterviewInProgress, b.state().Status, "the start was committed first")
}

func TestRetryCall(t *testing.T) {
	t.Parallel()
	b := setupInterview(t, db.Phone)
	first := b.state().Call.ID
	b.tx(func(ctx context.Context, tx bun.Tx) error {
		return db.CallEnded(ctx, tx, first, db.CallEnd{Status: db.CallFailed, ReasonCode: db.ReasonNoAnswer})
	})
	at := time.Now().Add(5 * time.Minute).UTC().Truncate(time.Microsecond)
	in := activities.RetryCallInput{InterviewID: b.id, Version: b.state().Version, At: at, RetryNumber: 1}
	require.NoError(t, b.RetryCall(b.ctx, in))
	second := b.state().Call
	assert.NotEqual(t, first, second.ID)
	assert.Equal(t, activities.CallScheduled, second.Status)
	assert.Equal(t, 1, second.RetryNumber)
	assert.True(t, at.Equal(second.ScheduledAt))
	require.NoError(t, b.RetryCall(b.ctx, in), "repeated by Temporal")
	assert.Equal(t, second, b.state().Call, "a call invoked since the decision is not replaced")
}

func TestCancelInterview(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ given, want string }{
		"with_a_reason":        {"position filled", "position filled"},
		"without_a_reason":     {"", "CANCELED_BY_OPERATOR"},
		"with_too_long_a_one":  {strings.Repeat("é", 150), strings.Repeat("é", 100)},
		"with_characters_torn": {"x" + strings.Repeat("é", 150), "x" + strings.Repeat("é", 99) + "\uFFFD"},
		"with_a_nul":           {"a\x00b", "a\uFFFDb"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupInterview(t, db.Phone)
			require.NoError(t, b.CancelInterview(b.ctx, activities.CancelInterviewInput{InterviewID: b.id, Reason: c.given}))
			assert.Equal(t, activities.InterviewCanceled, b.state().Status)
			assert.Equal(t, c.want, b.reason())
			assert.Equal(t, activities.CallCancelled, b.state().Call.Status)
		})
	}
	t.Run("ended_stays_ended", func(t *testing.T) {
		t.Parallel()
		b := setupInterview(t, db.Online)
		b.finish()
		require.NoError(t, b.CancelInterview(b.ctx, activities.CancelInterviewInput{InterviewID: b.id}))
		assert.Equal(t, activities.InterviewCompleted, b.state().Status)
		require.NoError(t, b.CancelInterview(b.ctx, activities.CancelInterviewInput{InterviewID: pg.NewID()}))
	})
}

func TestFailAnalysis(t *testing.T) {
	t.Parallel()
	b := setupInterview(t, db.Online)
	b.finish()
	late := activities.FailAnalysisInput{InterviewID: b.id, Version: "of another time"}
	require.NoError(t, b.FailAnalysis(b.ctx, late))
	assert.Equal(t, db.AnalysisPending, b.state().Analysis)
	require.NoError(t, b.FailAnalysis(b.ctx, activities.FailAnalysisInput{InterviewID: b.id, Version: b.state().Version}))
	assert.Equal(t, db.AnalysisFailed, b.state().Analysis)
	assert.Equal(t, "the analysis did not arrive in time", b.event(catalog.AnalysisFailed)["errorMessage"])
}
