package pg_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db/dbtest"
	"greenroom/db/pg"
)

// listener hears one channel on a connection of its own.
type listener struct {
	t    *testing.T
	conn *pgx.Conn
}

func listen(t *testing.T, url, channel string) *listener {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	_, err = conn.Exec(t.Context(), "LISTEN "+channel)
	require.NoError(t, err)
	return &listener{t, conn}
}

func (l *listener) next() string {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 20*time.Second)
	defer cancel()
	n, err := l.conn.WaitForNotification(ctx)
	require.NoError(l.t, err)
	return n.Payload
}

func TestNotify(t *testing.T) {
	t.Parallel()
	d, url := dbtest.NewURL(t)
	ctx := t.Context()
	_, err := d.ExecContext(ctx, "CREATE TABLE seen (n int)")
	require.NoError(t, err)
	insert := func(tx bun.IDB, n int) {
		_, err := tx.ExecContext(ctx, "INSERT INTO seen VALUES (?)", n)
		require.NoError(t, err)
	}
	visible := func(n int) bool {
		found, err := d.NewSelect().TableExpr("seen").Where("n = ?", n).Exists(ctx)
		require.NoError(t, err)
		return found
	}
	t.Run("after_the_commit", func(t *testing.T) {
		l := listen(t, url, "after")
		for n := range 20 {
			require.NoError(t, pg.InTx(ctx, d, func(_ context.Context, tx bun.Tx) error {
				pg.Notify(tx, "after", fmt.Sprint(n))
				insert(tx, n)
				return nil
			}))
			require.Equal(t, fmt.Sprint(n), l.next())
			require.True(t, visible(n))
		}
	})
	t.Run("after_the_commit_of_the_outermost_transaction", func(t *testing.T) {
		l := listen(t, url, "nested")
		inner := make(chan struct{})
		finish := make(chan struct{})
		done := make(chan error)
		go func() {
			done <- pg.InTx(ctx, d, func(ctx context.Context, tx bun.Tx) error {
				err := pg.InTx(ctx, tx, func(_ context.Context, tx bun.Tx) error {
					pg.Notify(tx, "nested", "inner")
					return nil
				})
				close(inner)
				<-finish
				insert(tx, 100)
				return err
			})
		}()
		<-inner
		pg.Notify(d, "nested", "other")
		require.Equal(t, "other", l.next())
		close(finish)
		require.NoError(t, <-done)
		require.Equal(t, "inner", l.next())
		require.True(t, visible(100))
	})
	t.Run("not_after_a_rollback", func(t *testing.T) {
		l := listen(t, url, "rollback")
		errUndo := errors.New("undo")
		require.ErrorIs(t, pg.InTx(ctx, d, func(_ context.Context, tx bun.Tx) error {
			pg.Notify(tx, "rollback", "undone")
			return errUndo
		}), errUndo)
		pg.Notify(d, "rollback", "done")
		require.Equal(t, "done", l.next())
	})
	t.Run("of_a_transaction_of_another_origin", func(t *testing.T) {
		l := listen(t, url, "origin")
		tx, err := d.BeginTx(ctx, nil)
		require.NoError(t, err)
		pg.Notify(tx, "origin", "now")
		require.Equal(t, "now", l.next())
		require.NoError(t, tx.Rollback())
	})
	t.Run("bursts_are_merged", func(t *testing.T) {
		l := listen(t, url, "burst")
		const calls = 1000
		for range calls {
			pg.Notify(d, "burst", "again")
		}
		pg.Notify(d, "burst", "last")
		heard := 1
		for l.next() != "last" {
			heard++
		}
		require.Less(t, heard, calls/2)
	})
}

// TestCloseSendsPendingNotifications: a command-line process ends right after its commit.
func TestCloseSendsPendingNotifications(t *testing.T) {
	t.Parallel()
	_, url := dbtest.NewURL(t)
	l := listen(t, url, "closing")
	for range 5 {
		d, err := pg.Open(t.Context(), pg.Options{URL: url, MaxConns: 1})
		require.NoError(t, err)
		for n := range 3 {
			require.NoError(t, pg.InTx(t.Context(), d, func(_ context.Context, tx bun.Tx) error {
				pg.Notify(tx, "closing", fmt.Sprint(n))
				return nil
			}))
		}
		require.NoError(t, pg.Close(d))
		heard := map[string]bool{}
		for len(heard) < 3 {
			heard[l.next()] = true
		}
		require.Error(t, d.PingContext(t.Context()), "the pool is closed")
	}
}

// TestNotifiesItself: one statement at a time may, and none while notifications are sent.
func TestNotifiesItself(t *testing.T) {
	t.Parallel()
	d, url := dbtest.NewURL(t)
	l := listen(t, url, "itself")
	free := func() (done func()) {
		t.Helper()
		require.Eventually(t, func() (itself bool) {
			itself, done = pg.NotifiesItself(d)
			return itself
		}, 20*time.Second, 15*time.Millisecond)
		return done
	}
	done := free()
	itself, end := pg.NotifiesItself(d)
	require.False(t, itself, "another statement does")
	end()
	pg.Notify(d, "itself", "other")
	require.Equal(t, "other", l.next(), "it does not wait for the statement")
	done()

	free()()
	require.Eventually(t, func() bool {
		pg.Notify(d, "itself", "busy")
		itself, end := pg.NotifiesItself(d)
		end()
		return !itself
	}, 20*time.Second, time.Millisecond, "a notification is being sent")
}
