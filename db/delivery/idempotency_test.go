package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/catalog"
	"greenroom/db/dbtest"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// once makes a submission idempotent. The stored answer says how many deliveries its first event has.
func once(apiKey uuid.UUID, key string) func(*delivery.Submission) {
	return func(s *delivery.Submission) {
		s.Idempotency = &delivery.Idempotency{
			APIKey: apiKey, Key: key, RequestHash: []byte("hash"),
			Answer: func(deliveries []int) (int, []byte, error) {
				return 202, fmt.Appendf(nil, `{"id":%q,"n":%d}`, s.Events[0].ID, deliveries[0]), nil
			},
		}
	}
}

// storedAnswer returns the answer of a key; "" when it has none.
func (b *bundle) storedAnswer(apiKey uuid.UUID, key string) string {
	b.t.Helper()
	var answers []string
	require.NoError(b.t, b.NewRaw("SELECT response FROM idempotency_keys WHERE api_key_id = ? AND key = ?", apiKey, key).
		Scan(b.ctx, &answers))
	if len(answers) == 0 {
		return ""
	}
	return answers[0]
}

func (b *groupBundle) requireAnswer(apiKey uuid.UUID, key string, a answer) {
	b.t.Helper()
	require.NoError(b.t, a.err)
	require.Equal(b.t, fmt.Sprintf(`{"id":%q,"n":%d}`, a.event.ID, a.deliveries), b.storedAnswer(apiKey, key))
}

// TestEventGroupStoresKeysOnce runs on the pools of the API and of the engine, which plan statements differently.
func TestEventGroupStoresKeysOnce(t *testing.T) {
	t.Parallel()
	for name, engine := range map[string]bool{"planned_at_each_execution": false, "planned_once": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, url := dbtest.NewURL(t)
			pool, err := pg.Open(t.Context(), pg.Options{URL: url, Engine: engine})
			require.NoError(t, err)
			t.Cleanup(func() { _ = pg.Close(pool) })
			b := &groupBundle{bundleOn(t, d), delivery.NewEventGroup(pool)}
			other := delivery.NewEventGroup(pool)
			apiKey := pg.NewID()
			t.Run("with_the_answer", func(t *testing.T) {
				a := <-b.start(b.ctx, once(apiKey, "first"))
				require.Equal(t, 1, a.deliveries)
				b.requireAnswer(apiKey, "first", a)
				again := <-b.start(b.ctx, once(apiKey, "first"))
				require.ErrorIs(t, again.err, delivery.ErrKeyTaken)
				require.False(t, b.stored(again.event))
				b.requireAnswer(apiKey, "first", a)
			})
			t.Run("of_each_api_key", func(t *testing.T) {
				another := pg.NewID()
				b.requireAnswer(another, "first", <-b.start(b.ctx, once(another, "first")))
			})
			t.Run("an_expired_key_is_left_to_the_transaction_that_claims_it", func(t *testing.T) {
				b.exec("UPDATE idempotency_keys SET created_at = now() - interval '25 h' WHERE key = 'first'")
				require.ErrorIs(t, (<-b.start(b.ctx, once(apiKey, "first"))).err, delivery.ErrKeyTaken)
			})
			t.Run("among_concurrent_callers_of_two_processes", func(t *testing.T) {
				before := b.number("SELECT count(*) FROM events")
				const keys, callers = 60, 4
				var stored [keys]atomic.Int32
				var wg sync.WaitGroup
				for i := range keys * callers {
					group := b.EventGroup
					if i%2 == 1 {
						group = other
					}
					wg.Go(func() {
						s := delivery.Submission{Events: []*delivery.Event{b.event()}}
						once(apiKey, fmt.Sprint("shared-", i/callers))(&s)
						switch _, err := group.Record(b.ctx, s); {
						case err == nil:
							stored[i/callers].Add(1)
						case !errors.Is(err, delivery.ErrKeyTaken):
							t.Error(err)
						}
					})
				}
				wg.Wait()
				for i := range stored {
					require.EqualValues(t, 1, stored[i].Load())
				}
				require.Equal(t, keys, b.number("SELECT count(*) FROM idempotency_keys WHERE key LIKE 'shared-%'"))
				require.Equal(t, before+keys, b.number("SELECT count(*) FROM events"))
			})
			t.Run("mixed_with_submissions_without_key", func(t *testing.T) {
				b.exec("TRUNCATE events, deliveries, delivery_queue")
				var with, without []<-chan answer
				stuck := b.held(func() {
					for i := range 20 {
						with = append(with, b.start(b.ctx, once(apiKey, fmt.Sprint("mixed-", i))))
						without = append(without, b.start(b.ctx))
					}
					b.until(func() bool { return b.Waiting() == 40 })
				})
				b.ok(append(stuck, without...)...)
				for i, c := range with {
					b.requireAnswer(apiKey, fmt.Sprint("mixed-", i), <-c)
				}
				require.Equal(t, 40, b.commits()[0], "one commit")
			})
		})
	}
}

