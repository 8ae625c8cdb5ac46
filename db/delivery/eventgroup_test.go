package delivery_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/catalog"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// groupBundle is a group whose statements can be held up, so that the order of concurrent calls is certain.
type groupBundle struct {
	*bundle
	*delivery.EventGroup
}

func groupSetup(t *testing.T) *groupBundle {
	b := setup(t)
	return &groupBundle{b, delivery.NewEventGroup(b.DB)}
}

// answer is what one call returned.
type answer struct {
	event      *delivery.Event
	deliveries int
	err        error
}

func (b *groupBundle) event() *delivery.Event {
	return &delivery.Event{CompanyID: &b.company, Type: catalog.InterviewStarted, Data: json.RawMessage(`{}`)}
}

// start submits one event; change may make the submission another.
func (b *groupBundle) start(ctx context.Context, change ...func(*delivery.Submission)) <-chan answer {
	s := delivery.Submission{Events: []*delivery.Event{b.event()}}
	for _, c := range change {
		c(&s)
	}
	out := make(chan answer, 1)
	go func() {
		ns, err := b.Record(ctx, s)
		a := answer{event: s.Events[0], err: err}
		if err == nil {
			a.deliveries = ns[0]
		}
		out <- a
	}()
	return out
}

// held runs fn while no event can be stored, and both groups that may be under way are stuck with one caller each,
// whose answers it returns. Calls that fn makes are in later groups.
func (b *groupBundle) held(fn func()) (stuck []<-chan answer) {
	b.t.Helper()
	tx, err := b.BeginTx(b.ctx, nil)
	require.NoError(b.t, err)
	defer func() { require.NoError(b.t, tx.Rollback()) }()
	_, err = tx.ExecContext(b.ctx, "LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
	require.NoError(b.t, err)
	for n := range 2 {
		stuck = append(stuck, b.start(b.ctx))
		b.until(func() bool { return b.blocked() == n+1 })
	}
	fn()
	return stuck
}

// blocked is how many statements wait for a lock.
func (b *groupBundle) blocked() (n int) {
	b.t.Helper()
	require.NoError(
		b.t,
		b.NewRaw(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`).
			Scan(b.ctx, &n),
	)
	return n
}

func (b *groupBundle) until(condition func() bool) {
	b.t.Helper()
	require.Eventually(b.t, condition, 20*time.Second, time.Millisecond)
}

func (b *groupBundle) ok(chans ...<-chan answer) {
	b.t.Helper()
	for _, c := range chans {
		a := <-c
		require.NoError(b.t, a.err)
		require.Equal(b.t, 1, a.deliveries)
		require.True(b.t, b.stored(a.event))
	}
}

func (b *groupBundle) stored(e *delivery.Event) bool {
	b.t.Helper()
	n, err := b.NewSelect().Model((*delivery.Event)(nil)).Where("id = ?", e.ID).Count(b.ctx)
	require.NoError(b.t, err)
	return n == 1
}

// commits are the sizes of the groups, one for each transaction that has stored events.
func (b *groupBundle) commits() (sizes []int) {
	b.t.Helper()
	require.NoError(b.t, b.NewRaw("SELECT count(*) FROM events GROUP BY xmin::text ORDER BY 1 DESC").Scan(b.ctx, &sizes))
	return sizes
}

func TestEventGroup(t *testing.T) {
	t.Parallel()
	t.Run("a_lone_caller_is_served_at_once", func(t *testing.T) {
		t.Parallel()
		b := groupSetup(t)
		b.ok(b.start(b.ctx))
		b.until(func() bool { return b.Running() == 0 })
		b.ok(b.start(b.ctx))
	})
	t.Run("callers_of_the_same_time_share_a_commit", func(t *testing.T) {
		t.Parallel()
		b := groupSetup(t)
		var waiting []<-chan answer
		stuck := b.held(func() {
			for range 600 {
				waiting = append(waiting, b.start(b.ctx))
			}
			b.until(func() bool { return b.Waiting() == 600 })
		})
		b.ok(append(stuck, waiting...)...)
		require.Equal(t, []int{256, 256, 88, 1, 1}, b.commits())
		require.Equal(t, 602, b.queued())
	})
	t.Run("a_group_is_bounded_in_bytes", func(t *testing.T) {
		t.Parallel()
		b := groupSetup(t)
		var waiting []<-chan answer
		large := func(s *delivery.Submission) {
			s.Events[0].Data = append(append([]byte(`"`), make([]byte, 400<<10)...), '"')
		}
		fill := func(s *delivery.Submission) {
			for i := range s.Events[0].Data {
				if s.Events[0].Data[i] == 0 {
					s.Events[0].Data[i] = 'x'
				}
			}
		}
		stuck := b.held(func() {
			for range 4 {
				waiting = append(waiting, b.start(b.ctx, large, fill))
			}
			b.until(func() bool { return b.Waiting() == 4 })
		})
		b.ok(append(stuck, waiting...)...)
		require.Equal(t, []int{2, 2, 1, 1}, b.commits())
	})
	t.Run("many_events_of_one_caller_are_one_transaction", func(t *testing.T) {
		t.Parallel()
		b := groupSetup(t)
		s := delivery.Submission{}
		for i := range 1000 {
			e := b.event()
			if i%2 == 1 {
				e.Type = catalog.JobCreated
			}
			s.Events = append(s.Events, e)
		}
		ns, err := b.Record(b.ctx, s)
		require.NoError(t, err)
		for i, n := range ns {
			require.Equal(t, 1-i%2, n, "the counts are in the order of the events")
		}
		require.Equal(t, []int{1000}, b.commits())
		require.Equal(t, 500, b.queued())
	})
}

