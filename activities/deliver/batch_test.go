package deliver_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/activities/deliver"
	"greenroom/activities/inflight"
	"greenroom/db/catalog"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// receiver notes what arrives at it, and when.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	requests []received
}

type received struct {
	at       time.Time
	delivery string
	header   http.Header
	body     string
}

// receive answers the nth request, from 0, with what answer writes.
func receive(t *testing.T, answer func(n int, w http.ResponseWriter)) *receiver {
	t.Helper()
	r := new(receiver)
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		at := time.Now()
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		n := len(r.requests)
		r.requests = append(r.requests, received{at, req.Header.Get("X-Webhook-Delivery-Id"), req.Header, string(body)})
		r.mu.Unlock()
		answer(n, w)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) got() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]received(nil), r.requests...)
}

// after counts the requests that began later than that.
func (r *receiver) after(at time.Time) (n int) {
	for _, q := range r.got() {
		if q.at.After(at) {
			n++
		}
	}
	return n
}

func accept(int, http.ResponseWriter) {}

func refuse(_ int, w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) }

// batch publishes n events and puts their deliveries in a batch.
func (s *attempting) batch(n int) deliver.BatchInput {
	s.t.Helper()
	in := deliver.BatchInput{BatchID: pg.NewID()}
	err := pg.InTx(s.t.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		es := make([]*delivery.Event, n)
		for i := range es {
			es[i] = &delivery.Event{CompanyID: &s.company, Type: catalog.InterviewStarted, Data: []byte(`{"z":1, "a":"ü"}`)}
		}
		if _, err := delivery.RecordEvents(ctx, tx, es); err != nil {
			return err
		}
		if err := tx.NewRaw("DELETE FROM delivery_queue RETURNING delivery_id").Scan(ctx, &in.Deliveries); err != nil {
			return err
		}
		return delivery.AddBatch(ctx, tx, delivery.Batch{ID: in.BatchID, Deliveries: in.Deliveries})
	})
	require.NoError(s.t, err)
	return in
}

func (s *attempting) attemptBatch(in deliver.BatchInput, run uuid.UUID) deliver.BatchResult {
	s.t.Helper()
	res, err := deliver.AttemptBatchAs(s.Activities, s.t.Context(), in, run, "batch:test")
	require.NoError(s.t, err)
	return totals(res)
}

// totals leaves out what tells webhooks and deliveries apart.
func totals(r deliver.BatchResult) deliver.BatchResult {
	return deliver.BatchResult{Succeeded: r.Succeeded, Failed: r.Failed, Left: r.Left}
}

func (s *attempting) exec(query string, args ...any) {
	s.t.Helper()
	_, err := s.DB.ExecContext(s.t.Context(), query, args...)
	require.NoError(s.t, err)
}

func (s *attempting) number(query string, args ...any) (n int) {
	s.t.Helper()
	require.NoError(s.t, s.DB.NewRaw(query, args...).Scan(s.t.Context(), &n))
	return n
}

// sendTo makes r the endpoint of the webhook.
func (s *attempting) sendTo(r *receiver) {
	s.t.Helper()
	s.exec("UPDATE webhooks SET url = ? WHERE id = ?", r.URL, s.hook.ID)
}

func (s *attempting) withStatus(status delivery.Status) int {
	s.t.Helper()
	return s.number("SELECT count(*) FROM deliveries WHERE status = ?", status)
}

func TestBatchSucceeds(t *testing.T) {
	s := setupAttempt(t)
	r := receive(t, accept)
	s.sendTo(r)
	in := s.batch(30)
	require.Equal(t, deliver.BatchResult{Succeeded: 30}, s.attemptBatch(in, uuid.New()))
	got := r.got()
	require.Len(t, got, 30)
	bodies := map[string]string{}
	for _, q := range got {
		bodies[q.delivery] = q.body
		require.Equal(t, "Bearer hidden", q.header.Get("Authorization"))
		require.Equal(t, "shown", q.header.Get("X-Plain"))
		require.Contains(t, q.body, `"data":{"z":1, "a":"ü"}`)
		require.Equal(t, "sha256="+signature(q.body), q.header.Get("X-Webhook-Signature"))
	}
	require.Len(t, bodies, 30, "each arrives once")
	for _, id := range in.Deliveries {
		d := s.row(id)
		require.Equal(t, delivery.Succeeded, d.Status)
		require.Equal(t, 1, d.Attempts)
		require.Equal(t, "batch:test", *d.WorkflowID)
		require.Equal(t, bodies[id.String()], string(d.Body), "what was sent is what is kept")
		as, err := delivery.ListAttempts(t.Context(), s.DB, id)
		require.NoError(t, err)
		require.Len(t, as, 1)
		require.Equal(t, "batch:test", as[0].WorkflowID)
		require.Equal(t, delivery.OutcomeSucceeded, as[0].Outcome)
	}
	require.Zero(t, s.number("SELECT count(*) FROM delivery_batches"))
}

