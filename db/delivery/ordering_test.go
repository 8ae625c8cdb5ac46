package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"golang.org/x/sync/errgroup"

	"greenroom/db/catalog"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// ordered is a bundle whose webhook has ordering.
type ordered struct {
	*bundle
	lines *delivery.Lines
}

func setupOrdered(t *testing.T) *ordered {
	t.Helper()
	b := setup(t)
	b.exec("UPDATE webhooks SET ordering = 'subject' WHERE id = ?", b.hook.ID)
	return &ordered{b, delivery.NewLines(b.DB)}
}

// about publishes events about subjects in one transaction.
func (o *ordered) about(subjects ...string) {
	o.t.Helper()
	o.tx(func(tx bun.Tx) error { return o.record(tx, subjects...) })
}

func (o *ordered) record(tx bun.Tx, subjects ...string) error {
	var es []*delivery.Event
	for _, s := range subjects {
		es = append(es, &delivery.Event{
			CompanyID: &o.company, Type: catalog.InterviewStarted, Data: []byte("{}"), Subject: &s,
		})
	}
	_, err := delivery.RecordEvents(o.ctx, tx, es)
	return err
}

// move moves lines until none has changed.
func (o *ordered) move() (heads int) {
	o.t.Helper()
	require.Eventually(o.t, func() bool {
		m, err := o.lines.Move(o.ctx, 100)
		require.NoError(o.t, err)
		heads += m.Heads
		return !m.Again
	}, time.Minute, time.Millisecond)
	return heads
}

// next moves lines and takes what is queued. Each is "subject sequence", the sequence counted from 1 for each subject.
func (o *ordered) next() (taken []delivery.QueuedDelivery, names []string) {
	o.t.Helper()
	o.move()
	taken = o.take()
	for _, q := range taken {
		names = append(names, o.name(q.DeliveryID))
	}
	return taken, names
}

func (o *ordered) name(id uuid.UUID) (name string) {
	o.t.Helper()
	require.NoError(o.t, o.NewRaw(`SELECT e.subject || ' ' || (SELECT count(*) FROM events x
			WHERE x.subject = e.subject AND x.sequence <= e.sequence)
		FROM deliveries d JOIN events e ON e.id = d.event_id WHERE d.id = ?`, id).Scan(o.ctx, &name))
	return name
}

func (o *ordered) succeed(qs ...delivery.QueuedDelivery) {
	o.t.Helper()
	for _, q := range qs {
		o.end(q, delivery.OutcomeSucceeded)
	}
}

func (o *ordered) end(q delivery.QueuedDelivery, outcome delivery.Outcome) {
	o.t.Helper()
	o.attempt(q, outcome, func(r *delivery.AttemptRecord) { r.Attempt.Generation = q.Generation })
}