func (b *groupBundle) queued() (n int) {
	b.t.Helper()
	require.NoError(
		b.t,
		b.NewRaw("SELECT count(*) FROM delivery_queue q JOIN deliveries d ON d.id = q.delivery_id").Scan(b.ctx, &n),
	)
	return n
}

func TestEventGroupIsolatesFailures(t *testing.T) {
	t.Parallel()
	// among submits good ones around what change makes of one, all in one group, and requires the good ones to be stored.
	among := func(t *testing.T, b *groupBundle, change func(*delivery.Submission)) answer {
		t.Helper()
		var good []<-chan answer
		var bad <-chan answer
		stuck := b.held(func() {
			for i := range 21 {
				if i == 10 {
					bad = b.start(b.ctx, change)
				} else {
					good = append(good, b.start(b.ctx))
				}
			}
			b.until(func() bool { return b.Waiting() == 21 })
		})
		b.ok(append(stuck, good...)...)
		a := <-bad
		require.False(t, b.stored(a.event))
		require.Equal(t, 22, b.queued())
		return a
	}
	t.Run("one_that_the_database_refuses", func(t *testing.T) {
		t.Parallel()
		b := groupSetup(t)
		a := among(t, b, func(s *delivery.Submission) { s.Events[0].Data = []byte("{\x00}") })
		require.ErrorContains(t, a.err, "22021")
		require.Len(t, b.commits(), 22, "each was tried alone")
	})
	t.Run("one_that_the_database_refuses_among_its_own", func(t *testing.T) {
		t.Parallel()
		b := groupSetup(t)
		first := b.event()
		a := among(t, b, func(s *delivery.Submission) {
			s.Events = []*delivery.Event{first, b.event()}
			s.Events[1].Data = []byte("{\x00}")
		})
		require.Error(t, a.err)
		require.False(t, b.stored(first), "all of a submission or nothing")
	})
	t.Run("one_whose_key_was_changed", func(t *testing.T) {
		t.Parallel()
		b := groupSetup(t)
		key := b.key()
		_, err := b.ExecContext(b.ctx, "UPDATE api_keys SET name = name WHERE id = ?", key.ID)
		require.NoError(t, err)
		a := among(t, b, func(s *delivery.Submission) { s.Key = key.Seen() })
		require.ErrorIs(t, a.err, delivery.ErrPreconditionFailed)
		require.Equal(t, []int{20, 1, 1}, b.commits(), "the others stay together")
	})
	t.Run("one_whose_key_is_gone", func(t *testing.T) {
		t.Parallel()
		b := groupSetup(t)
		key := b.key()
		key.ID = pg.NewID()
		require.ErrorIs(
			t,
			among(t, b, func(s *delivery.Submission) { s.Key = key.Seen() }).err,
			delivery.ErrPreconditionFailed,
		)
	})
	for name, sql := range map[string]string{
		"one_whose_company_was_deleted":    "UPDATE companies SET deleted_at = now() WHERE id = ?",
		"one_whose_company_was_never_here": "DELETE FROM companies WHERE id = ?",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := groupSetup(t)
			other := pg.NewID()
			_, err := b.ExecContext(b.ctx, "INSERT INTO companies (id, name) VALUES (?, 'Other')", other)
			require.NoError(t, err)
			asks := func(s *delivery.Submission) { s.Companies = []uuid.UUID{b.company, other} }
			b.ok(b.start(b.ctx, asks))
			_, err = b.ExecContext(b.ctx, "DELETE FROM delivery_queue; "+sql, other)
			require.NoError(t, err)
			require.ErrorIs(t, among(t, b, asks).err, delivery.ErrPreconditionFailed)
		})
	}
	t.Run("one_that_left_before_its_group_began", func(t *testing.T) {
		t.Parallel()
		b := groupSetup(t)
		ctx, leave := context.WithCancel(b.ctx)
		var left, stayed <-chan answer
		stuck := b.held(func() {
			left, stayed = b.start(ctx), b.start(b.ctx)
			b.until(func() bool { return b.Waiting() == 2 })
			leave()
			require.ErrorIs(t, (<-left).err, context.Canceled, "it does not wait for the others")
		})
		b.ok(append(stuck, stayed)...)
		require.Equal(t, 3, b.queued())
	})
	t.Run("one_that_leaves_while_its_group_is_committed", func(t *testing.T) {
		t.Parallel()
		b := groupSetup(t)
		_, err := b.ExecContext(b.ctx, `CREATE FUNCTION wait_for_7() RETURNS trigger LANGUAGE plpgsql AS
			'BEGIN IF NEW.type = ''job.created'' THEN PERFORM pg_advisory_xact_lock(7); END IF; RETURN NEW; END';
			CREATE TRIGGER wait BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION wait_for_7()`)
		require.NoError(t, err)
		lock, err := b.BeginTx(b.ctx, nil)
		require.NoError(t, err)
		_, err = lock.ExecContext(b.ctx, "SELECT pg_advisory_xact_lock(7)")
		require.NoError(t, err)
		ctx, leave := context.WithCancel(b.ctx)
		var left, stayed <-chan answer
		stuck := b.held(func() {
			left = b.start(ctx, func(s *delivery.Submission) { s.Events[0].Type = catalog.JobCreated })
			stayed = b.start(b.ctx)
			b.until(func() bool { return b.Waiting() == 2 })
		})
		b.ok(stuck...)
		b.until(func() bool { return b.Waiting() == 0 && b.blocked() == 1 })
		leave()
		a := <-left
		require.ErrorIs(t, a.err, context.Canceled, "it does not wait for the others")
		require.NoError(t, lock.Rollback())
		b.ok(stayed)
		require.True(t, b.stored(a.event), "they were one statement")
		require.Equal(t, []int{2, 1, 1}, b.commits())
	})
}

