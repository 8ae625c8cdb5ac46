package chaos_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/chaos"
)

// TestShortRunLosesNothing breaks each process and each store of a real system. It checks arrivals, not
// times.
func TestShortRunLosesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chmod(filepath.Dir(dir), 0o711), "PostgreSQL's unprivileged user needs access")
	}
	program := filepath.Join(dir, "greenroom")
	out, err := exec.Command("go", "build", "-o", program, "greenroom/cmd/greenroom").CombinedOutput()
	require.NoError(t, err, string(out))
	var printed bytes.Buffer
	kinds := []string{"api-kill", "worker-kill", "temporal-kill", "postgres-kill", "receiver-slow"}
	report, err := chaos.Run(t.Context(), chaos.Options{
		Program:   program,
		Version:   "test",
		Dir:       filepath.Join(dir, "chaos"),
		JSON:      filepath.Join(dir, "result.json"),
		DevServer: true,
		Seed:      92,
		Faults:    5,
		Rate:      25,
		Least:     200 * time.Millisecond,
		Most:      2 * time.Second,
		Kinds:     kinds,
		Out:       &printed,
		Log:       os.Stderr,
	})
	require.NoError(t, err)
	require.Zero(t, report.Lost, printed.String())
	require.Zero(t, report.UnexplainedCount, printed.String())
	require.False(t, report.Broken(), printed.String())
	require.True(t, report.Settled, printed.String())
	require.Equal(t, report.Accepted, report.Arrived)
	require.Greater(t, report.Accepted, 100)
	require.Len(t, report.Feed, 2)
	for _, f := range report.Feed {
		require.GreaterOrEqual(t, f.Events, report.Accepted, printed.String())
	}
	require.Positive(t, report.CatchUp.Expected, printed.String())
	require.Positive(t, report.Order.Expected, printed.String())
	broken := map[string]bool{}
	for _, f := range report.Timeline {
		broken[f.Kind] = true
	}
	require.Len(t, broken, len(kinds), "the seed draws each of them: %v", broken)

	data, err := os.ReadFile(filepath.Join(dir, "result.json"))
	require.NoError(t, err)
	var written chaos.Report
	require.NoError(t, json.Unmarshal(data, &written))
	require.Equal(t, report.Accepted, written.Accepted)
	require.Contains(t, printed.String(), "lost 0")
	left, err := filepath.Glob(filepath.Join(dir, "chaos", "run-*"))
	require.NoError(t, err)
	require.Empty(t, left, "the work directory is removed")
}

func TestRefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	_, err := chaos.Run(t.Context(), chaos.Options{Kinds: []string{"earthquake"}})
	require.ErrorContains(t, err, `no kind of fault "earthquake": choose from api-kill`)
	_, err = chaos.Run(t.Context(), chaos.Options{Least: time.Minute, Most: time.Second})
	require.ErrorContains(t, err, "longest pause")
}
