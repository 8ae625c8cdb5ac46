package catalog_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/db/catalog"
)

// TestInstaviewNumbers holds the wire contract of reference §1.8.
func TestInstaviewNumbers(t *testing.T) {
	t.Parallel()
	names, err := catalog.ForProfile(catalog.ProfileInstaview)
	require.NoError(t, err)
	for id, label := range []string{
		"analysis.completed", "analysis.failed", "ping", "interview.completed", "interview.failed", "interview.started",
	} {
		byNumber, err := names.ByNumber(id)
		require.NoError(t, err)
		require.Equal(t, label, byNumber)
	}
	require.Equal(t, []int{0, 1, 2, 3, 4, 5}, names.Numbers())
	for _, id := range []int{-1, 6} {
		_, err := names.ByNumber(id)
		require.ErrorIs(t, err, catalog.ErrUnknown)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	names, err := catalog.ForProfile(catalog.ProfileInstaview)
	require.NoError(t, err)
	for given, want := range map[string]string{
		"interview.started": catalog.InterviewStarted, "INTERVIEW_STARTED": catalog.InterviewStarted, "PING": catalog.Ping,
		"SOURCING_COMPLETED": catalog.SourcingCompleted,
	} {
		got, err := names.ByName(given)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, given := range []string{"", "interview_started", "Interview.Started", "interview.finished", "INTERVIEW.STARTED"} {
		_, err := names.ByName(given)
		require.ErrorIs(t, err, catalog.ErrUnknown, given)
	}
	_, err = catalog.ForProfile("nobody")
	require.ErrorIs(t, err, catalog.ErrUnknown)
}

func TestEveryLabelIsOfAKnownType(t *testing.T) {
	t.Parallel()
	for _, profile := range []string{catalog.ProfileInstaview, catalog.ProfileStandard} {
		names, err := catalog.ForProfile(profile)
		require.NoError(t, err)
		for _, l := range names.Labels {
			require.True(t, catalog.Known(l.Type), "%s of %s", l.Type, profile)
			require.Equal(t, l.Name, names.Name(l.Type))
		}
	}
	require.False(t, catalog.Publishable(catalog.Ping), "a test call makes pings")
	require.True(t, catalog.Publishable(catalog.InterviewStarted))
	require.False(t, catalog.Publishable("interview.unknown"))
}
