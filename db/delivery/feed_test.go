package delivery_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"golang.org/x/sync/errgroup"

	"greenroom/db/catalog"
	"greenroom/db/dbtest"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// readAll reads the feed to its end.
func (b *bundle) readAll(q delivery.FeedQuery) (ids []uuid.UUID, p delivery.FeedPage) {
	b.t.Helper()
	if q.Limit == 0 {
		q.Limit = 100
	}
	for {
		p, err := delivery.ReadFeed(b.ctx, b.DB, q)
		require.NoError(b.t, err)
		for _, e := range p.Events {
			ids = append(ids, e.ID)
		}
		if q.After = p.Next; !p.More {
			return ids, p
		}
	}
}

// stored are the ids of the stored events in the order of the feed.
func (b *bundle) stored() (ids []uuid.UUID) {
	b.t.Helper()
	require.NoError(b.t, b.NewRaw("SELECT id FROM events ORDER BY position, id").Scan(b.ctx, &ids))
	return ids
}

var errRollBack = errors.New("roll back")

// TestFeedIsComplete: writers whose transactions take various times and are partly rolled back, and readers with
// various limits beside them. Each reader gets each committed event once, and all get them in one order.
func TestFeedIsComplete(t *testing.T) {
	t.Parallel()
	b := setup(t)
	writers, transactions, readers := 8, 40, 4
	if testing.Short() {
		transactions = 10
	}
	var written errgroup.Group
	committed := make([][]uuid.UUID, writers)
	var rolledBack atomic.Int64
	for w := range writers {
		written.Go(func() error {
			for range transactions {
				ids, err := b.writeSlowly()
				if errors.Is(err, errRollBack) {
					rolledBack.Add(1)
				} else if err != nil {
					return err
				}
				committed[w] = append(committed[w], ids...)
			}
			return nil
		})
	}
	var done atomic.Int64 // the number of committed events, once all are written
	var read errgroup.Group
	got := make([][]uuid.UUID, readers)
	for r := range readers {
		read.Go(func() error {
			q := delivery.FeedQuery{Company: &b.company, Limit: 1 + r*r}
			for {
				total := done.Load() // before the page
				p, err := delivery.ReadFeed(b.ctx, b.DB, q)
				if err != nil {
					return err
				}
				for _, e := range p.Events {
					got[r] = append(got[r], e.ID)
				}
				if q.After = p.Next; total > 0 && !p.More && len(got[r]) >= int(total) {
					return nil
				}
			}
		})
	}
	require.NoError(t, written.Wait())
	all := slices.Concat(committed...)
	require.Positive(t, rolledBack.Load())
	done.Store(int64(len(all)))
	require.NoError(t, read.Wait())
	for r := range readers {
		require.ElementsMatch(t, all, got[r], "each event once")
		require.Equal(t, got[0], got[r], "one order")
	}
}