func TestOrdering(t *testing.T) {
	t.Parallel()
	t.Run("one_of_each_subject_is_under_way", func(t *testing.T) {
		t.Parallel()
		o := setupOrdered(t)
		o.about("a", "b", "a", "a")
		taken, names := o.next()
		require.ElementsMatch(t, []string{"a 1", "b 1"}, names)
		_, none := o.next()
		require.Empty(t, none)
		for _, q := range taken {
			if o.name(q.DeliveryID) == "a 1" {
				o.succeed(q)
			}
		}
		o.about("b")
		taken, names = o.next()
		require.Equal(t, []string{"a 2"}, names)
		o.end(taken[0], delivery.OutcomeRetry)
		_, none = o.next()
		require.Empty(t, none, "the next one waits while an earlier one is retried")
		require.NoError(t, delivery.TidyLines(o.ctx, o.DB))
		_, none = o.next()
		require.Empty(t, none)
	})
	t.Run("without_a_subject_nothing_waits", func(t *testing.T) {
		t.Parallel()
		o := setupOrdered(t)
		o.publish(catalog.InterviewStarted)
		o.publish(catalog.InterviewStarted)
		require.Len(t, o.take(), 2)
	})
	t.Run("another_webhook_does_not_wait", func(t *testing.T) {
		t.Parallel()
		o := setupOrdered(t)
		o.webhook(catalog.InterviewStarted)
		o.about("a", "a")
		require.Len(t, o.take(), 2)
		_, names := o.next()
		require.Equal(t, []string{"a 1"}, names)
	})
	t.Run("a_failure_is_skipped", func(t *testing.T) {
		t.Parallel()
		o := setupOrdered(t)
		o.about("a", "a")
		taken, _ := o.next()
		o.end(taken[0], delivery.OutcomeFailed)
		_, names := o.next()
		require.Equal(t, []string{"a 2"}, names)
	})
	t.Run("a_failure_blocks", func(t *testing.T) {
		t.Parallel()
		blocked := func(t *testing.T) (o *ordered, failed delivery.QueuedDelivery) {
			t.Helper()
			o = setupOrdered(t)
			o.exec("UPDATE webhooks SET ordering_blocks = true WHERE id = ?", o.hook.ID)
			o.about("a", "a")
			taken, _ := o.next()
			o.end(taken[0], delivery.OutcomeFailed)
			_, names := o.next()
			require.Empty(t, names)
			line, err := delivery.LineOf(o.ctx, o.DB, o.delivery(taken[0].DeliveryID))
			require.NoError(t, err)
			require.Equal(t, &delivery.Line{Subject: "a", Behind: &taken[0].DeliveryID, Blocked: true}, line)
			return o, taken[0]
		}
		t.Run("until_it_is_replayed", func(t *testing.T) {
			t.Parallel()
			o, failed := blocked(t)
			o.tx(func(tx bun.Tx) error {
				_, err := delivery.RetryDelivery(o.ctx, tx, pg.Scope{}, failed.DeliveryID)
				return err
			})
			taken, names := o.next()
			require.Equal(t, []string{"a 1"}, names)
			o.end(taken[0], delivery.OutcomeFailed)
			_, names = o.next()
			require.Empty(t, names, "it failed again")
			o.tx(func(tx bun.Tx) error {
				_, err := delivery.RetryDelivery(o.ctx, tx, pg.Scope{}, failed.DeliveryID)
				return err
			})
			taken, _ = o.next()
			o.succeed(taken...)
			_, names = o.next()
			require.Equal(t, []string{"a 2"}, names)
		})
		t.Run("until_it_is_canceled", func(t *testing.T) {
			t.Parallel()
			o, failed := blocked(t)
			o.tx(func(tx bun.Tx) error {
				_, err := delivery.CancelDelivery(o.ctx, tx, pg.Scope{}, failed.DeliveryID)
				return err
			})
			_, names := o.next()
			require.Equal(t, []string{"a 2"}, names)
			var refused *pg.StateError
			err := pg.InTx(o.ctx, o.DB, func(ctx context.Context, tx bun.Tx) error {
				_, err := delivery.CancelDelivery(ctx, tx, pg.Scope{}, failed.DeliveryID)
				return err
			})
			require.ErrorAs(t, err, &refused)
		})
		t.Run("until_the_webhook_skips", func(t *testing.T) {
			t.Parallel()
			o, _ := blocked(t)
			o.hook.OrderingBlocks = false
			o.tx(func(tx bun.Tx) error { return delivery.UpdateWebhook(o.ctx, tx, o.hook, "ordering_blocks") })
			_, names := o.next()
			require.Equal(t, []string{"a 2"}, names)
		})
		t.Run("until_it_is_no_longer_kept", func(t *testing.T) {
			t.Parallel()
			o, failed := blocked(t)
			o.exec("DELETE FROM deliveries WHERE id = ?", failed.DeliveryID) // as retention does, without a trigger
			require.NoError(t, delivery.TidyLines(o.ctx, o.DB))
			_, names := o.next()
			require.Equal(t, []string{"a 2"}, names)
		})
		t.Run("unless_the_webhook_is_deleted", func(t *testing.T) {
			t.Parallel()
			o, _ := blocked(t)
			o.tx(func(tx bun.Tx) error { return delivery.DeleteWebhook(o.ctx, tx, o.hook.ID) })
			o.move()
			require.Zero(t, o.number("SELECT (SELECT count(*) FROM line_waiting) + (SELECT count(*) FROM line_heads)"))
			require.Zero(t, o.number("SELECT count(*) FROM deliveries WHERE status NOT IN ('failed', 'canceled')"))
		})
	})
	t.Run("canceled_while_it_waits", func(t *testing.T) {
		t.Parallel()
		o := setupOrdered(t)
		o.about("a", "a", "a")
		taken, _ := o.next()
		o.exec(
			"UPDATE deliveries SET status = 'canceled' WHERE id = (SELECT delivery_id FROM line_waiting ORDER BY sequence LIMIT 1)",
		)
		_, names := o.next()
		require.Empty(t, names)
		o.succeed(taken...)
		_, names = o.next()
		require.Equal(t, []string{"a 3"}, names)
	})
	t.Run("a_replay_keeps_the_order", func(t *testing.T) {
		t.Parallel()
		o := setupOrdered(t)
		o.about("a", "a", "a")
		for range 3 {
			taken, _ := o.next()
			o.succeed(taken...)
		}
		o.about("a")
		under, names := o.next()
		require.Equal(t, []string{"a 4"}, names)
		o.about("a")
		r := &delivery.Replay{
			WebhookID: o.hook.ID, Since: time.Now().Add(-time.Hour), Until: time.Now().Add(time.Hour),
			Statuses: []string{"succeeded"},
		}
		o.tx(func(tx bun.Tx) error { return delivery.CreateReplay(o.ctx, tx, r) })
		_, err := delivery.ReplayPage(o.ctx, o.DB, r.ID, 10)
		require.NoError(t, err)
		_, names = o.next()
		require.Empty(t, names, "one is under way")
		o.succeed(under...)
		for _, want := range []string{"a 1", "a 2", "a 3", "a 5"} {
			taken, names := o.next()
			require.Equal(t, []string{want}, names)
			o.succeed(taken...)
		}
	})
	t.Run("a_replay_keeps_the_order_of_overlapping_transactions", func(t *testing.T) {
		t.Parallel()
		o := setupOrdered(t)
		for _, subject := range []string{"a", "b", "a", "b"} {
			o.about(subject)
			time.Sleep(2 * time.Millisecond) // ids of one millisecond have no order
		}
		for range 2 {
			taken, _ := o.next()
			o.succeed(taken...)
		}
		// As if the transaction of each later event had made its delivery first.
		o.exec("UPDATE deliveries SET sequence = -sequence")
		o.exec("UPDATE deliveries d SET sequence = 5 + d.sequence WHERE subject IS NOT NULL")
		r := &delivery.Replay{
			WebhookID: o.hook.ID, Since: time.Now().Add(-time.Hour), Until: time.Now().Add(time.Hour),
			Statuses: []string{"succeeded"},
		}
		o.tx(func(tx bun.Tx) error { return delivery.CreateReplay(o.ctx, tx, r) })
		var id uuid.UUID
		p, err := delivery.ReplayPage(o.ctx, o.DB, r.ID, 1)
		require.NoError(t, err)
		require.GreaterOrEqual(t, p.Requeued, 3, "the page has all that belongs before its first one")
		_, err = delivery.ReplayPage(o.ctx, o.DB, r.ID, 10)
		require.NoError(t, err)
		require.Equal(t, 4, o.number("SELECT count(*) FROM deliveries WHERE generation = 1"))
		o.move()
		var firsts []int64
		require.NoError(t, o.NewRaw(`SELECT d.sequence FROM line_heads h JOIN deliveries d ON d.id = h.delivery_id
			ORDER BY d.sequence`).Scan(o.ctx, &firsts))
		lowest := []int64{}
		require.NoError(t, o.NewRaw("SELECT min(sequence) FROM deliveries GROUP BY subject ORDER BY 1").
			Scan(o.ctx, &lowest))
		require.Equal(t, lowest, firsts)

		o.exec("DELETE FROM line_heads; DELETE FROM line_waiting; UPDATE deliveries SET status = 'succeeded'")
		require.NoError(t, o.NewRaw("SELECT id FROM deliveries ORDER BY id OFFSET 1 LIMIT 1").Scan(o.ctx, &id))
		early := &delivery.Replay{
			WebhookID: o.hook.ID, Since: time.Now().Add(-time.Hour), Until: pg.TimeOf(id), Statuses: []string{"succeeded"},
		}
		o.tx(func(tx bun.Tx) error { return delivery.CreateReplay(o.ctx, tx, early) })
		p, err = delivery.ReplayPage(o.ctx, o.DB, early.ID, 1)
		require.NoError(t, err)
		require.Equal(t, 1, p.Requeued, "a page does not go beyond the replay's time")
	})
	t.Run("a_catch_up_keeps_the_order", func(t *testing.T) {
		t.Parallel()
		o := setupOrdered(t)
		o.exec("UPDATE webhooks SET is_active = false")
		o.about("a", "a")
		o.exec("UPDATE webhooks SET is_active = true")
		o.about("a")
		r := &delivery.Replay{WebhookID: o.hook.ID, CompanyID: &o.company, Since: time.Now().Add(-time.Hour)}
		o.tx(func(tx bun.Tx) error { return delivery.CreateCatchUp(o.ctx, tx, r) })
		require.Eventually(t, func() bool {
			p, err := delivery.ReplayPage(o.ctx, o.DB, r.ID, 10)
			require.NoError(t, err)
			return p.State == delivery.ReplayCompleted
		}, time.Minute, time.Millisecond)
		for _, want := range []string{"a 1", "a 2", "a 3"} {
			taken, names := o.next()
			require.Equal(t, []string{want}, names)
			o.succeed(taken...)
		}
	})
	t.Run("a_catch_up_keeps_the_order_of_overlapping_transactions", func(t *testing.T) {
		t.Parallel()
		o := setupOrdered(t)
		o.exec("UPDATE webhooks SET is_active = false")
		o.tx(func(first bun.Tx) error { // it is first in the feed, its event has the highest number of all but the last
			if _, err := first.ExecContext(o.ctx, "SELECT pg_current_xact_id()"); err != nil {
				return err
			}
			o.about("b")
			o.about("a")
			o.about("a", "b")
			return o.record(first, "a")
		})
		o.about("a")
		o.exec("UPDATE webhooks SET is_active = true")
		r := &delivery.Replay{WebhookID: o.hook.ID, CompanyID: &o.company, Since: time.Now().Add(-time.Hour)}
		o.tx(func(tx bun.Tx) error { return delivery.CreateCatchUp(o.ctx, tx, r) })
		page := func(limit int) delivery.ReplayProgress {
			p, err := delivery.ReplayPage(o.ctx, o.DB, r.ID, limit)
			require.NoError(t, err)
			return p
		}
		require.Eventually(t, func() bool { return page(1).Requeued == 3 }, time.Minute, time.Millisecond,
			"the page has what belongs before its one event, and no more")
		taken, names := o.next()
		require.Equal(t, []string{"a 1"}, names)
		o.succeed(taken...)
		require.Eventually(t, func() bool { return page(1).State == delivery.ReplayCompleted }, time.Minute, time.Millisecond)
		require.Equal(t, 6, o.number("SELECT count(*) FROM deliveries"))
		require.Equal(t, 6, o.number("SELECT replayed FROM replays"))
		taken, names = o.next()
		require.ElementsMatch(t, []string{"a 2", "b 1"}, names)
		o.succeed(taken...)
		taken, names = o.next()
		require.ElementsMatch(t, []string{"a 3", "b 2"}, names)
		o.succeed(taken...)
		_, names = o.next()
		require.Equal(t, []string{"a 4"}, names)
	})
	t.Run("a_circuit_pauses_heads", func(t *testing.T) {
		t.Parallel()
		o := setupOrdered(t)
		o.block()
		o.about("a", "a", "b")
		_, names := o.next()
		require.Empty(t, names)
		require.Equal(t, 2, o.number("SELECT count(*) FROM deliveries WHERE status = 'paused'"))
		o.exec("UPDATE webhooks SET circuit_opened_at = NULL")
		_, err := delivery.ReleasePaused(o.ctx, o.DB, o.hook.ID, 10, false)
		require.NoError(t, err)
		_, names = o.next()
		require.ElementsMatch(t, []string{"a 1", "b 1"}, names)
	})
	t.Run("the_reconciler_leaves_what_waits", func(t *testing.T) {
		t.Parallel()
		o := setupOrdered(t)
		o.about("a", "a")
		o.next()
		o.exec("UPDATE deliveries SET updated_at = now() - interval '1 hour'")
		p, err := delivery.SweepDeliveries(o.ctx, o.DB, delivery.SweepCursor{}, time.Minute, 10)
		require.NoError(t, err)
		require.Equal(t, 2, p.Looked)
		require.Equal(t, 1, p.Requeued, "the head, whose workflow is gone")
	})
	t.Run("says_what_it_waits_for", func(t *testing.T) {
		t.Parallel()
		o := setupOrdered(t)
		o.about("a", "a")
		taken, _ := o.next()
		head := o.delivery(taken[0].DeliveryID)
		line, err := delivery.LineOf(o.ctx, o.DB, head)
		require.NoError(t, err)
		require.Nil(t, line)
		var second uuid.UUID
		require.NoError(t, o.NewRaw("SELECT delivery_id FROM line_waiting").Scan(o.ctx, &second))
		line, err = delivery.LineOf(o.ctx, o.DB, o.delivery(second))
		require.NoError(t, err)
		require.Equal(t, &delivery.Line{Subject: "a", Behind: &head.ID}, line)
	})
}

