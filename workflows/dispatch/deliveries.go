package dispatch

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"greenroom/activities/webhook"
	"greenroom/activities/webhook/profiles"
	"greenroom/db/delivery"
	"greenroom/workflows"
)

// dispatchDeliveries is one round: it takes deliveries and starts a workflow for each, or one for many of them when
// many wait. Deliveries whose workflow could not be started go back to the queue.
func (d *Dispatcher) dispatchDeliveries(ctx context.Context) (Result, error) {
	if !d.startUnstarted(ctx) {
		return Result{Unavailable: true}, nil
	}
	var r Result
	err := d.inTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		t, err := d.take(ctx, tx)
		r.more = t.Taken == 0 && d.pacer.more
		if err != nil || t.Taken == 0 {
			return err
		}
		alone, together := d.pacer.split(t.Ready, d.o.Endpoints.Slow)
		alone, early := d.reserve(alone)
		together, beyond := d.allow(together)
		if d.unstarted, err = addBatches(ctx, tx, together); err != nil {
			return err
		}
		until := startsFor
		if len(d.unstarted) > 0 {
			until = startsBeforeBatch
		}
		failed, unavailable := d.startAll(ctx, alone, time.Now().Add(until))
		early = append(early, beyond...)
		r = Result{Taken: t.Taken - len(failed) - len(early), Failed: len(failed), Unavailable: unavailable}
		return delivery.PutBackDeliveries(ctx, tx, append(failed, early...))
	})
	if err != nil {
		d.unstarted = nil
		return r, err
	}
	r.Unavailable = !d.startUnstarted(ctx) || r.Unavailable
	return r, nil
}

// take takes the deliveries of one round. How many of each endpoint is decided by Endpoints, and kept by the statement.
func (d *Dispatcher) take(ctx context.Context, tx bun.Tx) (delivery.TakeResult, error) {
	quotas := d.o.Endpoints.Quotas(d.pacer.batches())
	t, err := delivery.TakeDeliveries(ctx, tx, delivery.TakeOptions{
		Limit: quotas.Round, PerFlow: quotas.Flow, PerFailing: quotas.Failing, Room: quotas.Webhook,
		After: d.pacer.next, StartBlocked: !d.pacer.batches(),
	})
	flows, largest := countFlows(t.Ready)
	limited := d.o.Endpoints.Adapt(t.Taken, flows, largest)
	d.pacer.observe(t, limited, time.Now())
	return t, err
}

// countFlows counts the flows, and the deliveries of the largest one.
func countFlows(qs []delivery.QueuedDelivery) (flows, largest int) {
	counts := map[delivery.Flow]int{}
	for i := range qs {
		flow := qs[i].Flow()
		counts[flow]++
		largest = max(largest, counts[flow])
	}
	return len(counts), largest
}

// reserve claims a place at its endpoint for each delivery. early are those whose endpoint is full or has had its
// attempts per second.
func (d *Dispatcher) reserve(taken []delivery.QueuedDelivery) (ready, early []delivery.QueuedDelivery) {
	return partition(taken, func(q delivery.QueuedDelivery) bool {
		return d.o.Endpoints.Acquire(q.WebhookID, q.DeliveryID, q.RateLimit, placeLapse)
	})
}

// allow takes an attempt per second of its webhook for each delivery of a batch, which acquires its places itself.
func (d *Dispatcher) allow(taken []delivery.QueuedDelivery) (ready, early []delivery.QueuedDelivery) {
	return partition(taken, func(q delivery.QueuedDelivery) bool {
		return d.o.Endpoints.Allow(q.WebhookID, q.RateLimit)
	})
}

func partition(
	qs []delivery.QueuedDelivery,
	keep func(delivery.QueuedDelivery) bool,
) (kept, others []delivery.QueuedDelivery) {
	for _, q := range qs {
		if keep(q) {
			kept = append(kept, q)
		} else {
			others = append(others, q)
		}
	}
	return kept, others
}

func timeoutOf(q delivery.QueuedDelivery) time.Duration {
	return time.Duration(q.TimeoutMS) * time.Millisecond
}

