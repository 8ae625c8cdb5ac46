package deliver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"greenroom/activities/webhook"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// AttemptInput asks for one attempt of one delivery.
type AttemptInput struct {
	DeliveryID uuid.UUID
	Generation int
	Attempt    int
	// Wait is the schedule's wait after this attempt. Last: there is no attempt after it.
	Wait time.Duration
	Last bool
	// Probe: make the attempt although the circuit is open.
	Probe bool
	// Replay: an operator reset the workflow, so a delivery that has ended is sent again.
	Replay bool
}

// AttemptOutcome says what the delivery's workflow does next.
type AttemptOutcome string

// Outcomes. The first four are of recorded attempts. The others sent nothing. Parked: the circuit is open or the
// webhook inactive. Canceled: nothing will be sent. Busy: the endpoint has no free place; the activity returns it as an
// error, but older histories have it as a result.
const (
	AttemptSucceeded AttemptOutcome = "succeeded"
	AttemptRetry     AttemptOutcome = "retry"
	AttemptFailed    AttemptOutcome = "failed"
	AttemptGone      AttemptOutcome = "gone"
	AttemptParked    AttemptOutcome = "parked"
	AttemptCanceled  AttemptOutcome = "canceled"
	AttemptBusy      AttemptOutcome = "busy"
)

// AttemptResult is the result of AttemptDelivery.
type AttemptResult struct {
	Outcome AttemptOutcome
	// Reason is a sentence for people, without secrets and without any part of the receiver's answer.
	Reason string
	// NextAt is when to attempt again after AttemptRetry and AttemptBusy.
	NextAt time.Time
}

// AttemptDelivery makes one attempt and records it. If this workflow run has recorded the attempt before, its result is
// returned and nothing is sent: a worker that dies after recording causes no duplicate. A run of a delivery that has
// ended returns how it ended. Only a replay, which a Reset in the Temporal UI is, sends it again.
func (a *Activities) AttemptDelivery(ctx context.Context, in AttemptInput) (AttemptResult, error) {
	info := activity.GetInfo(ctx)
	run, err := uuid.Parse(info.WorkflowExecution.RunID)
	if err != nil {
		return AttemptResult{}, fmt.Errorf("read run id: %w", err)
	}
	defer heartbeat(ctx)()
	res, err := a.attemptAs(ctx, in, run, info.WorkflowExecution.ID)
	if err == nil && res.Outcome == AttemptBusy {
		err = busy(res, info.IsLocalActivity)
	}
	return res, err
}

// ErrorEndpointBusy is the type of the error of an attempt that found no place at its endpoint.
const ErrorEndpointBusy = "EndpointBusy"

// busy makes Temporal retry the activity when a place is expected to be free. A retry writes no history; a result on
// which the workflow waits would write eleven events. A local activity fails instead, and its workflow uses the slow
// task queue.
func busy(res AttemptResult, local bool) error {
	return temporal.NewApplicationErrorWithOptions(res.Reason, ErrorEndpointBusy, temporal.ApplicationErrorOptions{
		NonRetryable: local, NextRetryDelay: time.Until(res.NextAt), Category: temporal.ApplicationErrorCategoryBenign,
	})
}

func (a *Activities) attemptAs(
	ctx context.Context,
	in AttemptInput,
	run uuid.UUID,
	workflow string,
) (res AttemptResult, err error) {
	key := flightKey{in.DeliveryID, run, in.Attempt}
	first, mine := a.flights.begin(key)
	if !mine {
		return first.wait(ctx)
	}
	err = errUnfinished
	defer func() { a.flights.end(key, res, err) }()
	job, err := delivery.LoadJob(ctx, a.DB, in.DeliveryID, run, in.Attempt)
	if errors.Is(err, pg.ErrNotFound) { // an invalid id, or dropped by retention: retrying does not help
		return AttemptResult{}, temporal.NewNonRetryableApplicationError(
			fmt.Sprintf("there is no delivery %s, or it is no longer kept", in.DeliveryID), "Refused", nil)
	}
	if err != nil {
		return AttemptResult{}, fmt.Errorf("attempt delivery: %w", err)
	}
	t := &attempt{Activities: a, in: in, job: job, run: run, workflow: workflow}
	return t.make(ctx)
}

