package dispatch

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"greenroom/activities/deliver"
	"greenroom/db/delivery"
	"greenroom/workflows"
)

// outcome is what one round returns.
type outcome struct {
	result Result
	err    error
}

// loopOver runs the loop over rounds with these outcomes, until there are none left. It returns when each round began,
// and what was logged.
func loopOver(t *testing.T, hints []time.Duration, outcomes ...outcome) (began []time.Duration, messages []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d, logged := decider(&answers{})
		ctx, cancel := context.WithCancel(t.Context())
		start, hint := time.Now(), make(chan struct{}, 1)
		for _, after := range hints {
			time.AfterFunc(after, func() { hint <- struct{}{} })
		}
		d.loop(ctx, func(context.Context) (Result, error) {
			began = append(began, time.Since(start))
			o := outcomes[len(began)-1]
			if len(began) == len(outcomes) {
				cancel()
			}
			return o.result, o.err
		}, hint)
		messages = *logged
	})
	return began, messages
}

// TestLoopPaces has when the next round begins after each outcome.
func TestLoopPaces(t *testing.T) {
	t.Parallel()
	took, nothing, more := outcome{result: Result{Taken: 1}}, outcome{}, outcome{result: Result{more: true}}
	away, fault := outcome{result: Result{Unavailable: true}}, outcome{err: errors.New("fault")}
	const ms = time.Millisecond
	const continues, waits = "dispatch continues", "dispatch waits: Temporal does not answer; nothing is lost"
	for name, tc := range map[string]struct {
		hints    []time.Duration
		outcomes []outcome
		began    []time.Duration
		messages []string
	}{
		"at once while something may be left": {nil, []outcome{more, more, nothing}, []time.Duration{0, 0, 0}, nil},
		"after a second when nothing is left": {
			nil, []outcome{nothing, took, took}, []time.Duration{0, 1000 * ms, 2000 * ms}, nil,
		},
		"at a hint": {
			[]time.Duration{300 * ms}, []outcome{nothing, nothing, nothing}, []time.Duration{0, 300 * ms, 1300 * ms}, nil,
		},
		"ever later while Temporal is unavailable": {
			nil,
			[]outcome{away, away, away, took, took},
			[]time.Duration{0, 250 * ms, 750 * ms, 1500 * ms, 2500 * ms},
			[]string{waits, continues},
		},
		"ever later after faults": {
			nil,
			[]outcome{fault, fault, took},
			[]time.Duration{0, 250 * ms, 750 * ms},
			[]string{"dispatch failed and is retried", continues},
		},
		"soon again after each outage": {
			nil,
			[]outcome{away, took, away, took},
			[]time.Duration{0, 250 * ms, 1250 * ms, 1500 * ms},
			[]string{waits, continues, waits, continues},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began, messages := loopOver(t, tc.hints, tc.outcomes...)
			require.Equal(t, tc.began, began)
			require.Equal(t, tc.messages, messages)
		})
	}
	t.Run("within five seconds after an outage of any length", func(t *testing.T) {
		t.Parallel()
		outcomes := make([]outcome, 50)
		for i := range outcomes {
			outcomes[i] = away
		}
		began, _ := loopOver(t, nil, outcomes...)
		require.Equal(t, 5*time.Second, began[49]-began[48])
	})
	t.Run("PostgreSQL is named when it is unavailable", func(t *testing.T) {
		t.Parallel()
		_, messages := loopOver(t, nil, outcome{err: &pgconn.PgError{Code: "57P01"}}, took)
		require.Equal(t, []string{"dispatch waits: PostgreSQL does not answer", continues}, messages)
	})
	t.Run("a shutdown is no outage", func(t *testing.T) {
		t.Parallel()
		_, messages := loopOver(t, nil, away)
		require.Empty(t, messages)
	})
}

// TestDefaults are those that the options promise.
func TestDefaults(t *testing.T) {
	t.Parallel()
	o := New(Options{}).o
	require.Equal(t, time.Second, o.PollInterval)
	require.Equal(t, ReconcileSettings{Every: 5 * time.Second, Grace: 25 * time.Second}, o.Reconcile)
	set := Options{PollInterval: 1, Reconcile: ReconcileSettings{Every: 2, Grace: 3}}
	o = New(set).o
	require.Equal(t, set.PollInterval, o.PollInterval)
	require.Equal(t, set.Reconcile, o.Reconcile)
}

