package dispatch_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"greenroom/db"
	"greenroom/db/delivery"
	"greenroom/db/pg"
	"greenroom/workflows"
	"greenroom/workflows/dispatch"
)

// TestPausesTheBacklogOfABlockedWebhookBesideTheRounds: a round takes a few of its deliveries, whatever it may take of a
// flow, and the next one does not begin because of the rest.
func TestPausesTheBacklogOfABlockedWebhookBesideTheRounds(t *testing.T) {
	b := setup(t)
	b.options.BatchAbove = 20
	b.publishMany(1000)
	b.exec("UPDATE webhooks SET circuit_opened_at = now()")
	d := dispatch.New(b.options)
	r, again, err := dispatch.Deliveries(t.Context(), d)
	require.NoError(t, err)
	require.LessOrEqual(t, r.Taken, 10)
	require.False(t, again)
	pages := 0
	for again = true; again; pages++ {
		r, again, err = dispatch.PauseBlocked(t.Context(), d)
		require.NoError(t, err)
		require.LessOrEqual(t, r.Taken, 200, "a Reset waits for one page")
	}
	require.GreaterOrEqual(t, pages, 5)
	require.Zero(t, b.queued())
	var paused int
	require.NoError(t, b.db.NewRaw("SELECT count(*) FROM deliveries WHERE status = 'paused'").Scan(t.Context(), &paused))
	require.Equal(t, 1000, paused)
}

// TestBeginsTheNextTurnAtOnce: a round that continued a turn and found nothing says nothing about the flows before it.
func TestBeginsTheNextTurnAtOnce(t *testing.T) {
	b := setup(t)
	id := b.publish()
	d := dispatch.New(b.options)
	dispatch.SetTurn(d, delivery.Flow{Webhook: uuid.Max, Company: uuid.Max})
	r, again, err := dispatch.Deliveries(t.Context(), d)
	require.NoError(t, err)
	require.Equal(t, dispatch.Result{}, r)
	require.True(t, again)
	r, again, err = dispatch.Deliveries(t.Context(), d)
	require.NoError(t, err)
	require.Equal(t, dispatch.Result{Taken: 1}, r)
	require.False(t, again)
	require.NotEmpty(t, b.run(id))
	_, again, err = dispatch.Deliveries(t.Context(), d)
	require.NoError(t, err)
	require.False(t, again, "an empty queue is read again when a row comes")
}

// summary is what the Temporal UI shows beside a workflow.
func (b *bundle) summary(workflow string) (text string) {
	b.t.Helper()
	d, err := b.client.DescribeWorkflowExecution(b.t.Context(), workflow, "")
	require.NoError(b.t, err)
	if summary := d.GetExecutionConfig().GetUserMetadata().GetSummary(); summary != nil {
		require.NoError(b.t, converter.GetDefaultDataConverter().FromPayload(summary, &text))
	}
	return text
}

// TestNamesTheSubjectOfAWorkflow: the Temporal UI shows it. A workflow whose row is gone starts without it.
func TestNamesTheSubjectOfAWorkflow(t *testing.T) {
	b := setup(t)
	candidate, agent, interview, gone := pg.NewID(), pg.NewID(), pg.NewID(), pg.NewID()
	b.exec("INSERT INTO candidates (id, company_id, first_name, last_name) VALUES (?, ?, 'Ada', 'Byron')",
		candidate, b.company)
	b.exec("INSERT INTO agents (id, company_id, name, type) VALUES (?, ?, 'Agent', 'ONLINE')", agent, b.company)
	b.exec(`INSERT INTO interviews (id, company_id, candidate_id, agent_id, type, scheduled_at, deadline_at, max_minutes)
		VALUES (?, ?, ?, ?, 'ONLINE', now(), now(), 60)`, interview, b.company, candidate, agent)
	var number int
	require.NoError(t, b.db.NewRaw("SELECT number FROM interviews").Scan(t.Context(), &number))
	b.tx(func(tx bun.Tx) error {
		for id, kind := range map[uuid.UUID]delivery.CommandKind{
			b.hook.ID: delivery.CircuitChanged, gone: delivery.CircuitChanged, interview: db.InterviewChanged,
		} {
			if err := delivery.AddCommand(t.Context(), tx, kind, id, nil); err != nil {
				return err
			}
		}
		return delivery.AddCommand(t.Context(), tx, db.InterviewChanged, gone, nil)
	})
	require.Equal(t, dispatch.Result{Taken: 4}, b.round())
	require.Equal(t, "circuit of receiver.test", b.summary(workflows.CircuitWorkflowID(b.hook.ID)))
	require.Empty(t, b.summary(workflows.CircuitWorkflowID(gone)))
	require.Equal(t, fmt.Sprintf("online interview %d", number), b.summary(workflows.InterviewWorkflowID(interview)))
	require.Empty(t, b.summary(workflows.InterviewWorkflowID(gone)))
}

