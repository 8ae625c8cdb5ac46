package activities

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"

	"greenroom/activities/webhook"
	"greenroom/db"
)

// BatchInput asks for the first attempts of many deliveries.
type BatchInput struct {
	BatchID    uuid.UUID
	Deliveries []uuid.UUID
	// Replay: an operator has reset the workflow, so the deliveries are sent again whatever became of them.
	Replay bool
}

// BatchResult counts what came of a batch. Failed ones go on, or show that they failed, in workflows of their own. Left were
// not attempted here: their webhook is paused or deleted, or there was no place at its endpoint in time.
type BatchResult struct {
	Succeeded, Failed, Left int
}

// batchBegins bounds how long a batch begins attempts. What finds no place at its endpoint until then goes back to the queue,
// so that a receiver which hangs holds no more than its places.
const batchBegins = 2 * time.Second

// hooksFresh is the age at which a batch reads its webhooks again before more attempts: a change of one, its deletion and an
// opened circuit take effect within it.
const hooksFresh = 20 * time.Millisecond

// AttemptBatch makes the first attempts of a batch, many at a time, and records each as soon as it ended, together with those
// that ended beside it. As with AttemptDelivery, what this workflow run has recorded is not sent again: a kill repeats only
// the attempts that were not recorded yet.
func (a *Activities) AttemptBatch(ctx context.Context, in BatchInput) (BatchResult, error) {
	info := activity.GetInfo(ctx)
	run, err := uuid.Parse(info.WorkflowExecution.RunID)
	if err != nil {
		return BatchResult{}, fmt.Errorf("read run id: %w", err)
	}
	return a.attemptBatchAs(ctx, in, run, info.WorkflowExecution.ID)
}

func (a *Activities) attemptBatchAs(ctx context.Context, in BatchInput, run uuid.UUID, workflow string) (BatchResult, error) {
	b := &batch{Activities: a, in: in, run: run, workflow: workflow}
	began := time.Now()
	if err := b.load(ctx); err != nil {
		return BatchResult{}, fmt.Errorf("attempt batch: %w", err)
	}
	b.attempt(ctx)
	if err := b.err; err != nil {
		return BatchResult{}, fmt.Errorf("attempt batch: %w", err)
	}
	b.result.Left = len(b.left)
	a.Logger.DebugContext(ctx, "batch", "batch_id", in.BatchID, "succeeded", b.result.Succeeded, "failed", b.result.Failed,
		"left", b.result.Left, "duration_ms", time.Since(began).Milliseconds())
	return b.result, db.FinishBatch(ctx, a.DB, in.BatchID)
}

// batch is one batch on its way.
type batch struct {
	*Activities
	in       BatchInput
	run      uuid.UUID
	workflow string
	byHook   map[uuid.UUID][]*db.Job
	hooks    *hooks

	mu     sync.Mutex
	result BatchResult
	left   []db.QueuedDelivery
	err    error // the first fault of ours
}

func (b *batch) load(ctx context.Context) error {
	jobs, err := db.LoadBatch(ctx, b.DB, db.Batch{ID: b.in.BatchID, Deliveries: b.in.Deliveries}, b.run, b.in.Replay)
	if err != nil {
		return err
	}
	b.byHook = make(map[uuid.UUID][]*db.Job)
	for _, j := range jobs {
		if j.Done == nil && (b.in.Replay || j.Delivery.Status == db.DeliveryPending) {
			b.byHook[j.Delivery.WebhookID] = append(b.byHook[j.Delivery.WebhookID], j)
		}
	}
	b.hooks, err = b.loadHooks(ctx)
	return err
}

// attempt makes the attempts endpoint by endpoint, all at the same time, so that none waits for another's receiver.
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

