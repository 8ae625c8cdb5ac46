package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"greenroom/activities/inflight"
	"greenroom/activities/webhook/profiles"
	"greenroom/db"
	"greenroom/db/delivery"
	"greenroom/workflows"
)

// answers is a client of Temporal that does nothing but record its calls and answer them.
type answers struct {
	client.Client
	mu sync.Mutex
	// started, signaled and described are ids of workflows; input and options are those of the last start.
	started, signaled, described []string
	input                        any
	options                      client.StartWorkflowOptions
	// start, signal, describe and status are the answers.
	start, signal, describe error
	status                  enumspb.WorkflowExecutionStatus
}

func (a *answers) ExecuteWorkflow(
	_ context.Context, o client.StartWorkflowOptions, _ any, args ...any,
) (client.WorkflowRun, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.started, a.options, a.input = append(a.started, o.ID), o, args[0]
	return nil, a.start
}

func (a *answers) SignalWithStartWorkflow(
	_ context.Context, id, _ string, signal any, o client.StartWorkflowOptions, _ any, args ...any,
) (client.WorkflowRun, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.signaled, a.options, a.input = append(a.signaled, id), o, args[0]
	return nil, a.signal
}

func (a *answers) DescribeWorkflowExecution(
	_ context.Context, id, _ string,
) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.described = append(a.described, id)
	info := &workflowpb.WorkflowExecutionInfo{Status: a.status}
	return &workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: info}, a.describe
}

// logged collects the messages that operators see.
type logged struct {
	slog.Handler
	messages *[]string
}

func (l logged) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

func (l logged) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "attempt" {
			text += " at attempt " + a.Value.String()
		}
		return true
	})
	*l.messages = append(*l.messages, text)
	return nil
}

// decider is a dispatcher without a database.
func decider(a *answers) (d *Dispatcher, messages *[]string) {
	messages = new([]string)
	return New(Options{
		Client: a, TaskQueue: "queue", Endpoints: inflight.NewEndpoints(10, nil),
		ConsoleURL: "https://greenroom.test/console",
		Logger:     slog.New(logged{slog.DiscardHandler, messages}),
		Circuit:    CircuitSettings{Probe: true, Cooldown: time.Minute, ReleaseLimit: 7},
		Interview:  InterviewSettings{NoAnswerRetries: 2, NoAnswerDelay: time.Hour},
	}), messages
}

var (
	errRefused = error(serviceerror.NewInvalidArgument("refused"))
	errAway    = error(serviceerror.NewUnavailable("away"))
	errNone    = error(serviceerror.NewNotFound("no such workflow"))
	errBusy    = error(serviceerror.NewResourceExhausted(enumspb.RESOURCE_EXHAUSTED_CAUSE_BUSY_WORKFLOW, "busy"))
	errStarted = error(serviceerror.NewWorkflowExecutionAlreadyStarted("", "", ""))
)

// TestDecidesWhatADeliverysWorkflowGets has the input of DeliverWebhook for each kind of a queued delivery.
func TestDecidesWhatADeliverysWorkflowGets(t *testing.T) {
	t.Parallel()
	profile, err := profiles.ByName(profiles.Default)
	require.NoError(t, err)
	schedule := profile.ScheduleFor(3)
	require.NotEmpty(t, schedule)
	at, reason := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), "HTTP 503"
	id := uuid.New()
	for name, tc := range map[string]struct {
		change func(*delivery.QueuedDelivery)
		want   func(*workflows.DeliverWebhookInput)
	}{
		"new": {func(*delivery.QueuedDelivery) {}, func(*workflows.DeliverWebhookInput) {}},
		"failing": {func(q *delivery.QueuedDelivery) { q.Failing = true }, func(in *workflows.DeliverWebhookInput) {
			in.Slow = true
		}},
		"probe": {func(q *delivery.QueuedDelivery) { q.Probe = true }, func(in *workflows.DeliverWebhookInput) {
			in.Slow, in.Probe = true, true
		}},
		"after a batch": {func(q *delivery.QueuedDelivery) {
			q.Attempt, q.NotBefore, q.LastError = 2, &at, &reason
		}, func(in *workflows.DeliverWebhookInput) { in.Attempt, in.NotBefore, in.Reason = 2, at, reason }},
		"test of a failing endpoint": {
			func(q *delivery.QueuedDelivery) { q.IsTest, q.Failing = true, true },
			func(in *workflows.DeliverWebhookInput) { in.Schedule = nil },
		},
	} {
		q := delivery.QueuedDelivery{
			DeliveryID: id, Generation: 4, Attempt: 1, TimeoutMS: 1500, Profile: profiles.Default, MaxRetries: 3,
		}
		want := workflows.DeliverWebhookInput{
			DeliveryID: id, Generation: 4, Attempt: 1, Timeout: 1500 * time.Millisecond, Schedule: schedule, PlainSuccess: true,
		}
		tc.change(&q)
		tc.want(&want)
		require.Equal(t, want, deliverInput(q), name)
	}
}

