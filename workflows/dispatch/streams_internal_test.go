package dispatch

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestStreamStartsPause: a stream that does not begin in this process is not started again and again.
func TestStreamStartsPause(t *testing.T) {
	t.Parallel()
	var s streamStarts
	now := time.Now()
	require.True(t, s.due(0, now), "the first at once")
	for _, pause := range []time.Duration{250, 500, 1000, 2000, 4000, 5000, 5000} {
		pause *= time.Millisecond
		require.False(t, s.due(0, now.Add(pause-time.Millisecond)))
		now = now.Add(pause)
		require.True(t, s.due(0, now), pause)
	}
	require.True(t, s.due(1, now), "one began here")
	require.False(t, s.due(1, now.Add(streamPauseMin-time.Millisecond)))
	require.True(t, s.due(1, now.Add(streamPauseMin)))
}
