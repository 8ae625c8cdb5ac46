package dispatch

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"greenroom/activities/deliver"
	"greenroom/activities/inflight"
	"greenroom/activities/webhook"
	"greenroom/activities/webhook/profiles"
	"greenroom/db/delivery"
	"greenroom/workflows"
)

// dispatchDeliveries is one round: it takes deliveries and hands them to the process's streams, or to batches where no
// stream has room. Others get a workflow each: dispatchSingles starts them, so that what is shared does not wait for
// Temporal. A round without any to share starts them itself.
func (d *Dispatcher) dispatchDeliveries(ctx context.Context) (r Result, err error) {
	if d.batches.full() && !d.o.Streams.Any() {
		return Result{}, nil // dispatchSingles wakes the loop when there is room
	}
	if r, ok, err := d.express(ctx); ok {
		return r, err
	}
	var s shared
	err = d.inTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		t, more, err := d.take(ctx, tx)
		r = Result{Taken: t.Taken, more: more, next: d.limits.nextAfter(t.Limited)}
		d.extraordinary = len(t.Limited) > 0 || t.Taken > len(t.Ready)
		if err != nil || t.Taken == 0 {
			return err
		}
		alone, back, err := d.share(ctx, tx, t.Ready, &s)
		if err != nil {
			return err
		}
		alone, early := d.reserve(alone)
		d.leaveOutCrowded(early)
		if len(early) == t.Taken && d.pacer.next == (delivery.Flow{}) {
			r.more = false // nothing had a place: the next round follows when one is free
		}
		back = append(back, early...)
		d.extraordinary = d.extraordinary || len(alone)+len(back)+len(s.batches) > 0
		if s.any() || d.pacer.shares() {
			s.singles = len(alone) > 0
			d.tokens.keep(alone)
			for _, q := range alone {
				q.Single = true
				back = append(back, q)
			}
		} else {
			failed, err := d.startEach(ctx, tx, alone, d.temporal.atOnce(), &r)
			if err != nil {
				return err
			}
			back = append(back, failed...)
		}
		r.Taken -= len(back)
		return delivery.PutBackDeliveries(ctx, tx, back)
	})
	d.handOver(s, err)
	return r, err
}

// shared are the deliveries of a round that have no workflow of their own, and whether dispatchSingles has to start
// others.
type shared struct {
	parts   []*deliver.StreamPart
	ids     []uuid.UUID // of the parts' batches
	batches []batch
	singles bool
}

func (s *shared) any() bool { return len(s.parts)+len(s.batches) > 0 }

// share stores in s what is attempted by streams and batches. It returns the deliveries that need a workflow each, and
// those that go back because of a limit.
func (d *Dispatcher) share(
	ctx context.Context, tx bun.Tx, ready []delivery.QueuedDelivery, s *shared,
) (alone, back []delivery.QueuedDelivery, err error) {
	alone, together := d.pacer.split(ready, d.o.Endpoints.Slow)
	s.parts, together = d.toStreams(ctx, together)
	if len(together) == 1 {
		// A batch of one costs Temporal as much as a workflow of the delivery's own, which shows more.
		alone, together = append(alone, together...), nil
	}
	if d.batches.full() {
		together, back = nil, together
	}
	if s.ids, err = addToStreams(ctx, tx, s.parts); err != nil {
		return nil, nil, err
	}
	s.batches, err = addBatches(ctx, tx, together)
	return alone, back, err
}

// handOver gives the shared deliveries to those who attempt or start them. err is that of the transaction.
func (d *Dispatcher) handOver(s shared, err error) {
	for i, p := range s.parts {
		if err == nil {
			p.Attempt(s.ids[i])
		} else {
			p.Drop()
		}
	}
	if err != nil {
		return
	}
	d.batches.add(s.batches)
	if s.singles || len(s.batches) > 0 {
		wake(d.singles)
	}
}

// startEach starts a workflow for each delivery in the transaction that takes them, atOnce at the same time. It adds to
// r what failed, and returns it.
func (d *Dispatcher) startEach(
	ctx context.Context, tx bun.Tx, alone []delivery.QueuedDelivery, atOnce int, r *Result,
) (failed []delivery.QueuedDelivery, err error) {
	if len(alone) == 0 {
		return nil, nil
	}
	if err := waitsForTemporal(ctx, tx); err != nil {
		return nil, err
	}
	if d.o.Traced {
		if err := delivery.ReadTraces(ctx, tx, alone); err != nil {
			return nil, err
		}
	}
	failed, r.Unavailable = d.startAll(ctx, alone, atOnce, time.Now().Add(startsFor))
	r.Failed += len(failed)
	r.more = r.more || len(failed) > 0
	return failed, nil
}

