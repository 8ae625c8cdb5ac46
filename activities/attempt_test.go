package activities_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"go.temporal.io/sdk/temporal"

	"greenroom/activities"
	"greenroom/activities/webhook"
	"greenroom/db/catalog"
	"greenroom/db/dbtest"
	"greenroom/db/delivery"
	"greenroom/db/pg"
	"greenroom/db/seal"
)

// attempting is a webhook, a receiver and the activities between them.
type attempting struct {
	*activities.Activities
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
	s.Activities = &activities.Activities{
		DB: dbtest.New(t), Box: box, CircuitThreshold: 10, Endpoints: activities.NewEndpoints(10, nil), Logger: slog.New(slog.DiscardHandler),
		Client: webhook.NewClient(webhook.ClientOptions{AllowHTTP: true, AllowLoopback: true}),
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
		ID: id, CompanyID: &s.company, OwnerCompanyID: &s.company, Profile: "instaview", URL: url, Events: []string{catalog.InterviewStarted},
		IsActive: true, MaxRetries: 3, TimeoutMS: 2000, Secret: secret, CreatedAt: now, UpdatedAt: now,
		Headers: []delivery.WebhookHeader{{Name: "Authorization", Sealed: token}, {Name: "X-Plain", Value: "shown"}},
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

func (s *attempting) attempt(in activities.AttemptInput, run uuid.UUID) activities.AttemptResult {
	s.t.Helper()
	res, err := activities.AttemptAs(s.Activities, s.t.Context(), in, run, "delivery:test:0")
	require.NoError(s.t, err)
	return res
}

func (s *attempting) row(id uuid.UUID) *delivery.Delivery {
	s.t.Helper()
	d, err := delivery.GetDelivery(s.t.Context(), s.DB, pg.Scope{}, id)
	require.NoError(s.t, err)
	return d
}

func TestAttemptSucceeds(t *testing.T) {
	s := setupAttempt(t)
	id := s.delivery()
	res := s.attempt(activities.AttemptInput{DeliveryID: id, Attempt: 1, Wait: time.Second}, uuid.New())
	require.Equal(t, activities.AttemptResult{Outcome: activities.AttemptSucceeded, Reason: "accepted"}, res)
	require.Equal(t, "Bearer hidden", s.last.Load().Header.Get("Authorization"))
	require.Equal(t, "shown", s.last.Load().Header.Get("X-Plain"))
	require.Contains(t, *s.body.Load(), `"data":{"z":1, "a":2}`)
	d := s.row(id)
	require.Equal(t, delivery.Succeeded, d.Status)
	require.Equal(t, *s.body.Load(), string(d.Body), "what was sent is what is kept")
}

func TestAttemptOfTheSameRunIsMadeOnce(t *testing.T) {
	s := setupAttempt(t)
	in, run := activities.AttemptInput{DeliveryID: s.delivery(), Attempt: 1, Wait: time.Minute}, uuid.New()
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
		want   activities.AttemptOutcome
		reason string
		status delivery.Status
	}{
		{200, false, activities.AttemptSucceeded, "accepted", delivery.Succeeded},
		{500, true, activities.AttemptFailed, "HTTP 500 Internal Server Error", delivery.Failed},
	} {
		s.answer = func(w http.ResponseWriter) { w.WriteHeader(tc.answer) }
		in := activities.AttemptInput{DeliveryID: s.delivery(), Attempt: 1, Last: tc.last, Wait: time.Second}
		s.attempt(in, uuid.New())
		posts := s.posts.Load()

		s.answer = func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) }
		s.exec("UPDATE webhooks SET circuit_opened_at = now()") // an open circuit changes nothing about it
		in.Attempt, in.Last = 2, false
		res := s.attempt(in, uuid.New())
		s.exec("UPDATE webhooks SET circuit_opened_at = NULL")
		require.Equal(t, activities.AttemptResult{Outcome: tc.want, Reason: tc.reason}, res)
		require.Equal(t, posts, s.posts.Load())
		require.Equal(t, tc.status, s.row(in.DeliveryID).Status)

		in.Attempt, in.Replay = 1, true
		require.Equal(t, activities.AttemptRetry, s.attempt(in, uuid.New()).Outcome, "a replay was asked for")
		require.Equal(t, posts+1, s.posts.Load())
		require.Equal(t, delivery.Retrying, s.row(in.DeliveryID).Status)
	}
}

