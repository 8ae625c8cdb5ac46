package main

import (
	"github.com/spf13/cobra"

	"greenroom/cmd/internal/bench"
)

func benchLargeCmd() *cobra.Command {
	var opts bench.LargeOptions
	cmd := &cobra.Command{
		Use:   "large",
		Short: "Measure the database with many deliveries in it",
		Long: "Starts PostgreSQL, generates 30 days of deliveries with their events and attempts, and measures lists, " +
			"look-ups, the queue and maintenance. It repeats the measurement with a hundredth of the rows: the cost must " +
			"not grow with the size of the tables.\n\n" +
			"Ten million deliveries take some minutes and 14 GiB of disk. Everything is removed at the end.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runBenchLarge(cmd, opts) },
	}
	f := cmd.Flags()
	f.IntVar(&opts.Rows, "rows", 10_000_000, "number of deliveries")
	f.StringVar(&opts.JSON, "json", "", "file for all figures (default <dev.dir>/bench/large-<time>.json)")
	return cmd
}

func runBenchLarge(cmd *cobra.Command, opts bench.LargeOptions) (err error) {
	if _, opts.Dir, err = experimentPaths(cmd, "bench"); err != nil {
		return err
	}
	opts.Version, opts.Out, opts.Log = version, cmd.OutOrStdout(), cmd.ErrOrStderr()
	ctx, stop := untilSignal(cmd.Context())
	defer stop()
	return unlessCanceled(ctx, bench.RunLarge(ctx, opts))
}