// claims claims a key as a request does that has a transaction of its own, and returns the function that ends it.
func (b *groupBundle) claims(apiKey uuid.UUID, key string) (end func(commit bool)) {
	b.t.Helper()
	tx, err := b.BeginTx(b.ctx, nil)
	require.NoError(b.t, err)
	earlier, err := db.ClaimIdempotencyKey(b.ctx, tx, apiKey, key, []byte("hash"))
	require.NoError(b.t, err)
	require.Nil(b.t, earlier)
	return func(commit bool) {
		if commit {
			require.NoError(b.t, tx.Commit())
		} else {
			require.NoError(b.t, tx.Rollback())
		}
	}
}

func TestEventGroupDoesNotWaitForKeys(t *testing.T) {
	t.Parallel()
	t.Run("that_another_transaction_holds", func(t *testing.T) {
		t.Parallel()
		b := groupSetup(t)
		apiKey := pg.NewID()
		end := b.claims(apiKey, "held")
		var held <-chan answer
		var others []<-chan answer
		stuck := b.held(func() {
			held = b.start(b.ctx, once(apiKey, "held"))
			for i := range 10 {
				others = append(others, b.start(b.ctx, once(apiKey, fmt.Sprint(i))), b.start(b.ctx))
			}
			b.until(func() bool { return b.Waiting() == 21 })
		})
		b.ok(append(stuck, others...)...)
		a := <-held
		require.ErrorIs(t, a.err, delivery.ErrKeyTaken)
		require.False(t, b.stored(a.event))
		end(false)
		b.requireAnswer(apiKey, "held", <-b.start(b.ctx, once(apiKey, "held")))
	})
	t.Run("but_for_the_call_of_this_process_that_has_it", func(t *testing.T) {
		t.Parallel()
		b := groupSetup(t)
		apiKey := pg.NewID()
		var first, second <-chan answer
		stuck := b.held(func() {
			first = b.start(b.ctx, once(apiKey, "same"))
			b.until(func() bool { return b.Waiting() == 1 })
			second = b.start(b.ctx, once(apiKey, "same"))
			select {
			case a := <-second:
				t.Errorf("it did not wait: %v", a.err)
			default:
			}
		})
		b.ok(stuck...)
		a := <-second
		require.ErrorIs(t, a.err, delivery.ErrKeyTaken)
		require.False(t, b.stored(a.event))
		b.requireAnswer(apiKey, "same", <-first)
	})
	t.Run("that_are_stored_while_the_group_is_under_way", func(t *testing.T) {
		t.Parallel()
		b := groupSetup(t)
		apiKey := pg.NewID()
		release := b.slowly()
		taken := b.start(b.ctx, once(apiKey, "late"), jobCreated)
		b.until(func() bool { return b.blocked() == 1 })
		// An older version stores the key without its lock.
		b.exec(`INSERT INTO idempotency_keys (api_key_id, key, request_hash, status_code, response)
			VALUES (?, 'late', 'hash', 202, 'earlier')`, apiKey)
		release()
		a := <-taken
		require.ErrorIs(t, a.err, delivery.ErrKeyTaken)
		require.False(t, b.stored(a.event))
		require.Equal(t, "earlier", b.storedAnswer(apiKey, "late"))
	})
}

func jobCreated(s *delivery.Submission) { s.Events[0].Type = catalog.JobCreated }

// slowly makes the insertion of events of the type job.created wait until release is called.
func (b *groupBundle) slowly() (release func()) {
	b.t.Helper()
	b.exec(`CREATE FUNCTION wait_for_7() RETURNS trigger LANGUAGE plpgsql AS
		'BEGIN IF NEW.type = ''job.created'' THEN PERFORM pg_advisory_xact_lock_shared(7); END IF; RETURN NEW; END';
		CREATE TRIGGER wait BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION wait_for_7()`)
	lock, err := b.BeginTx(b.ctx, nil)
	require.NoError(b.t, err)
	_, err = lock.ExecContext(b.ctx, "SELECT pg_advisory_xact_lock(7)")
	require.NoError(b.t, err)
	return func() { require.NoError(b.t, lock.Rollback()) }
}

