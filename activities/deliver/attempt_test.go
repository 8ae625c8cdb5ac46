package deliver_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"go.temporal.io/sdk/temporal"

	"greenroom/activities/deliver"
	"greenroom/activities/inflight"
	"greenroom/activities/webhook"
	"greenroom/db/catalog"
	"greenroom/db/dbtest"
	"greenroom/db/delivery"
	"greenroom/db/pg"
	"greenroom/db/seal"
)

// attempting is a webhook, a receiver and the activities between them.
type attempting struct {
	*deliver.Activities
	t       *testing.T
	company uuid.UUID
	hook    *delivery.Webhook
	posts   atomic.Int32
	last    atomic.Pointer[http.Request]
	body    atomic.Pointer[string]
	answer  func(w http.ResponseWriter)
}

func setupAttempt(t *testing.T) *attempting {
	t.Helper()
	t.Parallel()
	keyset, err := seal.NewKeyset()
	require.NoError(t, err)
	box, err := seal.New(keyset)
	require.NoError(t, err)
	s := &attempting{t: t, company: pg.NewID(), answer: func(http.ResponseWriter) {}}
	s.Activities = &deliver.Activities{
		DB: dbtest.New(
			t,
		),
		Box:              box,
		CircuitThreshold: 10,
		Endpoints:        inflight.NewEndpoints(10, nil),
		Logger:           slog.New(slog.DiscardHandler),
		Client:           webhook.NewClient(webhook.ClientOptions{AllowHTTP: true, AllowLoopback: true}),
	}
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		text := string(b)
		s.posts.Add(1)
		s.last.Store(r)
		s.body.Store(&text)
		s.answer(w)
	}))
	t.Cleanup(receiver.Close)
	_, err = s.DB.ExecContext(t.Context(), "INSERT INTO companies (id, name) VALUES (?, 'Acme')", s.company)
	require.NoError(t, err)
	s.hook = s.webhook(receiver.URL)
	return s
}

func (s *attempting) webhook(url string) *delivery.Webhook {
	id, now := pg.NewID(), time.Now().UTC()
	secret, err := s.Box.Seal(make([]byte, 32), id, delivery.SecretField)
	require.NoError(s.t, err)
	token, err := s.Box.Seal([]byte("Bearer hidden"), id, delivery.HeaderField("Authorization"))
	require.NoError(s.t, err)
	w := &delivery.Webhook{
		ID:             id,
		CompanyID:      &s.company,
		OwnerCompanyID: &s.company,
		Profile:        "instaview",
		URL:            url,
		Events:         []string{catalog.InterviewStarted},
		IsActive:       true,
		MaxRetries:     3,
		TimeoutMS:      2000,
		Secret:         secret,
		CreatedAt:      now,
		UpdatedAt:      now,
		Headers:        []delivery.WebhookHeader{{Name: "Authorization", Sealed: token}, {Name: "X-Plain", Value: "shown"}},
	}
	require.NoError(s.t, delivery.CreateWebhook(s.t.Context(), s.DB, w))
	return w
}

// delivery publishes an event and takes its delivery from the queue.
func (s *attempting) delivery() uuid.UUID {
	s.t.Helper()
	var id uuid.UUID
	err := pg.InTx(s.t.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		e := &delivery.Event{CompanyID: &s.company, Type: catalog.InterviewStarted, Data: []byte(`{"z":1, "a":2}`)}
		if _, err := delivery.RecordEvent(ctx, tx, e); err != nil {
			return err
		}
		return tx.NewRaw("DELETE FROM delivery_queue RETURNING delivery_id").Scan(ctx, &id)
	})
	require.NoError(s.t, err)
	return id
}

func (s *attempting) attempt(in deliver.AttemptInput, run uuid.UUID) deliver.AttemptResult {
	s.t.Helper()
	res, err := deliver.AttemptAs(s.Activities, s.t.Context(), in, run, "delivery:test:0")
	require.NoError(s.t, err)
	return res
}