func TestAReplayWaitsBehindAnOpenCircuit(t *testing.T) {
	s := setupAttempt(t)
	in := activities.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}
	s.attempt(in, uuid.New())
	s.exec("UPDATE webhooks SET circuit_opened_at = now()")
	in.Replay = true
	require.Equal(t, activities.AttemptParked, s.attempt(in, uuid.New()).Outcome)
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
	res := s.attempt(activities.AttemptInput{DeliveryID: id, Attempt: 1, Wait: 10 * time.Second}, uuid.New())
	require.Equal(t, activities.AttemptRetry, res.Outcome)
	require.Contains(t, res.Reason, "502")
	require.GreaterOrEqual(t, time.Until(res.NextAt), 115*time.Second)
	d := s.row(id)
	require.Equal(t, delivery.Retrying, d.Status)
	require.WithinDuration(t, res.NextAt, *d.NextAttemptAt, time.Millisecond)
	as, err := delivery.ListAttempts(t.Context(), s.DB, id)
	require.NoError(t, err)
	require.Equal(t, "no \uFFFD\uFFFD text", *as[0].Response)
	require.Equal(t, 502, *as[0].StatusCode)

	last := s.attempt(activities.AttemptInput{DeliveryID: id, Attempt: 4, Last: true}, uuid.New())
	require.Equal(t, activities.AttemptFailed, last.Outcome)
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
	res := s.attempt(activities.AttemptInput{DeliveryID: id, Attempt: 1, Wait: time.Second}, uuid.New())
	require.Equal(t, activities.AttemptRetry, res.Outcome)
	require.Equal(t, "Connection timeout", res.Reason)
}

func TestAttemptIsNotMade(t *testing.T) {
	t.Run("behind_an_open_circuit", func(t *testing.T) {
		s := setupAttempt(t)
		in := activities.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}
		_, err := s.DB.ExecContext(t.Context(), "UPDATE webhooks SET circuit_opened_at = now()")
		require.NoError(t, err)
		require.Equal(t, activities.AttemptParked, s.attempt(in, uuid.New()).Outcome)
		require.Zero(t, s.posts.Load())
		require.Equal(t, delivery.Paused, s.row(in.DeliveryID).Status)
		in.Probe = true
		require.Equal(t, activities.AttemptSucceeded, s.attempt(in, uuid.New()).Outcome, "but for a probe")
	})
	t.Run("for_an_inactive_webhook", func(t *testing.T) {
		s := setupAttempt(t)
		in := activities.AttemptInput{DeliveryID: s.delivery(), Attempt: 1, Probe: true}
		_, err := s.DB.ExecContext(t.Context(), "UPDATE webhooks SET is_active = false")
		require.NoError(t, err)
		require.Equal(t, activities.AttemptParked, s.attempt(in, uuid.New()).Outcome)
		require.Zero(t, s.posts.Load())
	})
	t.Run("for_a_deleted_webhook", func(t *testing.T) {
		s := setupAttempt(t)
		in := activities.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}
		require.NoError(t, pg.InTx(t.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error { return delivery.DeleteWebhook(ctx, tx, s.hook.ID) }))
		require.Equal(t, activities.AttemptCanceled, s.attempt(in, uuid.New()).Outcome)
		require.Zero(t, s.posts.Load())
	})
	t.Run("for_an_older_generation", func(t *testing.T) {
		s := setupAttempt(t)
		in := activities.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}
		_, err := s.DB.ExecContext(t.Context(), "UPDATE deliveries SET generation = 1")
		require.NoError(t, err)
		require.Equal(t, activities.AttemptCanceled, s.attempt(in, uuid.New()).Outcome)
	})
	t.Run("while_the_endpoint_has_its_share_in_flight", func(t *testing.T) {
		s := setupAttempt(t)
		in := activities.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}
		for range 10 {
			require.True(t, s.Endpoints.Acquire(s.hook.ID, uuid.New(), 0, time.Minute))
		}
		res := s.attempt(in, uuid.New())
		require.Equal(t, activities.AttemptBusy, res.Outcome)
		require.Positive(t, time.Until(res.NextAt))
		require.WithinDuration(t, res.NextAt, *s.row(in.DeliveryID).NextAttemptAt, time.Millisecond, "so it is not overdue until then")
		for _, local := range []bool{true, false} {
			var e *temporal.ApplicationError
			require.ErrorAs(t, activities.Busy(res, local), &e)
			require.Equal(t, local, e.NonRetryable(), "a local activity gives it to the slow lane")
			require.InDelta(t, time.Until(res.NextAt), e.NextRetryDelay(), float64(100*time.Millisecond))
		}
	})
	t.Run("when_we_are_stopping_and_it_is_our_error", func(t *testing.T) {
		s := setupAttempt(t)
		in := activities.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}
		ctx, cancel := context.WithCancel(t.Context())
		hold := make(chan struct{})
		t.Cleanup(func() { close(hold) })
		s.answer = func(http.ResponseWriter) { cancel(); <-hold }
		_, err := activities.AttemptAs(s.Activities, ctx, in, uuid.New(), "delivery:test:0")
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, delivery.Pending, s.row(in.DeliveryID).Status, "nothing is counted against the receiver")
	})
}

