package deliver

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"

	"greenroom/activities/webhook"
	"greenroom/db/delivery"
)

// BatchInput asks for the first attempts of many deliveries.
type BatchInput struct {
	BatchID    uuid.UUID
	Deliveries []uuid.UUID
	// Replay: an operator reset the workflow, so the deliveries are sent again unless they were canceled.
	Replay bool
}

// BatchCounts counts deliveries. Failed deliveries continue, or show their failure, in workflows of their own. Left are
// deliveries without an attempt, because their webhook is paused or deleted or its endpoint had no free place in time:
// they go back to the queue.
type BatchCounts struct {
	Succeeded, Failed, Left int
}

// BatchResult counts the deliveries of a batch, in all and by webhook.
type BatchResult struct {
	Succeeded, Failed, Left int
	ByWebhook               map[string]BatchCounts `json:",omitempty"`
	// FailedDeliveries are the first failedListed deliveries that failed.
	FailedDeliveries []uuid.UUID `json:",omitempty"`
}

// failedListed keeps a result small in the history.
const failedListed = 100

// batchBegins bounds how long a batch starts attempts. Deliveries that get no place at their endpoint in time go back
// to the queue, so that a hanging receiver holds only its places.
const batchBegins = 2 * time.Second

// hooksFresh is the age at which a batch reads its webhooks again: a change, a deletion and an opened circuit take
// effect within it.
const hooksFresh = 20 * time.Millisecond

// AttemptBatch makes the first attempts of a batch concurrently, and records them in groups as they end. Attempts that
// this workflow run has recorded are not repeated: a killed worker repeats only unrecorded attempts.
func (a *Activities) AttemptBatch(ctx context.Context, in BatchInput) (BatchResult, error) {
	info := activity.GetInfo(ctx)
	run, err := uuid.Parse(info.WorkflowExecution.RunID)
	if err != nil {
		return BatchResult{}, fmt.Errorf("read run id: %w", err)
	}
	defer heartbeat(ctx)()
	return a.attemptBatchAs(ctx, in, run, info.WorkflowExecution.ID)
}

func (a *Activities) attemptBatchAs(
	ctx context.Context,
	in BatchInput,
	run uuid.UUID,
	workflow string,
) (BatchResult, error) {
	b := &batch{Activities: a, in: in, run: run, workflow: workflow}
	began := time.Now()
	key := flightKey{in.BatchID, run, 0}
	if err := a.flights.alone(ctx, key); err != nil {
		return BatchResult{}, fmt.Errorf("wait for an earlier try of the batch: %w", err)
	}
	defer a.flights.end(key, AttemptResult{}, nil)
	if err := b.load(ctx); err != nil {
		return BatchResult{}, fmt.Errorf("attempt batch: %w", err)
	}
	b.attempt(ctx)
	if err := b.err; err != nil {
		return BatchResult{}, fmt.Errorf("attempt batch: %w", err)
	}
	for _, q := range append(b.left, b.resend...) {
		b.count(q.WebhookID, BatchCounts{Left: 1})
	}
	a.Logger.DebugContext(ctx, "batch", "batch_id", in.BatchID, "succeeded", b.result.Succeeded, "failed", b.result.Failed,
		"left", b.result.Left, "duration_ms", time.Since(began).Milliseconds())
	return b.result, delivery.FinishBatch(ctx, a.DB, in.BatchID)
}

// batch is one batch on its way.
type batch struct {
	*Activities
	in       BatchInput
	run      uuid.UUID
	workflow string
	lease    int
	byHook   map[uuid.UUID][]*delivery.Work
	hooks    *hooks

	mu     sync.Mutex
	result BatchResult
	left   []delivery.QueuedDelivery
	resend []delivery.QueuedDelivery // ended deliveries of a replay that got no place
	err    error                     // the first internal fault
}

func (b *batch) load(ctx context.Context) error {
	var err error
	if b.lease, err = delivery.LeaseBatch(ctx, b.DB, b.in.BatchID); err != nil {
		return err
	}
	b.byHook = make(map[uuid.UUID][]*delivery.Work)
	if err = b.loadJobs(ctx, false, func(d *delivery.Delivery) bool { return d.Status == delivery.Pending }); err != nil {
		return err
	}
	if b.in.Replay { // deliveries that have not ended are sent anyway, and canceled ones stay canceled
		err = b.loadJobs(ctx, true, func(d *delivery.Delivery) bool {
			return d.Status == delivery.Succeeded || d.Status == delivery.Failed
		})
		if err != nil {
			return err
		}
	}
	b.hooks, err = b.loadHooks(ctx)
	return err
}