// TestRetentionOfLines: what waits behind a paused or a failed delivery keeps its day no longer than that one does.
func TestRetentionOfLines(t *testing.T) {
	t.Parallel()
	for name, head := range map[string]delivery.Status{"paused": delivery.Paused, "blocked": delivery.Failed} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := setupOrdered(t)
			first := day0.AddDate(0, 0, -40)
			require.NoError(t, delivery.EnsurePartitions(o.ctx, o.DB, first, 40))
			old, kept := first.Add(time.Hour), day0.AddDate(0, 0, -1)
			for i, when := range []time.Time{old, old, old, kept} {
				status := delivery.Pending
				if i == 0 {
					status = head
				}
				id := o.deliver(when, status)
				o.exec("UPDATE deliveries SET subject = 'a', sequence = ? WHERE id = ?", i+1, id)
				o.exec("SELECT setval('event_sequence', ?)", i+1)
				if i == 0 {
					o.exec("INSERT INTO line_heads VALUES (?, 'a', ?, ?)", o.hook.ID, id, head == delivery.Failed)
				} else {
					o.exec("INSERT INTO line_waiting VALUES (?, ?, 'a', ?, ?)", id, o.hook.ID, i+1, o.company)
				}
			}
			o.exec("UPDATE webhooks SET ordering_blocks = true, is_active = ?", head == delivery.Failed)
			before := day0.AddDate(0, 0, -30)
			for range 2 { // what expires stays visible until the next upkeep
				_, err := delivery.DropPartitions(o.ctx, o.DB, before)
				require.NoError(t, err)
				require.NoError(t, delivery.TidyLines(o.ctx, o.DB))
			}
			require.Equal(t, 1, o.number("SELECT count(*) FROM deliveries"), "the day is gone")
			require.Zero(t, o.number("SELECT count(*) FROM line_heads"))
			require.Equal(t, 1, o.move(), "the one that is kept follows")
		})
	}
}