// writeSlowly records some events in a transaction of some length, and returns the ids of those that were committed.
func (b *bundle) writeSlowly() (ids []uuid.UUID, err error) {
	pause := func() { time.Sleep(time.Duration(rand.IntN(8)) * time.Millisecond) }
	early := pg.NewID()
	pause()
	err = pg.InTx(b.ctx, b.DB, func(ctx context.Context, tx bun.Tx) error {
		for i := range 1 + rand.IntN(3) {
			e := &delivery.Event{CompanyID: &b.company, Type: catalog.JobCreated, Data: []byte("{}")}
			if i == 0 {
				e.ID = early
			}
			if _, err := delivery.RecordEvent(ctx, tx, e); err != nil {
				return err
			}
			ids = append(ids, e.ID)
			pause()
		}
		if rand.IntN(4) == 0 {
			return errRollBack
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return ids, nil
}

func TestFeed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := pg.NewID()
	b.exec("INSERT INTO companies (id, name) VALUES (?, 'Other')", other)
	insert := func(company *uuid.UUID, eventType string, n int) {
		t.Helper()
		es := make([]*delivery.Event, n)
		for i := range es { // old, so that a reader waits for no other transaction of the server
			es[i] = &delivery.Event{
				CompanyID: company, Type: eventType, Data: []byte(`{"b":1, "a":2}`), OccurredAt: time.Now().Add(-time.Minute),
			}
		}
		b.tx(func(tx bun.Tx) error { _, err := delivery.RecordEvents(b.ctx, tx, es); return err })
	}
	insert(&b.company, catalog.InterviewStarted, 30)
	insert(&other, catalog.InterviewStarted, 5)
	insert(nil, catalog.WebhookDisabled, 1)
	insert(&b.company, catalog.JobCreated, 7)

	t.Run("all_of_the_server_or_those_of_a_company", func(t *testing.T) {
		ids, _ := b.readAll(delivery.FeedQuery{Limit: 4})
		require.Equal(t, b.stored(), ids)
		mine, _ := b.readAll(delivery.FeedQuery{Company: &b.company, Limit: 4})
		require.Len(t, mine, 37)
		theirs, _ := b.readAll(delivery.FeedQuery{Company: &other})
		require.Len(t, theirs, 5)
	})
	t.Run("of_some_types", func(t *testing.T) {
		ids, _ := b.readAll(delivery.FeedQuery{Company: &b.company, Types: []string{catalog.JobCreated}, Limit: 2})
		require.Len(t, ids, 7)
	})
	t.Run("the_data_is_as_published", func(t *testing.T) {
		p, err := delivery.ReadFeed(b.ctx, b.DB, delivery.FeedQuery{Company: &b.company, Limit: 1})
		require.NoError(t, err)
		require.Equal(t, `{"b":1, "a":2}`, string(p.Events[0].Data))
		require.True(t, p.More)
	})
	t.Run("an_empty_page_moves_on", func(t *testing.T) {
		_, p := b.readAll(delivery.FeedQuery{Company: &b.company})
		b.exec("SELECT pg_current_xact_id()")
		_, next := b.readAll(delivery.FeedQuery{Company: &b.company, After: p.Next})
		require.GreaterOrEqual(t, next.Next.Position, p.Next.Position)
		insert(&b.company, catalog.JobUpdated, 1)
		ids, _ := b.readAll(delivery.FeedQuery{Company: &b.company, After: next.Next})
		require.Len(t, ids, 1)
	})
	t.Run("large_events_make_short_pages", func(t *testing.T) {
		_, p := b.readAll(delivery.FeedQuery{Company: &b.company})
		data := make([]byte, 1<<20)
		for i := range data {
			data[i] = ' '
		}
		copy(data, "{}")
		for range 5 {
			e := &delivery.Event{CompanyID: &b.company, Type: catalog.JobCreated, Data: data, OccurredAt: day0}
			b.tx(func(tx bun.Tx) error { _, err := delivery.RecordEvent(b.ctx, tx, e); return err })
		}
		q := delivery.FeedQuery{Company: &b.company, After: p.Next, Limit: 100}
		first, err := delivery.ReadFeed(b.ctx, b.DB, q)
		require.NoError(t, err)
		require.Len(t, first.Events, 3)
		require.True(t, first.More)
		ids, _ := b.readAll(q)
		require.Len(t, ids, 5)
	})
}

// TestFeedWaits has a transaction that has written something and does not end.
func TestFeedWaits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	publish := func() uuid.UUID {
		t.Helper()
		e := &delivery.Event{CompanyID: &b.company, Type: catalog.JobCreated, Data: []byte("{}"), OccurredAt: day0}
		b.tx(func(tx bun.Tx) error { _, err := delivery.RecordEvent(b.ctx, tx, e); return err })
		return e.ID
	}
	q := delivery.FeedQuery{Company: &b.company, Limit: 10}
	t.Run("in_this_database_holds_events_back_and_is_reported", func(t *testing.T) {
		open, err := b.BeginTx(b.ctx, nil)
		require.NoError(t, err)
		_, err = open.ExecContext(b.ctx, "SELECT pg_current_xact_id()")
		require.NoError(t, err)
		id := publish()
		for _, q := range []delivery.FeedQuery{q, {Limit: 10}} {
			p, err := delivery.ReadFeed(b.ctx, b.DB, q)
			require.NoError(t, err)
			require.Empty(t, p.Events)
			require.NotNil(t, p.HeldSince)
			require.True(t, p.HeldSince.Equal(day0))
		}
		require.NoError(t, open.Rollback())
		ids, p := b.readAll(q)
		require.Equal(t, []uuid.UUID{id}, ids)
		require.Nil(t, p.HeldSince)
		q.After = p.Next
	})
	t.Run("in_another_database_of_the_server_holds_nothing_back", func(t *testing.T) {
		open, err := dbtest.New(t).BeginTx(b.ctx, nil)
		require.NoError(t, err)
		defer func() { _ = open.Rollback() }()
		_, err = open.ExecContext(b.ctx, "SELECT pg_current_xact_id()")
		require.NoError(t, err)
		id := publish()
		ids, p := b.readAll(q)
		require.Equal(t, []uuid.UUID{id}, ids)
		require.Nil(t, p.HeldSince)
		_, again := b.readAll(delivery.FeedQuery{Company: &b.company, After: p.Next})
		require.Equal(t, p.Next, again.Next, "the place is kept although the settled position by the server is before it")
	})
}

// TestFeedGap removes 9 of 41 days of events: see TestRetention.
func TestFeedGap(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := day0.AddDate(0, 0, -40)
	require.NoError(t, delivery.EnsurePartitions(b.ctx, b.DB, first, 40))
	for i := range 41 {
		status := delivery.Succeeded
		if i == 5 {
			status = delivery.Paused
		}
		b.deliver(first.AddDate(0, 0, i), status)
	}
	q := delivery.FeedQuery{Company: &b.company, Limit: 3}
	page, err := delivery.ReadFeed(b.ctx, b.DB, q)
	require.NoError(t, err)
	_, end := b.readAll(q)
	drop := func(before time.Time) {
		t.Helper()
		_, err := delivery.DropPartitions(b.ctx, b.DB, before)
		require.NoError(t, err)
	}
	drop(day0.AddDate(0, 0, -30))
	gapAt := func(c delivery.FeedCursor) *delivery.FeedGapError {
		t.Helper()
		q := q
		q.After = c
		_, err := delivery.ReadFeed(b.ctx, b.DB, q)
		var gap *delivery.FeedGapError
		require.ErrorAs(t, err, &gap)
		return gap
	}
	t.Run("a_cursor_before_removed_events_is_refused_once", func(t *testing.T) {
		gap := gapAt(page.Next)
		require.False(t, gap.Restored)
		ids, _ := b.readAll(delivery.FeedQuery{Company: &b.company, Limit: 3, After: gap.Next})
		require.Equal(t, b.stored(), ids, "all that are left, none twice")
	})
	t.Run("a_cursor_after_them_is_not", func(t *testing.T) {
		ids, _ := b.readAll(delivery.FeedQuery{Company: &b.company, After: end.Next})
		require.Empty(t, ids)
	})
	t.Run("nor_is_the_beginning", func(t *testing.T) {
		ids, _ := b.readAll(q)
		require.Equal(t, b.stored(), ids)
	})
	t.Run("a_reader_of_the_oldest_meets_the_next_gap", func(t *testing.T) {
		page, err := delivery.ReadFeed(b.ctx, b.DB, q)
		require.NoError(t, err)
		drop(day0.AddDate(0, 0, -20))
		ids, _ := b.readAll(delivery.FeedQuery{Company: &b.company, After: gapAt(page.Next).Next})
		require.Subset(t, b.stored(), ids)
		require.Subset(t, ids, b.stored()[1:])
	})
	t.Run("without_a_partition", func(t *testing.T) {
		b := setup(t)
		b.deliver(day0, delivery.Succeeded)
		b.deliver(day0, delivery.Succeeded)
		page, err := delivery.ReadFeed(b.ctx, b.DB, delivery.FeedQuery{Limit: 1})
		require.NoError(t, err)
		_, err = delivery.DropPartitions(b.ctx, b.DB, day0.AddDate(0, 0, 10))
		require.NoError(t, err)
		require.Zero(t, b.count("events"))
		_, err = delivery.ReadFeed(b.ctx, b.DB, delivery.FeedQuery{Limit: 1, After: page.Next})
		var gap *delivery.FeedGapError
		require.ErrorAs(t, err, &gap)
	})
	t.Run("a_cursor_ahead_of_a_restored_database", func(t *testing.T) {
		gap := gapAt(delivery.FeedCursor{Position: end.Next.Position + 1_000_000_000})
		require.True(t, gap.Restored)
		ids, _ := b.readAll(delivery.FeedQuery{Company: &b.company, After: gap.Next})
		require.Equal(t, b.stored(), ids)
	})
}

// TestFeedOfARestoredDump has events whose positions are those of another server.
func TestFeedOfARestoredDump(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.deliver(day0, delivery.Succeeded)
	b.deliver(day0.Add(time.Second), delivery.Succeeded)
	b.exec("UPDATE events SET position = position + 1000000000000")
	b.exec("UPDATE event_feed SET dropped_through = 1000000000000")
	b.deliver(day0.Add(2*time.Second), delivery.Succeeded)
	require.NoError(t, delivery.AlignFeed(b.ctx, b))
	require.NoError(t, delivery.AlignFeed(b.ctx, b))
	ids, _ := b.readAll(delivery.FeedQuery{Company: &b.company})
	require.Len(t, ids, 3)
	require.Equal(t, b.stored(), ids)
	require.True(t, slices.IsSortedFunc(ids, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }))
	require.Equal(t, 2, b.number("SELECT count(*) FROM events WHERE position = 0"))
}

func TestFeedWatch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := pg.NewID()
	b.exec("INSERT INTO companies (id, name) VALUES (?, 'Other')", other)
	w := delivery.NewFeedWatch(b.DB)
	mine, theirs, all := w.Enter(&b.company), w.Enter(&other), w.Enter(nil)
	<-mine.Woken() // by the first look
	<-theirs.Woken()
	<-all.Woken()
	e := &delivery.Event{CompanyID: &b.company, Type: catalog.JobCreated, Data: []byte("{}")}
	b.tx(func(tx bun.Tx) error { _, err := delivery.RecordEvent(b.ctx, tx, e); return err })
	<-mine.Woken()
	<-all.Woken()
	require.Empty(t, theirs.Woken(), "nothing is new for it")
	for _, r := range []*delivery.FeedReader{mine, theirs, all} {
		r.Leave()
	}
	require.Eventually(t, func() bool { return !w.Running() }, time.Minute, 10*time.Millisecond)
	again := w.Enter(nil)
	<-again.Woken()
	again.Leave()
}
