package workflows

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"greenroom/activities/deliver"
)

// Signals of the Circuit workflow. Changed: the webhook's row changed, read it again (sent by the outbox). Reset: close
// the circuit; an engineer sends it from the Temporal UI or CLI, without payload.
const (
	SignalCircuitChanged = "changed"
	SignalCircuitReset   = "reset"
)

// CircuitInput is the circuit of one webhook with the configured recovery.
type CircuitInput struct {
	WebhookID uuid.UUID
	// Probe: after Cooldown one paused delivery is tried. Otherwise only a reset closes the circuit. ByProfile: the
	// webhook's profile decides which.
	Probe     bool
	ByProfile bool `json:",omitzero"`
	Cooldown  time.Duration
	// CooldownLimit ends the doubling of the cool-down; histories from before this field have an hour.
	CooldownLimit time.Duration `json:",omitzero"`
	// ReleaseLimit is the rate at which the ramp of the release ends, in deliveries per second.
	ReleaseLimit int
	// Refresh: while the circuit is open the workflow reads its row from time to time, so that the Temporal UI shows how
	// many deliveries are paused. Histories from before this field do not have these reads.
	Refresh bool `json:",omitzero"`

	// Memory is the state of the previous run, when the workflow was continued as new.
	Memory CircuitMemory `json:",omitzero"`
}

// CircuitMemory is the state of a Circuit workflow that is not in the webhook's row.
type CircuitMemory struct {
	// Rate is the next step of the ramp, in deliveries per second.
	Rate int `json:",omitzero"`
	// Probes counts the probes since the circuit opened. Each failed probe doubles the cool-down.
	Probes int `json:",omitzero"`
	// OpenedAt is when the circuit opened for which Probes and ProbeAt count.
	OpenedAt time.Time `json:",omitzero"`
	// ProbeAt is when the next probe is due; zero when none is.
	ProbeAt time.Time `json:",omitzero"`
}

// CircuitWorkflowID is the id of the one Circuit workflow of a webhook.
func CircuitWorkflowID(webhook uuid.UUID) string { return "circuit:" + webhook.String() }

// Circuit is the durable pause of one webhook. It waits while the circuit is open, and releases the paused deliveries
// at a growing rate once it is closed. The webhook's row decides; a signal only makes the workflow read it.
//
// A cancellation request has no effect, because a pause must end by a reset or a probe: the workflow continues and
// loses no signal.
func Circuit(ctx workflow.Context, in CircuitInput) error {
	switch {
	case in.WebhookID == uuid.Nil:
		return refuseWithout("WebhookID")
	case in.Cooldown <= 0:
		return refuseWithout("Cooldown")
	case in.ReleaseLimit <= 0:
		return refuseWithout("ReleaseLimit")
	}
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	c := &circuit{
		in:      in,
		m:       in.Memory,
		changed: workflow.GetSignalChannel(ctx, SignalCircuitChanged),
		reset:   workflow.GetSignalChannel(ctx, SignalCircuitReset),
	}
	return c.run(withShortActivity(ctx))
}

type circuit struct {
	in             CircuitInput
	m              CircuitMemory
	changed, reset workflow.ReceiveChannel
	// attributed: the search attributes that never change were written.
	attributed bool
	// status is the DeliveryStatus that was written last.
	status string
	// refreshes counts the timed reads since the last signal.
	refreshes int
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
				return c.end(ctx, s)
			}
		case circuitWait:
			c.m.Rate = 0
			err = c.wait(ctx, s)
		case circuitRelease:
			c.m.Probes, c.m.ProbeAt = 0, time.Time{}
			err = c.release(ctx, s)
		case circuitCancel:
			err = c.cancel(ctx)
		}
		if err != nil {
			return err
		}
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() && !c.pending() {
			in := c.in
			in.Memory = c.m
			return workflow.NewContinueAsNewError(ctx, Circuit, in)
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

// circuitStep decides what to do for a circuit in this state.
func circuitStep(s deliver.CircuitState) circuitNext {
	switch {
	case s.Deleted && s.ToCancel:
		return circuitCancel
	case s.Deleted:
		return circuitDone
	case s.Open:
		return circuitWait
	case s.Active && s.Waiting:
		return circuitRelease
	default: // the deliveries of an inactive webhook wait for its activation, which starts this workflow again
		return circuitDone
	}
}

// pending reports whether a signal was not handled yet: completing now would lose it.
func (c *circuit) pending() bool { return c.changed.Len() > 0 || c.reset.Len() > 0 }

// handleResets closes the circuit if an engineer asked for it. It drains the changed signals: the row is read next.
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
	var a *deliver.Activities
	return workflow.ExecuteActivity(ctx, a.CloseCircuit, c.in.WebhookID).Get(ctx, nil)
}