// loadJobs adds the deliveries that the batch still has, or with replay all that it began with, unless this run has
// recorded their attempts.
func (b *batch) loadJobs(ctx context.Context, replay bool, wanted func(*delivery.Delivery) bool) error {
	jobs, err := delivery.LoadBatch(
		ctx,
		b.DB,
		delivery.Batch{ID: b.in.BatchID, Deliveries: b.in.Deliveries},
		b.run,
		replay,
	)
	for _, j := range jobs {
		if j.Done == nil && wanted(&j.Delivery) {
			b.byHook[j.Delivery.WebhookID] = append(b.byHook[j.Delivery.WebhookID], j)
		}
	}
	return err
}

// attempt makes the attempts of all endpoints concurrently, so that no delivery waits for another's receiver.
func (b *batch) attempt(ctx context.Context) {
	begins, end := context.WithTimeout(ctx, batchBegins)
	defer end()
	var endpoints, attempts sync.WaitGroup // attempts: with their records
	for id, jobs := range b.byHook {
		b.Endpoints.Enter(id, len(jobs))
		endpoints.Go(func() { b.attemptEndpoint(ctx, begins, id, jobs, &attempts) })
	}
	endpoints.Wait()
	b.giveBack(ctx)
	attempts.Wait()
}

// giveBack returns the deliveries without an attempt to the queue before the attempts have ended, because a hanging
// receiver takes much longer. Those of a replay are sent as a new generation. When the worker stops, they stay in the
// batch for the next worker.
func (b *batch) giveBack(ctx context.Context) {
	if ctx.Err() != nil || b.hooks.isLost() {
		return
	}
	if err := delivery.LeaveBatch(ctx, b.DB, b.in.BatchID, b.lease, b.left); err != nil {
		b.fault(err)
	}
	if err := delivery.ResendDeliveries(ctx, b.DB, b.resend); err != nil {
		b.fault(err)
	}
}

// attemptEndpoint starts an attempt whenever the endpoint has a free place.
func (b *batch) attemptEndpoint(
	ctx, begins context.Context,
	id uuid.UUID,
	jobs []*delivery.Work,
	attempts *sync.WaitGroup,
) {
	for i, j := range jobs {
		var w *delivery.Webhook
		if b.Endpoints.AcquireForBatch(begins, id, j.Delivery.ID) {
			if w = b.hooks.get(begins, id); w == nil {
				b.Endpoints.Release(id, j.Delivery.ID, 0)
			}
		}
		if w == nil {
			b.Endpoints.Leave(id, len(jobs)-i)
			b.leave(ctx, jobs[i:])
			return
		}
		b.Endpoints.Leave(id, 1)
		j.Webhook = *w
		attempts.Go(func() { b.send(ctx, j, attempts) })
	}
}

