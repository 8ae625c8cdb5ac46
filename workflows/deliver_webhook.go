package workflows

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"greenroom/activities/deliver"
)

// SignalWake makes a waiting delivery make its attempt now: it was released, canceled, or is to be retried at once.
const SignalWake = "wake"

// Wake is the payload of SignalWake; an engineer may send it empty.
type Wake struct {
	// Probe: make one attempt although the circuit is open.
	Probe bool
}

// DeliverWebhookInput starts one run of a delivery. It has ids and small values only, no data of the event.
type DeliverWebhookInput struct {
	DeliveryID uuid.UUID
	Generation int
	// Attempt is the number of the first attempt of this run, from 1.
	Attempt int
	// Schedule holds the waits between attempts: Schedule[i] follows attempt i+1.
	Schedule []time.Duration
	// Timeout is the webhook's: the total deadline of one attempt.
	Timeout time.Duration
	// Slow: the endpoint is slow or failing, so even the first attempt is made on the slow task queue.
	Slow bool
	// Probe: make the first attempt although the circuit is open.
	Probe bool
	// NotBefore is when the first attempt of this run is due; zero: at once. A delivery that failed in a batch has one.
	NotBefore time.Time
	// PlainSuccess: success at the first attempt leaves DeliveryStatus absent. Writing it costs Temporal a millisecond
	// per delivery.
	PlainSuccess bool
	// Reason says why the last attempt before this run failed, for the details; empty when there was none.
	Reason string `json:",omitzero"`
	// Made counts the attempts of the previous runs, when the workflow was continued as new.
	Made int `json:",omitzero"`
	// HasToken: the dispatcher has just taken a token of the webhook's rate limit for the first attempt.
	HasToken bool `json:",omitzero"`
}

// check refuses an incomplete input. Without a schedule the next attempt would be the last. A test has an empty
// schedule, so only a missing time-out shows that the input is incomplete.
func (in *DeliverWebhookInput) check() error {
	switch {
	case in.DeliveryID == uuid.Nil:
		return refuseWithout("DeliveryID")
	case in.Timeout <= 0:
		return refuseWithout("Timeout")
	}
	return nil
}

// DeliverWebhookResult says how the delivery ended.
type DeliverWebhookResult struct {
	Outcome  deliver.AttemptOutcome
	Attempts int
}

// DeliverWebhookWorkflowID is the workflow id of a delivery and generation. Two workflows of the same id never run at
// once.
func DeliverWebhookWorkflowID(delivery uuid.UUID, generation int) string {
	return deliver.WorkflowID(delivery, generation)
}

// DeliverWebhook makes the attempts of one delivery until it succeeds, fails for good or is canceled. The waits between
// attempts are timers of the workflow, not a retry policy: customers see them, and Retry-After moves them.
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
		token: in.HasToken,
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
	// work is the context of attempts and writes, which a cancellation request does not interrupt.
	work  workflow.Context
	next  int // the number of the next attempt
	made  int
	probe bool
	token bool // the next attempt may have one
	local bool
	shown bool // DeliveryStatus was written
	wake  workflow.ReceiveChannel
}

// run returns a CanceledError when cancellation was requested before the delivery ended.
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

// rest waits until the next attempt may be made, in a new run when the history has become long.
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

// takeWakes drains the wakes that arrived before an attempt. The attempt is what they ask for, so they must not end the
// wait after it.
func (d *delivering) takeWakes() {
	var w Wake
	for d.wake.ReceiveAsync(&w) {
		d.probe = d.probe || w.Probe
		w = Wake{}
	}
}

// continueAsNew starts a new run when the history has become long and no wake would be lost.
func (d *delivering) continueAsNew(ctx workflow.Context, res deliver.AttemptResult) error {
	if !workflow.GetInfo(ctx).GetContinueAsNewSuggested() || d.wake.Len() > 0 || ctx.Err() != nil {
		return nil
	}
	in := d.in
	in.Attempt, in.Made, in.NotBefore, in.Reason, in.Probe, in.Slow = d.next, d.made, res.NextAt, res.Reason, false, true
	in.HasToken = false
	return workflow.NewContinueAsNewError(ctx, DeliverWebhook, in)
}

