package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"greenroom/cmd/internal/chaos"
)

func chaosCmd() *cobra.Command {
	var opts chaos.Options
	var minutes int
	cmd := &cobra.Command{
		Use:   "chaos",
		Short: "Inject random faults under load and account for every accepted event",
		Long: "Starts PostgreSQL, a Temporal server on it (built once, which takes some minutes), APIs, workers and " +
			"receivers on free ports and publishes events at a constant rate. It kills, freezes, redeploys and misuses " +
			"the processes at random. Then it compares every accepted event with what arrived and with the database. The " +
			"exit code is 1 when an event was lost or is unexplained. Everything is removed at the end.\n\n" +
			"Kinds of faults: " + strings.Join(chaos.Kinds(), ", "),
		Example: "  greenroom chaos --faults 300\n" +
			"  greenroom chaos --seed 7 --faults 20 --kind worker-kill,temporal-kill",
		Args: cobra.NoArgs,
	}
	temporal := addTemporalFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		opts.Within = time.Duration(minutes) * time.Minute
		return runChaos(cmd, opts, *temporal)
	}
	f := cmd.Flags()
	f.Uint64Var(&opts.Seed, "seed", 0, "seed for the kinds, order and lengths of the faults (default from the clock)")
	f.IntVar(&opts.Faults, "faults", 40, "number of faults")
	f.IntVar(&minutes, "minutes", 45, "start no fault after this many minutes")
	f.Float64Var(&opts.Rate, "rate", 40, "events per second")
	f.IntVar(&opts.APIs, "apis", 2, "API processes")
	f.IntVar(&opts.Workers, "workers", 2, "worker processes")
	f.StringSliceVar(&opts.Kinds, "kind", nil, "kinds of faults (default all)")
	f.DurationVar(&opts.Least, "least", time.Second, "shortest pause between two faults")
	f.DurationVar(&opts.Most, "most", 8*time.Second, "longest pause between two faults")
	f.DurationVar(&opts.Quiet, "quiet", 4*time.Minute, "at the end, give up after this long without any progress")
	f.StringArrayVar(&opts.Settings, "set", nil, "setting of API and worker, as name=value (see greenroom help settings)")
	f.StringVar(&opts.JSON, "json", "", "file for all figures (default <dev.dir>/chaos/<time>-<seed>.json)")
	f.BoolVar(&opts.KeepLogs, "keep-logs", false, "keep the logs of all processes even when nothing was lost")
	return cmd
}

func runChaos(cmd *cobra.Command, opts chaos.Options, temporal string) (err error) {
	if opts.DevServer, err = isDevServer(temporal); err != nil {
		return err
	}
	if opts.Program, opts.Dir, err = experimentPaths(cmd, "chaos"); err != nil {
		return err
	}
	opts.Version, opts.Out, opts.Log = version, cmd.OutOrStdout(), cmd.ErrOrStderr()
	ctx, stop := untilSignal(cmd.Context())
	defer stop()
	report, err := chaos.Run(ctx, opts)
	if err != nil {
		return unlessCanceled(ctx, err)
	}
	if report.Broken() {
		return exitError(1)
	}
	return nil
}
