package dispatch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"greenroom/db"
	"greenroom/workflows"
)

// addBatch writes a batch down in the transaction that takes its deliveries; nil when there are none. The workflow is started
// after the commit: a batch is known by its row, and one whose start was not heard of is started again under the same id.
func addBatch(ctx context.Context, tx bun.Tx, together []db.QueuedDelivery) (*db.Batch, error) {
	if len(together) == 0 {
		return nil, nil //nolint:nilnil // no batch is an ordinary case
	}
	b := &db.Batch{ID: db.NewID(), Deliveries: make([]uuid.UUID, len(together))}
	for i, q := range together {
		b.Deliveries[i] = q.DeliveryID
	}
	return b, db.AddBatch(ctx, tx, *b)
}

// startUnstarted starts the batch that a round could not start because Temporal was away: nothing more is taken before.
func (d *Dispatcher) startUnstarted(ctx context.Context) bool {
	if d.unstarted == nil {
		return true
	}
	err := d.startBatch(ctx, *d.unstarted)
	if err != nil && isAway(err) {
		return false
	}
	if err != nil && !errors.Is(err, errBatchEnded) { // started, and done before that was heard of
		d.o.Logger.ErrorContext(ctx, "batch cannot be started", "batch_id", d.unstarted.ID, "error", err)
	}
	d.unstarted = nil
	return true
}

// errBatchEnded: there is a workflow of this batch, but it has ended.
var errBatchEnded = errors.New("the batch's workflow has ended")

// startBatch starts DeliverBatch. That it runs already is success.
func (d *Dispatcher) startBatch(ctx context.Context, b db.Batch) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), startLimit)
	defer cancel()
	_, err := d.o.Client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: workflows.DeliverBatchWorkflowID(b.ID), TaskQueue: d.o.TaskQueue, EnableEagerStart: !d.o.Versioned,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		WorkflowTaskTimeout:      batchTaskTimeout,
		// Without it the SDK hides that a workflow of this id has ended.
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		StaticSummary:                            fmt.Sprintf("first attempts of %d deliveries", len(b.Deliveries)),
	}, workflows.DeliverBatch, workflows.DeliverBatchInput{BatchID: b.ID, Deliveries: b.Deliveries})
	var ended *serviceerror.WorkflowExecutionAlreadyStarted
	if errors.As(err, &ended) {
		return errBatchEnded
	}
	return err
}

// batchTaskTimeout is when Temporal gives a batch to another worker after the one that had it was killed. The worker tells
// that it is alive when four fifths have passed, so a shorter one costs more on endpoints that hang.
const batchTaskTimeout = 5 * time.Second

// A batch that is there for longer than staleAfter is started again, which changes nothing where its workflow runs; every
// worker looks for them that often.
const (
	staleAfter   = 5 * time.Second
	staleAtOnce  = 100
	recoverEvery = 5 * time.Second
)

// recoverBatches takes care of batches that were written down but not started, and of those whose workflow an operator ended.
func (d *Dispatcher) recoverBatches(ctx context.Context) {
	t := time.NewTicker(recoverEvery)
	defer t.Stop()
	for {
		if err := d.recoverStale(ctx); err != nil && ctx.Err() == nil {
			d.o.Logger.WarnContext(ctx, "batches cannot be looked after", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

func (d *Dispatcher) recoverStale(ctx context.Context) error {
	stale, err := db.StaleBatches(ctx, d.o.DB, staleAfter, staleAtOnce)
	if err != nil {
		return err
	}
	for _, b := range stale {
		err := d.startBatch(ctx, b)
		if errors.Is(err, errBatchEnded) {
			d.o.Logger.WarnContext(ctx, "the workflow of a batch is gone; its deliveries get their own", "batch_id", b.ID)
			err = db.AbandonBatch(ctx, d.o.DB, b.ID)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
