package delivery_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db/catalog"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// batch publishes n events, at most ten, and puts their deliveries in a batch.
func (b *bundle) batch(n int) (delivery.Batch, []delivery.QueuedDelivery) {
	b.t.Helper()
	for range n {
		b.publish(catalog.InterviewStarted)
	}
	qs := b.take()
	require.Len(b.t, qs, n)
	batch := delivery.Batch{ID: pg.NewID()}
	for _, q := range qs {
		batch.Deliveries = append(batch.Deliveries, q.DeliveryID)
	}
	b.tx(func(tx bun.Tx) error { return delivery.AddBatch(b.ctx, tx, batch) })
	return batch, qs
}

// load returns the deliveries that a run of the batch would find, true for those that it has recorded.
func (b *bundle) load(batch delivery.Batch, run uuid.UUID, replay bool) map[uuid.UUID]bool {
	b.t.Helper()
	jobs, err := delivery.LoadBatch(b.ctx, b.DB, batch, run, replay)
	require.NoError(b.t, err)
	found := map[uuid.UUID]bool{}
	for _, j := range jobs {
		found[j.Delivery.ID] = j.Done != nil
	}
	require.Len(b.t, found, len(jobs), "none is there twice")
	return found
}

func (b *bundle) succeed(run uuid.UUID, qs ...delivery.QueuedDelivery) {
	b.t.Helper()
	code, rs := 204, make([]delivery.AttemptRecord, len(qs))
	for i, q := range qs {
		rs[i] = delivery.AttemptRecord{
			WebhookID: q.WebhookID,
			Body:      []byte(`{"x":1}`),
			Counts:    true,
			Attempt: delivery.Attempt{
				DeliveryID: q.DeliveryID, RunID: run, Attempt: 1, WorkflowID: "batch:x", StartedAt: time.Now(), DurationMS: 5,
				Outcome: delivery.OutcomeSucceeded, StatusCode: &code,
			},
		}
	}
	require.NoError(b.t, delivery.RecordSuccesses(b.ctx, b.DB, rs))
}

func ids(qs []delivery.QueuedDelivery) []uuid.UUID {
	out := make([]uuid.UUID, len(qs))
	for i, q := range qs {
		out[i] = q.DeliveryID
	}
	return out
}

