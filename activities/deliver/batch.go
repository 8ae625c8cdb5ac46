package deliver

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"

	"greenroom/activities/webhook"
	"greenroom/db/delivery"
	"greenroom/db/pg"
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

// startLimit bounds how long a batch starts attempts. Deliveries that get no place at their endpoint in time go back
// to the queue, so that a hanging receiver holds only its places.
const startLimit = 2 * time.Second

// hooksMaxAge is the age at which a batch reads its webhooks again: a change, a deletion and an opened circuit take
// effect within it.
const hooksMaxAge = 20 * time.Millisecond

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
	if err := b.make(ctx, ctx); err != nil {
		return BatchResult{}, err
	}
	return b.result, delivery.FinishBatch(ctx, a.DB, in.BatchID)
}

// make loads the batch and makes its attempts. It returns once all of them are recorded. It begins none after begins
// has ended.
func (b *batch) make(ctx, begins context.Context) error {
	began := time.Now()
	key := flightKey{b.in.BatchID, b.run, 0}
	if err := b.flights.alone(ctx, key); err != nil {
		return fmt.Errorf("wait for an earlier try of the batch: %w", err)
	}
	defer b.flights.end(key, AttemptResult{}, nil)
	if err := b.load(ctx); err != nil {
		return fmt.Errorf("attempt batch: %w", err)
	}
	b.attempt(ctx, begins)
	if err := b.err; err != nil {
		return fmt.Errorf("attempt batch: %w", err)
	}
	for _, q := range append(b.left, b.resend...) {
		b.count(q.WebhookID, BatchCounts{Left: 1})
	}
	b.Logger.DebugContext(ctx, "batch", "batch_id", b.in.BatchID, "succeeded", b.result.Succeeded,
		"failed", b.result.Failed, "left", b.result.Left, "duration_ms", time.Since(began).Milliseconds())
	return nil
}

// batch is the state of a batch while its attempts are made.
type batch struct {
	*Activities
	// stream, when not nil, attempts the batch. taken are its deliveries when the dispatcher has just handed them over,
	// and takenAt is when it began to take them.
	stream   *Stream
	taken    []delivery.QueuedDelivery
	takenAt  time.Time
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
	b.byHook = make(map[uuid.UUID][]*delivery.Work)
	isPending := func(d *delivery.Delivery) bool { return d.Status == delivery.Pending }
	if len(b.taken) > 0 {
		err = b.loadTaken(ctx, isPending)
	} else if b.lease, err = delivery.LeaseBatch(ctx, b.DB, b.in.BatchID); err == nil {
		err = b.loadWork(ctx, false, isPending)
	}
	if err != nil {
		return err
	}
	if b.in.Replay { // deliveries that have not ended are sent anyway, and canceled ones stay canceled
		err = b.loadWork(ctx, true, func(d *delivery.Delivery) bool {
			return d.Status == delivery.Succeeded || d.Status == delivery.Failed
		})
		if err != nil {
			return err
		}
	}
	if b.hooks, err = b.loadHooks(ctx); err == nil && b.stream == nil && b.lease == 1 && !b.in.Replay {
		b.passTokens(time.Now().Add(TokenLapse))
	}
	return err
}

// passTokens gives the deliveries to webhooks with a rate limit the tokens that the dispatcher took for them. Only the
// first worker that has the batch may use them: deliveries that another attempts later go back to the queue.
func (b *batch) passTokens(until time.Time) {
	for id, jobs := range b.byHook {
		if w := b.hooks.m[id]; w == nil || w.RateLimit == 0 {
			continue
		}
		for _, j := range jobs {
			j.TokenUntil = until
		}
	}
}

// loadTaken adds the deliveries of a batch that was just committed: no other worker can have it.
func (b *batch) loadTaken(ctx context.Context, wanted func(*delivery.Delivery) bool) error {
	jobs, err := delivery.LoadTaken(ctx, b.DB, b.taken)
	b.addWork(jobs, wanted)
	return err
}

// loadWork adds the deliveries that the batch still has, or with all those that it began with, unless this run has
// recorded their attempts.
func (b *batch) loadWork(ctx context.Context, all bool, wanted func(*delivery.Delivery) bool) error {
	jobs, err := delivery.LoadBatch(
		ctx,
		b.DB,
		delivery.Batch{ID: b.in.BatchID, Deliveries: b.in.Deliveries},
		b.run,
		all,
	)
	b.addWork(jobs, wanted)
	return err
}

