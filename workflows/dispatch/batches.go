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
	"go.temporal.io/sdk/temporal"

	"greenroom/activities/deliver"
	"greenroom/db/delivery"
	"greenroom/db/pg"
	"greenroom/workflows"
)

// addBatches stores batches in the transaction that takes their deliveries. Their workflows are started after the
// commit. A batch whose start failed is started again from its row, under the same id.
func addBatches(ctx context.Context, tx bun.Tx, together []delivery.QueuedDelivery) (added []batch, err error) {
	for _, qs := range splitByFlow(together, deliver.FlowsMost) {
		b := newBatch(qs)
		if err := delivery.AddBatch(ctx, tx, b.Batch); err != nil {
			return nil, err
		}
		added = append(added, b)
	}
	return added, nil
}

// splitByFlow cuts deliveries into groups of at most that many flows. Deliveries of a flow stay together and in their
// order.
func splitByFlow(qs []delivery.QueuedDelivery, flows int) (groups [][]delivery.QueuedDelivery) {
	group := map[delivery.Flow]int{}
	for _, q := range qs {
		n, known := group[q.Flow()]
		if !known {
			n = len(group) / flows
			group[q.Flow()] = n
		}
		if n == len(groups) {
			groups = append(groups, nil)
		}
		groups[n] = append(groups[n], q)
	}
	return groups
}

// batch is a batch to be started, with its search attributes.
type batch struct {
	delivery.Batch
	webhooks, companies []string
}

func newBatch(qs []delivery.QueuedDelivery) batch {
	b := batch{Batch: delivery.Batch{ID: pg.NewID(), Deliveries: make([]uuid.UUID, len(qs))}}
	seen := map[uuid.UUID]bool{}
	for i, q := range qs {
		b.Deliveries[i] = q.DeliveryID
		if !seen[q.WebhookID] {
			seen[q.WebhookID] = true
			b.webhooks = append(b.webhooks, q.WebhookID.String())
		}
		if q.CompanyID != nil && !seen[*q.CompanyID] {
			seen[*q.CompanyID] = true
			b.companies = append(b.companies, q.CompanyID.String())
		}
	}
	return b
}

func (b *batch) attributes() temporal.SearchAttributes {
	return temporal.NewSearchAttributes(workflows.FlowAttributes(b.webhooks, b.companies)...)
}

// startPendingBatches starts the stored batches. It is false while Temporal is unavailable.
func (d *Dispatcher) startPendingBatches(ctx context.Context) bool {
	for b, ok := d.batches.first(); ok; b, ok = d.batches.first() {
		err := d.startBatch(ctx, b)
		if err != nil && isUnavailable(err) {
			return false
		}
		if err != nil && !errors.Is(err, errBatchEnded) { // an ended batch was started by an earlier try
			d.o.Logger.ErrorContext(ctx, "batch cannot be started", "batch_id", b.ID, "error", err)
		}
		d.batches.dropFirst()
	}
	return true
}

// errBatchEnded means that the batch's workflow exists but has ended.
var errBatchEnded = errors.New("the batch's workflow has ended")

// startBatch starts DeliverBatch. A running workflow is success; one that has ended is errBatchEnded.
func (d *Dispatcher) startBatch(ctx context.Context, b batch) error {
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
		StaticDetails:                            d.linkTo("/deliveries"),
		TypedSearchAttributes:                    b.attributes(),
	}, workflows.DeliverBatch, workflows.DeliverBatchInput{BatchID: b.ID, Deliveries: b.Deliveries})
	var ended *serviceerror.WorkflowExecutionAlreadyStarted
	if errors.As(err, &ended) {
		return errBatchEnded
	}
	return err
}

// batchTaskTimeout is how long after a worker was killed Temporal gives its batch to another. The worker sends a
// heartbeat after four fifths of it, so a shorter one costs more at hanging endpoints.
const batchTaskTimeout = 5 * time.Second

// A batch whose row is older than staleAfter is started again, which is a no-op while its workflow runs. The leader
// does it every recoverEvery, for staleAtOnce batches.
const (
	staleAfter   = 5 * time.Second
	staleAtOnce  = 100
	recoverEvery = 5 * time.Second
)

// batchStuckAfter is when a batch without progress is abandoned. It is longer than batchLimit of its workflow, so
// that an activity that is retried after an internal fault had its turn.
const batchStuckAfter = 5 * time.Minute

// recoverStale starts batches that were stored but not started, and abandons those whose workflow an operator ended or
// that make no progress. Batches of streams are left alone at first, when this process begins to lead and after an
// outage of the database: the streams have the time to renew their leases.
func (d *Dispatcher) recoverStale(ctx context.Context) error {
	began := time.Now()
	streams := began.Sub(d.recovered) < 3*recoverEvery
	stale, err := delivery.StaleBatches(ctx, d.o.DB, staleAfter, staleAtOnce, streams)
	if err != nil {
		return err
	}
	d.recovered = began
	for _, b := range stale {
		err := d.restartBatch(ctx, b)
		switch {
		case errors.Is(err, errBatchEnded):
			err = d.abandonBatch(ctx, b.ID, "its workflow has ended")
		case err == nil:
			err = d.endStuckBatch(ctx, b.ID)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// restartBatch starts a batch from its row.
func (d *Dispatcher) restartBatch(ctx context.Context, row delivery.Batch) error {
	flows, err := delivery.BatchFlows(ctx, d.o.DB, row.ID)
	if err != nil {
		return err
	}
	qs := make([]delivery.QueuedDelivery, 0, len(flows))
	for _, l := range flows {
		q := delivery.QueuedDelivery{WebhookID: l.Webhook}
		if l.Company != uuid.Nil {
			q.CompanyID = &l.Company
		}
		qs = append(qs, q)
	}
	b := newBatch(qs)
	b.Batch = row
	return d.startBatch(ctx, b)
}

// abandonBatch gives each delivery of a batch a workflow of its own.
func (d *Dispatcher) abandonBatch(ctx context.Context, id uuid.UUID, why string) error {
	d.o.Logger.WarnContext(ctx, "batch abandoned: its deliveries get their own workflows", "batch_id", id, "reason", why)
	reconciled.WithLabelValues("batch").Inc()
	return delivery.AbandonBatch(ctx, d.o.DB, id)
}

// endStuckBatch abandons a batch whose workflow runs without progress. The cause may be a version that cannot replay
// its history; its deliveries must not wait forever.
func (d *Dispatcher) endStuckBatch(ctx context.Context, id uuid.UUID) error {
	stuck, err := delivery.BatchStands(ctx, d.o.DB, id, d.stuckAfter)
	if err != nil || !stuck {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	w, err := d.o.Client.DescribeWorkflowExecution(ctx, workflows.DeliverBatchWorkflowID(id), "")
	if err != nil {
		return fmt.Errorf("look at a batch: %w", err)
	}
	if w.WorkflowExecutionInfo.StartTime.AsTime().After(time.Now().Add(-d.stuckAfter)) {
		return nil // Temporal was unavailable until recently
	}
	if err := d.o.Client.TerminateWorkflow(ctx, workflows.DeliverBatchWorkflowID(id), "", "no progress"); err != nil {
		return fmt.Errorf("end a batch that makes no progress: %w", err)
	}
	return d.abandonBatch(ctx, id, "no progress")
}
