package dispatch

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"greenroom/activities/webhook"
	"greenroom/db"
	"greenroom/workflows"
)

// dispatchDeliveries starts a workflow for each delivery that it takes. Those that could not be started go back to the queue.
func (d *Dispatcher) dispatchDeliveries(ctx context.Context) (Result, error) {
	var r Result
	err := d.inTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		ready, taken, err := db.TakeDeliveries(ctx, tx, db.TakeOptions{PerWebhook: d.o.PerEndpoint, Room: d.o.Endpoints.Room()})
		if err != nil || taken == 0 {
			return err
		}
		ready, early := d.reserve(ready)
		failed, away := d.startAll(ctx, ready)
		r = Result{Taken: taken - len(failed) - len(early), Failed: len(failed), Away: away}
		return db.PutBackDeliveries(ctx, tx, append(failed, early...))
	})
	return r, err
}

// reserve takes a place at its endpoint for each delivery; early are those beyond their webhook's rate.
func (d *Dispatcher) reserve(taken []db.QueuedDelivery) (ready, early []db.QueuedDelivery) {
	for _, q := range taken {
		if d.o.Endpoints.Acquire(q.WebhookID, q.DeliveryID, q.RateLimit, placeLapse) {
			ready = append(ready, q)
		} else {
			early = append(early, q)
		}
	}
	return ready, early
}

func timeoutOf(q db.QueuedDelivery) time.Duration {
	return time.Duration(q.TimeoutMS) * time.Millisecond
}

// startsAtOnce bounds the starts under way at once: enough to hide the round trip, few enough to leave Temporal's frontend
// its other callers.
const startsAtOnce = 32

// startAll returns the deliveries that could not be started. Once Temporal proves to be away the rest are not tried: waiting
// for each of them would hold the transaction. One that Temporal refuses does not stand in the way of the others.
func (d *Dispatcher) startAll(ctx context.Context, ready []db.QueuedDelivery) (failed []db.QueuedDelivery, away bool) {
	var mu sync.Mutex
	var gone atomic.Bool
	each(ready, startsAtOnce, func(q db.QueuedDelivery) {
		if !gone.Load() {
			err := d.startDelivery(ctx, q)
			if err == nil {
				return
			}
			if isAway(err) {
				gone.Store(true)
			} else {
				d.o.Logger.ErrorContext(ctx, "delivery cannot be started", "delivery_id", q.DeliveryID, "error", err)
			}
		}
		d.o.Endpoints.Release(q.WebhookID, q.DeliveryID, 0)
		mu.Lock()
		failed = append(failed, q)
		mu.Unlock()
	})
	return failed, gone.Load()
}

// each calls fn for every item, n at a time.
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

// startDelivery starts DeliverWebhook. That the workflow is there already, running or ended, is success: an earlier round
// started it and could not commit.
func (d *Dispatcher) startDelivery(ctx context.Context, q db.QueuedDelivery) error {
	in, err := deliverInput(q)
	if err != nil {
		return err
	}
	in.Slow = in.Slow || d.o.Endpoints.Slow(q.WebhookID)
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	_, err = d.o.Client.ExecuteWorkflow(ctx, d.startOptions(q), workflows.DeliverWebhook, in)
	var started *serviceerror.WorkflowExecutionAlreadyStarted
	if errors.As(err, &started) {
		d.o.Endpoints.Release(q.WebhookID, q.DeliveryID, 0)
		return nil
	}
	return err
}

// placeLapse is how long a delivery holds its endpoint's place before its attempt begins. The attempt, in this process when
// the start was eager, holds it on for as long as it takes; one that another process makes holds that process's place.
const placeLapse = time.Second

func deliverInput(q db.QueuedDelivery) (workflows.DeliverWebhookInput, error) {
	p, err := webhook.ProfileByName(q.Profile)
	if err != nil {
		return workflows.DeliverWebhookInput{}, err
	}
	in := workflows.DeliverWebhookInput{
		DeliveryID: q.DeliveryID, Generation: q.Generation, Attempt: q.Attempt, Schedule: p.ScheduleFor(q.MaxRetries),
		Timeout: timeoutOf(q), Slow: q.Failing || q.Probe, Probe: q.Probe,
	}
	if q.IsTest { // its outcome is waited for, so there is one attempt
		in.Schedule, in.Slow = nil, false
	}
	return in, nil
}

func (d *Dispatcher) startOptions(q db.QueuedDelivery) client.StartWorkflowOptions {
	attributes := []temporal.SearchAttributeUpdate{
		workflows.WebhookID.ValueSet(q.WebhookID.String()), workflows.EventType.ValueSet(q.EventType),
		workflows.DeliveryStatus.ValueSet(workflows.StatusPending),
	}
	if q.CompanyID != nil {
		attributes = append(attributes, workflows.CompanyID.ValueSet(q.CompanyID.String()))
	}
	reuse := enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE
	if q.Redo {
		reuse = enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE
	}
	return client.StartWorkflowOptions{
		ID: workflows.DeliverWebhookWorkflowID(q.DeliveryID, q.Generation), TaskQueue: d.o.TaskQueue,
		WorkflowIDReusePolicy: reuse, WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		EnableEagerStart: !d.o.Versioned, TypedSearchAttributes: temporal.NewSearchAttributes(attributes...),
		StaticSummary: q.EventType + " → " + host(q.URL),
	}
}

func host(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "?"
	}
	return u.Host
}
