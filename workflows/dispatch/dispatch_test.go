package dispatch_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"greenroom/activities/inflight"
	"greenroom/db/catalog"
	"greenroom/db/dbtest"
	"greenroom/db/delivery"
	"greenroom/db/pg"
	"greenroom/workflows"
	"greenroom/workflows/dispatch"
)

// bundle is a dispatcher on a database of its own and the real Temporal, without a worker: what is started stays
// where it is.
type bundle struct {
	t       *testing.T
	db      *bun.DB
	client  client.Client
	company uuid.UUID
	hook    *delivery.Webhook
	options dispatch.Options
}

func setup(t *testing.T) *bundle {
	t.Helper()
	t.Parallel()
	addr := os.Getenv("GREENROOM_TEST_TEMPORAL_ADDRESS")
	if addr == "" {
		t.Fatal("GREENROOM_TEST_TEMPORAL_ADDRESS is not set: run the tests with `make test`")
	}
	c, err := client.Dial(client.Options{HostPort: addr})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	b := &bundle{t: t, db: dbtest.New(t), client: c, company: pg.NewID()}
	_, err = b.db.ExecContext(t.Context(), "INSERT INTO companies (id, name) VALUES (?, 'Acme')", b.company)
	require.NoError(t, err)
	now := time.Now().UTC()
	b.hook = &delivery.Webhook{
		ID:             pg.NewID(),
		CompanyID:      &b.company,
		OwnerCompanyID: &b.company,
		Profile:        "instaview",
		URL:            "https://receiver.test/",
		IsActive:       true,
		Events: []string{
			catalog.InterviewStarted,
		},
		MaxRetries: 3,
		TimeoutMS:  30000,
		Secret:     []byte("x"),
		CreatedAt:  now,
		UpdatedAt:  now,
	}
	require.NoError(t, delivery.CreateWebhook(t.Context(), b.db, b.hook))
	b.options = dispatch.Options{
		DB: b.db, Client: c, TaskQueue: "dispatch-" + uuid.NewString(), Endpoints: inflight.NewEndpoints(10, nil),
		Circuit: dispatch.CircuitSettings{ReleaseLimit: 10},
	}
	return b
}

func (b *bundle) round() dispatch.Result {
	b.t.Helper()
	r, err := dispatch.RunOnce(b.t.Context(), dispatch.New(b.options))
	require.NoError(b.t, err)
	return r
}

func (b *bundle) tx(fn func(tx bun.Tx) error) {
	b.t.Helper()
	require.NoError(b.t, b.db.RunInTx(b.t.Context(), nil, func(_ context.Context, tx bun.Tx) error { return fn(tx) }))
}

// publish records an event and returns the id of its delivery.
func (b *bundle) publish() (id uuid.UUID) {
	b.t.Helper()
	b.tx(func(tx bun.Tx) error {
		_, err := delivery.RecordEvent(
			b.t.Context(),
			tx,
			&delivery.Event{CompanyID: &b.company, Type: catalog.InterviewStarted, Data: []byte("{}")},
		)
		return err
	})
	require.NoError(b.t, b.db.NewRaw("SELECT id FROM deliveries ORDER BY 1 DESC LIMIT 1").Scan(b.t.Context(), &id))
	return id
}

func (b *bundle) queued() int {
	b.t.Helper()
	queue, err := delivery.QueueLength(b.t.Context(), b.db, 1000)
	require.NoError(b.t, err)
	return queue.Deliveries
}

// run is the newest run of a delivery's workflow, "" when there is none.
func (b *bundle) run(delivery uuid.UUID) string {
	b.t.Helper()
	d, err := b.client.DescribeWorkflowExecution(b.t.Context(), workflows.DeliverWebhookWorkflowID(delivery, 0), "")
	var gone *serviceerror.NotFound
	if err != nil {
		require.ErrorAs(b.t, err, &gone)
		return ""
	}
	return d.WorkflowExecutionInfo.Execution.RunId
}

// queueAgain puts a delivery back as if the transaction that took it had not been committed.
func (b *bundle) queueAgain(delivery uuid.UUID, redo bool) {
	b.t.Helper()
	_, err := b.db.ExecContext(
		b.t.Context(),
		"INSERT INTO delivery_queue (webhook_id, delivery_id, redo) VALUES (?, ?, ?)",
		b.hook.ID,
		delivery,
		redo,
	)
	require.NoError(b.t, err)
}

func TestStartsEachDeliveryOnce(t *testing.T) {
	b := setup(t)
	id := b.publish()
	require.Equal(t, dispatch.Result{Taken: 1}, b.round())
	run := b.run(id)
	require.NotEmpty(t, run)
	require.Zero(t, b.queued())

	b.queueAgain(id, false)
	require.Equal(t, dispatch.Result{Taken: 1}, b.round(), "a redo is no fault")
	require.Equal(t, run, b.run(id), "and starts nothing while the first runs")

	require.NoError(t, b.client.TerminateWorkflow(t.Context(), workflows.DeliverWebhookWorkflowID(id, 0), run, "test"))
	b.queueAgain(id, false)
	b.round()
	require.Equal(t, run, b.run(id), "nor when it has ended")

	b.queueAgain(id, true)
	b.round()
	require.NotEqual(t, run, b.run(id), "but a sweep starts another in place of a lost one")
}