// cancel ends the delivery as canceled, whatever it waited for. It returns request.
func (d *delivering) cancel(request error) error {
	var a *deliver.Activities
	in := deliver.CancelDeliveryInput{DeliveryID: d.in.DeliveryID, Generation: d.in.Generation}
	if err := write(d.work, "cancel", a.CancelDelivery, in); err != nil {
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

// attempt makes the next attempt. A first attempt runs as a local activity, in the workflow task that was started
// eagerly: two round trips to Temporal for a whole delivery. When that fails, and always after a failure of the
// receiver, the attempt runs on the slow task queue, where a hanging receiver holds no workflow task.
func (d *delivering) attempt(ctx workflow.Context) (deliver.AttemptResult, error) {
	var a *deliver.Activities
	var res deliver.AttemptResult
	in := d.attemptInput()
	d.probe, d.token = false, false
	if d.local {
		d.local = false
		err := workflow.ExecuteLocalActivity(withLocalAttempt(ctx, d.in.Timeout), a.AttemptDelivery, in).Get(ctx, &res)
		if err == nil || temporal.IsCanceledError(err) {
			return res, err
		}
		workflow.GetLogger(ctx).Warn("attempt continues on the slow task queue", "error", err)
		in.HasToken = false
	}
	err := workflow.ExecuteActivity(withSlowAttempt(ctx, d.in.Timeout, in.Attempt), a.AttemptDelivery, in).Get(ctx, &res)
	return res, err
}

func (d *delivering) attemptInput() deliver.AttemptInput {
	in := deliver.AttemptInput{
		DeliveryID: d.in.DeliveryID, Generation: d.in.Generation, Attempt: d.next, Probe: d.probe, Replay: wasReset(d.work),
	}
	in.Wait, in.Last = waitAfter(d.in.Schedule, d.next)
	in.HasToken = d.token && workflow.Now(d.work).Sub(workflow.GetInfo(d.work).WorkflowStartTime) < deliver.TokenLapse
	return in
}

// waitAfter returns the schedule's wait after an attempt; last: the schedule has none, so the attempt is the last.
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
	sel.AddReceive(d.wake, func(c workflow.ReceiveChannel, _ bool) { d.woken(c) })
	return await(ctx, sel)
}

// park waits without a limit for a wake, which the release of a circuit sends, or for a cancellation request.
func (d *delivering) park(ctx workflow.Context, res deliver.AttemptResult) error {
	if err := d.show(ctx, StatusPaused, fmt.Sprintf("waits before attempt %d: %s", d.next, res.Reason)); err != nil {
		return err
	}
	return await(
		ctx,
		workflow.NewSelector(ctx).AddReceive(d.wake, func(c workflow.ReceiveChannel, _ bool) { d.woken(c) }),
	)
}

// woken takes the wake that ended a wait. It must not block: the SDK drops a payload that cannot be decoded, and
// Receive would wait for the next one, and would miss the timer and cancellation.
func (d *delivering) woken(c workflow.ReceiveChannel) {
	var w Wake
	if c.ReceiveAsync(&w) {
		d.probe = d.probe || w.Probe
	}
}

func (d *delivering) end(ctx workflow.Context, res deliver.AttemptResult) (DeliverWebhookResult, error) {
	err := d.show(ctx, statusOf(res.Outcome), fmt.Sprintf("ended after %d attempts: %s", d.made, res.Reason))
	return DeliverWebhookResult{Outcome: res.Outcome, Attempts: d.made}, err
}

// statusOf returns the DeliveryStatus of a delivery that ended with this outcome.
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

// show writes the details and DeliveryStatus for the Temporal UI.
func (d *delivering) show(ctx workflow.Context, status, details string) error {
	workflow.SetCurrentDetails(ctx, details)
	if status == StatusSucceeded && d.in.PlainSuccess && !d.shown {
		return nil
	}
	d.shown = true
	return workflow.UpsertTypedSearchAttributes(ctx, DeliveryStatus.ValueSet(status))
}

// attemptSlack is what an attempt may take beyond the receiver's time-out: loading, recording, and waiting for a
// database connection.
const attemptSlack = 15 * time.Second

// withLocalAttempt is for a first attempt. Three tries in a row cover a blip of the database. A longer outage belongs
// on the slow task queue, where waiting holds no workflow task.
func withLocalAttempt(ctx workflow.Context, timeout time.Duration) workflow.Context {
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

// withSlowAttempt is for all other attempts. It retries without a limit, because only internal faults are errors here,
// and these delay a delivery but never lose it. At most 10 s between tries bound the delay after a fault has passed.
// The heartbeat lets another worker take over an attempt before its time-out when its worker died.
func withSlowAttempt(ctx workflow.Context, timeout time.Duration, attempt int) workflow.Context {
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
