package dispatch

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCongestion(t *testing.T) {
	t.Parallel()
	var c congestion
	require.Equal(t, callsAtOnce, c.atOnce())
	c.learn(false)
	require.Equal(t, callsAtOnce, c.atOnce(), "never more")
	for _, want := range []int{16, 8, 4, 2, 1, 1} {
		c.learn(true)
		require.Equal(t, want, c.atOnce())
	}
	c.learn(false)
	require.Equal(t, 1+callsMore, c.atOnce())
	for range callsAtOnce {
		c.learn(false)
	}
	require.Equal(t, callsAtOnce, c.atOnce())
}
