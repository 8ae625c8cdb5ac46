package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"greenroom/db"
	"greenroom/db/delivery"
	"greenroom/db/leader"
	"greenroom/db/pg"
	"greenroom/workflows"
	"greenroom/workflows/dispatch"
)

// reconcile is one look for lost work after everything has been due for an hour.
func (b *bundle) reconcile(aged ...string) int {
	b.t.Helper()
	for _, table := range aged {
		b.exec("UPDATE " + table + " SET updated_at = now() - interval '1 hour', reconcile_at = NULL")
	}
	r, err := dispatch.ReconcileOnce(b.t.Context(), dispatch.New(b.options))
	require.NoError(b.t, err)
	require.False(b.t, r.Unavailable)
	return r.Taken
}

func (b *bundle) exec(query string, args ...any) {
	b.t.Helper()
	_, err := b.db.ExecContext(b.t.Context(), query, args...)
	require.NoError(b.t, err)
}

// status is that of a workflow, unspecified when there is none.
func (b *bundle) status(workflow string) enumspb.WorkflowExecutionStatus {
	b.t.Helper()
	d, err := b.client.DescribeWorkflowExecution(b.t.Context(), workflow, "")
	var gone *serviceerror.NotFound
	if errors.As(err, &gone) {
		return enumspb.WORKFLOW_EXECUTION_STATUS_UNSPECIFIED
	}
	require.NoError(b.t, err)
	return d.WorkflowExecutionInfo.Status
}

// lostAndFound shows that the reconciler leaves a running workflow alone and starts one that is missing or was ended.
func (b *bundle) lostAndFound(workflow string, aged ...string) {
	b.t.Helper()
	require.Equal(b.t, 1, b.reconcile(aged...), "it was never started")
	require.Equal(b.t, enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, b.status(workflow))
	require.NoError(b.t, b.client.TerminateWorkflow(b.t.Context(), workflow, "", "test"))
	require.Zero(b.t, b.reconcile(), "it was looked at just now")
	require.Equal(b.t, 1, b.reconcile(aged...), "it was terminated")
	require.Equal(b.t, enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, b.status(workflow))
}

func TestReconcilesReplays(t *testing.T) {
	b := setup(t)
	r := &delivery.Replay{WebhookID: b.hook.ID, Since: time.Now(), Until: time.Now(), Statuses: []string{"failed"}}
	b.tx(func(tx bun.Tx) error { return delivery.CreateReplay(t.Context(), tx, r) })
	b.exec("DELETE FROM commands")
	require.Zero(t, b.reconcile(), "it was made just now")
	b.lostAndFound(workflows.ReplayWorkflowID(r.ID), "replays")
}

func TestReconcilesGenerations(t *testing.T) {
	b := setup(t)
	g := &db.Generation{CompanyID: b.company, JobRole: "x", JobDescription: "y"}
	b.tx(func(tx bun.Tx) error { return db.CreateGeneration(t.Context(), tx, g) })
	b.exec("DELETE FROM commands")
	b.lostAndFound(workflows.GenerateInterviewWorkflowID(g.ID), "generations")
	require.Zero(t, b.reconcile("generations"), "one that runs is left alone")
}

func TestReconcilesServiceRuns(t *testing.T) {
	b := setup(t)
	r := &db.ServiceRun{CompanyID: b.company, Kind: db.RunSourcing, Request: db.RunRequest{Title: "x", Limit: 1}}
	b.tx(func(tx bun.Tx) error { return db.CreateRun(t.Context(), tx, r, time.Hour) })
	b.exec("DELETE FROM commands")
	b.lostAndFound(workflows.ServiceRunWorkflowID(r.ID), "service_runs")
	require.Zero(t, b.reconcile("service_runs"), "one that runs is left alone")
}

func TestReconcilesOpenCircuits(t *testing.T) {
	b := setup(t)
	b.exec("UPDATE webhooks SET circuit_opened_at = now() - interval '1 hour'")
	b.lostAndFound(workflows.CircuitWorkflowID(b.hook.ID), "webhooks")
	require.Zero(t, b.reconcile("webhooks"), "one that runs is left alone")
}

func TestReconcilesReleases(t *testing.T) {
	b := setup(t)
	b.publish()
	b.exec("DELETE FROM delivery_queue")
	b.exec("UPDATE deliveries SET status = 'paused'")
	b.lostAndFound(workflows.CircuitWorkflowID(b.hook.ID), "webhooks")
	require.Zero(t, b.reconcile("webhooks"), "a release that is under way is no fault")
}