// attempt is one attempt while it is made.
type attempt struct {
	*Activities
	in       AttemptInput
	job      *delivery.Work
	run      uuid.UUID
	workflow string
}

func (t *attempt) make(ctx context.Context) (AttemptResult, error) {
	d, w := &t.job.Delivery, &t.job.Webhook
	switch {
	case t.job.Done != nil:
		return resultOf(t.job.Done), nil
	case w.DeletedAt != nil:
		return AttemptResult{Outcome: AttemptCanceled, Reason: "the webhook was deleted"}, nil
	case d.Generation > t.in.Generation:
		return AttemptResult{Outcome: AttemptCanceled, Reason: "a later replay has taken over"}, nil
	case d.Status == delivery.Canceled, d.Status.Ended() && !t.in.Replay:
		return endOf(d), nil
	}
	if parked, err := t.park(ctx); err != nil || parked {
		return AttemptResult{Outcome: AttemptParked, Reason: "the circuit is open or the webhook inactive"}, err
	}
	if ok, wait := t.Endpoints.AcquireForRetry(w.ID, d.ID, w.RateLimit, timeoutOf(w)+lapseSlack); !ok {
		return t.postpone(ctx, time.Now().Add(wait).UTC())
	}
	return t.send(ctx)
}

// lapseSlack is how much longer than its time-out an attempt may hold its place: for loading and recording on a slow
// database.
const lapseSlack = 30 * time.Second

// postpone records when the delivery asks for a place again. Until then the reconciler leaves it alone.
func (t *attempt) postpone(ctx context.Context, until time.Time) (AttemptResult, error) {
	return AttemptResult{Outcome: AttemptBusy, Reason: "the endpoint has no free place", NextAt: until},
		delivery.PostponeDelivery(ctx, t.DB, t.in.DeliveryID, t.in.Generation, until)
}

// park pauses the delivery when its webhook is inactive or its circuit is open.
func (t *attempt) park(ctx context.Context) (bool, error) {
	w := &t.job.Webhook
	blocked := !w.IsActive || (w.CircuitOpenedAt != nil && !t.in.Probe)
	if !blocked || t.job.Delivery.IsTest {
		return false, nil
	}
	blocked, paused, err := delivery.PauseDelivery(ctx, t.DB, t.in.DeliveryID, w.ID, t.workflow, t.in.Replay)
	if err == nil && blocked && !paused {
		err = errEnded
	}
	return blocked, err
}

// errEnded makes Temporal try again, which finds how the delivery ended.
var errEnded = errors.New("the delivery ended while it was about to be paused")

// endOf returns the result of a delivery that has ended.
func endOf(d *delivery.Delivery) AttemptResult {
	switch {
	case d.Status == delivery.Succeeded:
		return AttemptResult{Outcome: AttemptSucceeded, Reason: "accepted"}
	case d.Status == delivery.Canceled:
		return AttemptResult{Outcome: AttemptCanceled, Reason: "the delivery was canceled"}
	case d.LastError != nil:
		return AttemptResult{Outcome: AttemptFailed, Reason: webhook.Gist(*d.LastError)}
	}
	return AttemptResult{Outcome: AttemptFailed}
}

func (t *attempt) send(ctx context.Context) (AttemptResult, error) {
	var took time.Duration
	defer func() { t.Endpoints.Release(t.job.Webhook.ID, t.in.DeliveryID, took) }()
	req, fault := t.request()
	if fault != nil && !fault.elsewhere {
		return AttemptResult{Outcome: AttemptFailed, Reason: fault.reason}, t.fail(ctx, fault, "")
	}
	end := t.Wire.begin(ctx, t.Endpoints.Quick(t.job.Webhook.ID))
	defer end()
	resp := t.sendRequest(ctx, req, fault)
	took = resp.Duration
	if resp.ErrorKind == webhook.KindCanceled {
		return AttemptResult{}, fmt.Errorf("attempt interrupted: %w", context.Cause(ctx))
	}
	row := t.row(req.Profile, resp)
	r := delivery.AttemptRecord{
		Attempt: row, WebhookID: t.job.Webhook.ID, Body: req.Body, Counts: t.counts(resp),
		Threshold: t.CircuitThreshold, Probe: t.in.Probe, Replay: t.in.Replay,
	}
	recorded := t.Journal.write(r)
	end()
	opened, err := t.recordUntilDone(ctx, r)
	recorded()
	if err != nil {
		return AttemptResult{}, err
	}
	t.log(ctx, &row, opened)
	return resultOf(&row), nil
}

