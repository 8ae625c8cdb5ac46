package dispatch_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"greenroom/db/catalog"
	"greenroom/db/delivery"
	"greenroom/db/pg"
	"greenroom/workflows"
	"greenroom/workflows/dispatch"
)

// batching is a bundle with a dispatcher that keeps what it knows between rounds.
type batching struct {
	*bundle
	*dispatch.Dispatcher
}

func setupBatching(t *testing.T, above int) *batching {
	t.Helper()
	b := setup(t)
	b.options.BatchAbove = above
	return &batching{b, dispatch.New(b.options)}
}

func (b *batching) round() dispatch.Result {
	b.t.Helper()
	r, err := dispatch.RunOnce(b.t.Context(), b.Dispatcher)
	require.NoError(b.t, err)
	return r
}

// batches are those that are written down.
func (b *bundle) batches() (ids []uuid.UUID) {
	b.t.Helper()
	require.NoError(b.t, b.db.NewRaw("SELECT id FROM delivery_batches ORDER BY id").Scan(b.t.Context(), &ids))
	return ids
}

// batchRun is the newest run of a batch's workflow, "" when there is none.
func (b *bundle) batchRun(batch uuid.UUID) string {
	b.t.Helper()
	d, err := b.client.DescribeWorkflowExecution(b.t.Context(), workflows.DeliverBatchWorkflowID(batch), "")
	var gone *serviceerror.NotFound
	if err != nil {
		require.ErrorAs(b.t, err, &gone)
		return ""
	}
	require.Equal(b.t, "DeliverBatch", d.WorkflowExecutionInfo.Type.Name)
	return d.WorkflowExecutionInfo.Execution.RunId
}

// recoverStale recovers batches that were not checked for a while.
func (b *batching) recoverStale() {
	b.t.Helper()
	_, err := b.db.ExecContext(b.t.Context(), "UPDATE delivery_batches SET checked_at = now() - interval '1 minute'")
	require.NoError(b.t, err)
	require.NoError(b.t, dispatch.RecoverStale(b.Dispatcher, b.t.Context()))
}

// publishMany records n events and returns the ids of their deliveries.
func (b *bundle) publishMany(n int) (ids []uuid.UUID) {
	b.t.Helper()
	events, rows := make([]uuid.UUID, n), make([]*delivery.Event, n)
	for i := range rows {
		events[i] = pg.NewID()
		rows[i] = &delivery.Event{ID: events[i], CompanyID: &b.company, Type: catalog.InterviewStarted, Data: []byte("{}")}
	}
	b.tx(func(tx bun.Tx) error { _, err := delivery.RecordEvents(b.t.Context(), tx, rows); return err })
	err := b.db.NewRaw("SELECT id FROM deliveries WHERE event_id IN (?)", bun.List(events)).Scan(b.t.Context(), &ids)
	require.NoError(b.t, err)
	require.Len(b.t, ids, n)
	return ids
}

// switched is a client that starts workflows at one server or another.
type switched struct {
	client.Client
	away          client.Client
	isUnavailable atomic.Bool
	starts        atomic.Int32
}

func (s *switched) ExecuteWorkflow(
	ctx context.Context,
	o client.StartWorkflowOptions,
	w any,
	args ...any,
) (client.WorkflowRun, error) {
	s.starts.Add(1)
	if s.isUnavailable.Load() {
		return s.away.ExecuteWorkflow(ctx, o, w, args...)
	}
	return s.Client.ExecuteWorkflow(ctx, o, w, args...)
}

func switchable(t *testing.T, there client.Client) *switched {
	t.Helper()
	away, err := client.NewLazyClient(client.Options{HostPort: "127.0.0.1:1"})
	require.NoError(t, err)
	t.Cleanup(away.Close)
	return &switched{Client: there, away: away}
}

