package leader_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/db/dbtest"
	"greenroom/db/leader"
)

func TestProcessesCountEachOther(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	_, err := d.ExecContext(t.Context(), `INSERT INTO leases (name, holder, expires_at) VALUES
		('process:worker:killed', ?0, now() - interval '1 s'), ('process:worker:long ago', ?0, now() - interval '1 day'),
		('process:api:other', ?0, now() + interval '1 hour'), ('maintenance', ?0, now() + interval '1 hour')`, uuid.New())
	require.NoError(t, err)
	join := func() (counts chan int, leave func()) {
		ctx, cancel := context.WithCancel(t.Context())
		counts, done := make(chan int, 100), make(chan struct{})
		go func() {
			defer close(done)
			leader.Join(ctx, d, "worker", "v1", slog.New(slog.DiscardHandler), func(n int) { counts <- n })
		}()
		return counts, func() { cancel(); <-done }
	}
	next := func(counts chan int) int {
		select {
		case n := <-counts:
			return n
		case <-time.After(time.Minute):
			require.FailNow(t, "no count")
			return 0
		}
	}
	one, leaveOne := join()
	require.Equal(t, 1, next(one), "killed processes and those of another kind do not count")
	two, leaveTwo := join()
	require.Equal(t, 2, next(two))
	require.Equal(t, 2, next(one))
	live, err := leader.Live(t.Context(), d, "worker", 10)
	require.NoError(t, err)
	require.Len(t, live, 2)
	require.Equal(t, "v1", live[0].Version)
	require.NotEmpty(t, live[0].Host)
	require.True(t, live[0].Since.Before(live[1].Since), "the longest running first")
	others, err := leader.Live(t.Context(), d, "api", 10)
	require.NoError(t, err)
	require.Equal(t, []leader.Process{{}}, others, "an earlier version does not say what it is")
	leaveOne()
	require.Equal(t, 1, next(two), "it has left")
	leaveTwo()
	var left []string
	require.NoError(t, d.NewRaw("SELECT name FROM leases ORDER BY name").Scan(t.Context(), &left))
	require.Equal(t, []string{"maintenance", "process:api:other", "process:worker:killed"}, left)
}
