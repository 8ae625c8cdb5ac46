package deliver_test

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/activities/deliver"
	"greenroom/activities/inflight"
	"greenroom/db/delivery"
)

// readOnly makes the database as a failover leaves it, or ends that: connections are broken, and new ones cannot write.
func (s *attempting) readOnly(on bool) {
	ctx := context.Background()
	conn, err := s.DB.DB.Conn(ctx)
	if err != nil {
		s.t.Error(err)
		return
	}
	defer func() { _ = conn.Close() }()
	value := map[bool]string{true: "on", false: "off"}[on]
	for _, q := range []string{
		"SET default_transaction_read_only = off",
		`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = ` + value + `',
			current_database()); END $$`,
		`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid()`,
		"SET default_transaction_read_only = " + value,
	} {
		if _, err := conn.ExecContext(ctx, q); err != nil {
			s.t.Error(err)
		}
	}
}

// logged collects the warnings of s; until waits for one.
func (s *attempting) logged() (until func(text string)) {
	log := new(lockedBuffer)
	s.Logger = slog.New(slog.NewTextHandler(log, nil))
	return func(text string) {
		s.t.Helper()
		require.Eventually(
			s.t,
			func() bool { return strings.Contains(log.String(), text) },
			20*time.Second,
			10*time.Millisecond,
		)
	}
}

func TestAnAttemptThatCannotBeRecordedIsNotMadeAgain(t *testing.T) {
	s := setupAttempt(t)
	until := s.logged()
	in, run := deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}, uuid.New()
	s.answer = func(http.ResponseWriter) { s.readOnly(true) }
	results := make(chan deliver.AttemptResult, 3)
	try := func(ctx context.Context) {
		res, err := deliver.AttemptAs(s.Activities, ctx, in, run, "delivery:test:0")
		if err == nil {
			results <- res
		}
	}
	first, timeOut := context.WithCancel(t.Context())
	go try(first)
	until("an attempt cannot be recorded yet")
	timeOut() // as when the activity's time is over: it is tried again in this process
	for range 2 {
		go try(t.Context())
	}
	s.readOnly(false)
	for range 3 {
		require.Equal(t, deliver.AttemptSucceeded, within(t, results).Outcome)
	}
	require.EqualValues(t, 1, s.posts.Load())
	require.Equal(t, delivery.Succeeded, s.row(in.DeliveryID).Status)
	require.Equal(t, 1, s.number("SELECT count(*) FROM attempts"))
}

func TestABatchThatCannotBeRecordedIsNotSentAgain(t *testing.T) {
	s := setupAttempt(t)
	until := s.logged()
	r := receive(t, func(n int, _ http.ResponseWriter) {
		if n == 0 {
			s.readOnly(true)
		}
	})
	s.sendTo(r)
	in, run := s.batch(10), uuid.New()
	results := make(chan deliver.BatchResult, 1)
	go func() {
		res, err := deliver.AttemptBatchAs(s.Activities, t.Context(), in, run, "batch:test")
		if err == nil {
			results <- res
		}
		close(results)
	}()
	until("an attempt cannot be recorded yet")
	late, timeOut := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer timeOut()
	second := make(chan error, 1)
	go func() {
		_, err := deliver.AttemptBatchAs(s.Activities, late, in, run, "batch:test")
		second <- err
	}()
	require.ErrorIs(t, within(t, second), context.DeadlineExceeded, "a second try in this process waits for the first")
	s.readOnly(false)
	require.Equal(t, 10, within(t, results).Succeeded)
	require.Len(t, r.got(), 10)
	require.Equal(t, 10, s.withStatus(delivery.Succeeded))
}