func TestBatch(t *testing.T) {
	t.Parallel()
	t.Run("loads_all_but_those_that_left", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		batch, qs := b.batch(5)
		run := uuid.New()
		require.Len(t, b.load(batch, run, false), 5)
		jobs, err := delivery.LoadBatch(b.ctx, b.DB, batch, run, false)
		require.NoError(t, err)
		require.Equal(t, `{"b": 1,  "a":"ü"}`, string(jobs[0].Event.Data), "data is read byte for byte")
		require.Equal(t, b.company, *jobs[0].Event.CompanyID)
		require.Equal(t, catalog.InterviewStarted, jobs[0].Event.Type)

		require.NoError(t, delivery.LeaveBatch(b.ctx, b, batch.ID, 0, nil))
		require.NoError(t, delivery.LeaveBatch(b.ctx, b, batch.ID, 0, qs[:2]))
		left := b.load(batch, run, false)
		require.Len(t, left, 3)
		require.NotContains(t, left, qs[0].DeliveryID)
		require.NotContains(t, left, qs[1].DeliveryID)
		require.Len(t, b.load(batch, run, true), 5, "a replay reads what it is given")

		again := b.take()
		require.ElementsMatch(t, ids(qs[:2]), ids(again), "those that left wait in the queue")
		for _, q := range again {
			require.Equal(t, 1, q.Attempt)
			require.False(t, q.EnsureWorkflow)
		}
	})
	t.Run("says_what_the_run_has_recorded", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		batch, qs := b.batch(2)
		run := uuid.New()
		b.succeed(run, qs[0])
		require.Equal(t, map[uuid.UUID]bool{qs[0].DeliveryID: true, qs[1].DeliveryID: false}, b.load(batch, run, false))
		require.Equal(
			t,
			map[uuid.UUID]bool{qs[0].DeliveryID: false, qs[1].DeliveryID: false},
			b.load(batch, uuid.New(), true),
			"another run has recorded nothing",
		)
	})
	t.Run("leaving_obeys_the_webhook", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		batch, qs := b.batch(3)
		b.exec("UPDATE webhooks SET circuit_opened_at = now()")
		require.NoError(t, delivery.LeaveBatch(b.ctx, b, batch.ID, 0, qs[:1]))
		require.Equal(t, delivery.Paused, b.delivery(qs[0].DeliveryID).Status)
		b.exec("UPDATE webhooks SET circuit_opened_at = NULL, deleted_at = now()")
		require.NoError(t, delivery.LeaveBatch(b.ctx, b, batch.ID, 0, qs[1:2]))
		require.Equal(t, delivery.Canceled, b.delivery(qs[1].DeliveryID).Status)
		require.Zero(t, b.number("SELECT count(*) FROM delivery_queue"))
		require.Equal(t, map[uuid.UUID]bool{qs[2].DeliveryID: false}, b.load(batch, uuid.New(), false))
	})
	t.Run("finished_is_forgotten", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		batch, _ := b.batch(2)
		require.NoError(t, delivery.FinishBatch(b.ctx, b, batch.ID))
		require.NoError(t, delivery.FinishBatch(b.ctx, b, batch.ID), "twice is no fault")
		require.Empty(t, b.load(batch, uuid.New(), false))
		require.Empty(t, b.take())
	})
	t.Run("abandoned_gives_back_what_is_pending", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		batch, qs := b.batch(4)
		b.succeed(uuid.New(), qs[0])
		b.attempt(qs[1], delivery.OutcomeFailed)
		for range 2 {
			require.NoError(t, delivery.AbandonBatch(b.ctx, b, batch.ID))
		}
		again := b.take()
		require.ElementsMatch(t, ids(qs[2:]), ids(again))
		for _, q := range again {
			require.True(t, q.EnsureWorkflow)
			require.Equal(t, b.company, *q.CompanyID)
		}
		require.Zero(t, b.number("SELECT count(*) FROM delivery_batches"))
	})
}

func TestStaleBatches(t *testing.T) {
	t.Parallel()
	b := setup(t)
	old, _ := b.batch(3)
	young, _ := b.batch(1)
	b.exec("UPDATE delivery_batches SET checked_at = now() - interval '1 minute' WHERE id = ?", old.ID)
	stale := func(age time.Duration) []delivery.Batch {
		bs, err := delivery.StaleBatches(b.ctx, b.DB, age, 10, true)
		require.NoError(t, err)
		return bs
	}
	found := stale(10 * time.Second)
	require.Len(t, found, 1)
	require.Equal(t, old.ID, found[0].ID)
	require.ElementsMatch(t, old.Deliveries, found[0].Deliveries)
	require.Empty(t, stale(10*time.Second), "it was checked")
	b.exec("UPDATE delivery_batches SET checked_at = now() - interval '1 minute'")
	one, err := delivery.StaleBatches(b.ctx, b.DB, 10*time.Second, 1, true)
	require.NoError(t, err)
	require.Len(t, one, 1)
	other := stale(10 * time.Second)
	require.Len(t, other, 1)
	require.ElementsMatch(t, []uuid.UUID{old.ID, young.ID}, []uuid.UUID{one[0].ID, other[0].ID})
}

func TestSweepLeavesBatchesAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	batch, qs := b.batch(3)
	b.publish(catalog.InterviewStarted)
	lost := b.take()[0]
	b.exec("UPDATE deliveries SET updated_at = now() - interval '2 minutes'")
	require.Equal(t, 1, b.sweep())
	require.Equal(t, []uuid.UUID{lost.DeliveryID}, ids(b.take()))
	require.NoError(t, delivery.FinishBatch(b.ctx, b, batch.ID))
	b.exec("UPDATE deliveries SET reconcile_at = NULL")
	require.Equal(t, 4, b.sweep(), "a delivery without a batch that is not attempted is lost")
	require.Subset(t, ids(b.take()), ids(qs))
}

