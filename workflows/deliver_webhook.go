package workflows

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"greenroom/activities"
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
	// Slow: the endpoint is slow or failing, so even the first attempt is made in the slow lane.
	Slow bool
	// Probe: make the first attempt although the circuit is open.
	Probe bool
	// NotBefore is when the first attempt is due, of a delivery whose earlier ones were made elsewhere; zero for at once.
	NotBefore time.Time
	// PlainSuccess: success at the first attempt is not written into DeliveryStatus, where absence says the same. The write
	// costs Temporal a millisecond of each delivery.
	PlainSuccess bool
}

// DeliverWebhookResult is where the delivery ended.
type DeliverWebhookResult struct {
	Outcome  activities.AttemptOutcome
	Attempts int
}

// DeliverWebhookWorkflowID is the id of the workflow of a delivery's run: the same delivery and generation never run twice.
func DeliverWebhookWorkflowID(delivery uuid.UUID, generation int) string {
	return activities.DeliverWorkflowID(delivery, generation)
}

// DeliverWebhook brings one delivery to its end: attempt, decide, wait. It waits in itself, not in a retry policy: the
// waits are the product, a customer sees them and Retry-After moves them.
func DeliverWebhook(ctx workflow.Context, in DeliverWebhookInput) (DeliverWebhookResult, error) {
	d := &delivering{in: in, next: max(in.Attempt, 1), probe: in.Probe, local: !in.Slow && in.Attempt <= 1}
	d.wake = workflow.GetSignalChannel(ctx, SignalWake)
	return d.run(ctx)
}

type delivering struct {
	in    DeliverWebhookInput
	next  int // number of the attempt to come
	made  int
	probe bool
	local bool
	shown bool // DeliveryStatus was written
	wake  workflow.ReceiveChannel
}

func (d *delivering) run(ctx workflow.Context) (DeliverWebhookResult, error) {
	if d.in.NotBefore.After(workflow.Now(ctx)) {
		res := activities.AttemptResult{Reason: "the first attempts were made in a batch", NextAt: d.in.NotBefore}
		if err := d.waitUntil(ctx, res, StatusRetrying); err != nil {
			return DeliverWebhookResult{}, err
		}
	}
	for {
		res, err := d.attempt(ctx)
		if err != nil {
			return DeliverWebhookResult{}, err
		}
		switch res.Outcome {
		case activities.AttemptRetry:
			d.count()
			err = d.waitUntil(ctx, res, StatusRetrying)
		case activities.AttemptBusy:
			err = d.waitUntil(ctx, res, "")
		case activities.AttemptParked:
			err = d.park(ctx, res)
		case activities.AttemptSucceeded, activities.AttemptFailed, activities.AttemptGone:
			d.count()
			return d.end(ctx, res)
		default:
			return d.end(ctx, res)
		}
		if err != nil {
			return DeliverWebhookResult{}, err
		}
	}
}

func (d *delivering) count() { d.next++; d.made++ }

// attempt makes the next attempt. A first one runs as a local activity, in the workflow task that was started eagerly: two
// round trips to Temporal for a whole delivery. Where that fails for reasons of ours, and always after a failure of the
// receiver, it runs in the slow lane, where a receiver that hangs holds no workflow task.
func (d *delivering) attempt(ctx workflow.Context) (activities.AttemptResult, error) {
	var a *activities.Activities
	var res activities.AttemptResult
	d.drainWakes()
	in := d.attemptInput()
	d.probe = false
	if d.local {
		d.local = false
		err := workflow.ExecuteLocalActivity(localAttempt(ctx, d.in.Timeout), a.AttemptDelivery, in).Get(ctx, &res)
		if err == nil || temporal.IsCanceledError(err) {
			return res, err
		}
		workflow.GetLogger(ctx).Warn("attempt goes on in the slow lane", "error", err)
	}
	err := workflow.ExecuteActivity(slowAttempt(ctx, d.in.Timeout, in.Attempt), a.AttemptDelivery, in).Get(ctx, &res)
	return res, err
}

// drainWakes forgets what asked for the attempt that is about to be made: a wake that stayed would end the next wait at once.
func (d *delivering) drainWakes() {
	for w := (Wake{}); d.wake.ReceiveAsync(&w); w = (Wake{}) {
		d.probe = d.probe || w.Probe
	}
}

func (d *delivering) attemptInput() activities.AttemptInput {
	in := activities.AttemptInput{
		DeliveryID: d.in.DeliveryID, Generation: d.in.Generation, Attempt: d.next, Probe: d.probe,
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

// waitUntil waits for the next attempt's time, or for somebody who wants it now.
func (d *delivering) waitUntil(ctx workflow.Context, res activities.AttemptResult, status string) error {
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
	sel.Select(ctx)
	return ctx.Err()
}

// park waits, without a limit, until the circuit's release or a cancellation wakes it.
func (d *delivering) park(ctx workflow.Context, res activities.AttemptResult) error {
	if err := d.show(ctx, StatusPaused, fmt.Sprintf("waits before attempt %d: %s", d.next, res.Reason)); err != nil {
		return err
	}
	d.woken(ctx, d.wake)
	return ctx.Err()
}

func (d *delivering) woken(ctx workflow.Context, c workflow.ReceiveChannel) {
	var w Wake
	c.Receive(ctx, &w)
	d.probe = d.probe || w.Probe
}

func (d *delivering) end(ctx workflow.Context, res activities.AttemptResult) (DeliverWebhookResult, error) {
	err := d.show(ctx, statusOf(res.Outcome), fmt.Sprintf("ended after %d attempts: %s", d.made, res.Reason))
	return DeliverWebhookResult{Outcome: res.Outcome, Attempts: d.made}, err
}

// statusOf is the status of a delivery that ended with this outcome.
func statusOf(ended activities.AttemptOutcome) string {
	switch ended {
	case activities.AttemptSucceeded:
		return StatusSucceeded
	case activities.AttemptCanceled:
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

// attemptSlack is what an attempt may take beyond the receiver's time-out: loading, recording and a wait for a connection.
const attemptSlack = 15 * time.Second

// localAttempt: three tries in a row are for a blip of the database; longer trouble belongs in the slow lane, where waiting
// holds no workflow task.
func localAttempt(ctx workflow.Context, timeout time.Duration) workflow.Context {
	return workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout: timeout + attemptSlack,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 200 * time.Millisecond, BackoffCoefficient: 2, MaximumAttempts: 3},
		Summary:             "attempt 1",
	})
}

// slowAttempt retries without end: only our own faults come here as errors, and a fault of ours delays a delivery but never
// loses it. Half a minute between tries keeps a long outage cheap.
func slowAttempt(ctx workflow.Context, timeout time.Duration, attempt int) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:           SlowTaskQueue(workflow.GetInfo(ctx).TaskQueueName),
		StartToCloseTimeout: timeout + attemptSlack,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: 30 * time.Second},
		Summary:             fmt.Sprintf("attempt %d", attempt),
	})
}
