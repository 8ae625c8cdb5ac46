package delivery_test

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db/catalog"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

func TestRecordEvent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	t.Run("makes_a_delivery_per_subscribed_webhook", func(t *testing.T) {
		b.webhook(catalog.InterviewStarted)
		inactive := b.webhook(catalog.InterviewStarted)
		inactive.IsActive = false
		b.tx(func(tx bun.Tx) error { return delivery.UpdateWebhook(b.ctx, tx, inactive, "is_active") })
		e, n := b.publish(catalog.InterviewStarted)
		require.Equal(t, 2, n)
		require.Len(t, b.take(), 2)
		got, err := delivery.GetEvent(b.ctx, b, pg.Scope{Company: &b.company}, e.ID)
		require.NoError(t, err)
		require.Equal(t, `{"b": 1,  "a":"ü"}`, string(got.Data), "data is kept byte for byte")
	})
	t.Run("reaches_global_webhooks_of_the_owner_and_of_the_platform_only", func(t *testing.T) {
		other := pg.NewID()
		_, err := b.ExecContext(b.ctx, "INSERT INTO companies (id, name) VALUES (?, 'Other')", other)
		require.NoError(t, err)
		for _, owner := range []*uuid.UUID{&b.company, &other, nil} {
			w := b.webhook(catalog.AnalysisFailed)
			_, err := b.ExecContext(
				b.ctx,
				"UPDATE webhooks SET company_id = NULL, owner_company_id = ? WHERE id = ?",
				owner,
				w.ID,
			)
			require.NoError(t, err)
		}
		_, n := b.publish(catalog.AnalysisFailed)
		require.Equal(t, 2, n)
	})
	t.Run("rolls_back_whole", func(t *testing.T) {
		b.take()
		e := &delivery.Event{CompanyID: &b.company, Type: catalog.InterviewStarted, Data: []byte("{}")}
		err := b.RunInTx(b.ctx, nil, func(_ context.Context, tx bun.Tx) error {
			if _, err := delivery.RecordEvent(b.ctx, tx, e); err != nil {
				return err
			}
			return pg.ErrConflict
		})
		require.ErrorIs(t, err, pg.ErrConflict)
		require.Empty(t, b.take())
	})
}

func TestRecordTest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.webhook(catalog.Ping)
	ping := func() (id uuid.UUID, err error) {
		err = b.RunInTx(b.ctx, nil, func(_ context.Context, tx bun.Tx) (err error) {
			id, err = delivery.RecordTest(
				b.ctx,
				tx,
				&delivery.Event{CompanyID: &b.company, Type: catalog.Ping, Data: []byte("{}")},
				b.hook.ID,
			)
			return err
		})
		return id, err
	}
	id, err := ping()
	require.NoError(t, err)
	qs := b.take()
	require.Len(t, qs, 1, "only the tested webhook gets it")
	require.Equal(t, id, qs[0].DeliveryID)
	require.True(t, qs[0].IsTest)
	_, err = b.ExecContext(b.ctx, "UPDATE webhooks SET circuit_opened_at = now() WHERE id = ?", b.hook.ID)
	require.NoError(t, err)
	_, err = ping()
	require.ErrorIs(t, err, pg.ErrConflict)
}

