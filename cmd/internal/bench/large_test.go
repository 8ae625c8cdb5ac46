package bench_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/bench"
	"greenroom/db/dbtest"
)

// TestSmallLargeRun measures small data sets. It checks that every case has figures, not their values.
func TestSmallLargeRun(t *testing.T) {
	t.Parallel()
	var out, log bytes.Buffer
	opts := bench.LargeOptions{
		Rows: 30_000, Backlog: 2000, Version: "test", Dir: t.TempDir(), JSON: filepath.Join(t.TempDir(), "result.json"),
		DatabaseURL: os.Getenv(dbtest.URLVariable), Out: &out, Log: &log,
	}
	require.NotEmpty(t, opts.DatabaseURL, "run the tests with `make test`")
	require.NoError(t, bench.RunLarge(t.Context(), opts))

	data, err := os.ReadFile(opts.JSON)
	require.NoError(t, err)
	var report struct{ Pasts []bench.LargePast }
	require.NoError(t, json.Unmarshal(data, &report))
	require.Len(t, report.Pasts, 2)
	require.Equal(t, 30_000, report.Pasts[1].Deliveries)
	require.Contains(t, log.String(), "generate 30000 deliveries")
	for i, c := range report.Pasts[1].Cases {
		require.Contains(t, out.String(), c.Name)
		require.Equal(t, c.Name, report.Pasts[0].Cases[i].Name)
		require.Positive(t, c.MedianMS, c.Name)
		require.Positive(t, c.Buffers, c.Name)
	}
	opts.Rows = 10
	require.ErrorContains(t, bench.RunLarge(t.Context(), opts), "--rows must be at least 30000")
}