func TestManyDeliveriesShareAWorkflow(t *testing.T) {
	b := setupBatching(t, 2)
	first := b.publishMany(2)
	require.Equal(t, dispatch.Result{Taken: 2}, b.round())
	require.Empty(t, b.batches(), "few have their own")
	for _, id := range first {
		require.NotEmpty(t, b.run(id))
	}

	b = setupAgain(b)
	ids := b.publishMany(5)
	require.Equal(t, dispatch.Result{Taken: 5}, b.round())
	bs := b.batches()
	require.Len(t, bs, 1)
	require.NotEmpty(t, b.batchRun(bs[0]))
	for _, id := range ids {
		require.Empty(t, b.run(id))
	}
	require.Zero(t, b.queued())
	var in []uuid.UUID
	require.NoError(t, b.db.NewRaw("SELECT unnest(deliveries) FROM delivery_batches").Scan(t.Context(), &in))
	require.ElementsMatch(t, ids, in)
}

// setupAgain gives a bundle a dispatcher that knows nothing.
func setupAgain(b *batching) *batching { return &batching{b.bundle, dispatch.New(b.options)} }

func TestEachDeliveryHasItsOwnWorkflowWhenNoneMayShare(t *testing.T) {
	b := setupBatching(t, 0)
	ids := b.publishMany(10)
	require.Equal(t, dispatch.Result{Taken: 10}, b.round())
	require.Empty(t, b.batches())
	for _, id := range ids {
		require.NotEmpty(t, b.run(id))
	}
}

func TestWhatGoesOnHasItsOwnWorkflow(t *testing.T) {
	b := setupBatching(t, 1)
	ids := b.publishMany(5)
	_, err := b.db.ExecContext(t.Context(), "UPDATE delivery_queue SET attempt = 2 WHERE delivery_id = ?", ids[1])
	require.NoError(t, err)
	_, err = b.db.ExecContext(t.Context(), "UPDATE delivery_queue SET redo = true WHERE delivery_id = ?", ids[3])
	require.NoError(t, err)
	require.Equal(t, dispatch.Result{Taken: 5}, b.round())
	require.Len(t, b.batches(), 1)
	for i, id := range ids {
		require.Equal(t, i == 1 || i == 3, b.run(id) != "", i)
	}
}

func TestBatchThatCannotBeStartedIsStartedLaterAndOnce(t *testing.T) {
	b := setup(t)
	s := switchable(t, b.client)
	b.options.Client, b.options.BatchAbove = s, 1
	d := &batching{b, dispatch.New(b.options)}
	s.isUnavailable.Store(true)
	ids := b.publishMany(5)
	require.Equal(t, dispatch.Result{Taken: 5, Unavailable: true}, d.round())
	bs := b.batches()
	require.Len(t, bs, 1, "it is written down")
	require.Empty(t, b.batchRun(bs[0]))
	require.Zero(t, b.queued())

	more := b.publish()
	require.Equal(t, dispatch.Result{Unavailable: true}, d.round(), "nothing more is taken before it is started")
	require.Equal(t, 1, b.queued())

	s.isUnavailable.Store(false)
	require.Equal(t, 1, d.round().Taken)
	run := b.batchRun(bs[0])
	require.NotEmpty(t, run)
	require.Equal(t, bs, b.batches()[:1])
	starts := s.starts.Load()
	d.round()
	require.Equal(t, starts, s.starts.Load(), "it is not started again")
	d.recoverStale()
	require.Equal(t, run, b.batchRun(bs[0]), "and where it is, that changes nothing")
	for _, id := range append(ids, more) {
		require.LessOrEqual(t, b.inBatches(id)+b.inWorkflow(id), 1)
	}
}

func (b *bundle) inBatches(id uuid.UUID) (n int) {
	b.t.Helper()
	require.NoError(
		b.t,
		b.db.NewRaw("SELECT count(*) FROM delivery_batches WHERE ? = ANY (deliveries)", id).Scan(b.t.Context(), &n),
	)
	return n
}

func (b *bundle) inWorkflow(id uuid.UUID) int {
	if b.run(id) == "" {
		return 0
	}
	return 1
}