func TestReconcilesInterviews(t *testing.T) {
	b := setup(t)
	candidate, agent, id := pg.NewID(), pg.NewID(), pg.NewID()
	b.exec(
		"INSERT INTO candidates (id, company_id, first_name, last_name) VALUES (?, ?, 'Ada', 'Byron')",
		candidate,
		b.company,
	)
	b.exec("INSERT INTO agents (id, company_id, name, type) VALUES (?, ?, 'Agent', 'ONLINE')", agent, b.company)
	b.exec(`INSERT INTO interviews (id, company_id, candidate_id, agent_id, type, scheduled_at, deadline_at, max_minutes)
		VALUES (?, ?, ?, ?, 'ONLINE', now(), now() - interval '1 hour', 60)`, id, b.company, candidate, agent)
	b.lostAndFound(workflows.InterviewWorkflowID(id), "interviews")
}

func TestReconcilesDeliveries(t *testing.T) {
	b := setup(t)
	id := b.publish()
	b.round()
	first := b.run(id)
	require.Zero(t, b.reconcile())
	require.Equal(t, 1, b.reconcile("deliveries"))
	b.round()
	require.Equal(t, first, b.run(id), "a workflow that is there is kept")
	require.Equal(
		t,
		1,
		b.signals(workflows.DeliverWebhookWorkflowID(id, 0), first),
		"and woken: it may be older than the row",
	)

	require.NoError(t, b.client.TerminateWorkflow(t.Context(), workflows.DeliverWebhookWorkflowID(id, 0), first, "test"))
	require.Equal(t, 1, b.reconcile("deliveries"))
	b.round()
	require.NotEqual(t, first, b.run(id))
}

