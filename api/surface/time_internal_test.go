package surface

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseTime(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"2026-01-01T01:00:00Z": "2026-01-01T01:00:00.000Z", "2026-01-01t00:00:00.5z": "2026-01-01T00:00:00.500Z",
		"2026-01-01T01:00:00+01:00": "2026-01-01T00:00:00.000Z", "2026-01-01T01:00:00-23:59": "2026-01-02T00:59:00.000Z",
	} {
		got, reason := ParseTime(text)
		require.Empty(t, reason, text)
		require.Equal(t, want, Timestamp(got).String())
	}
	for _, text := range []string{
		"2026-01-01T01:00:00+24:00", "2026-01-01T01:00:00+01:60", "2026-01-01T01:00:00,5Z", "2026-01-01T01:00:00", "2026-01-01T1:00:00Z", "2026-01-01 01:00:00Z", "1969-12-31T23:59:59Z",
	} {
		_, reason := ParseTime(text)
		require.NotEmpty(t, reason, text)
	}
}