// TestDecidesHowADeliveryIsStarted: a delivery that was taken before is signaled, an endpoint that turned slow since is
// attempted on the slow task queue, and webhook and company are search attributes.
func TestDecidesHowADeliveryIsStarted(t *testing.T) {
	t.Parallel()
	hook, company := uuid.New(), uuid.New()
	for name, tc := range map[string]struct {
		q        delivery.QueuedDelivery
		signaled bool
		slow     bool
	}{
		"new":     {delivery.QueuedDelivery{}, false, false},
		"company": {delivery.QueuedDelivery{CompanyID: &company}, false, false},
		"redo":    {delivery.QueuedDelivery{EnsureWorkflow: true}, true, false},
		"slow":    {delivery.QueuedDelivery{}, false, true},
	} {
		a := &answers{}
		d, _ := decider(a)
		tc.q.DeliveryID, tc.q.WebhookID, tc.q.EventType = uuid.New(), hook, "interview.started"
		tc.q.URL = "https://receiver.test/path"
		if tc.slow {
			for range 20 {
				d.o.Endpoints.Acquire(hook, tc.q.DeliveryID, time.Minute)
				d.o.Endpoints.Release(hook, tc.q.DeliveryID, time.Minute)
			}
		}
		require.NoError(t, d.startDelivery(t.Context(), tc.q), name)
		id := workflows.DeliverWebhookWorkflowID(tc.q.DeliveryID, 0)
		if tc.signaled {
			require.Equal(t, []string{id}, a.signaled, name)
		} else {
			require.Equal(t, []string{id}, a.started, name)
		}
		require.Equal(t, tc.slow, a.input.(workflows.DeliverWebhookInput).Slow, name)
		companies, found := a.options.TypedSearchAttributes.GetKeywordList(workflows.CompanyID)
		require.Equal(t, tc.q.CompanyID != nil, found, name)
		require.True(t, !found || companies[0] == company.String(), name)
		require.Equal(t, "interview.started → receiver.test", a.options.StaticSummary)
		require.Equal(t, "[In the console](https://greenroom.test/console/deliveries/"+tc.q.DeliveryID.String()+")",
			a.options.StaticDetails)
	}
}

// TestDecidesWhatGoesBack: a refused start concerns one delivery; once Temporal is unavailable the rest are not tried.
// Each that goes back leaves its place at the endpoint.
func TestDecidesWhatGoesBack(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer        error
		failed, tries int
		unavailable   bool
		logged        int
	}{
		"started":         {nil, 0, 40, false, 0},
		"started earlier": {errStarted, 0, 40, false, 0},
		"refused":         {errRefused, 40, 40, false, 40},
		"unavailable":     {errAway, 40, callsAtOnce, true, 0},
	} {
		a := &answers{start: tc.answer}
		d, messages := decider(a)
		var mu sync.Mutex // of messages
		d.o.Logger = slog.New(locked{logged{slog.DiscardHandler, messages}, &mu})
		var ready []delivery.QueuedDelivery
		for range 40 {
			q := delivery.QueuedDelivery{DeliveryID: uuid.New(), WebhookID: uuid.New()}
			d.o.Endpoints.Acquire(q.WebhookID, q.DeliveryID, time.Hour)
			ready = append(ready, q)
		}
		failed, unavailable := d.startAll(t.Context(), ready, d.temporal.atOnce(), time.Now().Add(time.Hour))
		require.Len(t, failed, tc.failed, name)
		require.Equal(t, tc.unavailable, unavailable, name)
		require.LessOrEqual(t, len(a.started), tc.tries, name)
		require.Len(t, *messages, tc.logged, name)
		for _, q := range failed {
			require.NotContains(t, d.o.Endpoints.Quotas(false).Webhook, q.WebhookID, name)
		}
	}
}