func (b *bundle) signals(workflow, run string) (n int) {
	b.t.Helper()
	h := b.client.GetWorkflowHistory(b.t.Context(), workflow, run, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for h.HasNext() {
		e, err := h.Next()
		require.NoError(b.t, err)
		if e.EventType == enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED {
			n++
		}
	}
	return n
}

func TestReconcilingWaitsForTemporal(t *testing.T) {
	b := setup(t)
	b.exec("UPDATE webhooks SET circuit_opened_at = now() - interval '1 hour'")
	away, err := client.NewLazyClient(client.Options{HostPort: "127.0.0.1:1"})
	require.NoError(t, err)
	t.Cleanup(away.Close)
	there := b.options.Client
	b.options.Client = away
	r, err := dispatch.ReconcileOnce(t.Context(), dispatch.New(b.options))
	require.NoError(t, err)
	require.True(t, r.Unavailable)
	b.options.Client = there
	require.Equal(t, 1, b.reconcile(), "it is still due")
}

func TestPreparesTemporalBeforeItLooks(t *testing.T) {
	b := setup(t)
	b.exec("UPDATE webhooks SET circuit_opened_at = now() - interval '1 hour'")
	answer := error(serviceerror.NewNamespaceNotFound("default"))
	b.options.Prepare = func(context.Context) error { return answer }
	r, err := dispatch.ReconcileOnce(t.Context(), dispatch.New(b.options))
	require.NoError(t, err)
	require.Equal(t, dispatch.Result{Unavailable: true}, r)
	answer = nil
	require.Equal(t, 1, b.reconcile())
}

// A batch whose workflow runs and makes no progress is ended, and its deliveries get their own.
func TestABatchThatStandsIsGivenUp(t *testing.T) {
	b := setupBatching(t, 1)
	ids := b.publishMany(3)
	b.round()
	batch := b.batches()[0]
	b.exec("UPDATE delivery_batches SET created_at = now() - interval '1 hour'")
	b.recoverStale()
	require.NotEmpty(t, b.batches(), "its deliveries are young")
	b.exec("UPDATE deliveries SET updated_at = now() - interval '1 hour'")
	b.recoverStale()
	require.NotEmpty(t, b.batches(), "its workflow is young: Temporal was away")
	require.Equal(t, enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, b.status(workflows.DeliverBatchWorkflowID(batch)))

	dispatch.SetBatchStuckAfter(b.Dispatcher, time.Millisecond)
	b.recoverStale()
	require.Equal(t, enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, b.status(workflows.DeliverBatchWorkflowID(batch)))
	require.Empty(t, b.batches())
	b.round()
	for _, id := range ids {
		require.NotEmpty(t, b.run(id))
	}
}

func TestOnlyOneDispatcherLeads(t *testing.T) {
	b := setup(t)
	rounds := make(chan int, 1000)
	lead := func(n int) (stop func()) {
		o := b.options
		o.Reconcile.Every = 10 * time.Millisecond
		o.Prepare = func(context.Context) error {
			select {
			case rounds <- n:
			default:
			}
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- dispatch.New(o).Run(ctx) }()
		return func() { cancel(); require.NoError(t, <-done) }
	}
	stopFirst := lead(1)
	require.Equal(t, 1, <-rounds)
	stopSecond := lead(2)
	defer stopSecond()
	for range 20 {
		require.Equal(t, 1, <-rounds)
	}
	stopFirst()
	stopped := time.Now()
	for n := 1; n == 1; n = <-rounds {
	}
	require.Less(t, time.Since(stopped), leader.LeaseDuration, "a leader that stops gives its lease back")
}

func TestARefusedCommandDoesNotBlockTheOthers(t *testing.T) {
	b := setup(t)
	for range 250 { // more than one round takes
		b.tx(func(tx bun.Tx) error {
			return delivery.AddCommand(t.Context(), tx, "of.a.later.version", uuid.New(), nil)
		})
	}
	b.exec("UPDATE commands SET not_before = now() - interval '1 minute'")
	b.tx(func(tx bun.Tx) error {
		return delivery.AddCommand(t.Context(), tx, delivery.CircuitChanged, b.hook.ID, nil)
	})
	b.round()
	b.round()
	require.Equal(t, enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, b.status(workflows.CircuitWorkflowID(b.hook.ID)))
	kept := func(where string) (n int) {
		require.NoError(t, b.db.NewRaw("SELECT count(*) FROM commands WHERE "+where).Scan(t.Context(), &n))
		return n
	}
	require.Equal(
		t,
		250,
		kept("attempts = 1 AND not_before > now() AND reason LIKE '%not known%'"),
		"they wait, and are kept",
	)
	b.exec("UPDATE commands SET attempts = 50, not_before = now()")
	b.round()
	b.round()
	require.Equal(t, 250, kept("not_before < 'infinity'"), "however often that fails: an upgrade will know them")
}

func TestACommandThatIsRefusedTooOftenIsParked(t *testing.T) {
	b := setup(t)
	b.tx(func(tx bun.Tx) error {
		return delivery.AddCommand(t.Context(), tx, delivery.WakeDelivery, b.hook.ID, "no arguments")
	})
	b.exec("UPDATE commands SET attempts = 9")
	require.Equal(t, dispatch.Result{Failed: 1}, b.round())
	n, err := delivery.ParkedCommands(t.Context(), b.db, 10)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	waiting, err := delivery.QueueLength(t.Context(), b.db, 10)
	require.NoError(t, err)
	require.Zero(t, waiting.Commands)
	require.Equal(t, dispatch.Result{}, b.round(), "it is not tried again")
	b.exec("UPDATE commands SET attempts = 0, not_before = now()")
	require.Equal(t, dispatch.Result{Failed: 1}, b.round(), "until an operator asks for it")
}

func TestIsUnavailable(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		serviceerror.NewUnavailable("x"), serviceerror.NewDeadlineExceeded("x"), serviceerror.NewCanceled("x"),
		serviceerror.NewResourceExhausted(enumspb.RESOURCE_EXHAUSTED_CAUSE_RPS_LIMIT, "x"),
		serviceerror.NewNamespaceNotFound("x"), context.DeadlineExceeded, context.Canceled,
		status.Error(codes.Unavailable, "x"), status.Error(codes.ResourceExhausted, "x"),
	} {
		require.True(t, dispatch.IsUnavailable(fmt.Errorf("start: %w", err)), "%T", err)
	}
	for _, err := range []error{
		nil, errors.New("x"), serviceerror.NewInvalidArgument("x"), serviceerror.NewNotFound("x"),
		status.Error(codes.InvalidArgument, "x"), // the others concern one workflow:
		serviceerror.NewResourceExhausted(enumspb.RESOURCE_EXHAUSTED_CAUSE_BUSY_WORKFLOW, "x"), serviceerror.NewAborted("x"),
	} {
		require.False(t, dispatch.IsUnavailable(err), "%T", err)
	}
}