func TestPutsBackWhileTemporalIsUnavailable(t *testing.T) {
	b := setup(t)
	id := b.publish()
	b.tx(func(tx bun.Tx) error {
		return delivery.AddCommand(t.Context(), tx, delivery.CircuitChanged, b.hook.ID, nil)
	})
	away, err := client.NewLazyClient(client.Options{HostPort: "127.0.0.1:1"})
	require.NoError(t, err)
	t.Cleanup(away.Close)
	there := b.options.Client
	b.options.Client = away
	require.Equal(t, dispatch.Result{Failed: 2, Unavailable: true}, b.round())
	require.Equal(t, 1, b.queued())
	require.NotContains(t, b.options.Endpoints.Quotas(false).Webhook, b.hook.ID, "the endpoint's place is free again")
	b.options.Client = there
	require.Equal(t, dispatch.Result{Taken: 2}, b.round())
	require.NotEmpty(t, b.run(id))
}

func TestWakesOrReplacesTheWorkflowOfADelivery(t *testing.T) {
	b := setup(t)
	id := b.publish()
	b.round()
	workflow := workflows.DeliverWebhookWorkflowID(id, 0)
	_, err := b.db.ExecContext(
		t.Context(),
		"UPDATE deliveries SET status = 'retrying', workflow_id = ? WHERE id = ?",
		workflow,
		id,
	)
	require.NoError(t, err)
	wake := func() {
		b.tx(func(tx bun.Tx) error {
			return delivery.AddCommand(t.Context(), tx, delivery.WakeDelivery, id, delivery.WakeArgs{Probe: true})
		})
		require.Equal(t, dispatch.Result{Taken: 1}, b.round())
	}
	wake()
	require.Zero(t, b.queued(), "the running workflow was signaled")
	first := b.run(id)
	require.NoError(t, b.client.TerminateWorkflow(t.Context(), workflow, "", "test"))
	wake()
	require.Equal(t, 1, b.queued(), "a lost one is replaced")
	b.round()
	require.NotEqual(t, first, b.run(id))
}

func TestKeepsToTheRoomOfEachEndpoint(t *testing.T) {
	b := setup(t)
	b.options.Endpoints = inflight.NewEndpoints(3, nil)
	for range 8 {
		b.publish()
	}
	require.Equal(t, dispatch.Result{Taken: 3}, b.round())
	require.Equal(t, 5, b.queued())
}

// TestAnotherRoundFollowsWhileALimitLeftSomething: nothing notifies of a delivery that a limit left in the queue.
func TestAnotherRoundFollowsWhileALimitLeftSomething(t *testing.T) {
	round := func(b *bundle) (dispatch.Result, bool) {
		r, again, err := dispatch.Deliveries(t.Context(), dispatch.New(b.options))
		require.NoError(t, err)
		return r, again
	}
	t.Run("nothing_is_left", func(t *testing.T) {
		b := setup(t)
		b.options.BatchAbove = 1
		for range 8 {
			b.publish()
		}
		r, again := round(b)
		require.Equal(t, 8, r.Taken)
		require.False(t, again)
	})
	t.Run("deliveries_of_a_batch_wait_for_places", func(t *testing.T) {
		b := setup(t)
		b.options.BatchAbove = 1
		for range 8 {
			b.publish()
		}
		const share = 32 // of a flow
		b.options.Endpoints.AddWaiting(b.hook.ID, share-4)
		r, again := round(b)
		require.Equal(t, 4, r.Taken, "the endpoint has no room for more")
		require.True(t, again)
		b.options.Endpoints.RemoveWaiting(b.hook.ID, share-4)
		r, _ = round(b)
		require.Equal(t, 4, r.Taken)
	})
}

func TestStartsAndSignalsOneWorkflowForEachSubject(t *testing.T) {
	b := setup(t)
	for range 3 {
		b.tx(func(tx bun.Tx) error {
			return delivery.AddCommand(t.Context(), tx, delivery.CircuitChanged, b.hook.ID, nil)
		})
	}
	require.Equal(t, dispatch.Result{Taken: 3}, b.round())
	d, err := b.client.DescribeWorkflowExecution(t.Context(), workflows.CircuitWorkflowID(b.hook.ID), "")
	require.NoError(t, err)
	require.Equal(t, "Circuit", d.WorkflowExecutionInfo.Type.Name)
}

func TestOneThatCannotBeStartedLeavesTheOthersAlone(t *testing.T) {
	b := setup(t)
	bad := b.publish()
	// Temporal refuses an attribute of more than 2 KiB.
	_, err := b.db.ExecContext(t.Context(), "UPDATE deliveries SET event_type = repeat('x', 5000)")
	require.NoError(t, err)
	require.Equal(t, dispatch.Result{Failed: 1}, b.round(), "it is no reason to wait")
	require.Empty(t, b.run(bad))
	require.Equal(t, 1, b.queued(), "and is kept")
}

func TestRunStartsWhatIsThereAndWhatComes(t *testing.T) {
	b := setup(t)
	id := b.publish()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- dispatch.New(b.options).Run(ctx) }()
	require.Eventually(t, func() bool { return b.run(id) != "" }, 30*time.Second, 20*time.Millisecond)
	next := b.publish()
	require.Eventually(
		t,
		func() bool { return b.run(next) != "" },
		30*time.Second,
		20*time.Millisecond,
		"it hears of what comes later",
	)
	stop()
	require.NoError(t, <-done)
}
