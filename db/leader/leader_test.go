package leader_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/db/dbtest"
	"greenroom/db/leader"
)

func TestLease(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	one, other := uuid.New(), uuid.New()
	acquire := func(holder uuid.UUID) bool {
		held, err := leader.Acquire(t.Context(), d, "leader", holder, time.Minute)
		require.NoError(t, err)
		return held
	}
	require.True(t, acquire(one))
	require.True(t, acquire(one), "its holder renews it")
	require.False(t, acquire(other))
	_, err := d.ExecContext(t.Context(), "UPDATE leases SET expires_at = now() - interval '1 ms'")
	require.NoError(t, err)
	require.True(t, acquire(other), "a holder that is gone or frozen loses it")
	require.False(t, acquire(one))
	require.NoError(t, leader.Release(t.Context(), d, "leader", one))
	require.False(t, acquire(one), "a lease that it does not have it cannot release")
	require.NoError(t, leader.Release(t.Context(), d, "leader", other))
	require.True(t, acquire(one))
}

// log is a logger whose lines can be counted while others write.
type log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *log) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), text)
}

func TestRun(t *testing.T) {
	t.Parallel()
	run := func(t *testing.T, each func(leading context.Context, n int) error) (stop func(), lines *log, exec func(string)) {
		t.Helper()
		d, lines, n := dbtest.New(t), &log{}, 0
		task := leader.Task{Name: "count", Every: time.Millisecond, Run: func(ctx context.Context) error {
			n++
			return each(ctx, n)
		}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			leader.Run(ctx, d, "test", slog.New(slog.NewTextHandler(lines, nil)), task)
		}()
		exec = func(sql string) {
			_, err := d.ExecContext(t.Context(), sql)
			require.NoError(t, err)
		}
		stop = func() {
			cancel()
			<-done
			var left int
			require.NoError(t, d.NewRaw("SELECT count(*) FROM leases WHERE name = 'test' AND expires_at > now()").
				Scan(t.Context(), &left))
			require.Zero(t, left, "the next leader need not wait")
		}
		return stop, lines, exec
	}
	t.Run("says_once_that_a_task_fails", func(t *testing.T) {
		t.Parallel()
		reached := make(chan struct{})
		stop, lines, _ := run(t, func(_ context.Context, n int) error {
			if n == 8 {
				close(reached)
			}
			if n == 2 || n == 3 || n == 4 {
				return errors.New("broken")
			}
			return nil
		})
		<-reached
		stop()
		require.Equal(t, 1, lines.count("maintenance fails and is tried again"))
		require.Equal(t, 1, lines.count("maintenance works again"))
	})
	t.Run("retries_a_rare_task_soon", func(t *testing.T) {
		t.Parallel()
		d, runs := dbtest.New(t), make(chan int, 2)
		n := 0
		task := leader.Task{Name: "upkeep", Every: 6 * time.Hour, Run: func(context.Context) error {
			n++
			runs <- n
			if n == 1 {
				return errors.New("the store is away")
			}
			return nil
		}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			leader.Run(ctx, d, "test", slog.New(slog.DiscardHandler), task)
		}()
		require.Equal(t, 1, <-runs)
		select {
		case again := <-runs:
			require.Equal(t, 2, again)
		case <-time.After(time.Minute):
			t.Fatal("it waits for its next turn")
		}
		cancel()
		<-done
	})
	t.Run("stops_its_tasks_when_another_has_the_lease", func(t *testing.T) {
		t.Parallel()
		began, ended := make(chan struct{}), make(chan struct{})
		stop, lines, exec := run(t, func(leading context.Context, n int) error {
			close(began) // it panics if it runs again
			<-leading.Done()
			close(ended)
			return nil
		})
		<-began
		exec("UPDATE leases SET holder = gen_random_uuid(), expires_at = now() + interval '1 hour'")
		<-ended
		require.Eventually(
			t,
			func() bool { return lines.count("another process leads") == 1 },
			5*time.Second,
			time.Millisecond,
		)
		exec("DELETE FROM leases")
		stop()
	})
	t.Run("waits_for_its_tasks", func(t *testing.T) {
		t.Parallel()
		began, ended := make(chan struct{}), false
		stop, _, _ := run(t, func(leading context.Context, _ int) error {
			close(began)
			<-leading.Done()
			time.Sleep(10 * time.Millisecond) // the end of a step
			ended = true
			return nil
		})
		<-began
		stop()
		require.True(t, ended)
	})
}