// TestDecidesHowManyStartsAreMadeAtOnce: an empty round says nothing about Temporal, and deliveries that were not tried
// are no outage.
func TestDecidesHowManyStartsAreMadeAtOnce(t *testing.T) {
	t.Parallel()
	a := &answers{}
	d, _ := decider(a)
	d.temporal.bound = 8
	one := []delivery.QueuedDelivery{{DeliveryID: uuid.New(), WebhookID: uuid.New()}}
	later := time.Now().Add(time.Hour)
	d.startAll(t.Context(), nil, d.temporal.atOnce(), later)
	require.Equal(t, 8, d.temporal.atOnce())
	failed, unavailable := d.startAll(t.Context(), one, d.temporal.atOnce(), later)
	require.Empty(t, failed)
	require.False(t, unavailable)
	require.Equal(t, 10, d.temporal.atOnce())

	failed, unavailable = d.startAll(t.Context(), one, d.temporal.atOnce(), time.Now().Add(-time.Second))
	require.Equal(t, one, failed, "the time of the round is over")
	require.False(t, unavailable)
	require.Len(t, a.started, 1)

	a.start = errAway
	_, unavailable = d.startAll(t.Context(), one, d.temporal.atOnce(), later)
	require.True(t, unavailable)
	require.Less(t, d.temporal.atOnce(), 8)
}

type locked struct {
	logged
	mu *sync.Mutex
}

func (l locked) Handle(ctx context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.logged.Handle(ctx, r)
}

// TestDecidesWhatBecomesOfACommand: one that Temporal did not answer is tried again at once, but not when it answered
// others of the round; one of a newer version is kept; a refused one is reported.
func TestDecidesWhatBecomesOfACommand(t *testing.T) {
	t.Parallel()
	reported := []string{"command to a workflow failed at attempt 3"}
	for name, tc := range map[string]struct {
		kind              delivery.CommandKind
		answer            error
		done              int
		fails             bool
		unavailable, keep bool
		logged            []string
	}{
		"done":                 {delivery.ReplayChanged, nil, 1, false, false, false, nil},
		"unavailable":          {delivery.ReplayChanged, errAway, 0, true, true, true, nil},
		"unavailable for this": {delivery.ReplayChanged, errAway, 1, true, false, true, reported},
		"refused":              {delivery.ReplayChanged, errRefused, 0, true, false, false, reported},
		"contended":            {delivery.ReplayChanged, errBusy, 0, true, false, true, reported},
		"of a newer version":   {"newer", nil, 0, true, false, true, reported},
		"started earlier": {
			db.GenerationRequested, nil, 1, false, false, false, nil,
		},
	} {
		a := &answers{signal: tc.answer}
		if tc.kind == db.GenerationRequested {
			a.start = errStarted
		}
		d, messages := decider(a)
		round := &commandRound{Dispatcher: d}
		round.try(t.Context(), delivery.Command{Kind: tc.kind, SubjectID: uuid.New(), Attempts: 2})
		require.Equal(t, errors.Is(tc.answer, errAway), round.unavailable, name)
		round.report(t.Context(), tc.done)
		require.Equal(t, tc.fails, len(round.failed) == 1, name)
		if tc.fails {
			require.Equal(t, tc.unavailable, round.failed[0].Unavailable, name)
			require.Equal(t, tc.keep, round.failed[0].Keep, name)
		}
		require.Equal(t, tc.logged, *messages, name)
	}
}

// TestDecidesThatTemporalWasUnavailable: one answer of the round is not forgotten for the next.
func TestDecidesThatTemporalWasUnavailable(t *testing.T) {
	t.Parallel()
	a := &answers{signal: errAway}
	d, _ := decider(a)
	round := &commandRound{Dispatcher: d}
	round.try(t.Context(), delivery.Command{Kind: delivery.ReplayChanged, SubjectID: uuid.New()})
	a.signal = errRefused
	round.try(t.Context(), delivery.Command{Kind: delivery.ReplayChanged, SubjectID: uuid.New()})
	require.True(t, round.unavailable)
	require.Len(t, round.failed, 2)
}