// TestAWakeOfADeliveryWithoutAWorkflowIsDone: it is in the queue, or in a batch.
func TestAWakeOfADeliveryWithoutAWorkflowIsDone(t *testing.T) {
	b := setup(t)
	id := b.publish()
	b.exec("DELETE FROM delivery_queue")
	b.tx(func(tx bun.Tx) error {
		return delivery.AddCommand(t.Context(), tx, delivery.WakeDelivery, id, delivery.WakeArgs{})
	})
	require.Equal(t, dispatch.Result{Taken: 1}, b.round())
	require.Zero(t, b.queued())
}

// noWorkflows is a Temporal in which no workflow exists, or that does not answer.
type noWorkflows struct {
	client.Client
	away            bool
	awayFor         string // the id of a workflow
	looks, signaled atomic.Int32
}

func (n *noWorkflows) DescribeWorkflowExecution(
	context.Context, string, string,
) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	n.looks.Add(1)
	if n.away {
		return nil, serviceerror.NewUnavailable("away")
	}
	return nil, serviceerror.NewNotFound("no such workflow")
}

func (n *noWorkflows) SignalWithStartWorkflow(
	_ context.Context, id, _ string, _ any, _ client.StartWorkflowOptions, _ any, _ ...any,
) (client.WorkflowRun, error) {
	n.signaled.Add(1)
	if n.away || id == n.awayFor {
		return nil, serviceerror.NewUnavailable("away")
	}
	return nil, nil
}

// TestCommandsWaitForTemporalTogether: a command that finds Temporal unavailable stops the rounds for a while, unless
// another command of the round was done.
func TestCommandsWaitForTemporalTogether(t *testing.T) {
	b := setup(t)
	ids := []uuid.UUID{uuid.New(), uuid.New()}
	n := &noWorkflows{awayFor: workflows.ReplayWorkflowID(ids[0])}
	b.options.Client = n
	add := func(id uuid.UUID) {
		b.tx(func(tx bun.Tx) error { return delivery.AddCommand(t.Context(), tx, delivery.ReplayChanged, id, nil) })
	}
	add(ids[0])
	require.Equal(t, dispatch.Result{Failed: 1, Unavailable: true}, b.round())
	add(ids[1])
	require.Equal(t, dispatch.Result{Taken: 1, Failed: 1}, b.round())
	require.Equal(t, dispatch.Result{}, b.round(), "the one that failed then waits its turn")
}

// manyReplays adds replays that have had no workflow for an hour.
func (b *bundle) manyReplays(n int) {
	b.t.Helper()
	r := &delivery.Replay{WebhookID: b.hook.ID, Since: time.Now(), Until: time.Now(), Statuses: []string{"failed"}}
	b.tx(func(tx bun.Tx) error { return delivery.CreateReplay(b.t.Context(), tx, r) })
	b.exec(`INSERT INTO replays SELECT (jsonb_populate_record(r, jsonb_build_object('id', gen_random_uuid()))).*
		FROM replays r, generate_series(2, ?)`, n)
	b.exec("DELETE FROM commands")
	b.exec("UPDATE replays SET updated_at = now() - interval '1 hour'")
}

// TestReconcilesMoreRowsThanAPageHas reads pages of 200 until none is due.
func TestReconcilesMoreRowsThanAPageHas(t *testing.T) {
	b := setup(t)
	n := &noWorkflows{}
	b.options.Client = n
	b.manyReplays(450)
	require.Equal(t, 450, b.reconcile())
	require.EqualValues(t, 450, n.signaled.Load())
	require.Zero(t, b.reconcile(), "they were looked at just now")
}

// TestReconcilingEndsAtTheFirstPageWhileTemporalIsUnavailable: the rows stay due, and each is asked about once.
func TestReconcilingEndsAtTheFirstPageWhileTemporalIsUnavailable(t *testing.T) {
	b := setup(t)
	n := &noWorkflows{away: true}
	b.options.Client = n
	b.manyReplays(250)
	r, err := dispatch.ReconcileOnce(t.Context(), dispatch.New(b.options))
	require.NoError(t, err)
	require.Equal(t, dispatch.Result{Unavailable: true}, r)
	require.EqualValues(t, 200, n.looks.Load())
	n.away = false
	require.Equal(t, 250, b.reconcile())
}

// TestSweepsMoreDeliveriesThanAPageHas reads pages of 1000 until none is overdue.
func TestSweepsMoreDeliveriesThanAPageHas(t *testing.T) {
	b := setup(t)
	b.options.Client = &noWorkflows{}
	b.publishMany(1500)
	b.exec("DELETE FROM delivery_queue")
	require.Zero(t, b.reconcile(), "they are young")
	require.Equal(t, 1500, b.reconcile("deliveries"))
	require.Equal(t, 1500, func() (n int) {
		require.NoError(t, b.db.NewRaw("SELECT count(*) FROM delivery_queue").Scan(t.Context(), &n))
		return n
	}())
}
