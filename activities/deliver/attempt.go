package deliver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"greenroom/activities/inflight"
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
	// HasToken: the dispatcher has just taken a token of the webhook's rate limit for this attempt.
	HasToken bool `json:",omitzero"`
}

// TokenLapse is how long after it was taken, or an attempt was scheduled with it, a token of a rate limit is valid.
const TokenLapse = delivery.TokenLapse

// AttemptOutcome says what the delivery's workflow does next.
type AttemptOutcome string

// Outcomes. The first four are of recorded attempts. The others sent nothing. Parked: the circuit is open or the
// webhook inactive. Canceled: nothing will be sent. Busy: there is no free place. The dispatcher wakes the workflow
// when there is one, and NextAt is when the workflow asks again even so.
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

	// queued: after AttemptBusy, the dispatcher wakes the workflow when there is a place.
	queued bool
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
	in.HasToken = in.HasToken && info.Attempt == 1 && info.StartedTime.Sub(info.ScheduledTime) < TokenLapse
	res, err := a.attemptAs(ctx, in, run, info.WorkflowExecution.ID)
	if err == nil && res.Outcome == AttemptBusy && !res.queued {
		err = busy(res, info.IsLocalActivity)
	}
	return res, err
}

// ErrorEndpointBusy is the type of the error of an attempt whose webhook has had its attempts per second.
const ErrorEndpointBusy = "EndpointBusy"

// busy makes Temporal retry the activity when the delivery's turn comes. A retry writes no history; a result on which
// the workflow waits would write eleven events. A local activity fails instead, and its workflow uses the slow task
// queue.
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
	span     trace.SpanContext // that of the request; invalid without one
}

func (t *attempt) make(ctx context.Context) (AttemptResult, error) {
	d, w := &t.job.Delivery, &t.job.Webhook
	switch {
	case t.job.Done != nil:
		return resultOf(t.job.Done), nil
	case w.DeletedAt != nil:
		return AttemptResult{Outcome: AttemptCanceled, Reason: "the webhook was deleted"}, nil
	case d.ErasedAt != nil:
		return AttemptResult{Outcome: AttemptCanceled, Reason: "the person in the event was erased"}, nil
	case d.Generation > t.in.Generation:
		return AttemptResult{Outcome: AttemptCanceled, Reason: "a later replay has taken over"}, nil
	case d.Status == delivery.Canceled, d.Status.Ended() && !t.in.Replay:
		return endOf(d), nil
	}
	if parked, err := t.park(ctx); err != nil || parked {
		return AttemptResult{Outcome: AttemptParked, Reason: "the circuit is open or the webhook inactive"}, err
	}
	t.Endpoints.Describe(w.ID, companyOf(d), webhook.HostPort(w.URL))
	if !t.Endpoints.AcquireForRetry(w.ID, d.ID, timeoutOf(w)+lapseSlack) {
		return t.awaitPlace(ctx)
	}
	if res, err := t.takeToken(ctx); err != nil || res.Outcome != "" {
		t.Endpoints.Release(w.ID, d.ID, 0)
		return res, err
	}
	if err := t.noteLate(ctx); err != nil {
		t.Endpoints.Release(w.ID, d.ID, 0)
		return AttemptResult{}, err
	}
	return t.send(ctx)
}

// takeToken takes a token of the webhook's rate limit, unless the dispatcher has. The result is empty, or says when the
// delivery's turn comes.
func (t *attempt) takeToken(ctx context.Context) (AttemptResult, error) {
	w := &t.job.Webhook
	if w.RateLimit == 0 || t.in.HasToken {
		return AttemptResult{}, nil
	}
	token, err := delivery.TakeToken(ctx, t.DB, w.ID, w.RateLimit, t.job.Delivery.TurnAt)
	if err != nil {
		return AttemptResult{}, fmt.Errorf("attempt delivery: %w", err)
	}
	if !token.Granted {
		return t.postpone(ctx, "the webhook's rate limit is reached", token.Wait, token.Turn)
	}
	return AttemptResult{}, nil
}

// lateAfter is how long after it was due an attempt is late. The reconciler takes a workflow for lost a few seconds
// later, if its row shows nothing.
const lateAfter = 15 * time.Second

// noteLate tells the reconciler that an attempt which waited for a place, or in a backlog, is being made.
func (t *attempt) noteLate(ctx context.Context) error {
	d := &t.job.Delivery
	due := d.UpdatedAt
	if d.NextAttemptAt != nil {
		due = *d.NextAttemptAt
	}
	if time.Since(due) < lateAfter {
		return nil
	}
	return delivery.NoteAttempt(ctx, t.DB, d.ID)
}

// awaitPlace queues the delivery: the dispatcher claims a place for it and wakes its workflow. Until then it holds no
// slot of the worker, and asks Temporal for nothing.
func (t *attempt) awaitPlace(ctx context.Context) (AttemptResult, error) {
	q := delivery.QueuedDelivery{
		DeliveryID: t.in.DeliveryID, Generation: t.in.Generation, Attempt: t.in.Attempt, Probe: t.in.Probe,
	}
	queued, err := delivery.QueueAttempt(ctx, t.DB, q)
	if err != nil {
		return AttemptResult{}, err
	}
	if !queued { // a replay of a delivery that has ended
		return t.postpone(ctx, noPlace, unqueuedWait, nil)
	}
	return AttemptResult{
		Outcome: AttemptBusy, Reason: noPlace, NextAt: time.Now().Add(queuedWait).UTC(), queued: true,
	}, nil
}