// TestDecidesWhichRowsGetAWorkflow: for each state of a due row and of its workflow, whether the workflow is signaled
// or started, and whether that counts as a fault that was repaired.
func TestDecidesWhichRowsGetAWorkflow(t *testing.T) {
	t.Parallel()
	const running, ended = enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED
	for name, tc := range map[string]struct {
		overdue, needed, works bool
		status                 enumspb.WorkflowExecutionStatus
		describe, signal       error
		described, signaled    int
		found                  int
		looked                 bool
		failed                 bool
		logged                 int
	}{
		"nothing to do":             {looked: true},
		"needed and there":          {needed: true, status: running, described: 1, looked: true},
		"needed and ended":          {needed: true, status: ended, described: 1, signaled: 1, found: 1, looked: true},
		"needed and missing":        {needed: true, describe: errNone, described: 1, signaled: 1, found: 1, looked: true},
		"overdue and missing":       {overdue: true, describe: errNone, described: 1, signaled: 1, found: 1, looked: true},
		"overdue though it runs":    {overdue: true, status: running, described: 1, signaled: 1, found: 1, looked: true},
		"overdue and still at work": {overdue: true, works: true, status: running, described: 1, signaled: 1, looked: true},
		"overdue work that is lost": {
			overdue: true, works: true, status: ended, described: 1, signaled: 1, found: 1, looked: true,
		},
		"Temporal does not answer the look": {overdue: true, describe: errAway, described: 1, failed: true},
		"Temporal does not answer the signal": {
			overdue: true, status: ended, signal: errAway, described: 1, signaled: 1, failed: true,
		},
		"the workflow is contended": {needed: true, status: ended, signal: errBusy, described: 1, signaled: 1},
		"Temporal refuses the look": {needed: true, describe: errRefused, described: 1, looked: true, logged: 1},
		"Temporal refuses the start": {
			needed: true, status: ended, signal: errRefused, described: 1, signaled: 1, looked: true, logged: 1,
		},
	} {
		a := &answers{status: tc.status, describe: tc.describe, signal: tc.signal}
		d, messages := decider(a)
		page := &lookedPage{
			reconciler: &reconciler{Dispatcher: d}, kind: delivery.Reconciled{Kind: "replay", Works: tc.works},
			command: delivery.ReplayChanged, workflow: workflows.ReplayWorkflowID,
		}
		row := delivery.Due{ID: uuid.New(), Overdue: tc.overdue, Needed: tc.needed}
		page.visit(t.Context(), row)
		require.Len(t, a.described, tc.described, name)
		require.Len(t, a.signaled, tc.signaled, name)
		require.Equal(t, tc.found, page.found, name)
		require.Equal(t, tc.looked, len(page.looked) == 1, "%s: a row that was looked at is not due for a while", name)
		require.Equal(t, tc.failed, page.err != nil, name)
		require.Len(t, *messages, tc.logged, name)
		if tc.signaled > 0 {
			require.Equal(t, []string{workflows.ReplayWorkflowID(row.ID)}, a.signaled, name)
			require.Equal(t, workflows.ReplayDeliveriesInput{ReplayID: row.ID, PerSecond: 7}, a.input, name)
		}
	}
}

// TestDecidesWhenTemporalIsBack: after an outage the workflows get ten seconds to catch up by themselves.
func TestDecidesWhenTemporalIsBack(t *testing.T) {
	t.Parallel()
	d, messages := decider(&answers{})
	r := &reconciler{Dispatcher: d}
	require.True(t, r.temporalAnswers(t.Context()), "nothing is prepared")
	var answer error
	d.o.Prepare = func(context.Context) error { return answer }
	require.True(t, r.temporalAnswers(t.Context()))
	require.Empty(t, *messages)

	answer = errRefused
	require.True(t, r.temporalAnswers(t.Context()), "it answers")
	require.Equal(t, []string{"Temporal cannot be prepared"}, *messages)

	answer = errAway
	require.False(t, r.temporalAnswers(t.Context()))
	answer = nil
	require.False(t, r.temporalAnswers(t.Context()), "it is back since just now")
	r.backAt = time.Now().Add(-9 * time.Second)
	require.False(t, r.temporalAnswers(t.Context()))
	r.backAt = time.Now().Add(-11 * time.Second)
	require.True(t, r.temporalAnswers(t.Context()))
}

// TestDecidesWhatIsReported: rows that got a workflow are a warning; none are nothing.
func TestDecidesWhatIsReported(t *testing.T) {
	t.Parallel()
	d, messages := decider(&answers{})
	r := &reconciler{Dispatcher: d}
	r.report(t.Context(), "test", 0)
	require.Empty(t, *messages)
	r.report(t.Context(), "test", 2)
	require.Equal(t, []string{"rows without a workflow got one"}, *messages)
}

// TestLeavesACrowdedEndpointOut: a round that puts much of an endpoint back is not followed by the same at once.
func TestLeavesACrowdedEndpointOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, _ := decider(&answers{})
		crowded, other := uuid.New(), uuid.New()
		full := []delivery.QueuedDelivery{{WebhookID: other}}
		for range 40 {
			full = append(full, delivery.QueuedDelivery{WebhookID: crowded})
		}
		d.leaveOutCrowded(full)
		require.Equal(t, map[uuid.UUID]int{crowded: 0}, d.o.Endpoints.Quotas(false).Webhook)
		began := time.Now()
		<-d.deliveries
		require.Equal(t, inflight.LeftOutFor, time.Since(began), "the next round is not missed")
		require.Empty(t, d.o.Endpoints.Quotas(false).Webhook)
	})
}