func TestTakeDeliveries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	busy := b.webhook(catalog.InterviewFailed)
	for range 25 {
		b.publish(catalog.InterviewFailed)
	}
	b.publish(catalog.InterviewStarted)
	t.Run("takes_a_few_of_each_webhook_and_respects_room", func(t *testing.T) {
		b.tx(func(tx bun.Tx) error {
			o := tenOfEach
			o.Room = map[uuid.UUID]int{busy.ID: 3}
			got, err := delivery.TakeDeliveries(b.ctx, tx, o)
			require.NoError(t, err)
			count := map[uuid.UUID]int{}
			for _, q := range got.Ready {
				count[q.WebhookID]++
			}
			require.Equal(t, map[uuid.UUID]int{busy.ID: 3, b.hook.ID: 1}, count)
			return nil
		})
	})
	t.Run("two_takers_never_share", func(t *testing.T) {
		seen := map[uuid.UUID]bool{}
		b.tx(func(tx1 bun.Tx) error {
			one, err := delivery.TakeDeliveries(b.ctx, tx1, tenOfEach)
			require.NoError(t, err)
			two := b.take()
			for _, q := range append(one.Ready, two...) {
				require.False(t, seen[q.DeliveryID])
				seen[q.DeliveryID] = true
			}
			return nil
		})
		require.Len(t, seen, 20)
	})
	t.Run("gives_back_when_the_transaction_fails", func(t *testing.T) {
		_ = b.RunInTx(b.ctx, nil, func(_ context.Context, tx bun.Tx) error {
			got, err := delivery.TakeDeliveries(b.ctx, tx, tenOfEach)
			require.NoError(t, err)
			require.Len(t, got.Ready, 2)
			return pg.ErrConflict
		})
		require.Len(t, b.take(), 2)
	})
}

func TestRecordAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	t.Run("same_attempt_of_the_same_run_counts_once", func(t *testing.T) {
		b.publish(catalog.InterviewStarted)
		q := b.take()[0]
		run := uuid.New()
		for range 2 {
			b.attempt(q, delivery.OutcomeRetry, func(r *delivery.AttemptRecord) { r.Attempt.RunID = run })
		}
		d := b.delivery(q.DeliveryID)
		require.Equal(t, 1, d.Attempts)
		require.Equal(t, delivery.Retrying, d.Status)
		require.Equal(t, `{"x":1}`, string(d.Body))
		require.Equal(t, 1, b.failures())
		job, err := delivery.LoadJob(b.ctx, b, q.DeliveryID, run, 1)
		require.NoError(t, err)
		require.Equal(t, delivery.OutcomeRetry, job.Done.Outcome)
	})
	t.Run("success_forgets_the_failures", func(t *testing.T) {
		b.publish(catalog.InterviewStarted)
		q := b.take()[0]
		b.attempt(q, delivery.OutcomeSucceeded)
		require.Equal(t, delivery.Succeeded, b.delivery(q.DeliveryID).Status)
		require.Zero(t, b.failures())
	})
	t.Run("a_test_does_not_move_the_circuit", func(t *testing.T) {
		b.publish(catalog.InterviewStarted)
		b.attempt(b.take()[0], delivery.OutcomeFailed, func(r *delivery.AttemptRecord) { r.Counts = false })
		require.Zero(t, b.failures())
	})
	t.Run("a_failure_leaves_a_delivery_as_it_ended", func(t *testing.T) {
		b.publish(catalog.InterviewStarted)
		q := b.take()[0]
		b.attempt(q, delivery.OutcomeSucceeded)
		b.attempt(q, delivery.OutcomeRetry)
		d := b.delivery(q.DeliveryID)
		require.Equal(t, delivery.Succeeded, d.Status)
		require.Equal(t, 200, *d.LastStatusCode)
		require.Equal(t, 2, d.Attempts, "it was made all the same")
		b.attempt(q, delivery.OutcomeRetry, func(r *delivery.AttemptRecord) { r.Replay = true })
		require.Equal(t, delivery.Retrying, b.delivery(q.DeliveryID).Status, "unless an operator asked for it")
		b.attempt(q, delivery.OutcomeFailed)
		b.attempt(q, delivery.OutcomeRetry)
		require.Equal(t, delivery.Failed, b.delivery(q.DeliveryID).Status)
		b.attempt(q, delivery.OutcomeSucceeded)
		require.Equal(t, delivery.Succeeded, b.delivery(q.DeliveryID).Status, "it has arrived")
	})
	t.Run("an_attempt_of_an_earlier_generation_changes_nothing", func(t *testing.T) {
		b.publish(catalog.InterviewStarted)
		q := b.take()[0]
		_, err := b.ExecContext(b.ctx, "UPDATE deliveries SET generation = 1 WHERE id = ?", q.DeliveryID)
		require.NoError(t, err)
		for _, outcome := range []delivery.Outcome{delivery.OutcomeSucceeded, delivery.OutcomeFailed} {
			b.attempt(q, outcome, func(r *delivery.AttemptRecord) { r.NextWorkflowID = "delivery:x:0" })
			require.Equal(t, delivery.Pending, b.delivery(q.DeliveryID).Status)
		}
		require.Empty(t, b.take())
	})
	t.Run("a_pause_leaves_a_delivery_as_it_ended", func(t *testing.T) {
		b.publish(catalog.InterviewStarted)
		q := b.take()[0]
		b.attempt(q, delivery.OutcomeSucceeded)
		_, err := b.ExecContext(b.ctx, "UPDATE webhooks SET circuit_opened_at = now()")
		require.NoError(t, err)
		blocked, paused, err := delivery.PauseDelivery(b.ctx, b, q.DeliveryID, b.hook.ID, "delivery:x:0", false)
		require.NoError(t, err)
		require.True(t, blocked)
		require.False(t, paused)
		require.Equal(t, delivery.Succeeded, b.delivery(q.DeliveryID).Status)
		_, paused, err = delivery.PauseDelivery(b.ctx, b, q.DeliveryID, b.hook.ID, "delivery:x:0", true)
		require.NoError(t, err)
		require.True(t, paused, "unless an operator asked for a replay")
		_, err = b.ExecContext(b.ctx, "UPDATE webhooks SET circuit_opened_at = NULL")
		require.NoError(t, err)
	})
	t.Run("a_rate_limit_is_no_outage", func(t *testing.T) {
		b.publish(catalog.InterviewStarted)
		q, code, before := b.take()[0], 429, b.failures()
		for i := range 20 {
			require.False(
				t,
				b.attempt(
					q,
					delivery.OutcomeRetry,
					func(r *delivery.AttemptRecord) { r.Attempt.Attempt, r.Attempt.StatusCode = i+1, &code },
				),
			)
		}
		require.Equal(t, before, b.failures())
		require.Equal(t, delivery.Retrying, b.delivery(q.DeliveryID).Status)
	})
	t.Run("gone_disables_the_webhook", func(t *testing.T) {
		b.publish(catalog.InterviewStarted)
		q := b.take()[0]
		b.attempt(q, delivery.OutcomeGone)
		w, err := delivery.GetWebhook(b.ctx, b, b.hook.ID)
		require.NoError(t, err)
		require.False(t, w.IsActive)
		require.Contains(t, *w.DisabledReason, "410")
		require.Equal(t, delivery.Failed, b.delivery(q.DeliveryID).Status)
		require.Zero(t, b.failures(), "and does not count towards its circuit")
	})
}

func (b *bundle) failures() int {
	w, err := delivery.GetWebhook(b.ctx, b, b.hook.ID)
	require.NoError(b.t, err)
	return w.ConsecutiveFailures
}