func (s *attempting) row(id uuid.UUID) *delivery.Delivery {
	s.t.Helper()
	d, err := delivery.GetDelivery(s.t.Context(), s.DB, pg.Scope{}, id)
	require.NoError(s.t, err)
	return d
}

// within receives from c, and fails the test when nothing arrives.
func within[T any](t *testing.T, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(20 * time.Second):
		require.FailNow(t, "nothing arrived in 20 s")
	}
	return v
}

// attemptDuring makes an attempt that waits for a transaction with this change, which then commits, and returns its
// error.
func (s *attempting) attemptDuring(change string, in deliver.AttemptInput) error {
	s.t.Helper()
	tx, err := s.DB.BeginTx(s.t.Context(), nil)
	require.NoError(s.t, err)
	defer func() { _ = tx.Rollback() }()
	_, err = tx.Exec(change)
	require.NoError(s.t, err)
	result := make(chan error, 1)
	go func() {
		_, err := deliver.AttemptAs(s.Activities, s.t.Context(), in, uuid.New(), "delivery:test:0")
		result <- err
	}()
	s.untilLocked()
	require.NoError(s.t, tx.Commit())
	return within(s.t, result)
}

// untilLocked waits until a transaction waits for another's lock.
func (s *attempting) untilLocked() {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		return s.number(
			"SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()",
		) > 0
	}, 10*time.Second, time.Millisecond)
}

func TestAttemptSucceeds(t *testing.T) {
	s := setupAttempt(t)
	id := s.delivery()
	res := s.attempt(deliver.AttemptInput{DeliveryID: id, Attempt: 1, Wait: time.Second}, uuid.New())
	require.Equal(t, deliver.AttemptResult{Outcome: deliver.AttemptSucceeded, Reason: "accepted"}, res)
	require.Equal(t, "Bearer hidden", s.last.Load().Header.Get("Authorization"))
	require.Equal(t, "shown", s.last.Load().Header.Get("X-Plain"))
	require.Contains(t, *s.body.Load(), `"data":{"z":1, "a":2}`)
	d := s.row(id)
	require.Equal(t, delivery.Succeeded, d.Status)
	require.Equal(t, *s.body.Load(), string(d.Body), "what was sent is what is kept")
}

func TestAttemptOfTheSameRunIsMadeOnce(t *testing.T) {
	s := setupAttempt(t)
	in, run := deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1, Wait: time.Minute}, uuid.New()
	s.answer = func(w http.ResponseWriter) { w.WriteHeader(http.StatusTeapot) }
	first := s.attempt(in, run)
	again := s.attempt(in, run)
	require.EqualValues(t, 1, s.posts.Load())
	require.Equal(t, first.Outcome, again.Outcome)
	require.WithinDuration(t, first.NextAt, again.NextAt, time.Millisecond)
	s.attempt(in, uuid.New())
	require.EqualValues(t, 2, s.posts.Load(), "another run makes it, of a delivery that has not ended")
}

func TestASecondRunOfAnEndedDeliverySendsNothing(t *testing.T) {
	s := setupAttempt(t)
	for _, tc := range []struct {
		answer int
		last   bool
		want   deliver.AttemptOutcome
		reason string
		status delivery.Status
	}{
		{200, false, deliver.AttemptSucceeded, "accepted", delivery.Succeeded},
		{500, true, deliver.AttemptFailed, "HTTP 500 Internal Server Error", delivery.Failed},
	} {
		s.answer = func(w http.ResponseWriter) { w.WriteHeader(tc.answer) }
		in := deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1, Last: tc.last, Wait: time.Second}
		s.attempt(in, uuid.New())
		posts := s.posts.Load()

		s.answer = func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) }
		s.exec("UPDATE webhooks SET circuit_opened_at = now()") // an open circuit changes nothing about it
		in.Attempt, in.Last = 2, false
		res := s.attempt(in, uuid.New())
		s.exec("UPDATE webhooks SET circuit_opened_at = NULL")
		require.Equal(t, deliver.AttemptResult{Outcome: tc.want, Reason: tc.reason}, res)
		require.Equal(t, posts, s.posts.Load())
		require.Equal(t, tc.status, s.row(in.DeliveryID).Status)

		in.Attempt, in.Replay = 1, true
		require.Equal(t, deliver.AttemptRetry, s.attempt(in, uuid.New()).Outcome, "a replay was asked for")
		require.Equal(t, posts+1, s.posts.Load())
		require.Equal(t, delivery.Retrying, s.row(in.DeliveryID).Status)
	}
}