// A transaction that claims a key waits for the group that stores it, and reads its answer.
func TestClaimWaitsForTheGroup(t *testing.T) {
	t.Parallel()
	b := groupSetup(t)
	apiKey := pg.NewID()
	release := b.slowly()
	first := b.start(b.ctx, once(apiKey, "k"), jobCreated)
	b.until(func() bool { return b.blocked() == 1 })
	earlier := make(chan *db.IdempotentAnswer, 1)
	go func() {
		var a *db.IdempotentAnswer
		err := pg.InTx(b.ctx, b, func(ctx context.Context, tx bun.Tx) (err error) {
			a, err = db.ClaimIdempotencyKey(ctx, tx, apiKey, "k", []byte("hash"))
			return err
		})
		if err != nil {
			t.Error(err)
		}
		earlier <- a
	}()
	b.until(func() bool { return b.blocked() == 2 })
	release()
	b.requireAnswer(apiKey, "k", <-first)
	a := <-earlier
	require.NotNil(t, a)
	require.Equal(t, b.storedAnswer(apiKey, "k"), a.Response)
	require.Equal(t, 202, a.StatusCode)
	require.Equal(t, []byte("hash"), a.RequestHash)
}

func TestEventGroupStoresBothEventAndKeyOrNeither(t *testing.T) {
	t.Parallel()
	neither := func(t *testing.T, b *groupBundle, apiKey uuid.UUID, key string, a answer) {
		t.Helper()
		require.Error(t, a.err)
		require.False(t, b.stored(a.event))
		require.Empty(t, b.storedAnswer(apiKey, key))
	}
	// among submits good ones around what change makes of one, all keyed and in one group.
	among := func(t *testing.T, change func(*groupBundle, *delivery.Submission)) {
		t.Helper()
		b := groupSetup(t)
		apiKey := pg.NewID()
		var all []<-chan answer
		stuck := b.held(func() {
			for i := range 11 {
				all = append(all, b.start(b.ctx, once(apiKey, fmt.Sprint(i)), func(s *delivery.Submission) {
					if i == 5 {
						change(b, s)
					}
				}))
			}
			b.until(func() bool { return b.Waiting() == 11 })
		})
		b.ok(stuck...)
		for i, c := range all {
			a := <-c
			if i == 5 {
				neither(t, b, apiKey, "5", a)
			} else {
				b.requireAnswer(apiKey, fmt.Sprint(i), a)
			}
		}
		require.Equal(t, 12, b.number("SELECT count(*) FROM events"))
		b.ok(b.start(b.ctx, once(apiKey, "5")))
	}
	t.Run("when_the_database_refuses_it", func(t *testing.T) {
		t.Parallel()
		among(t, func(_ *groupBundle, s *delivery.Submission) { s.Events[0].Data = []byte("{\x00}") })
	})
	t.Run("when_its_answer_cannot_be_made", func(t *testing.T) {
		t.Parallel()
		among(t, func(_ *groupBundle, s *delivery.Submission) {
			s.Idempotency.Answer = func([]int) (int, []byte, error) { return 0, nil, errors.New("no answer") }
		})
	})
	t.Run("when_a_company_is_gone", func(t *testing.T) {
		t.Parallel()
		among(t, func(_ *groupBundle, s *delivery.Submission) { s.Companies = []uuid.UUID{pg.NewID()} })
	})
	t.Run("when_the_connection_is_lost_before_the_commit", func(t *testing.T) {
		t.Parallel()
		b := groupSetup(t)
		apiKey := pg.NewID()
		a := <-b.start(b.ctx, once(apiKey, "k"), func(s *delivery.Submission) {
			s.Idempotency.Answer = func([]int) (int, []byte, error) {
				b.exec(`SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity -- and waits for its end
					WHERE datname = current_database() AND state = 'idle in transaction'`)
				return 202, []byte("{}"), nil
			}
		})
		neither(t, b, apiKey, "k", a)
		b.requireAnswer(apiKey, "k", <-b.start(b.ctx, once(apiKey, "k")))
	})
}
