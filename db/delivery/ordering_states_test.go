package delivery_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/db/delivery"
)

// TestOrderAfterARestore: a worker that outlived a restore to an earlier moment forgets which events were stored then.
func TestOrderAfterARestore(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		restore string
		others  int // events of other subjects before the worker looks at lines again
	}{
		"with_an_earlier_sequence": {"SELECT setval('event_sequence', 1)", 3},
		// As pg_restore --clean does.
		"into_the_same_database": {
			"DROP SEQUENCE event_sequence; CREATE SEQUENCE event_sequence; SELECT setval('event_sequence', 1)", 20,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := setupOrdered(t)
			for range 10 {
				o.about("a", "b", "c")
				taken, _ := o.next()
				o.succeed(taken...)
			}
			o.exec(c.restore)
			o.exec("DELETE FROM deliveries; DELETE FROM events; DELETE FROM line_changes")
			early, err := o.BeginTx(o.ctx, nil)
			require.NoError(t, err)
			defer func() { _ = early.Rollback() }()
			require.NoError(t, o.record(early, "a"))
			o.about("a")
			for range c.others {
				o.about("d", "e")
			}
			_, err = o.lines.Move(o.ctx, 100)
			require.NoError(t, err)
			require.Empty(t, o.take(), "an earlier event of these may be stored yet")
			require.NoError(t, early.Commit())
			_, names := o.next()
			require.ElementsMatch(t, []string{"a 1", "d 1", "e 1"}, names)
		})
	}
}

// TestOrderBesideALongTransaction: one that stores events and does not end. Lines that may get an earlier event wait,
// and are not written again while they do; the others move. Queue and explanation say that they wait.
func TestOrderBesideALongTransaction(t *testing.T) {
	t.Parallel()
	o := setupOrdered(t)
	o.about("a", "a")
	first, _ := o.next()
	long, err := o.BeginTx(o.ctx, nil)
	require.NoError(t, err)
	defer func() { _ = long.Rollback() }()
	_, err = long.ExecContext(o.ctx, "SET LOCAL idle_in_transaction_session_timeout = 0")
	require.NoError(t, err)
	require.NoError(t, o.record(long, "b"))
	o.about("b", "c", "c")
	changes := func() (ids []int64) {
		require.NoError(t, o.NewRaw("SELECT id FROM line_changes ORDER BY id").Scan(o.ctx, &ids))
		return ids
	}
	waiting := changes()
	require.Len(t, waiting, 2)
	for range 10 {
		m, err := o.lines.Move(o.ctx, 100)
		require.NoError(t, err)
		require.True(t, m.Again && m.Held)
		require.Zero(t, m.Heads)
	}
	require.Equal(t, waiting, changes(), "what waits is not written again")

	o.succeed(first...)
	m, err := o.lines.Move(o.ctx, 100)
	require.NoError(t, err)
	require.Equal(t, 1, m.Heads, "what was stored before the transaction began moves")
	require.Len(t, o.take(), 1)

	o.exec("UPDATE deliveries SET updated_at = now() - interval '10 minutes' WHERE status = 'pending'")
	queue, err := delivery.QueueLength(o.ctx, o.DB, 100)
	require.NoError(t, err)
	require.Zero(t, queue.Deliveries)
	require.WithinDuration(t, time.Now().Add(-10*time.Minute), queue.Oldest, time.Minute)
	require.Eventually(t, func() bool {
		line, err := delivery.LineOf(o.ctx, o.DB, o.delivery(o.waiting("b")))
		require.NoError(t, err)
		return line.HeldSince != nil && time.Since(*line.HeldSince) < time.Minute
	}, time.Minute, 10*time.Millisecond)
	open, err := delivery.OpenTransactions(o.ctx, o.DB, time.Second)
	require.NoError(t, err)
	require.Len(t, open, 1)
	require.True(t, open[0].Stores)
	require.Equal(t, "idle in transaction", open[0].State)

	for end := time.Now().Add(3 * delivery.LateBy); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		_, err := o.lines.Move(o.ctx, 100) // passes no longer begin with the changes that wait
		require.NoError(t, err)
	}
	require.NoError(t, long.Commit())
	_, names := o.next()
	require.ElementsMatch(t, []string{"b 1", "c 1"}, names)
	require.Empty(t, changes())
	queue, err = delivery.QueueLength(o.ctx, o.DB, 100)
	require.NoError(t, err)
	require.Zero(t, queue.Oldest, "what is behind a delivery under way does not count")
}

func (o *ordered) waiting(subject string) (id uuid.UUID) {
	o.t.Helper()
	require.NoError(
		o.t,
		o.NewRaw("SELECT delivery_id FROM line_waiting WHERE subject = ? ORDER BY sequence LIMIT 1", subject).
			Scan(o.ctx, &id),
	)
	return id
}

// TestLateChangesOfLines: a change that is committed after later ones is seen.
func TestLateChangesOfLines(t *testing.T) {
	t.Parallel()
	o := setupOrdered(t)
	o.about("a", "a")
	taken, _ := o.next()
	late, err := o.BeginTx(o.ctx, nil)
	require.NoError(t, err)
	defer func() { _ = late.Rollback() }()
	_, err = late.ExecContext(o.ctx, "SET LOCAL idle_in_transaction_session_timeout = 0")
	require.NoError(t, err)
	_, err = late.ExecContext(o.ctx, "UPDATE deliveries SET status = 'succeeded' WHERE id = ?", taken[0].DeliveryID)
	require.NoError(t, err)
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		o.about("b")
		o.move()
	}
	require.NoError(t, late.Commit())
	require.Eventually(t, func() bool {
		changed, err := o.lines.Changed(o.ctx)
		require.NoError(t, err)
		return changed && o.move() == 1
	}, 20*time.Second, 10*time.Millisecond)
	require.Zero(t, o.number("SELECT count(*) FROM line_waiting WHERE subject = 'a'"))
}