func TestCircuit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 30 {
		b.publish(catalog.InterviewStarted)
	}
	parked := b.take()[0]
	opened := 0
	for i := range 12 {
		b.publish(catalog.InterviewCompleted)
		if b.attempt(
			delivery.QueuedDelivery{DeliveryID: parked.DeliveryID, WebhookID: b.hook.ID},
			delivery.OutcomeRetry,
			func(r *delivery.AttemptRecord) {
				r.Attempt.Attempt = i + 1
			},
		) {
			opened++
			require.Equal(t, 9, i, "opens at the tenth failure in a row")
		}
	}
	require.Equal(t, 1, opened)
	cs := b.commands()
	require.Len(t, cs, 1)
	require.Equal(t, delivery.CircuitChanged, cs[0].Kind)

	t.Run("pauses_what_is_taken_and_what_comes_to_an_attempt", func(t *testing.T) {
		require.Empty(t, b.take())
		_, ok, err := delivery.PauseDelivery(b.ctx, b, parked.DeliveryID, b.hook.ID, "delivery:x:0", false)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, delivery.Paused, b.delivery(parked.DeliveryID).Status)
		n, err := delivery.ReleasePaused(b.ctx, b, b.hook.ID, 5, false)
		require.NoError(t, err)
		require.Zero(t, n, "nothing is released while the circuit is open")
	})
	t.Run("a_probe_lets_one_out", func(t *testing.T) {
		n, err := delivery.ReleasePaused(b.ctx, b, b.hook.ID, 1, true)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		out := b.take()
		require.Len(t, out, 1)
		require.True(t, out[0].Probe)
		require.NotEqual(t, parked.DeliveryID, out[0].DeliveryID, "not the oldest: its attempts would be used up")
		_, ok, err := delivery.PauseDelivery(b.ctx, b, out[0].DeliveryID, b.hook.ID, "delivery:y:0", false)
		require.NoError(t, err)
		require.True(t, ok)
	})
	t.Run("reset_releases_everything_exactly_once", func(t *testing.T) {
		for waiting := true; waiting; { // pause the rest
			require.Empty(t, b.take())
			queue, err := delivery.QueueLength(b.ctx, b, 1)
			require.NoError(t, err)
			waiting = queue.Deliveries > 0
		}
		b.tx(func(tx bun.Tx) error {
			w, err := delivery.ResetCircuit(b.ctx, tx, b.hook.ID)
			require.NoError(t, err)
			require.Nil(t, w.CircuitOpenedAt)
			require.Zero(t, w.ConsecutiveFailures)
			require.True(t, w.IsActive)
			return nil
		})
		total, woken := 0, 0
		for n := 1; n > 0; {
			var err error
			n, err = delivery.ReleasePaused(b.ctx, b, b.hook.ID, 4, false)
			require.NoError(t, err)
			total += n
		}
		for _, c := range b.commands() {
			if c.Kind == delivery.WakeDelivery {
				woken++
			}
		}
		queued := 0
		for qs := b.take(); len(qs) > 0; qs = b.take() {
			queued += len(qs)
		}
		require.Equal(t, 2, woken)
		require.Equal(t, total, woken+queued)
		s, err := delivery.LoadCircuit(b.ctx, b, b.hook.ID)
		require.NoError(t, err)
		require.Zero(t, s.Waiting)
		require.Nil(t, s.OpenedAt)
	})
	t.Run("a_probe_that_succeeds_closes", func(t *testing.T) {
		_, err := b.ExecContext(
			b.ctx,
			"UPDATE webhooks SET circuit_opened_at = now(), consecutive_failures = 10 WHERE id = ?",
			b.hook.ID,
		)
		require.NoError(t, err)
		b.attempt(parked, delivery.OutcomeSucceeded, func(r *delivery.AttemptRecord) { r.Probe = true })
		w, err := delivery.GetWebhook(b.ctx, b, b.hook.ID)
		require.NoError(t, err)
		require.Nil(t, w.CircuitOpenedAt)
		require.Len(t, b.commands(), 1)
	})
}

func TestDeleteWebhookCancels(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 5 {
		b.publish(catalog.InterviewStarted)
	}
	q := b.take()[0]
	b.attempt(q, delivery.OutcomeRetry)
	b.publish(catalog.InterviewStarted)
	b.tx(func(tx bun.Tx) error { return delivery.DeleteWebhook(b.ctx, tx, b.hook.ID) })
	require.Empty(t, b.take())
	ds, err := delivery.ListDeliveries(b.ctx, b, pg.Scope{Company: &b.company}, delivery.Filter{Limit: 10})
	require.NoError(t, err)
	require.Len(t, ds, 6)
	for _, d := range ds {
		require.Equal(t, delivery.Canceled, d.Status)
	}
	kinds := map[delivery.CommandKind]int{}
	for _, c := range b.commands() {
		kinds[c.Kind]++
	}
	require.Equal(t, map[delivery.CommandKind]int{delivery.WakeDelivery: 1, delivery.CircuitChanged: 1}, kinds)
	_, err = delivery.GetWebhook(b.ctx, b, b.hook.ID)
	require.ErrorIs(t, err, pg.ErrNotFound)
}

