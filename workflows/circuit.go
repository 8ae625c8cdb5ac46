package workflows

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"greenroom/activities"
)

// Signals of the Circuit workflow. Changed: the webhook's row changed, look at it (sent by the outbox). Reset: close the
// circuit; an engineer sends it from the Temporal UI or CLI, without payload.
const (
	SignalCircuitChanged = "changed"
	SignalCircuitReset   = "reset"
)

// CircuitInput is the circuit of one webhook with the configured way back.
type CircuitInput struct {
	WebhookID uuid.UUID
	// Probe: after Cooldown one waiting delivery is tried; otherwise only a reset closes the circuit.
	Probe    bool
	Cooldown time.Duration
	// ReleaseLimit is where the ramp of the release ends, in deliveries per second.
	ReleaseLimit int
}

// CircuitWorkflowID is the id of the one Circuit workflow of a webhook.
func CircuitWorkflowID(webhook uuid.UUID) string { return "circuit:" + webhook.String() }

// Circuit is the durable pause of one webhook: it waits while the circuit is open and releases the backlog at a ramp once
// it is closed, whoever closed it. The webhook's row is the arbiter; signals only say that it is time to look.
func Circuit(ctx workflow.Context, in CircuitInput) error {
	c := &circuit{in: in, rate: 1, changed: workflow.GetSignalChannel(ctx, SignalCircuitChanged), reset: workflow.GetSignalChannel(ctx, SignalCircuitReset)}
	return c.run(withShortActivity(ctx))
}

type circuit struct {
	in             CircuitInput
	changed, reset workflow.ReceiveChannel
	// rate is the ramp's deliveries per second; opens counts failed probes, each of which doubles the cool-down.
	rate   int
	probes int
}

func (c *circuit) run(ctx workflow.Context) error {
	for {
		if err := c.handleResets(ctx); err != nil {
			return err
		}
		s, err := c.load(ctx)
		if err != nil {
			return err
		}
		switch next := circuitStep(s); next {
		case circuitDone:
			if !c.pending() {
				return nil
			}
		case circuitWait:
			c.rate = 1
			err = c.wait(ctx, s)
		case circuitRelease:
			c.probes = 0
			err = c.release(ctx, s)
		case circuitCancel:
			err = c.cancel(ctx)
		}
		if err != nil {
			return err
		}
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() && !c.pending() {
			return workflow.NewContinueAsNewError(ctx, Circuit, c.in)
		}
	}
}

type circuitNext int

const (
	circuitDone circuitNext = iota
	circuitWait
	circuitRelease
	circuitCancel
)

// circuitStep decides what a circuit in this state needs.
func circuitStep(s activities.CircuitState) circuitNext {
	switch {
	case s.Deleted && s.ToCancel:
		return circuitCancel
	case s.Deleted:
		return circuitDone
	case s.Open:
		return circuitWait
	case s.Active && s.Waiting:
		return circuitRelease
	default: // an inactive webhook's deliveries wait for its activation, which starts this workflow again
		return circuitDone
	}
}

// pending reports whether a signal came that was not looked at: completing now would lose it.
func (c *circuit) pending() bool { return c.changed.Len() > 0 || c.reset.Len() > 0 }

// handleResets closes the circuit if an engineer asked for it, and forgets the hints that were answered by looking.
func (c *circuit) handleResets(ctx workflow.Context) error {
	for c.changed.ReceiveAsync(nil) {
	}
	asked := false
	for c.reset.ReceiveAsync(nil) {
		asked = true
	}
	if !asked {
		return nil
	}
	var a *activities.Activities
	return workflow.ExecuteActivity(ctx, a.CloseCircuit, c.in.WebhookID).Get(ctx, nil)
}

func (c *circuit) load(ctx workflow.Context) (activities.CircuitState, error) {
	var a *activities.Activities
	var s activities.CircuitState
	err := workflow.ExecuteActivity(ctx, a.LoadCircuit, c.in.WebhookID).Get(ctx, &s)
	return s, err
}

