package workflows

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"greenroom/activities/deliver"
)

// SignalWake makes a waiting delivery look at its row again: it was released, canceled, or is wanted at once.
const SignalWake = "wake"

// Wake is the payload of SignalWake; an engineer may send it empty.
type Wake struct {
	// Probe: make one attempt although the circuit is open.
	Probe bool
}

// DeliverWebhookInput is one delivery's run: ids and small values only, never data of the event.
type DeliverWebhookInput struct {
	DeliveryID uuid.UUID
	Generation int
	// Attempt is the number to begin with, from 1.
	Attempt int
	// Schedule holds the waits between attempts: Schedule[i] follows attempt i+1.
	Schedule []time.Duration
	// Timeout is the receiver's: the total deadline of one attempt.
	Timeout time.Duration
	// Slow: the endpoint is slow or failing, so even the first attempt is made on the slow task queue.
	Slow bool
	// Probe: make the first attempt although the circuit is open.
	Probe bool
	// NotBefore is when the first attempt is due, of a delivery whose earlier ones were made elsewhere; zero for at once.
	NotBefore time.Time
	// PlainSuccess: success at the first attempt is not written into DeliveryStatus, where absence says the same. The
	// write costs Temporal a millisecond of each delivery.
	PlainSuccess bool
	// Reason is why the last attempt before this run failed, for the details; empty when there was none.
	Reason string `json:",omitzero"`
	// Made counts the attempts of the runs before this one, when the workflow was continued as new.
	Made int `json:",omitzero"`
}

// check refuses an input that names no delivery: an operator may start the workflow by hand.
func (in *DeliverWebhookInput) check() error {
	if in.DeliveryID == uuid.Nil {
		return refuse(`the input has no "DeliveryID"`)
	}
	return nil
}

// DeliverWebhookResult is where the delivery ended.
type DeliverWebhookResult struct {
	Outcome  deliver.AttemptOutcome
	Attempts int
}

// DeliverWebhookWorkflowID is the id of the workflow of a delivery's run: the same delivery and generation never run
// twice.
func DeliverWebhookWorkflowID(delivery uuid.UUID, generation int) string {
	return deliver.WorkflowID(delivery, generation)
}

// DeliverWebhook brings one delivery to its end: attempt, decide, wait. It waits in itself, not in a retry policy: the
// waits are the product, a customer sees them and Retry-After moves them.
//
// A cancellation request cancels the delivery. An attempt in flight is not interrupted: if the receiver accepts it, the
// delivery has succeeded. A Reset sends the delivery again, also one that has ended.
func DeliverWebhook(ctx workflow.Context, in DeliverWebhookInput) (DeliverWebhookResult, error) {
	if err := in.check(); err != nil {
		return DeliverWebhookResult{}, err
	}
	d := &delivering{
		in:    in,
		next:  max(in.Attempt, 1),
		made:  in.Made,
		probe: in.Probe,
		local: !in.Slow && in.Attempt <= 1,
		shown: in.Made > 0,
		wake:  workflow.GetSignalChannel(ctx, SignalWake),
	}
	d.work, _ = workflow.NewDisconnectedContext(ctx)
	res, err := d.run(ctx)
	if temporal.IsCanceledError(err) {
		return res, d.cancel(err)
	}
	return res, err
}

type delivering struct {
	in DeliverWebhookInput
	// work is the context of what a cancellation request does not interrupt: attempts and writes.
	work  workflow.Context
	next  int // number of the attempt to come
	made  int
	probe bool
	local bool
	shown bool // DeliveryStatus was written
	wake  workflow.ReceiveChannel
}

// run returns a CanceledError when the cancellation was requested before the delivery has ended.
func (d *delivering) run(ctx workflow.Context) (DeliverWebhookResult, error) {
	if d.in.NotBefore.After(workflow.Now(ctx)) {
		if err := d.waitUntil(
			ctx,
			deliver.AttemptResult{Reason: d.reasonBefore(), NextAt: d.in.NotBefore},
			StatusRetrying,
		); err != nil {
			return DeliverWebhookResult{}, err
		}
	}
	for {
		d.takeWakes()
		res, err := d.attempt(d.work)
		if err != nil {
			return DeliverWebhookResult{}, err
		}
		switch res.Outcome {
		case deliver.AttemptRetry:
			d.count()
		case deliver.AttemptBusy, deliver.AttemptParked:
		case deliver.AttemptSucceeded, deliver.AttemptFailed, deliver.AttemptGone:
			d.count()
			return d.end(ctx, res)
		default:
			return d.end(ctx, res)
		}
		if err := d.rest(ctx, res); err != nil {
			return DeliverWebhookResult{}, err
		}
	}
}

