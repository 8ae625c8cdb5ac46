package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"greenroom/cmd/internal/chaos"
	"greenroom/cmd/internal/config"
)

func chaosCmd() *cobra.Command {
	var opts chaos.Options
	var temporal string
	var minutes int
	cmd := &cobra.Command{
		Use:   "chaos",
		Short: "Break everything at random under load, and account for every accepted event",
		Long: "Starts PostgreSQL, a Temporal server on it (built once, some minutes), APIs, workers and receivers on free " +
			"ports, publishes at a " +
			"constant rate, kills, freezes, deploys and misuses them at random, and then compares every accepted event with " +
			"what arrived and " +
			"with the database. It ends with 1 when anything was lost or is unexplained. Everything is removed " +
			"again.\n\nKinds of faults: " +
			strings.Join(
				chaos.Kinds(),
				", ",
			),
		Example: "  greenroom chaos --faults 300\n  greenroom chaos --seed 7 --faults 20 --kind worker-kill,temporal-kill",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts.Within = time.Duration(minutes) * time.Minute
			return runChaos(cmd, opts, temporal)
		},
	}
	f := cmd.Flags()
	f.Uint64Var(&opts.Seed, "seed", 0, "of the kinds, order and lengths of the faults (default from the clock)")
	f.IntVar(&opts.Faults, "faults", 40, "number of faults")
	f.IntVar(&minutes, "minutes", 45, "no fault begins later than this")
	f.Float64Var(&opts.Rate, "rate", 40, "events per second")
	f.IntVar(&opts.APIs, "apis", 2, "API processes")
	f.IntVar(&opts.Workers, "workers", 2, "worker processes")
	f.StringSliceVar(&opts.Kinds, "kind", nil, "kinds of faults (default all)")
	f.DurationVar(&opts.Least, "least", time.Second, "shortest pause between two faults")
	f.DurationVar(&opts.Most, "most", 8*time.Second, "longest pause between two faults")
	f.DurationVar(&opts.Quiet, "quiet", 4*time.Minute, "at the end, give up after this long without any progress")
	f.StringArrayVar(&opts.Settings, "set", nil, "setting of API and worker, as name=value (see greenroom help settings)")
	f.StringVar(&opts.JSON, "json", "", "file for all figures (default <dev.dir>/chaos/<time>-<seed>.json)")
	f.BoolVar(&opts.KeepLogs, "keep-logs", false, "keep the logs of all processes also when nothing was lost")
	f.StringVar(
		&temporal,
		"temporal",
		"server",
		"server: the full server on PostgreSQL; dev: the development server, no build",
	)
	return cmd
}

func runChaos(cmd *cobra.Command, opts chaos.Options, temporal string) (err error) {
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
	if opts.Dir, err = filepath.Abs(filepath.Join(cfg.Dev.Dir, "chaos")); err != nil {
		return fmt.Errorf("find the directory: %w", err)
	}
	opts.Version, opts.Out, opts.Log = version, cmd.OutOrStdout(), cmd.ErrOrStderr()
	ctx, stop := untilSignal(cmd.Context())
	defer stop()
	report, err := chaos.Run(ctx, opts)
	if err != nil {
		return unlessAsked(ctx, err)
	}
	if report.Broken() {
		return exitError(1)
	}
	return nil
}