func (b *batch) addWork(jobs []*delivery.Work, wanted func(*delivery.Delivery) bool) {
	for _, j := range jobs {
		switch d := &j.Delivery; {
		case !wanted(d):
		case b.stream != nil && b.tookAgain(j):
			b.left = append(b.left, queuedAgain(d))
		case j.Done == nil:
			b.byHook[d.WebhookID] = append(b.byHook[d.WebhookID], j)
		}
	}
}

// tookAgain reports whether the dispatcher took a delivery for a stream that must not attempt it (see StreamPart.Fill),
// and died before it gave it back. One that this run attempted after the batch was made, and that was replayed since,
// waits elsewhere.
func (b *batch) tookAgain(j *delivery.Work) bool {
	if j.Delivery.Attempts == 0 && !j.Delivery.IsTest {
		return false
	}
	return j.Done == nil || j.Done.StartedAt.Before(pg.TimeOf(b.in.BatchID))
}

// attempt makes the attempts of all endpoints concurrently, so that no delivery waits for another's receiver.
func (b *batch) attempt(ctx, begins context.Context) {
	begins, end := context.WithTimeout(begins, startLimit)
	defer end()
	var endpoints, attempts sync.WaitGroup // attempts: with their records
	for id, jobs := range b.byHook {
		b.describe(id, jobs)
		b.Endpoints.AddWaiting(id, len(jobs))
		endpoints.Go(func() { b.attemptEndpoint(ctx, begins, id, jobs, &attempts) })
	}
	endpoints.Wait()
	b.giveBack(ctx)
	attempts.Wait()
}

// describe names the companies and the host whose places the attempts at a webhook take.
func (b *batch) describe(id uuid.UUID, jobs []*delivery.Work) {
	w := b.hooks.m[id] // no attempt has begun yet, so nothing reads the rows again
	if w == nil {
		return
	}
	companies := map[uuid.UUID]bool{}
	for _, j := range jobs {
		companies[companyOf(&j.Delivery)] = true
	}
	host := webhook.HostPort(w.URL)
	for company := range companies {
		b.Endpoints.Describe(id, company, host)
	}
}

// giveBack returns the deliveries without an attempt to the queue before the attempts have ended, because a hanging
// receiver takes much longer. Those of a replay are sent as a new generation. When the worker stops, they stay in the
// batch for the next worker.
func (b *batch) giveBack(ctx context.Context) {
	if ctx.Err() != nil || b.hooks.isLost() {
		return
	}
	if err := delivery.LeaveBatch(ctx, b.DB, b.in.BatchID, b.lease, b.left); err != nil {
		b.setError(err)
	}
	if err := delivery.ResendDeliveries(ctx, b.DB, b.resend); err != nil {
		b.setError(err)
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
		w := b.acquire(begins, j)
		if w == nil {
			b.Endpoints.RemoveWaiting(id, len(jobs)-i)
			b.leave(ctx, jobs[i:])
			return
		}
		b.Endpoints.RemoveWaiting(id, 1)
		j.Webhook = *w
		attempts.Go(func() { b.send(ctx, j, attempts) })
	}
}

// acquire waits for a place and returns the webhook. It returns nil when there is no place in time, or the webhook must
// get no attempt now: it is blocked, or it has a rate limit and the delivery's token has lapsed.
func (b *batch) acquire(begins context.Context, j *delivery.Work) *delivery.Webhook {
	id, until := j.Delivery.WebhookID, begins
	if !j.TokenUntil.IsZero() {
		ctx, cancel := context.WithDeadline(begins, j.TokenUntil)
		defer cancel()
		until = ctx
	}
	if !b.Endpoints.AcquireForBatch(until, id, j.Delivery.ID) {
		return nil
	}
	w := b.hooks.get(begins, id)
	if w == nil || w.RateLimit > 0 && !time.Now().Before(j.TokenUntil) {
		b.Endpoints.Release(id, j.Delivery.ID, 0)
		return nil
	}
	return w
}