const (
	noPlace = "the endpoint has no free place"
	// queuedWait is when an attempt asks again although it was not woken.
	queuedWait = 10 * time.Minute
	// unqueuedWait is when an attempt asks again that cannot wait in the queue.
	unqueuedWait = 5 * time.Second
)

// companyOf returns the company of a delivery; zero for none.
func companyOf(d *delivery.Delivery) uuid.UUID {
	if d.CompanyID == nil {
		return uuid.Nil
	}
	return *d.CompanyID
}

// feedback returns what the end of an attempt says about how much the receiver can take.
func feedback(p *webhook.Profile, r webhook.Response) inflight.Feedback {
	switch r.ErrorKind {
	case webhook.KindTimeout, webhook.KindConnect, webhook.KindClosed, webhook.KindToken:
		return inflight.Overloaded
	}
	switch {
	case r.StatusCode == http.StatusTooManyRequests, r.StatusCode == http.StatusServiceUnavailable:
		return inflight.Overloaded
	case webhook.Classify(p, r) == webhook.Succeeded:
		return inflight.Accepted
	}
	return inflight.Unclear
}

// lapseSlack is how much longer than its time-out an attempt may hold its place: for loading and recording on a slow
// database.
const lapseSlack = 30 * time.Second

// postpone records when the delivery asks for a place or a token again. Until then the reconciler leaves it alone.
func (t *attempt) postpone(
	ctx context.Context,
	reason string,
	wait time.Duration,
	turn *time.Time,
) (AttemptResult, error) {
	return AttemptResult{Outcome: AttemptBusy, Reason: reason, NextAt: time.Now().Add(wait).UTC()},
		delivery.PostponeDelivery(ctx, t.DB, t.in.DeliveryID, t.in.Generation, wait, turn)
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
	var said inflight.Feedback
	defer func() { t.Endpoints.Finish(t.job.Webhook.ID, t.in.DeliveryID, took, said) }()
	req, fault := t.request()
	if fault != nil && !fault.otherWorker {
		return AttemptResult{Outcome: AttemptFailed, Reason: fault.reason}, t.fail(ctx, fault, "")
	}
	end := t.Wire.begin(ctx, t.Endpoints.Quick(t.job.Webhook.ID))
	defer end()
	resp := t.sendRequest(ctx, req, fault)
	took, said = resp.Duration, feedback(req.Profile, resp)
	if resp.ErrorKind == webhook.KindCanceled {
		return AttemptResult{}, fmt.Errorf("attempt interrupted: %w", context.Cause(ctx))
	}
	row := t.row(req.Profile, resp)
	r := delivery.AttemptRecord{
		Attempt: row, WebhookID: t.job.Webhook.ID, Body: req.Body, Counts: t.counts(resp),
		Threshold: t.CircuitThreshold, Span: t.CircuitSpan, Probe: t.in.Probe, Replay: t.in.Replay,
		Ordered: t.job.IsOrdered(),
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

// counts reports whether the circuit counts an attempt: not that of a test, and not one that sent nothing for a reason
// on this side.
func (t *attempt) counts(r webhook.Response) bool {
	return !t.job.Delivery.IsTest && r.ErrorKind != webhook.KindUnprepared && r.ErrorKind != webhook.KindProxy
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
	if row.Outcome = t.outcome(p, r); row.Outcome == delivery.OutcomeRetry {
		jitter := 2*rand.Float64() - 1 //nolint:gosec // spreading needs no secrecy
		ended := r.StartedAt.Add(r.Duration)
		next := p.NextAttempt(t.job.Event.OccurredAt, ended, t.in.Attempt, t.in.Wait, r.RetryAfter, jitter).UTC()
		row.NextAttemptAt = &next
	}
	return row
}

func (t *attempt) outcome(p *webhook.Profile, r webhook.Response) delivery.Outcome {
	switch webhook.Classify(p, r) {
	case webhook.Succeeded:
		return delivery.OutcomeSucceeded
	case webhook.Gone:
		return delivery.OutcomeGone
	case webhook.Retry:
	}
	if t.in.Last {
		return delivery.OutcomeFailed
	}
	return delivery.OutcomeRetry
}

func (t *attempt) log(ctx context.Context, row *delivery.Attempt, opened bool) {
	ctx = t.withSpan(ctx)
	args := []any{
		"delivery_id", row.DeliveryID, "webhook_id", t.job.Webhook.ID, "host", webhook.Host(t.job.Webhook.URL),
		"event_id", t.job.Event.ID, "event_type", t.job.Event.Type, "attempt", row.Attempt, "outcome", row.Outcome,
		"duration_ms", row.DurationMS,
	}
	if id := t.job.Event.RequestID; id != "" {
		args = append(args, "request_id", id)
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
		args := []any{
			"webhook_id", w.ID, "host", webhook.Host(w.URL), "last_error", reason,
			"cure", "greenroom webhooks reset-circuit " + w.ID.String(),
		}
		if t.ConsoleURL != "" {
			args = append(args, "console", t.ConsoleURL+"/webhooks/"+w.ID.String()+"/circuit")
		}
		t.Logger.WarnContext(ctx,
			"circuit opened: deliveries of this webhook wait until it is reset or a probe succeeds", args...)
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