// TestCancelPage deletes a webhook with more deliveries than are canceled at once.
func TestCancelPage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	retried := b.failFirst(delivery.OutcomeRetry) // its next workflow was not started
	b.publish(catalog.InterviewStarted)
	q := b.take()
	b.attempt(q[len(q)-1], delivery.OutcomeRetry) // this one has a workflow
	b.tx(func(tx bun.Tx) error { return delivery.PutBackDeliveries(b.ctx, tx, q[:1]) })
	b.exec(
		`WITH d AS (INSERT INTO deliveries (id, event_id, webhook_id, company_id, event_type, status, created_at, updated_at)
		SELECT uuid_v7(), uuid_v7(), ?, ?, ?, CASE WHEN n <= 1500 THEN 'pending' ELSE 'paused' END, now(), now() FROM generate_series(1, 2500) n
		RETURNING id, webhook_id, company_id, status)
		INSERT INTO delivery_queue (webhook_id, company_id, delivery_id) SELECT webhook_id, company_id, id FROM d WHERE status = 'pending'`,
		b.hook.ID,
		b.company,
		catalog.InterviewStarted,
	)
	b.tx(func(tx bun.Tx) error { return delivery.DeleteWebhook(b.ctx, tx, b.hook.ID) })
	s, err := delivery.LoadCircuit(b.ctx, b, b.hook.ID)
	require.NoError(t, err)
	require.True(t, s.Deleted)
	require.True(t, s.ToCancel)
	require.Equal(t, 1000, b.number("SELECT count(*) FROM deliveries WHERE status = 'canceled'"))

	var locker bun.Tx
	locker, err = b.BeginTx(b.ctx, nil)
	require.NoError(t, err)
	_, err = locker.ExecContext(b.ctx, "SELECT 1 FROM deliveries WHERE id = ? FOR UPDATE", q[len(q)-1].DeliveryID)
	require.NoError(t, err)
	canceled := 1000
	for n := 1; n > 0; canceled += n {
		n, err = delivery.CancelPage(b.ctx, b, b.hook.ID, 1000)
		require.NoError(t, err)
		require.LessOrEqual(t, n, 1000)
	}
	require.Equal(t, 2501, canceled, "all but the one that is locked")
	require.NoError(t, locker.Rollback())
	n, err := delivery.CancelPage(b.ctx, b, b.hook.ID, 1000)
	require.NoError(t, err)
	require.Equal(t, 1, n)

	require.Equal(t, 2502, b.number("SELECT count(*) FROM deliveries WHERE status = 'canceled'"))
	require.Zero(t, b.number("SELECT count(*) FROM delivery_queue"))
	require.Equal(t, "batch:x", *b.delivery(retried.DeliveryID).WorkflowID)
	var woken []uuid.UUID
	for _, c := range b.commands() {
		if c.Kind == delivery.WakeDelivery {
			woken = append(woken, c.SubjectID)
		}
	}
	require.Equal(t, []uuid.UUID{q[len(q)-1].DeliveryID}, woken, "the only one with a workflow")
	s, err = delivery.LoadCircuit(b.ctx, b, b.hook.ID)
	require.NoError(t, err)
	require.False(t, s.ToCancel)
}

