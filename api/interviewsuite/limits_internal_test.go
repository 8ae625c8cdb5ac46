package interviewsuite

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/api/surface"
)

// TestLogInsAreLimitedForEachAddress calls the limiter directly: hashing enough passwords takes longer than the limit's
// minute.
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
	require.NoError(
		t,
		l.logIn(t.Context(), "203.0.113.9", "acme", "another"),
		"a refused address does not lock the user out",
	)
}