func TestAReplayWaitsBehindAnOpenCircuit(t *testing.T) {
	s := setupAttempt(t)
	in := deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}
	s.attempt(in, uuid.New())
	s.exec("UPDATE webhooks SET circuit_opened_at = now()")
	in.Replay = true
	require.Equal(t, deliver.AttemptParked, s.attempt(in, uuid.New()).Outcome)
	require.EqualValues(t, 1, s.posts.Load())
	require.Equal(t, delivery.Paused, s.row(in.DeliveryID).Status, "so that closing the circuit releases it")
}

func TestAttemptFails(t *testing.T) {
	s := setupAttempt(t)
	s.answer = func(w http.ResponseWriter) {
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(http.StatusBadGateway)
		_, _ = w.Write([]byte("no \xff\x00 text"))
	}
	id := s.delivery()
	res := s.attempt(deliver.AttemptInput{DeliveryID: id, Attempt: 1, Wait: 10 * time.Second}, uuid.New())
	require.Equal(t, deliver.AttemptRetry, res.Outcome)
	require.Contains(t, res.Reason, "502")
	require.GreaterOrEqual(t, time.Until(res.NextAt), 115*time.Second)
	d := s.row(id)
	require.Equal(t, delivery.Retrying, d.Status)
	require.WithinDuration(t, res.NextAt, *d.NextAttemptAt, time.Millisecond)
	as, err := delivery.ListAttempts(t.Context(), s.DB, id)
	require.NoError(t, err)
	require.Equal(t, "no \uFFFD\uFFFD text", *as[0].Response)
	require.Equal(t, 502, *as[0].StatusCode)

	last := s.attempt(deliver.AttemptInput{DeliveryID: id, Attempt: 4, Last: true}, uuid.New())
	require.Equal(t, deliver.AttemptFailed, last.Outcome)
	require.Equal(t, delivery.Failed, s.row(id).Status)
}

func TestAttemptTimesOut(t *testing.T) {
	s := setupAttempt(t)
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	s.answer = func(http.ResponseWriter) { <-done }
	_, err := s.DB.ExecContext(t.Context(), "UPDATE webhooks SET timeout_ms = 100")
	require.NoError(t, err)
	id := s.delivery()
	res := s.attempt(deliver.AttemptInput{DeliveryID: id, Attempt: 1, Wait: time.Second}, uuid.New())
	require.Equal(t, deliver.AttemptRetry, res.Outcome)
	require.Equal(t, "Connection timeout", res.Reason)
}