// take takes the deliveries of one round. Endpoints sets the limits; the SQL statements apply them. more: the limits
// may have left deliveries behind that the next round can take.
func (d *Dispatcher) take(ctx context.Context, tx bun.Tx) (t delivery.TakeResult, more bool, err error) {
	quotas, startBlocked := d.o.Endpoints.Quotas(d.pacer.batches()), !d.pacer.batches()
	t, err = delivery.TakeDeliveries(ctx, tx, delivery.TakeOptions{
		Limit: quotas.Round, PerFlow: quotas.Flow, PerFailing: quotas.Failing, Room: quotas.Webhook,
		After: d.pacer.next, StartBlocked: startBlocked,
	})
	if err == nil {
		err = d.takeLimited(ctx, tx, &t, quotas, startBlocked)
	}
	d.blocked.add(t.Blocked)
	return t, d.observe(&t, quotas), err
}

// observe notes what a round took. more: the limits may have left deliveries behind that the next round can take.
func (d *Dispatcher) observe(t *delivery.TakeResult, quotas inflight.Quotas) (more bool) {
	flows, largest := countFlows(t.Ready)
	limited := d.o.Endpoints.Adapt(t.Taken, flows, largest)
	d.pacer.observe(*t, limited, time.Now())
	return d.pacer.more || len(t.Ready) > 0 && len(quotas.Webhook) > 0
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

// reserve claims a place at its endpoint for each delivery. full are those whose endpoint has none.
func (d *Dispatcher) reserve(taken []delivery.QueuedDelivery) (ready, full []delivery.QueuedDelivery) {
	return partition(taken, func(q delivery.QueuedDelivery) bool {
		d.o.Endpoints.Describe(q.WebhookID, q.Flow().Company, webhook.HostPort(q.URL))
		if q.Attempt > 1 || q.EnsureWorkflow {
			return d.o.Endpoints.AcquireQueued(q.WebhookID, q.DeliveryID, placeLapse)
		}
		return d.o.Endpoints.Acquire(q.WebhookID, q.DeliveryID, placeLapse)
	})
}

// leaveOutCrowded leaves endpoints out of the next rounds that had places for few of their deliveries.
func (d *Dispatcher) leaveOutCrowded(full []delivery.QueuedDelivery) {
	byHook := map[uuid.UUID]int{}
	for _, q := range full {
		byHook[q.WebhookID]++
	}
	for hook, n := range byHook {
		if d.o.Endpoints.PutBack(hook, n) {
			time.AfterFunc(inflight.LeftOutFor, d.Wake)
		}
	}
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

// startAll starts a workflow for each delivery, atOnce at the same time, and returns those that failed. After until, or
// once Temporal did not answer, the rest are not tried, because waiting for each of them would hold the transaction. A
// refused start does not affect the others. unavailable: Temporal answered none of them.
func (d *Dispatcher) startAll(
	ctx context.Context,
	ready []delivery.QueuedDelivery,
	atOnce int,
	until time.Time,
) (failed []delivery.QueuedDelivery, unavailable bool) {
	if len(ready) == 0 {
		return nil, false
	}
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
	each(ready, atOnce, func(q delivery.QueuedDelivery) {
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
	in.HasToken = time.Now().Before(q.TokenUntil)
	ctx, cancel := context.WithTimeout(delivery.WithTrace(ctx, q.Trace), startLimit)
	defer cancel()
	if q.EnsureWorkflow { // its workflow may wait for a time that has passed: it is woken, or started
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
	if q.EnsureWorkflow {
		reuse = enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE
	}
	return client.StartWorkflowOptions{
		ID: workflows.DeliverWebhookWorkflowID(q.DeliveryID, q.Generation), TaskQueue: d.o.TaskQueue,
		WorkflowIDReusePolicy: reuse, WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		EnableEagerStart: !d.o.Versioned, TypedSearchAttributes: temporal.NewSearchAttributes(attributes...),
		StaticSummary: q.EventType + " → " + webhook.Host(q.URL),
		StaticDetails: d.linkTo("/deliveries/" + q.DeliveryID.String()),
	}
}
