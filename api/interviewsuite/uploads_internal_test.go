package interviewsuite

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/api/surface"
)

func TestUploads_of_one_candidate_at_once(t *testing.T) {
	t.Parallel()
	u := newUploads()
	u.candidates = surface.NewShares(uploadsTotal, uploadsOfCandidate, time.Millisecond)
	ada, max := uuid.New(), uuid.New()
	end, err := u.ofCandidate(t.Context(), ada)
	require.NoError(t, err)
	_, err = u.ofCandidate(t.Context(), ada)
	require.NoError(t, err)
	_, err = u.ofCandidate(t.Context(), ada)
	require.ErrorIs(t, err, errUploads)
	_, err = u.ofCandidate(t.Context(), max)
	require.NoError(t, err)
	end()
	_, err = u.ofCandidate(t.Context(), ada)
	require.NoError(t, err)
}

func TestUploads_in_progress_count(t *testing.T) {
	t.Parallel()
	u := newUploads()
	acme := uuid.New()
	require.EqualValues(t, 5, u.announce(acme, 5))
	require.EqualValues(t, 12, u.announce(acme, 7))
	require.EqualValues(t, 3, u.announce(uuid.New(), 3))
	u.announce(acme, -5)
	require.Zero(t, u.announce(acme, -7))
	require.NotContains(t, u.pending, acme)
}
