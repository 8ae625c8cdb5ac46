package main

import (
	"context"
	"log/slog"

	"github.com/spf13/cobra"
	"github.com/uptrace/bun"

	"greenroom/cmd/internal/config"
	"greenroom/cmd/internal/service"
)

func apiCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "api",
		Short: "Run the API alone; it needs PostgreSQL, not Temporal",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runPiece(cmd, func(ctx context.Context, cfg config.Config, d *bun.DB, logger *slog.Logger) error {
				ln, err := listenHTTP(ctx, cfg)
				if err != nil {
					return err
				}
				return service.API(ctx, cfg, d, ln, logger)
			})
		},
	}
	config.AddFlags(cmd.Flags(), "http.addr", "database.url")
	return cmd
}
