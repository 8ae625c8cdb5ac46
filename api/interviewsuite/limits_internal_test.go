package interviewsuite

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/api/surface"
)

// TestLogInsAreLimitedForEachAddress asks the limits alone: a password that is compared takes its time, and a minute
// is short.
func TestLogInsAreLimitedForEachAddress(t *testing.T) {
	t.Parallel()
	l := newLimits()
	for i := range 60 {
		require.NoError(t, l.logIn(t.Context(), "203.0.113.7", "acme", strconv.Itoa(i)))
	}
	for range 40 {
		var refused *surface.Error
		require.ErrorAs(t, l.logIn(t.Context(), "203.0.113.7", "acme", "another"), &refused)
		require.Equal(t, surface.CodeRateLimited, refused.Code)
	}
	require.NoError(t, l.logIn(t.Context(), "203.0.113.9", "acme", "another"), "who may not try locks nobody out")
}