func TestRecordSuccesses(t *testing.T) {
	t.Parallel()
	t.Run("counts_once", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		_, qs := b.batch(3)
		run := uuid.New()
		b.succeed(run, qs[:2]...)
		b.succeed(run, append([]delivery.QueuedDelivery{qs[0], qs[0]}, qs...)...)
		for _, q := range qs {
			d := b.delivery(q.DeliveryID)
			require.Equal(t, delivery.Succeeded, d.Status)
			require.Equal(t, 1, d.Attempts)
			require.Equal(t, `{"x":1}`, string(d.Body))
			require.Equal(t, "batch:x", *d.WorkflowID)
			require.Equal(t, 204, *d.LastStatusCode)
		}
		require.Equal(t, 3, b.number("SELECT count(*) FROM attempts"))
		b.succeed(uuid.New(), qs[0])
		require.Equal(t, 2, b.delivery(qs[0].DeliveryID).Attempts, "another run has attempted it again")
	})
	t.Run("ends_failures_in_a_row", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		_, qs := b.batch(3)
		b.exec("UPDATE webhooks SET consecutive_failures = 9")
		b.succeed(uuid.New(), qs[0])
		require.Zero(t, b.failures())
		b.exec("UPDATE webhooks SET consecutive_failures = 10, circuit_opened_at = now()")
		b.succeed(uuid.New(), qs[1])
		require.Equal(t, 10, b.failures(), "a straggler does not close a circuit")
	})
	t.Run("leaves_a_healthy_webhook_unwritten", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		_, qs := b.batch(2)
		before := b.number("SELECT xmin::text::bigint FROM webhooks")
		b.succeed(uuid.New(), qs...)
		require.Equal(t, before, b.number("SELECT xmin::text::bigint FROM webhooks"))
	})
	t.Run("a_test_does_not_move_the_circuit", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		_, qs := b.batch(1)
		b.exec("UPDATE webhooks SET consecutive_failures = 3")
		require.NoError(
			t,
			delivery.RecordSuccesses(b.ctx, b.DB, []delivery.AttemptRecord{{WebhookID: b.hook.ID, Attempt: delivery.Attempt{
				DeliveryID: qs[0].DeliveryID, RunID: uuid.New(), Attempt: 1, WorkflowID: "batch:x", StartedAt: time.Now(),
			}}}),
		)
		require.Equal(t, 3, b.failures())
		require.Equal(t, delivery.Succeeded, b.delivery(qs[0].DeliveryID).Status)
	})
	t.Run("what_arrived_has_arrived_though_canceled", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		_, qs := b.batch(2)
		b.exec("UPDATE deliveries SET status = 'canceled'")
		b.succeed(uuid.New(), qs[0])
		b.attempt(qs[1], delivery.OutcomeSucceeded)
		for _, q := range qs {
			require.Equal(t, delivery.Succeeded, b.delivery(q.DeliveryID).Status, "as in the path of single deliveries")
		}
	})
}