func TestAttemptIsNotMade(t *testing.T) {
	t.Run("behind_an_open_circuit", func(t *testing.T) {
		s := setupAttempt(t)
		in := deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}
		_, err := s.DB.ExecContext(t.Context(), "UPDATE webhooks SET circuit_opened_at = now()")
		require.NoError(t, err)
		require.Equal(t, deliver.AttemptParked, s.attempt(in, uuid.New()).Outcome)
		require.Zero(t, s.posts.Load())
		require.Equal(t, delivery.Paused, s.row(in.DeliveryID).Status)
		in.Probe = true
		require.Equal(t, deliver.AttemptSucceeded, s.attempt(in, uuid.New()).Outcome, "but for a probe")
	})
	t.Run("for_an_inactive_webhook", func(t *testing.T) {
		s := setupAttempt(t)
		in := deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1, Probe: true}
		_, err := s.DB.ExecContext(t.Context(), "UPDATE webhooks SET is_active = false")
		require.NoError(t, err)
		require.Equal(t, deliver.AttemptParked, s.attempt(in, uuid.New()).Outcome)
		require.Zero(t, s.posts.Load())
	})
	t.Run("for_a_deleted_webhook", func(t *testing.T) {
		s := setupAttempt(t)
		in := deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}
		require.NoError(
			t,
			pg.InTx(
				t.Context(),
				s.DB,
				func(ctx context.Context, tx bun.Tx) error { return delivery.DeleteWebhook(ctx, tx, s.hook.ID) },
			),
		)
		require.Equal(t, deliver.AttemptCanceled, s.attempt(in, uuid.New()).Outcome)
		require.Zero(t, s.posts.Load())
	})
	t.Run("for_an_older_generation", func(t *testing.T) {
		s := setupAttempt(t)
		in := deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}
		_, err := s.DB.ExecContext(t.Context(), "UPDATE deliveries SET generation = 1")
		require.NoError(t, err)
		require.Equal(t, deliver.AttemptCanceled, s.attempt(in, uuid.New()).Outcome)
	})
	t.Run("while_the_endpoint_has_its_share_in_flight", func(t *testing.T) {
		s := setupAttempt(t)
		in := deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}
		for range 10 {
			require.True(t, s.Endpoints.AcquireForBatch(t.Context(), s.hook.ID, uuid.New()))
		}
		res := s.attempt(in, uuid.New())
		require.Equal(t, deliver.AttemptBusy, res.Outcome)
		require.Positive(t, time.Until(res.NextAt))
		require.Equal(t, 1, s.number("SELECT count(*) FROM delivery_queue WHERE delivery_id = ? AND attempt = 1 AND redo",
			in.DeliveryID), "the dispatcher wakes it when there is a place")
		s.attempt(in, uuid.New())
		require.Equal(t, 1, s.number("SELECT count(*) FROM delivery_queue"))
	})
	t.Run("while_its_webhook_has_had_its_attempts_per_second", func(t *testing.T) {
		s := setupAttempt(t)
		s.exec("UPDATE webhooks SET rate_limit = 1")
		require.Equal(t, deliver.AttemptSucceeded,
			s.attempt(deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}, uuid.New()).Outcome)
		in := deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}
		res := s.attempt(in, uuid.New())
		require.Equal(t, deliver.AttemptBusy, res.Outcome)
		require.Positive(t, time.Until(res.NextAt))
		require.WithinDuration(
			t,
			res.NextAt,
			*s.row(in.DeliveryID).NextAttemptAt,
			time.Second,
			"so it is not overdue until then",
		)
		for _, local := range []bool{true, false} {
			var e *temporal.ApplicationError
			require.ErrorAs(t, deliver.Busy(res, local), &e)
			require.Equal(t, local, e.NonRetryable(), "a local activity gives it to the slow task queue")
			require.InDelta(t, time.Until(res.NextAt), e.NextRetryDelay(), float64(100*time.Millisecond))
		}
	})
	t.Run("of_a_replay_while_the_endpoint_has_its_share_in_flight", func(t *testing.T) {
		s := setupAttempt(t)
		in := deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1, Replay: true}
		s.exec("UPDATE deliveries SET status = 'succeeded'")
		for range 10 {
			require.True(t, s.Endpoints.AcquireForBatch(t.Context(), s.hook.ID, uuid.New()))
		}
		res := s.attempt(in, uuid.New())
		require.Equal(t, deliver.AttemptBusy, res.Outcome)
		require.InDelta(t, 5*time.Second, time.Until(res.NextAt), float64(time.Second), "the queue drops what has ended")
		require.Zero(t, s.number("SELECT count(*) FROM delivery_queue"))
	})
	t.Run("when_we_are_stopping_and_it_is_our_error", func(t *testing.T) {
		s := setupAttempt(t)
		in := deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}
		ctx, cancel := context.WithCancel(t.Context())
		hold := make(chan struct{})
		t.Cleanup(func() { close(hold) })
		s.answer = func(http.ResponseWriter) { cancel(); <-hold }
		_, err := deliver.AttemptAs(s.Activities, ctx, in, uuid.New(), "delivery:test:0")
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, delivery.Pending, s.row(in.DeliveryID).Status, "nothing is counted against the receiver")
	})
}

