package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/catalog"
	"greenroom/db/delivery"
	"greenroom/db/pg"
	"greenroom/db/plan"
)

// cases are the engine's uses of the database. Each is rolled back.
func (e *engine) cases() []use {
	n := len(e.waiting)
	paused := min(100, 1000)
	return []use{
		{name: "publish", n: 10 * 20, run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			_, err := delivery.RecordEvents(ctx, tx, e.events(10))
			return err
		}},
		{name: "publish_with_keys", n: 20 * 20, run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			ss := make([]delivery.Submission, 20)
			for i := range ss {
				ss[i].Events = e.events(1)
				once(e.company, fmt.Sprint("new-", i))(&ss[i])
			}
			once(e.company, "key-1")(&ss[19])
			leftOut, err := delivery.Store(ctx, tx, ss)
			return enough(leftOut, 1, err)
		}},
		{name: "feed", n: 20, run: e.feed(delivery.FeedQuery{}, 20)},
		{name: "feed_in_the_middle", n: 20, run: e.feed(delivery.FeedQuery{After: delivery.FeedCursor{Position: 100}}, 20)},
		{name: "feed_of_a_company", n: 20, run: e.feed(delivery.FeedQuery{Company: &e.company}, 20)},
		{name: "feed_of_a_rare_type", n: 40, run: e.feed(delivery.FeedQuery{Types: []string{catalog.JobCreated}}, 0)},
		{name: "feed_news", n: 20, run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			n, err := delivery.LookForNews(ctx, tx, 100, 101)
			return enough(n, 2, err)
		}},
		{name: "fan_out", n: 20, pool: true, run: func(ctx context.Context, _ bun.Tx, pool *bun.DB) error {
			n, err := delivery.NewEventGroup(pool).Estimate(ctx, e.events(2))
			return enough(n, 2*20, err)
		}},
		{name: "move_lines", n: 100, run: func(ctx context.Context, tx bun.Tx, pool *bun.DB) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO line_changes (webhook_id, subject)
				SELECT ?, 's' || n FROM generate_series(1, 100) n`, e.hooks[0])
			if err != nil {
				return err
			}
			heads, err := delivery.MoveIn(ctx, tx, pool, 100)
			return enough(heads, min(100, e.queued), err)
		}},
		{name: "line_of", n: 1, run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			subject := "s1"
			d := &delivery.Delivery{Status: delivery.Pending, Subject: &subject, WebhookID: e.hooks[0]}
			err := tx.NewRaw("SELECT delivery_id FROM line_waiting WHERE webhook_id = ? AND subject = 's1' LIMIT 1",
				e.hooks[0]).Scan(ctx, &d.ID)
			if err != nil {
				return err
			}
			l, err := delivery.LineOf(ctx, tx, d)
			return happened(l != nil, err)
		}},
		{name: "take", n: n, run: e.take(delivery.TakeOptions{Limit: 500, PerFlow: 500, PerFailing: 500}, "")},
		{name: "take_for_stream", n: n, run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			b := delivery.Batch{ID: pg.NewID(), Stream: uuid.NullUUID{UUID: pg.NewID(), Valid: true}}
			t, _, err := delivery.TakeForStream(ctx, tx, delivery.TakeOptions{Limit: 500, PerFlow: 500}, b)
			return enough(len(t.Ready), n, err)
		}},
		{name: "take_and_put_back", n: 2 * n, run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			t, err := delivery.TakeDeliveries(ctx, tx, delivery.TakeOptions{Limit: 500, PerFlow: 500, PerFailing: 500})
			if err != nil {
				return err
			}
			return delivery.PutBackDeliveries(ctx, tx, t.Ready)
		}},
		{
			name: "take_and_pause",
			n:    2 * n,
			run: e.take(
				delivery.TakeOptions{Limit: 500, PerFlow: 500, PerFailing: 500},
				"UPDATE webhooks SET is_active = false",
			),
		},
		{name: "take_singles", n: n, run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			_, err := tx.ExecContext(ctx, `UPDATE delivery_queue SET single = true
				WHERE ctid = ANY (ARRAY(SELECT ctid FROM delivery_queue LIMIT 64))`)
			if err != nil {
				return err
			}
			_, err = delivery.TakeSingles(ctx, tx, 64)
			return err
		}},
		{name: "pause_queued", n: n, run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			if _, err := tx.ExecContext(ctx, "UPDATE webhooks SET is_active = false"); err != nil {
				return err
			}
			_, err := delivery.PauseQueued(ctx, tx, e.hooks[0], 200)
			return err
		}},
		{
			name: "take_and_cancel",
			n:    2 * n,
			run: e.take(
				delivery.TakeOptions{Limit: 500, PerFlow: 500, PerFailing: 500},
				"UPDATE webhooks SET deleted_at = now()",
			),
		},
		{name: "take_dealt", n: 3 * n, run: e.deal(500, n)},
		{name: "take_one_token_each", n: 60, run: e.deal(1, min(20, n))},
		{name: "take_token", n: 1, run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			t, err := delivery.TakeToken(ctx, tx, e.hooks[0], 5, nil)
			if happened(!t.Granted, err) != nil { // it has no limit any more
				return err
			}
			if _, err := tx.ExecContext(ctx, "UPDATE webhooks SET rate_limit = 5 WHERE id = ?", e.hooks[0]); err != nil {
				return err
			}
			t, err = delivery.TakeToken(ctx, tx, e.hooks[0], 5, nil)
			return happened(t.Granted, err)
		}},
		{name: "load_one", n: 1, run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			_, err := delivery.LoadJob(ctx, tx, e.waiting[0], uuid.New(), 1)
			return err
		}},
		{name: "load_batch", n: n, run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			b := delivery.Batch{ID: pg.NewID(), Deliveries: e.waiting}
			if err := delivery.AddBatch(ctx, tx, b); err != nil {
				return err
			}
			jobs, err := delivery.LoadBatch(ctx, tx, b, uuid.New(), false)
			return enough(len(jobs), n, err)
		}},
		{name: "abandon_batch", n: n, run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			b := delivery.Batch{ID: pg.NewID(), Deliveries: e.waiting}
			if err := delivery.AddBatch(ctx, tx, b); err != nil {
				return err
			}
			return delivery.AbandonBatch(ctx, tx, b.ID)
		}},
		{name: "record_success", n: 1, run: e.record(delivery.OutcomeSucceeded)},
		{name: "record_failure", n: 1, run: e.record(delivery.OutcomeRetry)},
		{name: "record_batch", n: n, pool: true, run: func(ctx context.Context, _ bun.Tx, pool *bun.DB) error {
			rs := make([]delivery.AttemptRecord, n)
			for i, id := range e.waiting {
				rs[i] = e.recording(id, delivery.OutcomeSucceeded)
			}
			return delivery.RecordSuccesses(ctx, pool, rs)
		}},
		{name: "pause", n: 1, run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			if _, err := tx.ExecContext(ctx, "UPDATE webhooks SET is_active = false WHERE id = ?", e.hooks[0]); err != nil {
				return err
			}
			_, _, err := delivery.PauseDelivery(ctx, tx, e.waiting[0], e.hooks[0], "delivery:x:0", false)
			return err
		}},
		{name: "load_circuit", n: delivery.WaitingLimit, run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			_, err := delivery.LoadCircuit(ctx, tx, e.hooks[0])
			return err
		}},
		{name: "load_circuit_that_has_none_paused", n: 1, run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			_, err := delivery.LoadCircuit(ctx, tx, e.hooks[1])
			return err
		}},
		{name: "release", n: paused, run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			n, err := delivery.ReleasePaused(ctx, tx, e.hooks[0], paused, false)
			return enough(n, paused, err)
		}},
		{name: "delete_webhook", n: 1000, run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			return delivery.DeleteWebhook(ctx, tx, e.hooks[0])
		}},
		{name: "cancel_page", n: 100, run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			n, err := delivery.CancelPage(ctx, tx, e.hooks[0], 100)
			return enough(n, 100, err)
		}},
		{name: "cancel_one", n: 1, run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			_, err := delivery.CancelDelivery(ctx, tx, pg.Scope{Company: &e.company}, e.waiting[0])
			return err
		}},
		{name: "replay_page", n: 1000, run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			_, err := delivery.ReplayPage(ctx, tx, e.replay.ID, 100)
			return err
		}},
		{name: "retry_one", n: 1, run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			if _, err := tx.ExecContext(ctx, "UPDATE deliveries SET status = 'failed' WHERE id = ?", e.waiting[0]); err != nil {
				return err
			}
			_, err := delivery.RetryDelivery(ctx, tx, pg.Scope{}, e.waiting[0])
			return err
		}},
		{name: "commands", n: 1, run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			_, err := delivery.TakeCommands(ctx, tx, 200)
			return err
		}},
		{name: "fail_one", n: 1, run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			ended, err := delivery.FailDelivery(
				ctx,
				tx,
				delivery.Failure{
					DeliveryID:     e.waiting[0],
					Reason:         "no secret",
					WorkflowID:     "delivery:x:0",
					NextWorkflowID: "delivery:x:0",
				},
			)
			return happened(ended, err)
		}},
		{name: "postpone_one", n: 1, run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			return delivery.PostponeDelivery(ctx, tx, e.waiting[0], 0, time.Second, nil)
		}},
		{name: "note_attempt", n: 1, run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			return delivery.NoteAttempt(ctx, tx, e.waiting[0])
		}},
		{name: "queue_attempt", n: 1, run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			queued, err := delivery.QueueAttempt(ctx, tx, delivery.QueuedDelivery{DeliveryID: e.waiting[0], Attempt: 1})
			return happened(queued, err)
		}},
		{name: "requeue_one", n: 1, run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			requeued, err := delivery.RequeueLost(ctx, tx, e.waiting[0], false)
			return happened(requeued, err)
		}},
		{name: "lease_batch", n: 4 * n, run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			b := delivery.Batch{ID: pg.NewID(), Deliveries: e.waiting}
			if err := delivery.AddBatch(ctx, tx, b); err != nil {
				return err
			}
			lease, err := delivery.LeaseBatch(ctx, tx, b.ID)
			if err != nil {
				return err
			}
			if holds, err := delivery.HoldsBatch(ctx, tx, b.ID, lease); happened(holds, err) != nil {
				return happened(holds, err)
			}
			if _, err := delivery.BatchFlows(ctx, tx, b.ID); err != nil {
				return err
			}
			if _, err := delivery.BatchStands(ctx, tx, b.ID, -time.Hour); err != nil {
				return err
			}
			return delivery.LeaveBatch(ctx, tx, b.ID, lease, e.queue(e.waiting))
		}},
		{name: "resend", n: 2 * n, run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			return delivery.ResendDeliveries(ctx, tx, e.queue(e.waiting))
		}},
		{name: "resend_ordered", n: 2 * n, run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			_, err := tx.ExecContext(ctx, `UPDATE deliveries SET subject = 's1', sequence = 1, status = 'succeeded'
				WHERE id IN (?)`, bun.List(e.waiting))
			if err != nil {
				return err
			}
			return delivery.ResendDeliveries(ctx, tx, e.queue(e.waiting))
		}},
		{name: "probe", n: 1, run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			n, err := delivery.ReleasePaused(ctx, tx, e.hooks[0], 1, true)
			return enough(n, 1, err)
		}},
		{name: "sweep", n: 100, run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			p, err := delivery.SweepDeliveries(ctx, tx, delivery.SweepCursor{}, -time.Hour, 100)
			return enough(p.Looked, min(100, len(e.waiting)), err)
		}},
		{name: "sweep_one_lost", n: 100, run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			_, err := tx.ExecContext(
				ctx,
				"DELETE FROM delivery_queue WHERE webhook_id = ? AND company_id = ? AND delivery_id = ?",
				e.first,
				e.company,
				e.waiting[0],
			)
			if err != nil {
				return err
			}
			p, err := delivery.SweepDeliveries(ctx, tx, delivery.SweepCursor{}, -time.Hour, 100)
			return enough(p.Requeued, 1, err)
		}},
		{name: "open_circuits", n: 20, run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			if _, err := tx.ExecContext(
				ctx,
				"UPDATE webhooks SET circuit_opened_at = now() - interval '1 week' WHERE id = ?",
				e.hooks[1],
			); err != nil {
				return err
			}
			due, err := delivery.LookForDue(ctx, tx, delivery.ReconciledCircuits, 0, 100)
			if enough(len(due), 1, err) != nil {
				return enough(len(due), 1, err)
			}
			if err := delivery.NoteLooked(ctx, tx, delivery.ReconciledCircuits, due); err != nil {
				return err
			}
			open, err := delivery.OpenCircuits(ctx, tx, 100)
			return enough(open, 1, err)
		}},
		{name: "disable_abandoned", n: 20, run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			if _, err := tx.ExecContext(
				ctx,
				"UPDATE webhooks SET circuit_opened_at = now() - interval '1 week' WHERE id = ?",
				e.hooks[1],
			); err != nil {
				return err
			}
			disabled, err := delivery.DisableAbandoned(ctx, tx, time.Hour, 100)
			return enough(len(disabled), 1, err)
		}},
		{name: "releases_due", n: 20, run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			due, err := delivery.LookForDue(ctx, tx, delivery.ReconciledReleases, -time.Hour, 100)
			return enough(len(due), 1, err)
		}},
		{name: "replays_due", n: 1, run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			due, err := delivery.LookForDue(ctx, tx, delivery.ReconciledReplays, -time.Hour, 100)
			return enough(len(due), 1, err)
		}},
		{name: "interviews_due", n: 1, run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			_, err := delivery.LookForDue(ctx, tx, db.ReconciledInterviews, 0, 100)
			return err
		}},
		{name: "generations_due", n: 1, run: func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
			_, err := delivery.LookForDue(ctx, tx, db.ReconciledGenerations, 0, 100)
			return err
		}},
		{
			name: "what_holds_a_day",
			n:    1,
			run:  func(ctx context.Context, tx bun.Tx, _ *bun.DB) error { return delivery.LookAtDay(ctx, tx, time.Now()) },
		},
	}
}

func (e *engine) take(o delivery.TakeOptions, before string) func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
	return func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
		if before != "" {
			if _, err := tx.ExecContext(ctx, before); err != nil {
				return err
			}
		}
		t, err := delivery.TakeDeliveries(ctx, tx, o)
		return enough(t.Taken, len(e.waiting), err)
	}
}

// deal takes deliveries of webhooks with a rate limit, up to room of each, wanted in all.
func (e *engine) deal(room, wanted int) func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
	return func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
		if _, err := tx.ExecContext(ctx, "UPDATE webhooks SET rate_limit = 10000"); err != nil {
			return err
		}
		t, err := delivery.TakeDeliveries(ctx, tx, delivery.TakeOptions{Limit: 500, PerFlow: 500, PerFailing: 500})
		if enough(t.Taken, 0, err) != nil {
			return enough(t.Taken, 0, err)
		}
		var requests []delivery.TokenRequest
		for _, w := range t.Limited {
			requests = append(requests, delivery.TokenRequest{Webhook: w.ID, Room: min(room, 500/len(t.Limited))})
		}
		deals, err := delivery.DealTokens(ctx, tx, uuid.New(), requests)
		if err != nil {
			return err
		}
		t, err = delivery.TakeDealt(ctx, tx, deals, time.Now(), false)
		return enough(t.Taken, wanted, err)
	}
}

func (e *engine) record(outcome delivery.Outcome) func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
	return func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
		_, err := delivery.RecordAttempt(ctx, tx, e.recording(e.waiting[0], outcome))
		return err
	}
}

func (e *engine) recording(id uuid.UUID, outcome delivery.Outcome) delivery.AttemptRecord {
	code := 200
	return delivery.AttemptRecord{
		WebhookID: e.hooks[0], Body: []byte(`{}`), Counts: true, Threshold: 10,
		Attempt: delivery.Attempt{
			DeliveryID: id,
			RunID:      uuid.New(),
			Attempt:    1,
			WorkflowID: "batch:x",
			StartedAt:  time.Now(),
			Outcome:    outcome,
			StatusCode: &code,
		},
	}
}

func (e *engine) feed(q delivery.FeedQuery, wanted int) plan.Run {
	return func(ctx context.Context, tx bun.Tx, _ *bun.DB) error {
		q.Limit = 20
		p, err := delivery.ReadFeed(ctx, tx, q)
		return enough(len(p.Events), wanted, err)
	}
}

func (e *engine) events(n int) []*delivery.Event {
	es := make([]*delivery.Event, n)
	for i := range es {
		es[i] = &delivery.Event{CompanyID: &e.company, Type: catalog.InterviewStarted, Data: []byte(`{}`)}
	}
	return es
}

// queue are deliveries as they would stand in the queue. Their webhook is one for all, which no statement minds.
func (e *engine) queue(ids []uuid.UUID) []delivery.QueuedDelivery {
	qs := make([]delivery.QueuedDelivery, len(ids))
	for i, id := range ids {
		qs[i] = delivery.QueuedDelivery{WebhookID: e.first, CompanyID: &e.company, DeliveryID: id, Attempt: 1}
	}
	return qs
}

func happened(did bool, err error) error {
	if err == nil && !did {
		return errors.New("nothing happened")
	}
	return err
}

func enough(n, wanted int, err error) error {
	if err == nil && n != wanted {
		return fmt.Errorf("%d, not %d", n, wanted)
	}
	return err
}