func TestEndpoints(t *testing.T) {
	t.Parallel()
	freed := 0
	e := activities.NewEndpoints(2, func() { freed++ })
	hook, a, b, c := uuid.New(), uuid.New(), uuid.New(), uuid.New()
	require.True(t, e.Acquire(hook, a, 0, time.Minute))
	require.True(t, e.Acquire(hook, a, 0, time.Minute), "a place is kept, not taken twice")
	require.True(t, e.Acquire(hook, b, 0, time.Nanosecond))
	require.Equal(t, map[uuid.UUID]int{hook: 1}, e.Room(2, true), "a place that lapsed is free")
	require.True(t, e.Acquire(hook, b, 0, time.Minute))
	require.False(t, e.Acquire(hook, c, 0, time.Minute))
	require.True(t, e.Acquire(uuid.New(), c, 0, time.Minute), "another endpoint has its own")
	e.Release(hook, a, 0)
	require.Equal(t, 1, freed)
	require.False(t, e.Slow(hook))
	for range 8 {
		e.Release(hook, b, 5*time.Second)
	}
	require.True(t, e.Slow(hook))

	limited := uuid.New()
	for i := range 5 {
		require.Equal(t, i < 1, e.Acquire(limited, uuid.New(), 1, time.Nanosecond), "one per second")
	}
	require.Zero(t, e.Room(2, true)[limited])
}

func TestEndpointsKeepPlacesForThoseThatAskAgain(t *testing.T) {
	t.Parallel()
	e := activities.NewEndpoints(10, nil)
	hook, retry := uuid.New(), uuid.New()
	started := make([]uuid.UUID, 10)
	for i := range started {
		started[i] = uuid.New()
		require.True(t, e.Acquire(hook, started[i], 0, time.Minute))
	}
	ok, wait := e.AcquireOrWait(hook, retry, 0, time.Minute)
	require.False(t, ok)
	require.GreaterOrEqual(t, wait, time.Second)
	for i := range 3 {
		e.Release(hook, started[i], 0)
		require.False(t, e.Acquire(hook, uuid.New(), 0, time.Minute), "the dispatcher leaves three to those that wait")
		require.Zero(t, e.Room(10, true)[hook])
	}
	e.Release(hook, started[3], 0)
	require.True(t, e.Acquire(hook, uuid.New(), 0, time.Minute), "but no more")
	ok, _ = e.AcquireOrWait(hook, retry, 0, time.Minute)
	require.True(t, ok)
	require.True(t, e.Acquire(hook, uuid.New(), 0, time.Minute), "none waits any more")
}

func TestEndpointsReserveTurns(t *testing.T) {
	t.Parallel()
	const perSecond = 20
	e := activities.NewEndpoints(1000, nil)
	hook := uuid.New()
	for e.Acquire(hook, uuid.New(), perSecond, time.Minute) {
	}
	waits := map[uuid.UUID]time.Duration{}
	var longest time.Duration
	for range 10 {
		id := uuid.New()
		ok, wait := e.AcquireOrWait(hook, id, perSecond, time.Minute)
		require.False(t, ok)
		require.Greater(t, wait, longest, "each has a turn of its own")
		waits[id], longest = wait, wait
	}
	require.LessOrEqual(t, longest, time.Second)
	require.False(t, e.Acquire(hook, uuid.New(), perSecond, time.Minute), "what is reserved is not the dispatcher's")
	<-time.After(longest)
	for id := range waits {
		ok, _ := e.AcquireOrWait(hook, id, perSecond, time.Minute)
		require.True(t, ok, "at its turn it goes")
	}
	for range 500 { // far ahead there is nothing to reserve
		_, wait := e.AcquireOrWait(hook, uuid.New(), perSecond, time.Minute)
		require.LessOrEqual(t, wait, 30*time.Second)
	}
}

func TestAttemptOfADeliveryThatIsNotThereIsRefusedForGood(t *testing.T) {
	s := setupAttempt(t)
	id := uuid.New()
	_, err := activities.AttemptAs(s.Activities, t.Context(), activities.AttemptInput{DeliveryID: id, Attempt: 1}, uuid.New(), "delivery:test:0")
	var refused *temporal.ApplicationError
	require.ErrorAs(t, err, &refused)
	require.True(t, refused.NonRetryable())
	require.ErrorContains(t, err, "there is no delivery "+id.String())
}