// TestLeavingALineReadsByIndex: the plans of the trigger are made while the tables are empty, and kept while they grow.
func TestLeavingALineReadsByIndex(t *testing.T) {
	t.Parallel()
	o := setupOrdered(t)
	o.exec("VACUUM ANALYZE line_waiting, line_heads")
	o.about("a", "b")
	taken, _ := o.next()
	o.tx(func(tx bun.Tx) error {
		var before, after int
		scans := `SELECT COALESCE(sum(seq_scan), 0) FROM pg_stat_xact_user_tables
			WHERE relname IN ('line_waiting', 'line_heads', 'webhooks')`
		require.NoError(t, tx.NewRaw(scans).Scan(o.ctx, &before))
		_, err := tx.ExecContext(o.ctx, "UPDATE deliveries SET status = 'failed' WHERE id = ?", taken[0].DeliveryID)
		require.NoError(t, err)
		_, err = tx.ExecContext(o.ctx, "UPDATE deliveries SET status = 'succeeded' WHERE id = ?", taken[1].DeliveryID)
		require.NoError(t, err)
		require.NoError(t, tx.NewRaw(scans).Scan(o.ctx, &after))
		require.Equal(t, before, after)
		return nil
	})
}

// TestOrderWaitsForLateCommits: an event that has taken its number and is not committed goes before a later one that is.
func TestOrderWaitsForLateCommits(t *testing.T) {
	t.Parallel()
	o := setupOrdered(t)
	early, err := o.BeginTx(o.ctx, nil)
	require.NoError(t, err)
	defer func() { _ = early.Rollback() }()
	_, err = early.ExecContext(o.ctx, "SET LOCAL idle_in_transaction_session_timeout = 0")
	require.NoError(t, err)
	require.NoError(t, o.record(early, "a"))
	o.about("a")
	for range 3 {
		m, err := o.lines.Move(o.ctx, 100)
		require.NoError(t, err)
		require.Equal(t, delivery.LineMoves{Lines: 1, Again: true, Held: true}, m)
	}
	require.NoError(t, early.Commit())
	taken, names := o.next()
	require.Equal(t, []string{"a 1"}, names)
	o.succeed(taken...)
	_, names = o.next()
	require.Equal(t, []string{"a 2"}, names)
}