// counts reports whether the circuit counts an attempt: not that of a test, and not one that sent nothing.
func (t *attempt) counts(r webhook.Response) bool {
	return !t.job.Delivery.IsTest && r.ErrorKind != webhook.KindUnprepared
}

// row returns the attempt to record: the answer, its outcome, and when the next attempt is due.
func (t *attempt) row(p *webhook.Profile, r webhook.Response) delivery.Attempt {
	row := delivery.Attempt{
		DeliveryID: t.in.DeliveryID,
		RunID:      t.run,
		Attempt:    t.in.Attempt,
		Generation: t.in.Generation,
		WorkflowID: t.workflow,
		StartedAt:  r.StartedAt.UTC(),
		DurationMS: int(r.Duration.Milliseconds()),
		StatusCode: nonZero(r.StatusCode),
		ErrorKind:  nonZero(r.ErrorKind),
		Error:      nonZero(r.Error),
		Response:   pg.Text(r.Body),
	}
	switch webhook.Classify(p, r) {
	case webhook.Succeeded:
		row.Outcome = delivery.OutcomeSucceeded
	case webhook.Gone:
		row.Outcome = delivery.OutcomeGone
	case webhook.Retry:
		if t.in.Last {
			row.Outcome = delivery.OutcomeFailed
			break
		}
		row.Outcome = delivery.OutcomeRetry
		jitter := 2*rand.Float64() - 1 //nolint:gosec // spreading needs no secrecy
		ended := r.StartedAt.Add(r.Duration)
		next := p.NextAttempt(t.job.Event.OccurredAt, ended, t.in.Attempt, t.in.Wait, r.RetryAfter, jitter).UTC()
		row.NextAttemptAt = &next
	}
	return row
}

func (t *attempt) log(ctx context.Context, row *delivery.Attempt, opened bool) {
	args := []any{
		"delivery_id", row.DeliveryID, "webhook_id", t.job.Webhook.ID, "event_type", t.job.Event.Type,
		"attempt", row.Attempt, "outcome", row.Outcome, "duration_ms", row.DurationMS,
	}
	if row.StatusCode != nil {
		args = append(args, "status_code", *row.StatusCode)
	}
	if row.ErrorKind != nil {
		args = append(args, "error_kind", *row.ErrorKind)
	}
	t.Logger.InfoContext(ctx, "attempt", args...)
	t.logCircuit(ctx, row, opened)
	observe(t.job.Webhook.Profile, row)
}

// logCircuit logs that an attempt opened its webhook's circuit or, as a probe, closed it. Of the URL it logs the host
// alone, because paths may carry secrets.
func (t *attempt) logCircuit(ctx context.Context, row *delivery.Attempt, opened bool) {
	w := t.job.Webhook
	switch {
	case opened:
		reason := ""
		if row.Error != nil {
			reason = *row.Error
		}
		t.Logger.WarnContext(ctx, "circuit opened: deliveries of this webhook wait until it is reset or a probe succeeds",
			"webhook_id", w.ID, "host", webhook.Host(w.URL), "last_error", reason)
	case t.in.Probe && w.CircuitOpenedAt != nil && row.Outcome == delivery.OutcomeSucceeded:
		t.Logger.InfoContext(ctx, "circuit closed by a probe", "webhook_id", w.ID, "host", webhook.Host(w.URL))
	}
}

func resultOf(row *delivery.Attempt) AttemptResult {
	r := AttemptResult{Outcome: AttemptOutcome(row.Outcome)}
	if row.NextAttemptAt != nil {
		r.NextAt = *row.NextAttemptAt
	}
	switch {
	case row.Outcome == delivery.OutcomeSucceeded:
		r.Reason = "accepted"
	case row.Error != nil:
		r.Reason = webhook.Gist(*row.Error)
	}
	return r
}

func timeoutOf(w *delivery.Webhook) time.Duration {
	return time.Duration(w.TimeoutMS) * time.Millisecond
}

func nonZero[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}
