package main

import (
	"os"

	"github.com/spf13/cobra"

	"greenroom/cmd/internal/config"
	"greenroom/cmd/internal/service"
)

func workerCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "worker",
		Short: "Run workflows, attempts and the dispatcher; any number of workers may run",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(cmd.Flags())
			if err != nil {
				return err
			}
			if err := cfg.Require("database.url", "secret", "keyset"); err != nil {
				return err
			}
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			d, err := service.OpenDB(ctx, cfg)
			if err != nil {
				return err
			}
			defer d.Close()
			logger := service.Logger(cfg, os.Stderr)
			if err := service.ServeProfiles(ctx, cfg, logger); err != nil {
				return err
			}
			return service.Worker(ctx, withBuildID(cfg), d, logger, nil)
		},
	}
	config.AddFlags(cmd.Flags(), "database.url", "temporal.address", "worker.http_addr")
	return cmd
}
