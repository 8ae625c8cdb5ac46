package main

import (
	"context"
	"log/slog"

	"github.com/spf13/cobra"
	"github.com/uptrace/bun"

	"greenroom/cmd/internal/config"
	"greenroom/cmd/internal/service"
)

func workerCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "worker",
		Short: "Run workflows, attempts and the dispatcher; any number of workers may run",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runPiece(cmd, func(ctx context.Context, cfg config.Config, d *bun.DB, logger *slog.Logger) error {
				return service.Worker(ctx, withBuildID(cfg), d, logger, nil)
			})
		},
	}
	config.AddFlags(cmd.Flags(), "database.url", "temporal.address", "worker.http_addr")
	return cmd
}