// wait waits for a signal, and in probe mode for the cool-down, after which one delivery is let out.
func (c *circuit) wait(ctx workflow.Context, s activities.CircuitState) error {
	probing := s.Recovery == "probe" || (s.Recovery == "" && c.in.Probe)
	details := fmt.Sprintf("open since %s; send the signal `%s` to close it", s.OpenedAt.UTC().Format(time.RFC3339), SignalCircuitReset)
	if probing {
		details += fmt.Sprintf("; one delivery is tried after %s", cooldown(c.in.Cooldown, c.probes))
	}
	workflow.SetCurrentDetails(ctx, details)
	cooled := false
	timerCtx, cancel := workflow.WithCancel(ctx)
	defer cancel()
	sel := workflow.NewSelector(ctx)
	sel.AddReceive(c.changed, func(workflow.ReceiveChannel, bool) {})
	sel.AddReceive(c.reset, func(workflow.ReceiveChannel, bool) {})
	if probing {
		timer := workflow.NewTimerWithOptions(timerCtx, cooldown(c.in.Cooldown, c.probes), workflow.TimerOptions{Summary: "cool-down"})
		sel.AddFuture(timer, func(workflow.Future) { cooled = true })
	}
	sel.Select(ctx)
	if !cooled || ctx.Err() != nil {
		return ctx.Err()
	}
	c.probes++
	_, err := c.releaseSome(ctx, activities.ReleaseInput{WebhookID: c.in.WebhookID, Limit: 1, Probe: true})
	return err
}

// cooldownLimit bounds the doubling: a receiver that is back shall be noticed within the hour.
const cooldownLimit = time.Hour

// cooldown is the wait before the next probe: doubled by each one that failed.
func cooldown(base time.Duration, failed int) time.Duration {
	for range failed {
		if base >= cooldownLimit {
			return base
		}
		base = min(2*base, cooldownLimit)
	}
	return base
}

// release lets out one second's worth of the backlog; the next second's is twice as much, up to the limit.
func (c *circuit) release(ctx workflow.Context, s activities.CircuitState) error {
	limit := c.in.ReleaseLimit
	if s.RateLimit > 0 {
		limit = min(limit, s.RateLimit)
	}
	rate := max(min(c.rate, limit), 1)
	workflow.SetCurrentDetails(ctx, fmt.Sprintf("closed; releasing what waited at %d/s", rate))
	n, err := c.releaseSome(ctx, activities.ReleaseInput{WebhookID: c.in.WebhookID, Limit: rate})
	if err != nil || n == 0 {
		return err
	}
	c.rate = rate * 2
	return workflow.Sleep(ctx, time.Second)
}

func (c *circuit) releaseSome(ctx workflow.Context, in activities.ReleaseInput) (int, error) {
	var a *activities.Activities
	var n int
	err := workflow.ExecuteActivity(ctx, a.ReleasePaused, in).Get(ctx, &n)
	return n, err
}

// cancelPage is how many deliveries of a deleted webhook are canceled at once: some tens of milliseconds of work.
const cancelPage = 1000

// cancel cancels a page of what a deleted webhook still had to deliver. Where another transaction has all of it locked, it
// waits for a moment.
func (c *circuit) cancel(ctx workflow.Context) error {
	workflow.SetCurrentDetails(ctx, "deleted; canceling what waits")
	var a *activities.Activities
	var n int
	in := activities.CancelDeletedInput{WebhookID: c.in.WebhookID, Limit: cancelPage}
	if err := workflow.ExecuteActivity(ctx, a.CancelDeleted, in).Get(ctx, &n); err != nil || n > 0 {
		return err
	}
	return workflow.Sleep(ctx, time.Second)
}

// withShortActivity is for activities that are one or two statements: they are tried until the database answers.
func withShortActivity(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 30 * time.Second,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: 30 * time.Second},
	})
}