// rest waits for what the next attempt needs, in a new run when the history has become long.
func (d *delivering) rest(ctx workflow.Context, res deliver.AttemptResult) error {
	if err := d.continueAsNew(ctx, res); err != nil {
		return err
	}
	if res.Outcome == deliver.AttemptParked {
		return d.park(ctx, res)
	}
	if res.Outcome == deliver.AttemptBusy {
		return d.waitUntil(ctx, res, "")
	}
	return d.waitUntil(ctx, res, StatusRetrying)
}

func (d *delivering) reasonBefore() string {
	if d.in.Reason == "" {
		return "failed before this run"
	}
	return d.in.Reason
}

// takeWakes takes the wakes that came before an attempt: the attempt is what they ask for, so none may end the wait
// after it.
func (d *delivering) takeWakes() {
	var w Wake
	for d.wake.ReceiveAsync(&w) {
		d.probe = d.probe || w.Probe
		w = Wake{}
	}
}

// continueAsNew goes on in a new run when the history has become long and no wake would be lost.
func (d *delivering) continueAsNew(ctx workflow.Context, res deliver.AttemptResult) error {
	if !workflow.GetInfo(ctx).GetContinueAsNewSuggested() || d.wake.Len() > 0 || ctx.Err() != nil {
		return nil
	}
	in := d.in
	in.Attempt, in.Made, in.NotBefore, in.Reason, in.Probe, in.Slow = d.next, d.made, res.NextAt, res.Reason, false, true
	return workflow.NewContinueAsNewError(ctx, DeliverWebhook, in)
}

// cancel is the domain's cancel: the delivery ends as canceled, whatever it waited for.
func (d *delivering) cancel(request error) error {
	var a *deliver.Activities
	in := deliver.CancelDeliveryInput{DeliveryID: d.in.DeliveryID, Generation: d.in.Generation}
	if err := workflow.ExecuteActivity(recording(d.work, "cancel"), a.CancelDelivery, in).Get(d.work, nil); err != nil {
		return err
	}
	if err := d.show(
		d.work,
		StatusCanceled,
		fmt.Sprintf("canceled after %d attempts: its cancellation was requested", d.made),
	); err != nil {
		return err
	}
	return request
}

func (d *delivering) count() { d.next++; d.made++ }

// attempt makes the next attempt. A first one runs as a local activity, in the workflow task that was started
// eagerly: two round trips to Temporal for a whole delivery. Where that fails for reasons of ours, and always after a
// failure of the receiver, it runs on the slow task queue, where a receiver that hangs holds no workflow task.
func (d *delivering) attempt(ctx workflow.Context) (deliver.AttemptResult, error) {
	var a *deliver.Activities
	var res deliver.AttemptResult
	in := d.attemptInput()
	d.probe = false
	if d.local {
		d.local = false
		err := workflow.ExecuteLocalActivity(localAttempt(ctx, d.in.Timeout), a.AttemptDelivery, in).Get(ctx, &res)
		if err == nil || temporal.IsCanceledError(err) {
			return res, err
		}
		workflow.GetLogger(ctx).Warn("attempt goes on on the slow task queue", "error", err)
	}
	err := workflow.ExecuteActivity(slowAttempt(ctx, d.in.Timeout, in.Attempt), a.AttemptDelivery, in).Get(ctx, &res)
	return res, err
}

func (d *delivering) attemptInput() deliver.AttemptInput {
	in := deliver.AttemptInput{
		DeliveryID: d.in.DeliveryID, Generation: d.in.Generation, Attempt: d.next, Probe: d.probe, Replay: wasReset(d.work),
	}
	in.Wait, in.Last = waitAfter(d.in.Schedule, d.next)
	return in
}

// waitAfter is the schedule's delay after an attempt, or last when there is none.
func waitAfter(schedule []time.Duration, attempt int) (wait time.Duration, last bool) {
	if attempt > len(schedule) {
		return 0, true
	}
	return schedule[attempt-1], false
}