// TestMaintenancePauses: no task spins, and partitions are made long before the week that is made ahead has passed.
func TestMaintenancePauses(t *testing.T) {
	t.Parallel()
	d, _ := decider(&answers{})
	pauses := map[string]time.Duration{}
	for _, task := range d.maintenance() {
		pauses[task.Name] = task.Every
	}
	require.Equal(t, map[string]time.Duration{
		"recover batches": 5 * time.Second, "reconcile": 5 * time.Second, "upkeep": 6 * time.Hour,
		"erase": 5 * time.Second, "expire candidates": time.Hour,
	}, pauses)
}

// flows are n webhooks with two deliveries each, of which every second has a company.
func flows(n int) (qs []delivery.QueuedDelivery) {
	company := uuid.New()
	for i := range n {
		q := delivery.QueuedDelivery{WebhookID: uuid.New()}
		if i%2 == 1 {
			q.CompanyID = &company
		}
		for range 2 {
			q.DeliveryID = uuid.New()
			qs = append(qs, q)
		}
	}
	return qs
}

// TestSplitsBatchesByFlow: Temporal refuses a batch of more webhooks than deliver.FlowsMost. A flow stays in one batch.
func TestSplitsBatchesByFlow(t *testing.T) {
	t.Parallel()
	qs := flows(120)
	groups := splitByFlow(append(qs[:100:100], append(qs[1:2:2], qs[100:]...)...), deliver.FlowsMost)
	require.Len(t, groups, 3)
	require.Len(t, groups[0], 101, "a flow that comes again joins its batch")
	require.Len(t, groups[1], 100)
	require.Len(t, groups[2], 40)
	require.Empty(t, splitByFlow(nil, deliver.FlowsMost))
}

// TestNamesTheFlowsOfABatch: operators find it by each of its webhooks and companies.
func TestNamesTheFlowsOfABatch(t *testing.T) {
	t.Parallel()
	qs := flows(3)
	b := newBatch(qs)
	require.Len(t, b.Deliveries, 6)
	for i, q := range qs {
		require.Equal(t, q.DeliveryID, b.Deliveries[i])
	}
	attributes := b.attributes()
	webhooks, _ := attributes.GetKeywordList(workflows.WebhookID)
	require.Equal(t, []string{qs[0].WebhookID.String(), qs[2].WebhookID.String(), qs[4].WebhookID.String()}, webhooks)
	companies, _ := attributes.GetKeywordList(workflows.CompanyID)
	require.Equal(t, []string{qs[2].CompanyID.String()}, companies)

	b = newBatch(qs[:1])
	attributes = b.attributes()
	_, found := attributes.GetKeywordList(workflows.CompanyID)
	require.False(t, found, "a webhook of the platform has no company")
	b = newBatch(nil)
	require.Zero(t, b.attributes().Size())
}

// TestStartsStoredBatches: a batch is started until Temporal answers, with its id, and none after it before that.
func TestStartsStoredBatches(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer   error
		done     bool
		started  int
		messages []string
	}{
		"started":     {nil, true, 2, nil},
		"unavailable": {errAway, false, 1, nil},
		"refused":     {errRefused, true, 2, []string{"batch cannot be started", "batch cannot be started"}},
		"ended":       {errStarted, true, 2, nil},
	} {
		a := &answers{start: tc.answer}
		d, messages := decider(a)
		d.batches.add([]batch{newBatch(flows(2)), newBatch(flows(1))})
		first := workflows.DeliverBatchWorkflowID(d.batches.queue[0].ID)
		require.Equal(t, tc.done, d.startPendingBatches(t.Context()), name)
		require.Len(t, a.started, tc.started, name)
		require.Equal(t, first, a.started[0], name)
		require.Equal(t, tc.done, len(d.batches.queue) == 0, name)
		require.Equal(t, tc.messages, append([]string(nil), *messages...), name)
		require.Equal(t, 5*time.Second, a.options.WorkflowTaskTimeout, "another worker takes over soon after a kill")
	}
}
