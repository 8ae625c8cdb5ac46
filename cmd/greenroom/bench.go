package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"greenroom/cmd/internal/bench"
	"greenroom/cmd/internal/config"
)

func benchCmd() *cobra.Command {
	var opts bench.Options
	var temporal string
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure deliveries per second, latency and processor time on this machine",
		Long: "Starts PostgreSQL, a Temporal server on it (built once, some minutes), an API, a worker and receivers on " +
			"free ports, measures " +
			"the scenarios, prints a table and removes everything.\n\nScenarios: " + strings.Join(
			bench.Names(),
			", ",
		),
		Example: "  greenroom bench --runs 3\n  greenroom bench --scenario offered-50,saturated-10 --set " +
			"dispatch.batch_above=0",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runBench(cmd, opts, temporal) },
	}
	f := cmd.Flags()
	f.StringSliceVar(&opts.Scenarios, "scenario", nil, "scenarios to measure (default all but soak)")
	f.IntVar(&opts.Minutes, "minutes", 10, "length of the scenario soak")
	f.IntVar(&opts.Runs, "runs", 1, "measurements of each scenario; the table shows medians")
	f.BoolVar(&opts.Quick, "quick", false, "tiny numbers, to see that it works")
	f.StringArrayVar(&opts.Settings, "set", nil, "setting of API and worker, as name=value (see greenroom help settings)")
	f.StringVar(&opts.JSON, "json", "", "file for all figures (default <dev.dir>/bench/<time>.json)")
	f.StringVar(&opts.Profiles, "pprof", "", "directory for processor profiles of API and worker")
	f.StringVar(
		&temporal,
		"temporal",
		"server",
		"server: the full server on PostgreSQL; dev: the development server, no build",
	)
	cmd.AddCommand(benchLargeCmd())
	return cmd
}

func runBench(cmd *cobra.Command, opts bench.Options, temporal string) (err error) {
	cfg, err := config.Load(cmd.Flags())
	if err != nil {
		return err
	}
	if temporal != "server" && temporal != "dev" {
		return fmt.Errorf("--temporal is server or dev, not %q", temporal)
	}
	opts.DevServer = temporal == "dev"
	if opts.Program, err = os.Executable(); err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	if opts.Dir, err = filepath.Abs(filepath.Join(cfg.Dev.Dir, "bench")); err != nil {
		return fmt.Errorf("find the directory: %w", err)
	}
	opts.Version, opts.Out, opts.Log = version, cmd.OutOrStdout(), cmd.ErrOrStderr()
	ctx, stop := untilSignal(cmd.Context())
	defer stop()
	return unlessAsked(ctx, bench.Run(ctx, opts))
}
