package interviewsuite

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/api/surface"
)

func limited(t *testing.T, err error) {
	t.Helper()
	var refused *surface.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, surface.CodeRateLimited, refused.Code)
}

// These tests call the limiter directly: hashing enough passwords takes longer than the limits' periods.

func TestLogInsAreLimitedForEachUserAndNetwork(t *testing.T) {
	t.Parallel()
	l := newLimits()
	for range perUser.Limit {
		require.NoError(t, l.attempt(t.Context(), "eva", "203.0.113.7"))
	}
	limited(t, l.attempt(t.Context(), "eva", "203.0.113.7"))
	require.NoError(t, l.attempt(t.Context(), "eva", "203.0.113.9"), "another network does not lock the user out")
	require.NoError(t, l.attempt(t.Context(), "adam", "203.0.113.7"), "another user does not lock the network out")
	l.succeeded(t.Context(), "eva", "203.0.113.7")
	require.NoError(t, l.attempt(t.Context(), "eva", "203.0.113.7"))
}

func TestLogInsOfOneUserAreLimitedEverywhere(t *testing.T) {
	t.Parallel()
	l := newLimits()
	require.NoError(t, l.attempt(t.Context(), "eva", "home"))
	l.succeeded(t.Context(), "eva", "home")
	for i := range everywhere.Limit - 1 {
		require.NoError(t, l.attempt(t.Context(), "eva", strconv.FormatInt(i, 10)))
	}
	limited(t, l.attempt(t.Context(), "eva", "one more"))
	require.NoError(t, l.attempt(t.Context(), "eva", "home"), "where the user has logged in before")
	require.NoError(t, l.attempt(t.Context(), "adam", "one more"))
}

func TestANetworkWithManyFailuresIsSlowedDown(t *testing.T) {
	t.Parallel()
	l := newLimits()
	for range perNetwork.Limit {
		l.failed(t.Context(), "proxy")
	}
	done, err := l.hash(t.Context(), "eva", "proxy")
	require.NoError(t, err, "it is not refused")
	require.Len(t, l.slow, 1)
	require.Empty(t, l.quick)
	other, err := l.hash(t.Context(), "eva", "elsewhere")
	require.NoError(t, err, "other networks do not wait for it")
	require.Len(t, l.quick, 1)
	other()
	done()
	require.Empty(t, l.slow)
}