// giveBack takes what is not attempted here out of the batch at once: a receiver that hangs is waited for much longer.
func (b *batch) giveBack(ctx context.Context) {
	var left []db.QueuedDelivery
	b.note(func() {
		if b.err == nil {
			left = b.left
		}
	})
	if err := db.LeaveBatch(ctx, b.DB, b.in.BatchID, left); err != nil {
		b.note(func() { b.err = err })
	}
}

// attemptEndpoint begins an attempt whenever the endpoint has a place for one.
func (b *batch) attemptEndpoint(ctx, begins context.Context, id uuid.UUID, jobs []*db.Job, attempts *sync.WaitGroup) {
	for i, j := range jobs {
		var w *db.Webhook
		if b.Endpoints.Begin(begins, id) {
			if w = b.hooks.get(begins, id); w == nil {
				b.Endpoints.End(id, 0)
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

// leave notes what is not attempted here. When the worker stops, another one goes on with it.
func (b *batch) leave(ctx context.Context, jobs []*db.Job) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil && ctx.Err() != nil {
		b.err = fmt.Errorf("interrupted: %w", context.Cause(ctx))
	}
	if b.in.Replay {
		return
	}
	for _, j := range jobs {
		d := &j.Delivery
		b.left = append(b.left, db.QueuedDelivery{DeliveryID: d.ID, WebhookID: d.WebhookID, CompanyID: d.CompanyID, Attempt: 1})
	}
}

// send makes one attempt. Its record is counted among the attempts until it is written.
func (b *batch) send(ctx context.Context, j *db.Job, attempts *sync.WaitGroup) {
	t := &attempt{
		Activities: b.Activities, job: j, run: b.run, workflow: b.workflow,
		in: AttemptInput{DeliveryID: j.Delivery.ID, Generation: j.Delivery.Generation, Attempt: 1},
	}
	var took time.Duration
	req, err := t.request()
	if err == nil {
		if schedule := req.Profile.ScheduleFor(j.Webhook.MaxRetries); len(schedule) > 0 {
			t.in.Wait = schedule[0]
		} else {
			t.in.Last = true
		}
		resp := b.Client.Send(ctx, req)
		if took = resp.Duration; resp.ErrorKind == webhook.KindCanceled {
			err = fmt.Errorf("interrupted: %w", context.Cause(ctx))
		} else {
			attempts.Add(1)
			b.record(t, req, resp, attempts.Done)
			return
		}
	}
	b.Endpoints.End(j.Webhook.ID, took)
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

// record hands the attempt to the process's recorder and counts it once it is written. A failure keeps its place at the endpoint
// until then: what it counts towards, an open circuit, must stop those behind it.
func (b *batch) record(t *attempt, req webhook.Request, resp webhook.Response, done func()) {
	row := t.row(req.Profile, resp)
	end := func() { b.Endpoints.End(t.job.Webhook.ID, resp.Duration) }
	failed := row.Outcome != db.OutcomeSucceeded
	b.recorder.add(b.Activities, &recording{
		Recording: db.Recording{
			Attempt: row, WebhookID: t.job.Webhook.ID, Body: req.Body, Counts: !t.job.Delivery.IsTest,
			Threshold: b.CircuitThreshold, GoesOnAs: DeliverWorkflowID(row.DeliveryID, row.Generation), Replay: b.in.Replay,
		},
		recorded: func(opened bool, err error) {
			defer done()
			if failed {
				defer end()
			}
			if err == nil {
				t.log(context.Background(), &row, opened)
			}
			if opened {
				b.hooks.stale(t.job.Webhook.ID)
			}
			b.note(func() {
				switch {
				case err != nil && b.err == nil:
					b.err = err
				case failed:
					b.result.Failed++
				default:
					b.result.Succeeded++
				}
			})
		},
	})
	if !failed {
		end()
	}
}

// DeliverWorkflowID is the id of the workflow of a delivery's run: the same delivery and generation never run twice.
func DeliverWorkflowID(delivery uuid.UUID, generation int) string {
	return fmt.Sprintf("delivery:%s:%d", delivery, generation)
}
