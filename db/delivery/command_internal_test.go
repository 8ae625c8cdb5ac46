package delivery

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRefusedCommandsBackOff(t *testing.T) {
	t.Parallel()
	for attempts, want := range map[int]time.Duration{
		0: time.Second, 1: 2 * time.Second, 2: 4 * time.Second, 7: 128 * time.Second, 8: 256 * time.Second,
		9: 5 * time.Minute, 70: 5 * time.Minute, // a shift by 70 would overflow to 0
	} {
		c := &FailedCommand{Command: Command{Attempts: attempts}, Keep: true}
		before := time.Now()
		at, err := time.Parse(time.RFC3339Nano, c.notBefore())
		require.NoError(t, err)
		require.WithinRange(t, at, before.Add(want), time.Now().Add(want), "after %d refusals", attempts)
	}
}

func TestParkedCommands(t *testing.T) {
	t.Parallel()
	created := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.FixedZone("", 3600))
	for name, tc := range map[string]struct {
		command FailedCommand
		parked  bool
	}{
		"before_the_last_try":  {FailedCommand{Command: Command{Attempts: 8}}, false},
		"at_the_last_try":      {FailedCommand{Command: Command{Attempts: 9}}, true},
		"after_the_last_try":   {FailedCommand{Command: Command{Attempts: 10}}, true},
		"kept":                 {FailedCommand{Command: Command{Attempts: 10}, Keep: true}, false},
		"temporal_unavailable": {FailedCommand{Command: Command{Attempts: 10, CreatedAt: created}, Unavailable: true}, false},
	} {
		c := tc.command
		require.Equal(t, tc.parked, c.Parked(), name)
		require.Equal(t, tc.parked, c.notBefore() == "infinity", name)
		if c.Unavailable {
			require.Equal(t, "2026-01-02T02:04:05.000006Z", c.notBefore(), "it keeps its place in the order")
		}
	}
}