// startAll starts a workflow for each delivery and returns those that failed. After until, or once Temporal did not
// answer, the rest are not tried, because waiting for each of them would hold the transaction. A refused start does not
// affect the others. unavailable: Temporal answered none of them.
func (d *Dispatcher) startAll(
	ctx context.Context,
	ready []delivery.QueuedDelivery,
	until time.Time,
) (failed []delivery.QueuedDelivery, unavailable bool) {
	var mu sync.Mutex
	var late atomic.Bool
	answered := 0
	start := func(q delivery.QueuedDelivery) (done bool) {
		if late.Load() || time.Now().After(until) {
			return false
		}
		err := d.startDelivery(ctx, q)
		if err != nil && isUnavailable(err) {
			late.Store(true)
			return false
		}
		if err != nil {
			d.o.Logger.ErrorContext(ctx, "delivery cannot be started", "delivery_id", q.DeliveryID, "error", err)
		}
		mu.Lock()
		defer mu.Unlock()
		answered++
		return err == nil
	}
	each(ready, d.temporal.atOnce(), func(q delivery.QueuedDelivery) {
		if start(q) {
			return
		}
		d.o.Endpoints.Release(q.WebhookID, q.DeliveryID, 0)
		mu.Lock()
		defer mu.Unlock()
		failed = append(failed, q)
	})
	if late.Load() || answered > 0 {
		d.temporal.learn(late.Load())
	}
	return failed, late.Load() && answered == 0
}

// each calls fn for every item, n concurrently.
func each[T any](items []T, n int, fn func(T)) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, n)
	for _, item := range items {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			fn(item)
		})
	}
	wg.Wait()
}

// startDelivery starts DeliverWebhook. A workflow that exists, running or ended, is success: an earlier round started
// it and could not commit.
func (d *Dispatcher) startDelivery(ctx context.Context, q delivery.QueuedDelivery) error {
	in := deliverInput(q)
	in.Slow = in.Slow || d.o.Endpoints.Slow(q.WebhookID)
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if q.Redo { // its workflow may wait for a time that has passed: it is woken, or started
		o := d.startOptions(q)
		_, err := d.o.Client.SignalWithStartWorkflow(
			ctx,
			o.ID,
			workflows.SignalWake,
			workflows.Wake{Probe: q.Probe},
			o,
			workflows.DeliverWebhook,
			in,
		)
		return err
	}
	_, err := d.o.Client.ExecuteWorkflow(ctx, d.startOptions(q), workflows.DeliverWebhook, in)
	var started *serviceerror.WorkflowExecutionAlreadyStarted
	if errors.As(err, &started) {
		d.o.Endpoints.Release(q.WebhookID, q.DeliveryID, 0)
		return nil
	}
	return err
}

// placeLapse is how long a delivery holds its endpoint's place before its attempt begins. An attempt of this process,
// which an eager start makes sure of, renews the claim; another process claims a place of its own.
const placeLapse = time.Second

func deliverInput(q delivery.QueuedDelivery) workflows.DeliverWebhookInput {
	in := workflows.DeliverWebhookInput{
		DeliveryID: q.DeliveryID, Generation: q.Generation, Attempt: q.Attempt,
		Timeout: timeoutOf(q), Slow: q.Failing || q.Probe, Probe: q.Probe, PlainSuccess: true,
	}
	p, err := profiles.ByName(q.Profile)
	if err != nil { // a newer worker may know it
		p, _ = profiles.ByName(profiles.Default)
	}
	in.Schedule = p.ScheduleFor(q.MaxRetries)
	if q.NotBefore != nil {
		in.NotBefore = *q.NotBefore
	}
	if q.LastError != nil {
		in.Reason = *q.LastError
	}
	if q.IsTest { // a caller waits for the outcome, so there is one attempt
		in.Schedule, in.Slow = nil, false
	}
	return in
}

func (d *Dispatcher) startOptions(q delivery.QueuedDelivery) client.StartWorkflowOptions {
	attributes := []temporal.SearchAttributeUpdate{
		workflows.WebhookID.ValueSet([]string{q.WebhookID.String()}), workflows.EventType.ValueSet(q.EventType),
	}
	if q.CompanyID != nil {
		attributes = append(attributes, workflows.CompanyID.ValueSet([]string{q.CompanyID.String()}))
	}
	reuse := enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE
	if q.Redo {
		reuse = enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE
	}
	return client.StartWorkflowOptions{
		ID: workflows.DeliverWebhookWorkflowID(q.DeliveryID, q.Generation), TaskQueue: d.o.TaskQueue,
		WorkflowIDReusePolicy: reuse, WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		EnableEagerStart: !d.o.Versioned, TypedSearchAttributes: temporal.NewSearchAttributes(attributes...),
		StaticSummary: q.EventType + " → " + webhook.Host(q.URL),
	}
}