// waitUntil waits until the next attempt is due, or for a wake or a cancellation request.
func (d *delivering) waitUntil(ctx workflow.Context, res deliver.AttemptResult, status string) error {
	if status != "" {
		if err := d.show(ctx, status, fmt.Sprintf("attempt %d: %s; attempt %d follows at %s",
			d.next-1, res.Reason, d.next, res.NextAt.UTC().Format(time.RFC3339))); err != nil {
			return err
		}
	}
	timerCtx, cancel := workflow.WithCancel(ctx)
	defer cancel()
	timer := workflow.NewTimerWithOptions(timerCtx, max(res.NextAt.Sub(workflow.Now(ctx)), 0),
		workflow.TimerOptions{Summary: fmt.Sprintf("wait before attempt %d", d.next)})
	sel := workflow.NewSelector(ctx)
	sel.AddFuture(timer, func(f workflow.Future) {})
	sel.AddReceive(d.wake, func(c workflow.ReceiveChannel, _ bool) { d.woken(ctx, c) })
	return await(ctx, sel)
}

// park waits, without a limit, for a wake (of the circuit's release, for example) or a cancellation request.
func (d *delivering) park(ctx workflow.Context, res deliver.AttemptResult) error {
	if err := d.show(ctx, StatusPaused, fmt.Sprintf("waits before attempt %d: %s", d.next, res.Reason)); err != nil {
		return err
	}
	return await(
		ctx,
		workflow.NewSelector(ctx).AddReceive(d.wake, func(c workflow.ReceiveChannel, _ bool) { d.woken(ctx, c) }),
	)
}

func (d *delivering) woken(ctx workflow.Context, c workflow.ReceiveChannel) {
	var w Wake
	c.Receive(ctx, &w)
	d.probe = d.probe || w.Probe
}

func (d *delivering) end(ctx workflow.Context, res deliver.AttemptResult) (DeliverWebhookResult, error) {
	err := d.show(ctx, statusOf(res.Outcome), fmt.Sprintf("ended after %d attempts: %s", d.made, res.Reason))
	return DeliverWebhookResult{Outcome: res.Outcome, Attempts: d.made}, err
}

// statusOf is the status of a delivery that ended with this outcome.
func statusOf(ended deliver.AttemptOutcome) string {
	switch ended {
	case deliver.AttemptSucceeded:
		return StatusSucceeded
	case deliver.AttemptCanceled:
		return StatusCanceled
	default:
		return StatusFailed
	}
}

// show makes the state readable and searchable in the Temporal UI.
func (d *delivering) show(ctx workflow.Context, status, details string) error {
	workflow.SetCurrentDetails(ctx, details)
	if status == StatusSucceeded && d.in.PlainSuccess && !d.shown {
		return nil
	}
	d.shown = true
	return workflow.UpsertTypedSearchAttributes(ctx, DeliveryStatus.ValueSet(status))
}

// attemptSlack is what an attempt may take beyond the receiver's time-out: loading, recording and a wait for a
// connection.
const attemptSlack = 15 * time.Second

// localAttempt: three tries in a row are for a blip of the database; longer trouble belongs on the slow task queue, where
// waiting holds no workflow task.
func localAttempt(ctx workflow.Context, timeout time.Duration) workflow.Context {
	return workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout: timeout + attemptSlack,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    200 * time.Millisecond,
			BackoffCoefficient: 2,
			MaximumAttempts:    3,
		},
		Summary: "attempt 1",
	})
}

// slowAttempt retries without end: only our own faults come here as errors, and a fault of ours delays a delivery but
// never loses it. Ten seconds between tries bound how long a delivery waits once the fault is over. The heartbeat
// gives the attempt of a worker that died to another one before the time-out is over.
func slowAttempt(ctx workflow.Context, timeout time.Duration, attempt int) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:           SlowTaskQueue(workflow.GetInfo(ctx).TaskQueueName),
		StartToCloseTimeout: timeout + attemptSlack,
		HeartbeatTimeout:    deliver.HeartbeatTimeout,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    time.Second,
			BackoffCoefficient: 2,
			MaximumInterval:    10 * time.Second,
		},
		Summary: fmt.Sprintf("attempt %d", attempt),
	})
}
