package webhook_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"greenroom/activities/webhook"
)

func TestNextWait(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for _, tc := range []struct {
		name             string
		base, retryAfter time.Duration
		jitter           float64
		want             time.Duration
	}{
		{"schedule_alone", 100 * time.Second, 0, 0, 100 * time.Second},
		{"earliest", 100 * time.Second, 0, -1, 80 * time.Second},
		{"latest", 100 * time.Second, 0, 1, 120 * time.Second},
		{"jitter_out_of_range", 100 * time.Second, 0, 7, 120 * time.Second},
		{"jitter_not_a_number", 100 * time.Second, 0, math.NaN(), 100 * time.Second},
		{"asked_for_longer", 5 * time.Second, time.Minute, 0, time.Minute},
		{"asked_for_longer_jitters_up_only", 5 * time.Second, 100 * time.Second, -1, 120 * time.Second},
		{"asked_for_shorter", 5 * time.Minute, time.Second, 0, 5 * time.Minute},
		{"asked_for_years", 5 * time.Second, 9000 * time.Hour, 1, day},
		{"schedule_longer_than_a_day", day, 9000 * time.Hour, 1, day + day/5},
		{"negative_base", -time.Second, 0, 1, 0},
		{"negative_retry_after", time.Second, -time.Hour, 0, time.Second},
		{"largest_that_no_jitter_moves", math.MaxInt64, 0, 0, math.MaxInt64},
		{"largest", math.MaxInt64, math.MaxInt64, 1, math.MaxInt64},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tc.want, webhook.NextWait(tc.base, tc.retryAfter, tc.jitter))
		})
	}
}

func TestNextWaitProperties(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	rapid.Check(t, func(t *rapid.T) {
		base := time.Duration(rapid.Int64Range(0, int64(48*time.Hour)).Draw(t, "base"))
		asked := time.Duration(rapid.Int64Range(0, math.MaxInt64).Draw(t, "retry after"))
		jitter := rapid.Float64Range(-1, 1).Draw(t, "jitter")
		got := webhook.NextWait(base, asked, jitter)

		lowest, highest := base-base/5-1, base+base/5+1 // ±20 %, and a nanosecond for rounding
		require.GreaterOrEqual(t, got, lowest, "never before the schedule")
		require.GreaterOrEqual(t, got, min(asked, day), "never before the receiver asked, up to a day")
		require.LessOrEqual(t, got, max(highest, day), "a receiver cannot park a delivery for longer than a day")
		require.Equal(t, got, webhook.NextWait(base, asked, jitter), "a pure function")
		require.GreaterOrEqual(
			t,
			webhook.NextWait(base+time.Second, asked, jitter),
			got,
			"a longer schedule never waits less",
		)
	})
}