func (b *groupBundle) key() *db.APIKey {
	b.t.Helper()
	_, hash, prefix := db.GenerateKey([]byte("secret"))
	b.tx(func(tx bun.Tx) error {
		return db.CreateAPIKey(b.ctx, tx, &db.APIKey{Name: "test", Hash: hash, Prefix: prefix, Scopes: []string{"*"}}, "test")
	})
	key, err := db.FindAPIKey(b.ctx, b, hash)
	require.NoError(b.t, err)
	b.ok(b.start(b.ctx, func(s *delivery.Submission) { s.Key = key.Seen() }))
	_, err = b.ExecContext(b.ctx, "TRUNCATE events, deliveries, delivery_queue")
	require.NoError(b.t, err)
	return key
}

func TestEventGroupOutlivesFaults(t *testing.T) {
	t.Parallel()
	t.Run("a_panic", func(t *testing.T) {
		t.Parallel()
		b := groupSetup(t)
		b.PanicOnce()
		require.ErrorContains(t, (<-b.start(b.ctx)).err, "boom")
		for range 5 {
			b.ok(b.start(b.ctx))
		}
		b.until(func() bool { return b.Running() == 0 })
	})
	t.Run("a_lost_connection_fails_the_group_and_stores_nothing_twice", func(t *testing.T) {
		t.Parallel()
		b := groupSetup(t)
		var waiting []<-chan answer
		stuck := b.held(func() {
			for range 10 {
				waiting = append(waiting, b.start(b.ctx))
			}
			b.until(func() bool { return b.Waiting() == 10 })
			_, err := b.ExecContext(b.ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
				WHERE datname = current_database() AND wait_event_type = 'Lock'`)
			require.NoError(t, err)
		})
		for _, c := range stuck {
			a := <-c
			require.Error(t, a.err)
			require.False(t, b.stored(a.event))
		}
		b.ok(waiting...)
		require.Equal(t, 10, b.queued())
	})
}