// signature is the instaview profile's, with the key of the fixture.
func signature(body string) string {
	mac := hmac.New(sha256.New, []byte(hex.EncodeToString(make([]byte, 32))))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

func TestBatchOfTheSameRunIsMadeOnce(t *testing.T) {
	s := setupAttempt(t)
	in, run := s.batch(12), uuid.New()
	s.attemptBatch(in, run)
	require.EqualValues(t, 12, s.posts.Load())
	require.Equal(t, deliver.BatchResult{}, s.attemptBatch(in, run), "it is finished")
	again := func() {
		require.NoError(t, pg.InTx(t.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
			return delivery.AddBatch(ctx, tx, delivery.Batch{ID: in.BatchID, Deliveries: in.Deliveries})
		}))
		require.Equal(t, deliver.BatchResult{}, s.attemptBatch(in, run))
	}
	again() // as when it was killed between the last record and the end
	s.exec("UPDATE deliveries SET status = 'pending', generation = 1")
	again() // and a replay was asked for since
	require.EqualValues(t, 12, s.posts.Load())

	s.exec("UPDATE deliveries SET status = 'succeeded'")
	in.Replay = true
	require.Equal(t, deliver.BatchResult{Succeeded: 12}, s.attemptBatch(in, uuid.New()), "a replay sends it again")
	require.EqualValues(t, 24, s.posts.Load())
	require.Equal(t, 24, s.number("SELECT count(*) FROM attempts"))
}

// A replay sends all of a batch again, also where there is no place in time, and nothing twice when it is tried again.
func TestReplayOfABatchSendsAllOfIt(t *testing.T) {
	s := setupAttempt(t)
	s.Endpoints = inflight.NewEndpoints(2, nil)
	fast := receive(t, accept)
	s.sendTo(fast)
	in := s.batch(30)
	s.attemptBatch(in, uuid.New())
	require.Equal(t, 30, s.withStatus(delivery.Succeeded))
	canceled := in.Deliveries[0]
	s.exec("UPDATE deliveries SET status = 'canceled' WHERE id = ?", canceled)

	slow := receive(t, func(int, http.ResponseWriter) { <-time.After(700 * time.Millisecond) })
	s.sendTo(slow)
	in.Replay = true
	run := uuid.New()
	res := s.attemptBatch(in, run)
	sent := len(slow.got())
	require.Positive(t, res.Left)
	require.Equal(t, deliver.BatchResult{Succeeded: sent, Left: 29 - sent}, res)
	require.Equal(
		t,
		res.Left,
		s.number("SELECT count(*) FROM delivery_queue q JOIN deliveries d ON d.id = q.delivery_id WHERE d.generation = 1"),
	)
	require.Equal(t, delivery.Canceled, s.row(canceled).Status)

	require.Equal(t, deliver.BatchResult{}, s.attemptBatch(in, run))
	require.Len(t, slow.got(), sent)
	require.Equal(t, res.Left, s.number("SELECT count(*) FROM delivery_queue"))
}

// TestReplayOfABatchLeavesErasedDeliveries: they have no body any more.
func TestReplayOfABatchLeavesErasedDeliveries(t *testing.T) {
	s := setupAttempt(t)
	in := s.batch(3)
	s.attemptBatch(in, uuid.New())
	s.exec("UPDATE deliveries SET body = '', erased_at = now() WHERE id = ?", in.Deliveries[0])
	in.Replay = true
	require.Equal(t, deliver.BatchResult{Succeeded: 2}, s.attemptBatch(in, uuid.New()))
	require.EqualValues(t, 5, s.posts.Load())
	require.NotEmpty(t, *s.body.Load())
}

func TestBatchSendsTheBytesOfASingleDelivery(t *testing.T) {
	s := setupAttempt(t)
	in := s.batch(1)
	s.attemptBatch(in, uuid.New())
	together := *s.body.Load()
	s.exec("UPDATE deliveries SET body = NULL, status = 'pending'")
	s.attempt(deliver.AttemptInput{DeliveryID: in.Deliveries[0], Attempt: 1}, uuid.New())
	require.EqualValues(t, 2, s.posts.Load())
	require.Equal(t, together, *s.body.Load())
}

