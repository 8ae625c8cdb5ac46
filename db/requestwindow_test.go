package db_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/db"
	"greenroom/db/dbtest"
)

func TestClaimRequests(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	claim := db.RequestClaim{Key: uuid.New(), Window: "Minute", Period: time.Minute, N: 3, Limit: 10}
	get := func() db.RequestWindow {
		w, err := db.ClaimRequests(t.Context(), d, claim)
		require.NoError(t, err)
		return w
	}
	w := get()
	require.True(t, w.Granted)
	require.EqualValues(t, 3, w.Used)
	require.InDelta(t, time.Minute, w.In, float64(5*time.Second))
	require.WithinDuration(t, time.Now().Add(time.Minute), w.Ends, 5*time.Second)
	get()
	require.EqualValues(t, 9, get().Used)
	refused := get()
	require.False(t, refused.Granted, "all three or none")
	require.EqualValues(t, 9, refused.Used)
	require.Equal(t, w.Ends, refused.Ends)
	claim.N = 1
	require.True(t, get().Granted)
	require.False(t, get().Granted)
	claim.Limit = 11
	require.True(t, get().Granted, "a limit that was raised")
	claim.Window = "Hour"
	require.EqualValues(t, 1, get().Used, "each window counts for itself")
	claim.Window = "Minute"

	_, err := d.ExecContext(t.Context(), "UPDATE request_windows SET ends_at = now() - interval '1 ms'")
	require.NoError(t, err)
	again := get()
	require.True(t, again.Granted)
	require.EqualValues(t, 1, again.Used, "a new window")
	require.InDelta(t, time.Minute, again.In, float64(5*time.Second))

	_, err = d.ExecContext(
		t.Context(),
		"UPDATE request_windows SET ends_at = now() - interval '2 days' WHERE name = 'Hour'",
	)
	require.NoError(t, err)
	require.NoError(t, db.DropRequestWindows(t.Context(), d))
	var left []string
	require.NoError(t, d.NewRaw("SELECT name FROM request_windows").Scan(t.Context(), &left))
	require.Equal(t, []string{"Minute"}, left)
}

func TestProcessesClaimNoMoreThanTheLimit(t *testing.T) {
	t.Parallel()
	d, key := dbtest.New(t), uuid.New()
	var granted atomic.Int64
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			for range 10 {
				w, err := db.ClaimRequests(t.Context(), d, db.RequestClaim{
					Key: key, Window: "Minute", Period: time.Minute, N: 2, Limit: 61,
				})
				require.NoError(t, err)
				if w.Granted {
					granted.Add(2)
				}
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 60, granted.Load())
}