// leave collects deliveries that are not attempted. When the worker stops or has lost the batch, another continues it.
func (b *batch) leave(ctx context.Context, jobs []*delivery.Work) {
	switch {
	case ctx.Err() != nil:
		b.setError(fmt.Errorf("interrupted: %w", context.Cause(ctx)))
	case b.hooks.isLost():
		b.setError(errLeaseLost)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, j := range jobs {
		if q := queuedAgain(&j.Delivery); j.Delivery.Status.Ended() {
			b.resend = append(b.resend, q)
		} else {
			b.left = append(b.left, q)
		}
	}
}

func queuedAgain(d *delivery.Delivery) delivery.QueuedDelivery {
	return delivery.QueuedDelivery{DeliveryID: d.ID, WebhookID: d.WebhookID, CompanyID: d.CompanyID, Attempt: 1}
}

// send makes one attempt. attempts counts it until it is recorded.
func (b *batch) send(ctx context.Context, j *delivery.Work, attempts *sync.WaitGroup) {
	t := &attempt{
		Activities: b.Activities, job: j, run: b.run, workflow: b.workflow,
		in: AttemptInput{DeliveryID: j.Delivery.ID, Generation: j.Delivery.Generation, Attempt: 1},
	}
	req, fault := t.request()
	if fault != nil && !fault.otherWorker {
		b.Endpoints.Release(j.Webhook.ID, j.Delivery.ID, 0)
		b.failDelivery(ctx, t, fault)
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
		b.setError(fmt.Errorf("interrupted: %w", context.Cause(ctx)))
		return
	}
	attempts.Add(1)
	b.record(t, req, resp, end, attempts.Done)
}

// failDelivery ends a delivery that cannot be prepared. The others of the batch continue.
func (b *batch) failDelivery(ctx context.Context, t *attempt, fault *preparationFault) {
	if err := t.fail(ctx, fault, WorkflowID(t.in.DeliveryID, t.in.Generation)); err != nil {
		b.setError(err)
		return
	}
	b.countFailed(t)
}

// countFailed counts a delivery that failed.
func (b *batch) countFailed(t *attempt) {
	b.note(func() {
		b.count(t.job.Webhook.ID, BatchCounts{Failed: 1})
		if len(b.result.FailedDeliveries) < failedListed {
			b.result.FailedDeliveries = append(b.result.FailedDeliveries, t.in.DeliveryID)
		}
	})
}

// count adds to the result; the caller holds mu or is alone.
func (b *batch) count(webhook uuid.UUID, n BatchCounts) {
	b.result.add(&BatchResult{
		Succeeded: n.Succeeded, Failed: n.Failed, Left: n.Left, ByWebhook: map[string]BatchCounts{webhook.String(): n},
	})
}

// clone returns a copy that shares nothing with r.
func (r *BatchResult) clone() BatchResult {
	c := *r
	c.ByWebhook, c.FailedDeliveries = maps.Clone(r.ByWebhook), slices.Clone(r.FailedDeliveries)
	return c
}

// add adds the counts of another result.
func (r *BatchResult) add(o *BatchResult) {
	r.Succeeded, r.Failed, r.Left = r.Succeeded+o.Succeeded, r.Failed+o.Failed, r.Left+o.Left
	if r.ByWebhook == nil {
		r.ByWebhook = map[string]BatchCounts{}
	}
	for hook, n := range o.ByWebhook {
		sum := r.ByWebhook[hook]
		r.ByWebhook[hook] = BatchCounts{sum.Succeeded + n.Succeeded, sum.Failed + n.Failed, sum.Left + n.Left}
	}
	room := max(0, failedListed-len(r.FailedDeliveries))
	r.FailedDeliveries = append(r.FailedDeliveries, o.FailedDeliveries[:min(room, len(o.FailedDeliveries))]...)
}

// setError records the first internal fault, after which the batch is retried.
func (b *batch) setError(err error) {
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
		Threshold: b.CircuitThreshold, Span: b.CircuitSpan,
		NextWorkflowID: WorkflowID(row.DeliveryID, row.Generation), Replay: b.in.Replay, Ordered: t.job.IsOrdered(),
	}
	recorded := b.Journal.write(r)
	answered()
	end := func() {
		b.Endpoints.Finish(t.job.Webhook.ID, t.job.Delivery.ID, resp.Duration, feedback(req.Profile, resp))
	}
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
				b.setError(err)
			case failed:
				b.countFailed(t)
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
