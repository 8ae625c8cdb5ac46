package api

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"greenroom/api/surface"
)

func TestSchemaChecks_share_a_budget(t *testing.T) {
	t.Parallel()
	s, now := newSchemaChecks(), time.Now()
	s.now = func() time.Time { return now }
	use := func(owner string, steps int) error {
		end, err := s.begin(t.Context(), owner)
		if err == nil {
			end(steps)
		}
		return err
	}
	for range 3 {
		require.NoError(t, use("a", checkBurst/3+1))
	}
	var refused *surface.Error
	require.ErrorAs(t, use("a", 1), &refused)
	require.Equal(t, http.StatusTooManyRequests, refused.Status)
	require.EqualValues(t, 1, refused.Limited.RetryAfter)
	require.NoError(t, use("b", 1), "another company has its own")

	now = now.Add(time.Second)
	require.NoError(t, use("a", checkRate), "the budget grows with time")
	require.Error(t, use("a", 1))
	now = now.Add(time.Hour)
	require.NoError(t, use("a", 0))
	require.NotContains(t, s.budgets, "a", "a full budget takes no memory")
}

func TestSchemaChecks_take_turns(t *testing.T) {
	t.Parallel()
	s := newSchemaChecks()
	s.turns = surface.NewShares(2, 1, time.Millisecond)
	end, err := s.begin(t.Context(), "a")
	require.NoError(t, err)
	_, err = s.begin(t.Context(), "a")
	var busy *surface.Error
	require.ErrorAs(t, err, &busy)
	require.Equal(t, http.StatusServiceUnavailable, busy.Status)
	end(0)
	_, err = s.begin(t.Context(), "a")
	require.NoError(t, err)
}