func TestAttemptOfADeliveryThatIsNotThereIsRefusedForGood(t *testing.T) {
	s := setupAttempt(t)
	id := uuid.New()
	_, err := deliver.AttemptAs(
		s.Activities,
		t.Context(),
		deliver.AttemptInput{DeliveryID: id, Attempt: 1},
		uuid.New(),
		"delivery:test:0",
	)
	var refused *temporal.ApplicationError
	require.ErrorAs(t, err, &refused)
	require.True(t, refused.NonRetryable())
	require.ErrorContains(t, err, "there is no delivery "+id.String())
}

// A delivery that is canceled while its attempt is about to pause it stays canceled, and Temporal tries again to learn
// how it ended.
func TestAttemptFindsThatTheDeliveryEndedBeforeItWasPaused(t *testing.T) {
	s := setupAttempt(t)
	in := deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}
	s.exec("UPDATE webhooks SET circuit_opened_at = now()")
	err := s.attemptDuring("UPDATE deliveries SET status = 'canceled'", in)
	require.ErrorContains(t, err, "the delivery ended while it was about to be paused")
	require.Equal(t, deliver.AttemptCanceled, s.attempt(in, uuid.New()).Outcome)
	require.Zero(t, s.posts.Load())
}

// The circuit may close while an attempt is about to pause its delivery: nothing would release it, so it is sent.
func TestAttemptIsMadeWhenTheCircuitCloses(t *testing.T) {
	s := setupAttempt(t)
	in := deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}
	s.exec("UPDATE webhooks SET circuit_opened_at = now()")
	require.NoError(t, s.attemptDuring("UPDATE webhooks SET circuit_opened_at = NULL", in))
	require.Equal(t, delivery.Succeeded, s.row(in.DeliveryID).Status)
	require.EqualValues(t, 1, s.posts.Load())
}

// The reconciler does not take a workflow for lost whose attempt waited for long and is being made: the wake would end
// the workflow's next wait.
func TestALateAttemptIsNotTakenForLost(t *testing.T) {
	s := setupAttempt(t)
	var page delivery.SweepPage
	sweep := func() {
		var err error
		page, err = delivery.SweepDeliveries(t.Context(), s.DB, delivery.SweepCursor{}, 25*time.Second, 100)
		require.NoError(t, err)
	}
	s.answer = func(http.ResponseWriter) { sweep() }
	in := deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}
	s.exec("DELETE FROM delivery_queue")
	s.exec("UPDATE deliveries SET updated_at = now() - interval '1 hour'")
	require.Equal(t, deliver.AttemptSucceeded, s.attempt(in, uuid.New()).Outcome)
	require.EqualValues(t, 1, s.posts.Load())
	require.Zero(t, page.Requeued)
	s.delivery()
	s.exec("DELETE FROM delivery_queue")
	s.exec("UPDATE deliveries SET updated_at = now() - interval '1 hour'")
	sweep()
	require.Equal(t, 1, page.Requeued, "one that is not attempted is")
}

// A place is held for longer than the webhook's time-out, so that a receiver that hangs gets no further attempt.
func TestAttemptHoldsItsPlace(t *testing.T) {
	s := setupAttempt(t)
	s.Endpoints = inflight.NewEndpoints(1, nil)
	arrived, hold := make(chan struct{}, 2), make(chan struct{})
	release := sync.OnceFunc(func() { close(hold) })
	t.Cleanup(release)
	s.answer = func(http.ResponseWriter) { arrived <- struct{}{}; <-hold }
	first, second := s.delivery(), s.delivery()
	result := make(chan deliver.AttemptResult, 1)
	go func() {
		in := deliver.AttemptInput{DeliveryID: first, Attempt: 1}
		res, _ := deliver.AttemptAs(s.Activities, t.Context(), in, uuid.New(), "delivery:test:0")
		result <- res
	}()
	within(t, arrived)
	in := deliver.AttemptInput{DeliveryID: second, Attempt: 1}
	require.Equal(t, deliver.AttemptBusy, s.attempt(in, uuid.New()).Outcome)
	release()
	require.Equal(t, deliver.AttemptSucceeded, within(t, result).Outcome)
	require.Equal(t, deliver.AttemptSucceeded, s.attempt(in, uuid.New()).Outcome, "it has been given back")
}