func TestBatchLetsFailuresGoOnAlone(t *testing.T) {
	s := setupAttempt(t)
	r := receive(t, func(n int, w http.ResponseWriter) {
		if n%3 == 0 {
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	s.sendTo(r)
	in := s.batch(30)
	require.Equal(t, deliver.BatchResult{Succeeded: 20, Failed: 10}, s.attemptBatch(in, uuid.New()))
	require.Equal(t, 20, s.withStatus(delivery.Succeeded))
	require.Equal(t, 10, s.number("SELECT count(*) FROM delivery_queue WHERE attempt = 2"))
	var failed []uuid.UUID
	require.NoError(t, s.DB.NewRaw("SELECT delivery_id FROM delivery_queue").Scan(t.Context(), &failed))
	for _, id := range failed {
		d := s.row(id)
		require.Equal(t, delivery.Retrying, d.Status)
		require.Equal(t, deliver.WorkflowID(id, 0), *d.WorkflowID)
		require.Positive(t, time.Until(*d.NextAttemptAt))
		require.Equal(t, http.StatusBadGateway, *d.LastStatusCode)
	}
	require.Zero(t, s.number("SELECT count(*) FROM delivery_batches"))
}

func TestBatchOfOneAttemptEndsInFailure(t *testing.T) {
	s := setupAttempt(t)
	s.sendTo(receive(t, refuse))
	s.exec("UPDATE webhooks SET max_retries = 0")
	in := s.batch(3)
	s.attemptBatch(in, uuid.New())
	require.Equal(t, 3, s.withStatus(delivery.Failed))
	require.Equal(
		t,
		3,
		s.number("SELECT count(*) FROM delivery_queue WHERE attempt = 2"),
		"each gets a workflow of its own that shows it",
	)
	for _, id := range in.Deliveries {
		own := deliver.WorkflowID(id, 0)
		require.Equal(t, own, *s.row(id).WorkflowID)
		res, err := deliver.AttemptAs(
			s.Activities,
			t.Context(),
			deliver.AttemptInput{DeliveryID: id, Attempt: 2},
			uuid.New(),
			own,
		)
		require.NoError(t, err)
		require.Equal(t, deliver.AttemptResult{Outcome: deliver.AttemptFailed, Reason: "HTTP 500 Internal Server Error"}, res)
	}
}

func TestABurstOfGoneDisablesTheWebhookAlone(t *testing.T) {
	s := setupAttempt(t)
	s.CircuitThreshold = 3
	all := make(chan struct{})
	s.sendTo(receive(t, func(n int, w http.ResponseWriter) {
		if n == 9 {
			close(all) // ten are in flight before the first is answered
		}
		<-all
		w.WriteHeader(http.StatusGone)
	}))
	res := s.attemptBatch(s.batch(40), uuid.New())
	require.Equal(t, 10, res.Failed)
	require.Equal(t, 10, s.withStatus(delivery.Failed))
	require.Equal(t, 10, s.number("SELECT count(*) FROM delivery_queue WHERE attempt = 2"))
	require.Equal(t, 30, s.withStatus(delivery.Paused))
	require.Equal(
		t,
		1,
		s.number(
			"SELECT count(*) FROM webhooks WHERE NOT is_active AND circuit_opened_at IS NULL AND consecutive_failures = 0",
		),
	)

	s.hook.IsActive = true
	require.NoError(t, pg.InTx(t.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		return delivery.UpdateWebhook(ctx, tx, s.hook, "is_active")
	}))
	n, err := delivery.ReleasePaused(t.Context(), s.DB, s.hook.ID, 100, false)
	require.NoError(t, err)
	require.Equal(t, 30, n, "activation releases the paused deliveries")
}

func TestABurstOfRateLimitsDoesNotOpenTheCircuit(t *testing.T) {
	s := setupAttempt(t)
	s.sendTo(receive(t, func(_ int, w http.ResponseWriter) {
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	in := s.batch(30)
	require.Equal(t, 30, s.attemptBatch(in, uuid.New()).Failed)
	require.Equal(t, 30, s.withStatus(delivery.Retrying))
	require.Equal(
		t,
		1,
		s.number("SELECT count(*) FROM webhooks WHERE circuit_opened_at IS NULL AND consecutive_failures = 0"),
	)
	require.Greater(t, time.Until(*s.row(in.Deliveries[0]).NextAttemptAt), 50*time.Second)
}

func TestBatchStopsBehindAnOpenCircuit(t *testing.T) {
	s := setupAttempt(t)
	log := new(lockedBuffer)
	s.Logger = slog.New(slog.NewTextHandler(log, nil))
	r := receive(t, refuse)
	s.sendTo(r)
	res := s.attemptBatch(s.batch(300), uuid.New())
	require.Equal(t, 1, strings.Count(log.String(), "circuit opened"))
	sent := len(r.got())
	t.Logf("%d requests until the circuit, which opens at 10, stopped them", sent)
	require.Equal(t, deliver.BatchResult{Failed: sent, Left: 300 - sent}, res)
	require.LessOrEqual(t, sent, 10+2*10, "no more than what was in flight")
	// While the record of another attempt locks the webhook, what is left goes back to the queue, where the dispatcher
	// pauses it.
	require.Equal(
		t,
		300-sent,
		s.withStatus(delivery.Paused)+s.number("SELECT count(*) FROM delivery_queue WHERE attempt = 1"),
	)
	require.Equal(t, 1, s.number("SELECT count(*) FROM commands"), "the Circuit workflow is signaled once")
	require.Equal(t, 1, s.number("SELECT count(*) FROM webhooks WHERE circuit_opened_at IS NOT NULL"))
	s.Endpoints.AddWaiting(s.hook.ID, 1)
	quotas := s.Endpoints.Quotas(true)
	require.Equal(t, quotas.Flow-1, quotas.Webhook[s.hook.ID], "what was left no longer waits")
}

// The first answer Gone stops a batch, although its webhook was read a moment ago.
func TestBatchStopsAtAWebhookThatIsGone(t *testing.T) {
	s := setupAttempt(t)
	s.Endpoints = inflight.NewEndpoints(1, nil)
	s.answer = func(w http.ResponseWriter) { w.WriteHeader(http.StatusGone) }
	res := s.attemptBatch(s.batch(5), uuid.New())
	require.Equal(t, deliver.BatchResult{Failed: 1, Left: 4}, res)
	require.EqualValues(t, 1, s.posts.Load())
}

// A result in a history stays small.
func TestBatchListsAHundredFailures(t *testing.T) {
	s := setupAttempt(t)
	s.CircuitThreshold = 1000
	s.sendTo(receive(t, refuse))
	in := s.batch(105)
	res, err := deliver.AttemptBatchAs(s.Activities, t.Context(), in, uuid.New(), "batch:test")
	require.NoError(t, err)
	require.Equal(t, 105, res.Failed)
	require.Len(t, res.FailedDeliveries, 100)
	require.Subset(t, in.Deliveries, res.FailedDeliveries)
}

func TestBatchObeysChangesInTheMiddle(t *testing.T) {
	// change starts a batch at a receiver that takes 30 ms, two at a time, and makes the change after some have been sent.
	change := func(
		t *testing.T, fn func(ctx context.Context, s *attempting, tx bun.Tx) error,
	) (*attempting, *receiver, deliver.BatchResult) {
		t.Helper()
		s := setupAttempt(t)
		s.Endpoints = inflight.NewEndpoints(2, nil)
		begun := make(chan struct{}, 100)
		r := receive(t, func(int, http.ResponseWriter) {
			begun <- struct{}{}
			<-time.After(30 * time.Millisecond)
		})
		s.sendTo(r)
		in := s.batch(60)
		var res deliver.BatchResult
		var err error
		done := make(chan struct{})
		go func() {
			defer close(done)
			res, err = deliver.AttemptBatchAs(s.Activities, t.Context(), in, uuid.New(), "batch:test")
			res = totals(res)
		}()
		for range 8 {
			within(t, begun)
		}
		require.NoError(t, pg.InTx(t.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error { return fn(ctx, s, tx) }))
		changed := time.Now()
		within(t, done)
		require.NoError(t, err)
		require.Zero(
			t,
			r.after(changed.Add(50*time.Millisecond)),
			"nothing begins at the old endpoint 50 ms after the change",
		)
		return s, r, res
	}
	t.Run("deleted", func(t *testing.T) {
		s, r, res := change(t, func(ctx context.Context, s *attempting, tx bun.Tx) error {
			return delivery.DeleteWebhook(ctx, tx, s.hook.ID)
		})
		sent := len(r.got())
		require.Equal(t, deliver.BatchResult{Succeeded: sent, Left: 60 - sent}, res)
		require.Equal(t, 60-sent, s.withStatus(delivery.Canceled))
	})
	t.Run("deactivated", func(t *testing.T) {
		s, r, res := change(t, func(ctx context.Context, s *attempting, tx bun.Tx) error {
			s.hook.IsActive = false
			return delivery.UpdateWebhook(ctx, tx, s.hook, "is_active")
		})
		sent := len(r.got())
		require.Equal(t, deliver.BatchResult{Succeeded: sent, Left: 60 - sent}, res)
		require.Equal(t, 60-sent, s.withStatus(delivery.Paused))
	})
	t.Run("sent_elsewhere", func(t *testing.T) {
		other := receive(t, accept)
		s, r, res := change(t, func(ctx context.Context, s *attempting, tx bun.Tx) error {
			s.hook.URL = other.URL
			return delivery.UpdateWebhook(ctx, tx, s.hook, "url")
		})
		require.Equal(t, deliver.BatchResult{Succeeded: 60}, res)
		require.Equal(t, 60, len(r.got())+len(other.got()))
		require.Equal(t, 60, s.withStatus(delivery.Succeeded))
	})
}

func TestBatchIsNotHeldUpByAReceiverThatHangs(t *testing.T) {
	s := setupAttempt(t)
	s.exec("UPDATE webhooks SET timeout_ms = 6000")
	release := make(chan struct{})
	hanging := receive(t, func(int, http.ResponseWriter) { <-release })
	t.Cleanup(func() { close(release) })
	s.sendTo(hanging)
	healthy := receive(t, accept)
	well := s.webhook(healthy.URL)
	in := s.batch(30)
	require.Len(t, in.Deliveries, 60)
	began := time.Now()
	done := make(chan deliver.BatchResult, 1)
	go func() {
		res, _ := deliver.AttemptBatchAs(s.Activities, t.Context(), in, uuid.New(), "batch:test")
		done <- res
	}()
	until := func(limit time.Duration, query string, want int, args ...any) {
		require.Eventually(t, func() bool { return s.number(query, args...) == want }, limit, 10*time.Millisecond, query)
	}
	until(time.Second, "SELECT count(*) FROM deliveries WHERE webhook_id = ? AND status = 'succeeded'", 30, well.ID)
	until(
		4*time.Second-time.Since(began),
		"SELECT count(*) FROM delivery_queue WHERE webhook_id = ? AND attempt = 1",
		20,
		s.hook.ID,
	)
	require.Greater(t, time.Since(began), 1500*time.Millisecond)
	require.Len(t, hanging.got(), 10, "no more than its places")
	require.Equal(t, 10, s.number(`SELECT count(*) FROM delivery_batches b CROSS JOIN unnest(b.deliveries) AS x (id)
		JOIN deliveries d ON d.id = x.id WHERE d.status = 'pending'`), "the batch keeps those that are in flight")
	res := within(t, done)
	require.Equal(t, deliver.BatchResult{Succeeded: 30, Failed: 10, Left: 20}, totals(res))
	require.Equal(t, map[string]deliver.BatchCounts{
		well.ID.String(): {Succeeded: 30}, s.hook.ID.String(): {Failed: 10, Left: 20},
	}, res.ByWebhook)
	require.Len(t, res.FailedDeliveries, 10)
	require.Equal(
		t,
		20,
		s.number("SELECT count(*) FROM delivery_queue WHERE webhook_id = ? AND attempt = 1", s.hook.ID),
		"none is there twice",
	)
}

func TestBatchThatIsInterruptedIsGoneOnWith(t *testing.T) {
	s := setupAttempt(t)
	s.Endpoints = inflight.NewEndpoints(2, nil)
	ctx, stop := context.WithCancel(t.Context())
	r := receive(t, func(n int, _ http.ResponseWriter) {
		if n == 9 {
			stop()
		}
		<-time.After(5 * time.Millisecond)
	})
	s.sendTo(r)
	in, run := s.batch(40), uuid.New()
	_, err := deliver.AttemptBatchAs(s.Activities, ctx, in, run, "batch:test")
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, s.number("SELECT count(*) FROM delivery_queue"), "the batch keeps what it has")
	sent := len(r.got())
	recorded := s.withStatus(delivery.Succeeded)
	require.LessOrEqual(t, sent-recorded, 2, "only what was in flight is not recorded")
	require.Equal(t, deliver.BatchResult{Succeeded: 40 - recorded}, s.attemptBatch(in, run))
	require.Equal(t, 40, s.withStatus(delivery.Succeeded))
	require.Len(t, r.got(), sent+40-recorded)
	require.Equal(t, 40, s.number("SELECT count(*) FROM attempts"))
}
