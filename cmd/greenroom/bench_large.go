package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"greenroom/cmd/internal/bench"
	"greenroom/cmd/internal/config"
)

func benchLargeCmd() *cobra.Command {
	var opts bench.LargeOptions
	cmd := &cobra.Command{
		Use:   "large",
		Short: "Measure the database with many deliveries in it",
		Long: "Starts PostgreSQL, makes up 30 days of deliveries with their events and attempts, and measures lists, " +
			"look-ups, the queue and " +
			"upkeep in them and in a hundredth of them: what it costs must not follow the size of the tables.\n\n" +
			"Ten million deliveries take some minutes and 14 GiB of disk. All is removed again.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runBenchLarge(cmd, opts) },
	}
	f := cmd.Flags()
	f.IntVar(&opts.Rows, "rows", 10_000_000, "deliveries")
	f.StringVar(&opts.JSON, "json", "", "file for all figures (default <dev.dir>/bench/large-<time>.json)")
	return cmd
}

func runBenchLarge(cmd *cobra.Command, opts bench.LargeOptions) error {
	cfg, err := config.Load(cmd.Flags())
	if err != nil {
		return err
	}
	if opts.Dir, err = filepath.Abs(filepath.Join(cfg.Dev.Dir, "bench")); err != nil {
		return fmt.Errorf("find the directory: %w", err)
	}
	opts.Version, opts.Out, opts.Log = version, cmd.OutOrStdout(), cmd.ErrOrStderr()
	ctx, stop := untilSignal(cmd.Context())
	defer stop()
	return unlessAsked(ctx, bench.RunLarge(ctx, opts))
}