// written is a batch of which only the row is there, as when its worker was killed right after the commit.
func (b *bundle) written(n int) delivery.Batch {
	b.t.Helper()
	batch := delivery.Batch{ID: pg.NewID(), Deliveries: b.publishMany(n)}
	b.tx(func(tx bun.Tx) error {
		if _, err := tx.ExecContext(b.t.Context(), "DELETE FROM delivery_queue"); err != nil {
			return err
		}
		return delivery.AddBatch(b.t.Context(), tx, batch)
	})
	return batch
}

func TestRecoveryStartsABatchThatHasNoWorkflow(t *testing.T) {
	b := setupBatching(t, 1)
	batch := b.written(3)
	require.NoError(t, dispatch.RecoverStale(b.Dispatcher, t.Context()))
	require.Empty(t, b.batchRun(batch.ID), "a young one may be about to be started")
	b.recoverStale()
	run := b.batchRun(batch.ID)
	require.NotEmpty(t, run)
	require.Equal(t, [][]string{{b.hook.ID.String()}, {b.company.String()}}, b.flowsOf(batch.ID))
	b.recoverStale()
	require.Equal(t, run, b.batchRun(batch.ID))
	require.Equal(t, []uuid.UUID{batch.ID}, b.batches(), "the row stays until its workflow is done")
	require.Zero(t, b.queued())
}

// flowsOf are the webhooks and the companies by which the Temporal UI finds a batch.
func (b *bundle) flowsOf(batch uuid.UUID) (flows [][]string) {
	b.t.Helper()
	d, err := b.client.DescribeWorkflowExecution(b.t.Context(), workflows.DeliverBatchWorkflowID(batch), "")
	require.NoError(b.t, err)
	for _, key := range []string{workflows.WebhookID.GetName(), workflows.CompanyID.GetName()} {
		var ids []string
		value := d.WorkflowExecutionInfo.SearchAttributes.IndexedFields[key]
		require.NotNil(b.t, value, key)
		require.NoError(b.t, converter.GetDefaultDataConverter().FromPayload(value, &ids))
		flows = append(flows, ids)
	}
	return flows
}

func TestRecoveryWaitsForTemporal(t *testing.T) {
	b := setup(t)
	s := switchable(t, b.client)
	b.options.Client, b.options.BatchAbove = s, 1
	d := &batching{b, dispatch.New(b.options)}
	batch := b.written(3)
	s.isUnavailable.Store(true)
	_, err := b.db.ExecContext(t.Context(), "UPDATE delivery_batches SET checked_at = now() - interval '1 minute'")
	require.NoError(t, err)
	require.Error(t, dispatch.RecoverStale(d.Dispatcher, t.Context()))
	require.Equal(t, []uuid.UUID{batch.ID}, b.batches(), "one that may be running is not given up")
	s.isUnavailable.Store(false)
	d.recoverStale()
	require.NotEmpty(t, b.batchRun(batch.ID))
}

func TestDeliveriesOfATerminatedBatchGetTheirOwnWorkflows(t *testing.T) {
	b := setupBatching(t, 1)
	ids := b.publishMany(4)
	require.Equal(t, dispatch.Result{Taken: 4}, b.round())
	batch := b.batches()[0]
	_, err := b.db.ExecContext(t.Context(), "UPDATE deliveries SET status = 'succeeded' WHERE id = ?", ids[0])
	require.NoError(t, err)
	require.NoError(t, b.client.TerminateWorkflow(t.Context(), workflows.DeliverBatchWorkflowID(batch), "", "test"))
	b.recoverStale()
	require.Empty(t, b.batches(), "it is abandoned")
	require.Equal(t, 3, b.queued())
	require.Equal(t, dispatch.Result{Taken: 3}, b.round())
	require.Empty(t, b.batches(), "and they do not share a workflow again")
	for i, id := range ids {
		require.Equal(t, i > 0, b.run(id) != "", i)
	}
}

func TestRunRecoversBatches(t *testing.T) {
	b := setupBatching(t, 1)
	batch := b.written(2)
	_, err := b.db.ExecContext(t.Context(), "UPDATE delivery_batches SET checked_at = now() - interval '1 minute'")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	require.Eventually(t, func() bool { return b.batchRun(batch.ID) != "" }, 30*time.Second, 20*time.Millisecond)
	stop()
	require.NoError(t, <-done)
}