// Two processes are at one batch when Temporal gives it to another worker while the first was frozen or its heartbeat
// was late.
func TestABatchIsAttemptedByTheLastWorkerThatLoadedIt(t *testing.T) {
	s := setupAttempt(t)
	s.Endpoints = inflight.NewEndpoints(2, nil)
	other := &deliver.Activities{
		DB:               s.DB,
		Box:              s.Box,
		Client:           s.Client,
		Logger:           s.Logger,
		CircuitThreshold: 10,
		Endpoints:        inflight.NewEndpoints(2, nil),
	}
	begun := make(chan struct{}, 200)
	r := receive(t, func(int, http.ResponseWriter) {
		begun <- struct{}{}
		<-time.After(30 * time.Millisecond)
	})
	s.sendTo(r)
	in, run := s.batch(40), uuid.New()
	first := make(chan error, 1)
	go func() {
		_, err := deliver.AttemptBatchAs(s.Activities, t.Context(), in, run, "batch:test")
		first <- err
	}()
	for range 6 {
		within(t, begun)
	}
	_, err := deliver.AttemptBatchAs(other, t.Context(), in, run, "batch:test")
	require.NoError(t, err)
	require.ErrorContains(t, within(t, first), "another worker has taken the batch over")
	require.LessOrEqual(
		t,
		len(r.got()),
		40+15,
		"twice is only what the first had in flight, or began before it looked again",
	)
	require.Equal(
		t,
		40,
		s.number("SELECT count(DISTINCT delivery_id) FROM attempts")+s.number("SELECT count(*) FROM delivery_queue"),
	)
}

// A worker that has lost a replay's batch leaves its deliveries to the worker that has it.
func TestABatchThatIsLostSendsNothingElsewhere(t *testing.T) {
	s := setupAttempt(t)
	s.Endpoints = inflight.NewEndpoints(1, nil)
	begun := make(chan struct{}, 40)
	s.sendTo(receive(t, func(int, http.ResponseWriter) {
		begun <- struct{}{}
		<-time.After(30 * time.Millisecond)
	}))
	in := s.batch(40)
	s.exec("UPDATE deliveries SET status = 'succeeded'")
	in.Replay = true
	lost := make(chan error, 1)
	go func() {
		_, err := deliver.AttemptBatchAs(s.Activities, t.Context(), in, uuid.New(), "batch:test")
		lost <- err
	}()
	within(t, begun)
	s.exec("UPDATE delivery_batches SET lease = lease + 1") // as another worker does
	require.ErrorContains(t, within(t, lost), "another worker has taken the batch over")
	require.Zero(t, s.number("SELECT count(*) FROM delivery_queue"))
	require.Zero(t, s.number("SELECT count(*) FROM deliveries WHERE generation > 0"))
	require.Equal(t, 1, s.number("SELECT count(*) FROM delivery_batches"))
}

// A batch ends only when the queue has what it left: otherwise nothing would send those deliveries.
func TestABatchThatCannotGiveBackIsRetried(t *testing.T) {
	for name, replay := range map[string]bool{"first": false, "replay": true} {
		t.Run(name, func(t *testing.T) {
			s := setupAttempt(t)
			s.Endpoints = inflight.NewEndpoints(1, nil)
			in := s.batch(3)
			if in.Replay = replay; replay {
				s.exec("UPDATE deliveries SET status = 'succeeded'")
			}
			s.exec(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''refused''; END'`)
			s.exec("CREATE TRIGGER refuse BEFORE INSERT ON delivery_queue FOR EACH ROW EXECUTE FUNCTION refuse()")
			other := uuid.New()
			require.True(t, s.Endpoints.AcquireForBatch(t.Context(), s.hook.ID, other))
			_, err := deliver.AttemptBatchAs(s.Activities, t.Context(), in, uuid.New(), "batch:test")
			require.ErrorContains(t, err, "refused")
			require.Equal(t, 1, s.number("SELECT count(*) FROM delivery_batches"))
			require.Zero(t, s.posts.Load())

			s.exec("DROP TRIGGER refuse ON delivery_queue")
			s.Endpoints.Release(s.hook.ID, other, 0)
			require.Equal(t, deliver.BatchResult{Succeeded: 3}, s.attemptBatch(in, uuid.New()))
		})
	}
}

// While one group is recorded the next gathers: the circuit counts failures in a row, so two are not recorded at once.
func TestABatchIsRecordedOneGroupAtATime(t *testing.T) {
	s := setupAttempt(t)
	in := s.batch(20)
	release := s.lockDeliveries()
	result := make(chan deliver.BatchResult, 1)
	go func() {
		res, _ := deliver.AttemptBatchAs(s.Activities, context.Background(), in, uuid.New(), "batch:test")
		result <- res
	}()
	require.Eventually(t, func() bool { return s.posts.Load() == 20 }, 20*time.Second, 10*time.Millisecond)
	time.Sleep(200 * time.Millisecond) // for a second group, which must not come
	require.Equal(t, 1, s.number(
		"SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"))
	release()
	require.Equal(t, 20, within(t, result).Succeeded)
}