// TestPauseDeliveryOfADeletedWebhook: what comes to an attempt while its webhook is deleted is neither sent nor left
// waiting.
func TestPauseDeliveryOfADeletedWebhook(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(catalog.InterviewStarted)
	q := b.take()[0]
	b.exec("UPDATE webhooks SET deleted_at = now(), is_active = false")
	_, paused, err := delivery.PauseDelivery(b.ctx, b, q.DeliveryID, b.hook.ID, "delivery:x:0", false)
	require.NoError(t, err)
	require.True(t, paused)
	require.Equal(t, delivery.Canceled, b.delivery(q.DeliveryID).Status)
	cs := b.commands()
	require.Len(t, cs, 1)
	require.Equal(t, delivery.WakeDelivery, cs[0].Kind)
}

func TestRetryDelivery(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(catalog.InterviewStarted)
	q := b.take()[0]
	retry := func() (d *delivery.Delivery, err error) {
		err = b.RunInTx(b.ctx, nil, func(_ context.Context, tx bun.Tx) (err error) {
			d, err = delivery.RetryDelivery(b.ctx, tx, pg.Scope{Company: &b.company}, q.DeliveryID)
			return err
		})
		return d, err
	}
	_, err := retry()
	require.ErrorIs(t, err, pg.ErrConflict, "the first attempt is still to come")
	b.attempt(q, delivery.OutcomeRetry)
	_, err = retry()
	require.NoError(t, err)
	require.Len(t, b.commands(), 1, "a waiting one is woken")
	b.attempt(q, delivery.OutcomeFailed)
	d, err := retry()
	require.NoError(t, err)
	require.Equal(t, 1, d.Generation)
	require.Equal(t, delivery.Pending, d.Status)
	require.Equal(t, 1, b.take()[0].Generation)
	other := pg.NewID()
	err = b.RunInTx(b.ctx, nil, func(_ context.Context, tx bun.Tx) error {
		_, err := delivery.RetryDelivery(b.ctx, tx, pg.Scope{Company: &other}, q.DeliveryID)
		return err
	})
	require.ErrorIs(t, err, pg.ErrNotFound)
	b.tx(func(tx bun.Tx) error { return delivery.DeleteWebhook(b.ctx, tx, b.hook.ID) })
	_, err = retry()
	var state *pg.StateError
	require.ErrorAs(t, err, &state)
	require.Equal(t, pg.StateError{Resource: "webhook", State: "deleted"}, *state)
}

func TestDeliveriesAreVisibleWithTheirWebhook(t *testing.T) {
	t.Parallel()
	b := setup(t)
	global, platforms := b.webhook(catalog.AnalysisFailed), b.webhook(catalog.AnalysisFailed)
	_, err := b.ExecContext(b.ctx, "UPDATE webhooks SET company_id = NULL WHERE id = ?", global.ID)
	require.NoError(t, err)
	_, err = b.ExecContext(
		b.ctx,
		"UPDATE webhooks SET company_id = NULL, owner_company_id = NULL WHERE id = ?",
		platforms.ID,
	)
	require.NoError(t, err)
	b.publish(catalog.AnalysisFailed)
	b.tx(func(tx bun.Tx) error { return delivery.DeleteWebhook(b.ctx, tx, global.ID) })
	other := pg.NewID()
	list := func(s pg.Scope) []delivery.Delivery {
		ds, err := delivery.ListDeliveries(b.ctx, b, s, delivery.Filter{Limit: 10})
		require.NoError(t, err)
		return ds
	}
	require.Len(t, list(pg.Scope{}), 2)
	require.Empty(t, list(pg.Scope{Company: &other}))
	seen := list(pg.Scope{Company: &b.company})
	require.Len(t, seen, 1)
	require.Equal(t, global.ID, seen[0].WebhookID, "though it was deleted")
	for _, d := range list(pg.Scope{}) {
		_, err := delivery.GetDelivery(b.ctx, b, pg.Scope{Company: &b.company}, d.ID)
		if d.WebhookID == global.ID {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, pg.ErrNotFound)
		}
	}
}
