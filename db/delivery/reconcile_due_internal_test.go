package delivery

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRecheckAfter(t *testing.T) {
	t.Parallel()
	for since, want := range map[time.Duration]time.Duration{
		0: 30 * time.Second, time.Minute: 30 * time.Second, 62 * time.Second: 31 * time.Second,
		19 * time.Minute: 9*time.Minute + 30*time.Second, 20 * time.Minute: 10 * time.Minute,
		48 * time.Hour: 10 * time.Minute,
	} {
		require.Equal(t, want, Due{SinceMS: since.Milliseconds()}.recheckAfter(), since)
	}
}
