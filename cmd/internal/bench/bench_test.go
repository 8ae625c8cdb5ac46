package bench_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/bench"
	"greenroom/db/dbtest"
)

// TestQuickRunOfEverything runs each scenario with tiny loads on the test's stores. It checks arrivals, not
// times.
func TestQuickRunOfEverything(t *testing.T) {
	t.Parallel()
	opts := options(t)
	opts.Profiles = filepath.Join(opts.Dir, "profiles")
	opts.Scenarios = []string{
		"saturated-10", "fanout-10", "offered-50", "hanging", "hanging-company", "idle-first", "idle", "kill9", "ingest",
		"ingest-keyed", "saturated-10-keyed", "fresh-fanout", "backlog", "backlog-after-vacuum", "soak", "scale-2",
		"held-transaction", "filtered-10",
	}
	var out bytes.Buffer
	opts.Out = &out
	require.NoError(t, bench.Run(t.Context(), opts))

	data, err := os.ReadFile(opts.JSON)
	require.NoError(t, err)
	var report struct{ Medians []bench.Result }
	require.NoError(t, json.Unmarshal(data, &report))
	require.Len(t, report.Medians, len(opts.Scenarios))
	for _, r := range report.Medians {
		require.Contains(t, out.String(), r.Scenario)
		require.Zero(t, r.Lost, r.Scenario)
		require.Positive(t, r.Events, r.Scenario)
		if r.Scenario != "kill9" {
			require.Zero(t, r.Refused, r.Scenario)
			require.Zero(t, r.Duplicated, r.Scenario)
		}
		if r.Scenario == "idle" {
			require.Contains(t, r.Figures, "transactions_per_s")
			require.Contains(t, r.Figures, "worker_ms_per_s")
		}
		if r.Scenario == "backlog" || r.Scenario == "backlog-after-vacuum" {
			require.Positive(t, r.Figures["drain_per_s"], r.Scenario)
			require.Contains(t, r.Figures, "last_to_first_tenth", r.Scenario)
			require.NotContains(t, r.Figures, "waiting_at_limit", r.Scenario)
		}
		if r.Scenario == "scale-2" {
			require.Contains(t, r.ProcessorMS, "worker-2")
			require.Contains(t, r.Figures, "workers_ms")
			require.Contains(t, r.Figures, "least_api_share")
		}
		if r.Scenario == "soak" || r.Scenario == "held-transaction" {
			require.Contains(t, r.Figures, "first_minute_per_s")
			require.Contains(t, r.Figures, "last_minute_p99_ms")
		}
		if r.Scenario == "offered-50" {
			require.Positive(t, r.Figures["eager_share"], "starts are eager")
		}
	}
	left, err := filepath.Glob(filepath.Join(opts.Dir, "run-*"))
	require.NoError(t, err)
	require.Empty(t, left, "the work directory is removed")
}

func options(t *testing.T) bench.Options {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "greenroom")
	out, err := exec.Command("go", "build", "-o", program, "greenroom/cmd/greenroom").CombinedOutput()
	require.NoError(t, err, string(out))
	opts := bench.Options{
		Program: program, Version: "test", Quick: true, Dir: dir, JSON: filepath.Join(dir, "result.json"), Log: os.Stderr,
		DatabaseURL: os.Getenv(dbtest.URLVariable), TemporalAddress: os.Getenv("GREENROOM_TEST_TEMPORAL_ADDRESS"),
	}
	if opts.DatabaseURL == "" || opts.TemporalAddress == "" {
		t.Fatal("the test's stores are not set: run the tests with `make test`")
	}
	return opts
}

func TestRefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	err := bench.Run(t.Context(), bench.Options{Scenarios: []string{"fastest"}})
	require.ErrorContains(t, err, `no scenario "fastest": choose from saturated-1`)
	err = bench.Run(t.Context(), bench.Options{Settings: []string{"dispatch.batch_above"}})
	require.ErrorContains(t, err, "name=value")
}