// TestOrderDoesNotWaitForOthers: a long transaction that stores no event, and a rollback, keep nothing waiting.
func TestOrderDoesNotWaitForOthers(t *testing.T) {
	t.Parallel()
	o := setupOrdered(t)
	long, err := o.BeginTx(o.ctx, nil)
	require.NoError(t, err)
	defer func() { _ = long.Rollback() }()
	_, err = long.ExecContext(o.ctx,
		"SET LOCAL idle_in_transaction_session_timeout = 0; UPDATE companies SET name = 'Other' WHERE id = ?", o.company)
	require.NoError(t, err)
	err = pg.InTx(o.ctx, o.DB, func(_ context.Context, tx bun.Tx) error {
		return errors.Join(o.record(tx, "a"), errRollBack)
	})
	require.ErrorIs(t, err, errRollBack)
	o.about("a")
	_, names := o.next()
	require.Equal(t, []string{"a 1"}, names)
}

// TestLinesKeepTheOrder: writers whose transactions take various times and are partly rolled back, movers of lines that
// run at the same time, and receivers that succeed, are retried, fail or cancel. No delivery of a subject is taken while
// an earlier one has not ended, none is taken twice without a reason, and all arrive.
func TestLinesKeepTheOrder(t *testing.T) {
	t.Parallel()
	o := setupOrdered(t)
	writers, transactions, subjects := 6, 40, 5
	if testing.Short() {
		transactions = 10
	}
	var written, moved, received errgroup.Group
	var events atomic.Int64
	for range writers {
		written.Go(func() error {
			for range transactions {
				n, err := o.recordSlowly(subjects)
				if err != nil && !errors.Is(err, errRollBack) {
					return err
				}
				events.Add(int64(n))
			}
			return nil
		})
	}
	ctx, stop := context.WithCancel(o.ctx)
	defer stop()
	for range 3 {
		moved.Go(func() error {
			lines := delivery.NewLines(o.DB)
			for ctx.Err() == nil {
				if _, err := lines.Move(o.ctx, 1+rand.IntN(10)); err != nil {
					return err
				}
				time.Sleep(time.Millisecond)
			}
			return nil
		})
	}
	c := &orderChecker{t: t, last: map[string]int64{}, under: map[string]uuid.UUID{}}
	for range 3 {
		received.Go(func() error {
			for ctx.Err() == nil {
				if err := o.receive(c); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, written.Wait())
	require.Eventually(t, func() bool { return c.ended.Load() == events.Load() }, 2*time.Minute, 10*time.Millisecond)
	stop()
	require.NoError(t, errors.Join(moved.Wait(), received.Wait()))
	require.Positive(t, events.Load())
	require.Empty(t, c.under)
	require.Zero(t, o.number("SELECT (SELECT count(*) FROM line_waiting) + (SELECT count(*) FROM line_heads)"))
}

func (o *ordered) recordSlowly(subjects int) (n int, err error) {
	pause := func() { time.Sleep(time.Duration(rand.IntN(8)) * time.Millisecond) }
	err = pg.InTx(o.ctx, o.DB, func(_ context.Context, tx bun.Tx) error {
		for range 1 + rand.IntN(3) {
			subject := fmt.Sprintf("s%d", rand.IntN(subjects))
			if err := o.record(tx, subject, subject); err != nil {
				return err
			}
			n += 2
			pause()
		}
		if rand.IntN(4) == 0 {
			return errRollBack
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// orderChecker knows what is under way, and the last sequence of each subject.
type orderChecker struct {
	t     *testing.T
	mu    sync.Mutex
	last  map[string]int64
	under map[string]uuid.UUID
	ended atomic.Int64
}

// receive takes some deliveries and ends or retries them.
func (o *ordered) receive(c *orderChecker) error {
	var taken delivery.TakeResult
	err := pg.InTx(o.ctx, o.DB, func(ctx context.Context, tx bun.Tx) (err error) {
		taken, err = delivery.TakeDeliveries(ctx, tx, tenOfEach)
		return err
	})
	if err != nil {
		return err
	}
	for _, q := range taken.Ready {
		var subject string
		var sequence int64
		err := o.NewRaw("SELECT e.subject, e.sequence FROM events e JOIN deliveries d ON d.event_id = e.id WHERE d.id = ?",
			q.DeliveryID).Scan(o.ctx, &subject, &sequence)
		if err != nil {
			return err
		}
		c.begin(subject, sequence, q.DeliveryID)
		time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond)
		outcome := []delivery.Outcome{
			delivery.OutcomeSucceeded, delivery.OutcomeSucceeded, delivery.OutcomeFailed,
		}[rand.IntN(3)]
		c.finish(subject)
		if rand.IntN(5) == 0 {
			err = pg.InTx(o.ctx, o.DB, func(ctx context.Context, tx bun.Tx) error {
				_, err := delivery.CancelDelivery(ctx, tx, pg.Scope{}, q.DeliveryID)
				return err
			})
		} else {
			_, err = delivery.RecordAttempt(o.ctx, o.DB, delivery.AttemptRecord{
				WebhookID: q.WebhookID, Body: []byte("{}"), Threshold: 1000, Attempt: delivery.Attempt{
					DeliveryID: q.DeliveryID, RunID: uuid.New(), Attempt: 1, StartedAt: time.Now(), Outcome: outcome,
				},
			})
		}
		if err != nil {
			return err
		}
		c.ended.Add(1)
	}
	return nil
}

func (c *orderChecker) begin(subject string, sequence int64, id uuid.UUID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	require.NotContains(c.t, c.under, subject, "two of a subject are under way")
	require.Greater(c.t, sequence, c.last[subject], "an earlier one of %s came later", subject)
	c.last[subject], c.under[subject] = sequence, id
}

func (c *orderChecker) finish(subject string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.under, subject)
}