// leave collects deliveries that are not attempted. When the worker stops or has lost the batch, another continues it.
func (b *batch) leave(ctx context.Context, jobs []*delivery.Work) {
	switch {
	case ctx.Err() != nil:
		b.fault(fmt.Errorf("interrupted: %w", context.Cause(ctx)))
	case b.hooks.isLost():
		b.fault(errLeaseLost)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, j := range jobs {
		d := &j.Delivery
		q := delivery.QueuedDelivery{DeliveryID: d.ID, WebhookID: d.WebhookID, CompanyID: d.CompanyID, Attempt: 1}
		if d.Status.Ended() {
			b.resend = append(b.resend, q)
		} else {
			b.left = append(b.left, q)
		}
	}
}

// send makes one attempt. attempts counts it until it is recorded.
func (b *batch) send(ctx context.Context, j *delivery.Work, attempts *sync.WaitGroup) {
	t := &attempt{
		Activities: b.Activities, job: j, run: b.run, workflow: b.workflow,
		in: AttemptInput{DeliveryID: j.Delivery.ID, Generation: j.Delivery.Generation, Attempt: 1},
	}
	req, fault := t.request()
	if fault != nil && !fault.elsewhere {
		b.Endpoints.Release(j.Webhook.ID, j.Delivery.ID, 0)
		b.fail(ctx, t, fault)
		return
	}
	if schedule := req.Profile.ScheduleFor(j.Webhook.MaxRetries); len(schedule) > 0 {
		t.in.Wait = schedule[0]
	} else {
		t.in.Last = true
	}
	end := b.Wire.begin(ctx, b.Endpoints.Quick(j.Webhook.ID))
	defer end()
	resp := t.sendRequest(ctx, req, fault)
	if resp.ErrorKind == webhook.KindCanceled {
		b.Endpoints.Release(j.Webhook.ID, j.Delivery.ID, resp.Duration)
		b.fault(fmt.Errorf("interrupted: %w", context.Cause(ctx)))
		return
	}
	attempts.Add(1)
	b.record(t, req, resp, end, attempts.Done)
}

// fail ends a delivery that cannot be prepared. The others of the batch continue.
func (b *batch) fail(ctx context.Context, t *attempt, fault *preparationFault) {
	if err := t.fail(ctx, fault, WorkflowID(t.in.DeliveryID, t.in.Generation)); err != nil {
		b.fault(err)
		return
	}
	b.failed(t)
}

// failed counts a delivery that failed.
func (b *batch) failed(t *attempt) {
	b.note(func() {
		b.count(t.job.Webhook.ID, BatchCounts{Failed: 1})
		if len(b.result.FailedDeliveries) < failedListed {
			b.result.FailedDeliveries = append(b.result.FailedDeliveries, t.in.DeliveryID)
		}
	})
}

// count adds to the result; the caller holds mu or is alone.
func (b *batch) count(webhook uuid.UUID, n BatchCounts) {
	r := &b.result
	r.Succeeded, r.Failed, r.Left = r.Succeeded+n.Succeeded, r.Failed+n.Failed, r.Left+n.Left
	if r.ByWebhook == nil {
		r.ByWebhook = map[string]BatchCounts{}
	}
	sum := r.ByWebhook[webhook.String()]
	r.ByWebhook[webhook.String()] = BatchCounts{sum.Succeeded + n.Succeeded, sum.Failed + n.Failed, sum.Left + n.Left}
}

// fault records the first internal fault, after which the batch is retried.
func (b *batch) fault(err error) {
	b.note(func() {
		if b.err == nil {
			b.err = err
		}
	})
}

func (b *batch) note(fn func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	fn()
}

// record hands the attempt to the process's recorder and counts it once it is written. A failure holds its place at the
// endpoint until then, so that an opened circuit stops the deliveries behind it.
// answered gives the request's token back once the answer is in the journal.
func (b *batch) record(t *attempt, req webhook.Request, resp webhook.Response, answered, done func()) {
	row := t.row(req.Profile, resp)
	r := delivery.AttemptRecord{
		Attempt: row, WebhookID: t.job.Webhook.ID, Body: req.Body, Counts: t.counts(resp),
		Threshold: b.CircuitThreshold, NextWorkflowID: WorkflowID(row.DeliveryID, row.Generation), Replay: b.in.Replay,
	}
	recorded := b.Journal.write(r)
	answered()
	end := func() { b.Endpoints.Release(t.job.Webhook.ID, t.job.Delivery.ID, resp.Duration) }
	failed := row.Outcome != delivery.OutcomeSucceeded
	b.recorder.add(b.Activities, &recording{
		AttemptRecord: r,
		recorded: func(opened bool, err error) {
			defer done()
			recorded()
			if failed {
				defer end()
			}
			if err == nil {
				t.log(context.Background(), &row, opened)
			}
			if opened || row.Outcome == delivery.OutcomeGone { // no more attempts at this webhook
				b.hooks.expire()
			}
			switch {
			case err != nil:
				b.fault(err)
			case failed:
				b.failed(t)
			default:
				b.note(func() { b.count(t.job.Webhook.ID, BatchCounts{Succeeded: 1}) })
			}
		},
	})
	if !failed {
		end()
	}
}

// WorkflowID is the workflow id of a delivery and generation. Two workflows of the same id never run at once.
func WorkflowID(delivery uuid.UUID, generation int) string {
	return fmt.Sprintf("delivery:%s:%d", delivery, generation)
}