func (c *circuit) load(ctx workflow.Context) (deliver.CircuitState, error) {
	var a *deliver.Activities
	var s deliver.CircuitState
	err := workflow.ExecuteActivity(ctx, a.LoadCircuit, c.in.WebhookID).Get(ctx, &s)
	return s, err
}

// wait waits for a signal, and in probe mode for the cool-down, after which one delivery is released. A signal does not
// move the time of the probe.
func (c *circuit) wait(ctx workflow.Context, s deliver.CircuitState) error {
	if !c.m.OpenedAt.Equal(s.OpenedAt) {
		c.m.Probes, c.m.ProbeAt, c.m.OpenedAt = 0, time.Time{}, s.OpenedAt
	}
	probing := s.Active && c.probes(s)
	switch {
	case !probing:
		c.m.ProbeAt = time.Time{}
	case c.m.ProbeAt.IsZero():
		c.m.ProbeAt = workflow.Now(ctx).Add(cooldown(c.in.Cooldown, c.in.CooldownLimit, c.m.Probes))
	}
	if err := c.show(ctx, s, c.explainOpen(s)); err != nil {
		return err
	}
	cooled, asked := false, true
	timerCtx, cancel := workflow.WithCancel(ctx)
	defer cancel()
	sel := workflow.NewSelector(ctx)
	sel.AddReceive(c.changed, func(workflow.ReceiveChannel, bool) {})
	sel.AddReceive(c.reset, func(workflow.ReceiveChannel, bool) {})
	if c.in.Refresh {
		timer := workflow.NewTimerWithOptions(
			timerCtx,
			refresh(c.refreshes),
			workflow.TimerOptions{Summary: "count paused deliveries"},
		)
		sel.AddFuture(timer, func(workflow.Future) { asked = false })
	}
	if probing {
		timer := workflow.NewTimerWithOptions(
			timerCtx,
			max(c.m.ProbeAt.Sub(workflow.Now(ctx)), 0),
			workflow.TimerOptions{Summary: "cool-down"},
		)
		sel.AddFuture(timer, func(workflow.Future) { cooled = true })
	}
	if err := await(ctx, sel); err != nil {
		return err
	}
	if c.refreshes++; asked {
		c.refreshes = 0
	}
	if !cooled {
		return nil
	}
	c.m.ProbeAt = time.Time{}
	n, err := c.releaseSome(ctx, deliver.ReleaseInput{WebhookID: c.in.WebhookID, Limit: 1, Probe: true})
	c.m.Probes += n
	return err
}

// probes reports whether a successful probe closes the circuit.
func (c *circuit) probes(s deliver.CircuitState) bool {
	if s.Recovery != "" {
		return s.Recovery == "probe"
	}
	return c.in.Probe || c.in.ByProfile && s.ProfileProbes
}

// Bounds of the time between two reads of an open circuit. It doubles: deliveries that are paused soon after the
// circuit opened are shown soon, and a circuit that is open for days is read every ten minutes.
const (
	refreshFirst = 10 * time.Second
	refreshLimit = 10 * time.Minute
)

func refresh(reads int) time.Duration { return min(refreshFirst<<min(reads, 10), refreshLimit) }

func (c *circuit) explainOpen(s deliver.CircuitState) string {
	details := fmt.Sprintf(
		"open since %s; %s; send the signal `%s` to close it",
		s.OpenedAt.UTC().Format(time.RFC3339),
		waiting(s),
		SignalCircuitReset,
	)
	switch {
	case !c.m.ProbeAt.IsZero():
		details += "; one delivery is tried at " + c.m.ProbeAt.UTC().Format(time.RFC3339)
	case !s.Active:
		details += "; the webhook is inactive"
	}
	return details
}

// waiting says how many deliveries wait. The count is bounded, so that it never reads a long backlog.
func waiting(s deliver.CircuitState) string {
	switch {
	case s.WaitingCount > deliver.WaitingLimit:
		return fmt.Sprintf("more than %d deliveries wait", deliver.WaitingLimit)
	case s.WaitingCount == 1:
		return "1 delivery waits"
	case s.WaitingCount > 1 || !s.Waiting:
		return fmt.Sprintf("%d deliveries wait", s.WaitingCount)
	}
	return "deliveries wait"
}