// An attempt of a test delivery neither waits for the circuit nor counts in it.
func TestAttemptOfATestLeavesTheCircuitAlone(t *testing.T) {
	s := setupAttempt(t)
	s.CircuitThreshold = 1
	s.answer = func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) }
	in := deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}
	s.exec("UPDATE deliveries SET is_test = true")
	require.Equal(t, deliver.AttemptRetry, s.attempt(in, uuid.New()).Outcome)
	require.Zero(t, s.number("SELECT consecutive_failures FROM webhooks"))
	s.exec("UPDATE webhooks SET circuit_opened_at = now()")
	require.Equal(t, deliver.AttemptRetry, s.attempt(in, uuid.New()).Outcome)
	require.EqualValues(t, 2, s.posts.Load())
}

// Retries of deliveries that failed together are spread around the schedule's wait, to both sides.
func TestRetriesAreSpread(t *testing.T) {
	s := setupAttempt(t)
	s.answer = func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) }
	s.CircuitThreshold = 1000
	var early, late int
	for range 40 {
		in := deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1, Wait: time.Hour}
		switch wait := time.Until(s.attempt(in, uuid.New()).NextAt); {
		case wait < time.Hour*95/100:
			early++
		case wait > time.Hour*105/100:
			late++
		}
	}
	require.Positive(t, early)
	require.Positive(t, late)
}

func TestAttemptLogsWhyTheCircuitOpened(t *testing.T) {
	s := setupAttempt(t)
	log := new(lockedBuffer)
	s.Logger, s.CircuitThreshold = slog.New(slog.NewTextHandler(log, nil)), 1
	s.ConsoleURL = "http://g/console"
	s.answer = func(w http.ResponseWriter) { w.WriteHeader(http.StatusTeapot) }
	s.attempt(deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}, uuid.New())
	require.Regexp(t, `circuit opened.*last_error="?HTTP 418.* console=http://g/console/webhooks/[0-9a-f-]{36}/circuit\n`,
		log.String())
	require.Equal(t, 1, strings.Count(log.String(), "circuit opened"))
}

func TestAttemptLogsThatAProbeClosedTheCircuit(t *testing.T) {
	s := setupAttempt(t)
	log := new(lockedBuffer)
	s.Logger = slog.New(slog.NewTextHandler(log, nil))
	closed := func() int { return strings.Count(log.String(), "circuit closed by a probe") }
	in := deliver.AttemptInput{Attempt: 1, Probe: true}
	try := func() {
		in.DeliveryID = s.delivery()
		s.attempt(in, uuid.New())
	}
	try()
	require.Zero(t, closed(), "the circuit was closed")
	s.exec("UPDATE webhooks SET circuit_opened_at = now()")
	s.answer = func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) }
	try()
	require.Zero(t, closed(), "the probe failed")
	s.answer = func(http.ResponseWriter) {}
	try()
	require.Equal(t, 1, closed())
	in.Probe = false
	try()
	require.Equal(t, 1, closed(), "no probe")
	require.EqualValues(t, 4, s.posts.Load())
}

func TestAttemptIsMeasured(t *testing.T) {
	s := setupAttempt(t)
	s.answer = func(http.ResponseWriter) { time.Sleep(50 * time.Millisecond) }
	s.attempt(deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}, uuid.New())
	registry := prometheus.NewRegistry()
	registry.MustRegister(deliver.Collectors()...)
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() != "greenroom_attempt_duration_seconds" {
			continue
		}
		for _, m := range f.GetMetric() {
			h := m.GetHistogram()
			require.Less(t, h.GetSampleSum()/float64(h.GetSampleCount()), 10.0, "seconds")
		}
		return
	}
	require.Fail(t, "no duration was observed")
}
