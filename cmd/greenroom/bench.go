package main

import (
	"strings"

	"github.com/spf13/cobra"

	"greenroom/cmd/internal/bench"
)

func benchCmd() *cobra.Command {
	var opts bench.Options
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure deliveries per second, latency and CPU time on this machine",
		Long: "Starts PostgreSQL, a Temporal server on it (built once, which takes some minutes), an API, a worker and " +
			"receivers on free ports, measures the scenarios, prints a table and removes everything.\n\n" +
			"Scenarios: " + strings.Join(bench.Names(), ", "),
		Example: "  greenroom bench --runs 3\n" +
			"  greenroom bench --scenario offered-50,saturated-10 --set dispatch.batch_above=0",
		Args: cobra.NoArgs,
	}
	temporal := addTemporalFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return runBench(cmd, opts, *temporal) }
	f := cmd.Flags()
	f.StringSliceVar(&opts.Scenarios, "scenario", nil,
		"scenarios to measure (default all but soak, held-transaction, waiting-… and scale-…)")
	f.IntVar(&opts.Minutes, "minutes", 10, "length of the scenarios soak and held-transaction")
	f.IntVar(&opts.Runs, "runs", 1, "measurements of each scenario; the table shows medians")
	f.BoolVar(&opts.Quick, "quick", false, "use tiny loads, only to check that the benchmark works")
	f.StringArrayVar(&opts.Settings, "set", nil, "setting of API and worker, as name=value (see greenroom help settings)")
	f.StringVar(&opts.JSON, "json", "", "file for all figures (default <dev.dir>/bench/<time>.json)")
	f.StringVar(&opts.Profiles, "pprof", "", "directory for CPU profiles of API and worker")
	cmd.AddCommand(benchLargeCmd())
	return cmd
}

func runBench(cmd *cobra.Command, opts bench.Options, temporal string) (err error) {
	if opts.DevServer, err = isDevServer(temporal); err != nil {
		return err
	}
	if opts.Program, opts.Dir, err = experimentPaths(cmd, "bench"); err != nil {
		return err
	}
	opts.Version, opts.Out, opts.Log = version, cmd.OutOrStdout(), cmd.ErrOrStderr()
	ctx, stop := untilSignal(cmd.Context())
	defer stop()
	return unlessCanceled(ctx, bench.Run(ctx, opts))
}