// show writes the circuit's details and search attributes for the Temporal UI. DeliveryStatus is that of the paused
// deliveries, which have no workflow of their own.
func (c *circuit) show(ctx workflow.Context, s deliver.CircuitState, details string) error {
	workflow.SetCurrentDetails(ctx, details)
	var updates []temporal.SearchAttributeUpdate
	if !c.attributed && s.WebhookID != uuid.Nil {
		c.attributed = true
		updates = about(s.WebhookID, s.CompanyID)
	}
	if status := circuitStatus(s); status != c.status && s.WebhookID != uuid.Nil {
		c.status = status
		if status == "" {
			updates = append(updates, DeliveryStatus.ValueUnset())
		} else {
			updates = append(updates, DeliveryStatus.ValueSet(status))
		}
	}
	if len(updates) == 0 {
		return nil
	}
	return workflow.UpsertTypedSearchAttributes(ctx, updates...)
}

func circuitStatus(s deliver.CircuitState) string {
	if s.Waiting && !s.Deleted {
		return StatusPaused
	}
	return ""
}

// end shows why the workflow ends, and fails it when there is no such webhook.
func (c *circuit) end(ctx workflow.Context, s deliver.CircuitState) error {
	switch {
	case s.Missing:
		return refuse(fmt.Sprintf("there is no webhook %s", c.in.WebhookID))
	case s.Deleted:
		return c.show(ctx, s, "ended: the webhook was deleted")
	case !s.Active:
		return c.show(ctx, s, "ended: the webhook is inactive, "+waiting(s))
	}
	return c.show(ctx, s, "ended: closed, nothing waits")
}

// cooldown returns the wait before the next probe. Each failed probe doubles it, up to the limit; 0 means an hour.
func cooldown(base, limit time.Duration, failed int) time.Duration {
	if limit == 0 {
		limit = time.Hour
	}
	for range failed {
		if base >= limit {
			return base
		}
		base = min(2*base, limit)
	}
	return base
}

// release sends one second's worth of the paused deliveries. The next second's is twice as much, up to the limit. When
// another transaction has locked all of them, it waits a second too.
func (c *circuit) release(ctx workflow.Context, s deliver.CircuitState) error {
	limit := c.in.ReleaseLimit
	if s.RateLimit > 0 {
		limit = min(limit, s.RateLimit)
	}
	rate := max(min(c.m.Rate, limit), 1)
	if err := c.show(ctx, s, fmt.Sprintf("closed; %s; released at %d/s", waiting(s), rate)); err != nil {
		return err
	}
	n, err := c.releaseSome(ctx, deliver.ReleaseInput{WebhookID: c.in.WebhookID, Limit: rate})
	if err != nil {
		return err
	}
	if n > 0 {
		c.m.Rate = rate * 2
	} else if workflow.GetVersion(ctx, "empty-release", workflow.DefaultVersion, 1) == workflow.DefaultVersion {
		return nil
	}
	return workflow.Sleep(ctx, time.Second)
}

func (c *circuit) releaseSome(ctx workflow.Context, in deliver.ReleaseInput) (int, error) {
	var a *deliver.Activities
	var n int
	err := workflow.ExecuteActivity(ctx, a.ReleasePaused, in).Get(ctx, &n)
	return n, err
}

// cancelPage is how many deliveries of a deleted webhook are canceled at once: some tens of milliseconds of work.
const cancelPage = 1000

// cancel cancels a page of the deliveries of a deleted webhook. When another transaction has locked all of them, it
// waits a second.
func (c *circuit) cancel(ctx workflow.Context) error {
	workflow.SetCurrentDetails(ctx, "deleted; canceling its deliveries")
	var a *deliver.Activities
	var n int
	in := deliver.CancelDeletedInput{WebhookID: c.in.WebhookID, Limit: cancelPage}
	if err := workflow.ExecuteActivity(ctx, a.CancelDeleted, in).Get(ctx, &n); err != nil || n > 0 {
		return err
	}
	return workflow.Sleep(ctx, time.Second)
}

// withShortActivity is for activities of one or two statements. They are retried until the database answers.
func withShortActivity(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 30 * time.Second,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    time.Second,
			BackoffCoefficient: 2,
			MaximumInterval:    5 * time.Second,
		},
	})
}