func TestRecordAttemptOfABatch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, qs := b.batch(5)
	next := time.Now().Add(5 * time.Second).UTC()
	run := uuid.New()
	record := func(q delivery.QueuedDelivery, o delivery.Outcome) {
		b.attempt(q, o, func(r *delivery.AttemptRecord) {
			r.NextWorkflowID = "delivery:" + q.DeliveryID.String() + ":0"
			r.Attempt.RunID, r.Attempt.WorkflowID = run, "batch:x"
			if o == delivery.OutcomeRetry {
				r.Attempt.NextAttemptAt = &next
			}
		})
	}
	b.exec("UPDATE deliveries SET status = 'canceled' WHERE id = ?", qs[3].DeliveryID)
	for range 2 { // recording again changes nothing
		record(qs[0], delivery.OutcomeRetry)
	}
	record(qs[1], delivery.OutcomeFailed)
	record(qs[2], delivery.OutcomeSucceeded)
	record(qs[3], delivery.OutcomeRetry)
	d := b.delivery(qs[0].DeliveryID)
	require.Equal(t, delivery.Retrying, d.Status)
	require.Equal(t, 1, d.Attempts)
	require.Equal(t, "delivery:"+d.ID.String()+":0", *d.WorkflowID, "it names the workflow that continues")
	require.WithinDuration(t, next, *d.NextAttemptAt, time.Millisecond)
	for i, status := range map[int]delivery.Status{1: delivery.Failed, 2: delivery.Succeeded, 3: delivery.Canceled} {
		require.Equal(t, status, b.delivery(qs[i].DeliveryID).Status)
	}
	again := b.take()
	require.Len(t, again, 2, "a failed delivery continues, or shows that it failed for good")
	require.Equal(t, qs[1].DeliveryID, again[1].DeliveryID)
	require.Equal(t, 2, again[1].Attempt)
	require.Equal(t, d.ID, again[0].DeliveryID)
	require.Equal(t, 2, again[0].Attempt)
	require.WithinDuration(t, next, *again[0].NotBefore, time.Millisecond)
	require.True(t, again[0].Failing)
	as, err := delivery.ListAttempts(b.ctx, b, d.ID)
	require.NoError(t, err)
	require.Len(t, as, 1)
	require.Equal(t, "batch:x", as[0].WorkflowID, "the attempt is the batch's")
	require.Equal(t, delivery.Pending, b.delivery(qs[4].DeliveryID).Status)
}

func TestTakesLanesInTurn(t *testing.T) {
	t.Parallel()
	const perFlow, hooks, companies = 3, 40, 12
	b := setup(t)
	for range hooks - 1 {
		b.webhook(catalog.InterviewStarted)
	}
	for range perFlow {
		b.publish(catalog.InterviewStarted)
	}
	shared := b.webhook(catalog.InterviewFailed) // of the platform: every company's events go there
	b.exec("UPDATE webhooks SET company_id = NULL, owner_company_id = NULL WHERE id = ?", shared.ID)
	for range companies - 1 {
		company := pg.NewID()
		b.exec("INSERT INTO companies (id, name) VALUES (?, 'Other')", company)
		b.publishFailed(&company, perFlow)
	}
	b.publishFailed(nil, perFlow)
	b.exec("ANALYZE webhooks, deliveries, delivery_queue")

	const flows = hooks + companies
	require.Equal(t, flows*perFlow, b.number("SELECT count(*) FROM delivery_queue"))
	for turn := range perFlow {
		seen := map[delivery.Flow]int{}
		var next delivery.Flow
		for rounds := 0; rounds == 0 || next != (delivery.Flow{}); rounds++ {
			require.LessOrEqual(t, rounds, flows/7+1, "the turn comes to an end")
			got := b.takeAfter(next, 7, 1)
			require.LessOrEqual(t, got.Taken, 7)
			for i := range got.Ready {
				seen[got.Ready[i].Flow()]++
			}
			next = got.Next
		}
		require.Len(t, seen, flows, "turn %d reaches every flow", turn)
		for l, n := range seen {
			require.Equal(t, 1, n, "flow %v", l)
		}
	}
	require.Equal(t, delivery.TakeResult{}, b.takeAfter(delivery.Flow{}, 7, 1), "and nothing is left")
}

// publishFailed publishes n events of a company that only the platform's webhook hears.
func (b *bundle) publishFailed(company *uuid.UUID, n int) {
	b.t.Helper()
	es := make([]*delivery.Event, n)
	for i := range es {
		es[i] = &delivery.Event{CompanyID: company, Type: catalog.InterviewFailed, Data: []byte("{}")}
	}
	b.tx(func(tx bun.Tx) error { _, err := delivery.RecordEvents(b.ctx, tx, es); return err })
}

func (b *bundle) takeAfter(l delivery.Flow, limit, perFlow int) (t delivery.TakeResult) {
	b.t.Helper()
	b.tx(func(tx bun.Tx) (err error) {
		t, err = delivery.TakeDeliveries(
			b.ctx,
			tx,
			delivery.TakeOptions{Limit: limit, PerFlow: perFlow, PerFailing: perFlow, After: l},
		)
		return err
	})
	return t
}
