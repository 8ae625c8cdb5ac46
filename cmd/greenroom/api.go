package main

import (
	"fmt"
	"net"
	"os"

	"github.com/spf13/cobra"

	"greenroom/cmd/internal/config"
	"greenroom/cmd/internal/service"
)

func apiCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "api",
		Short: "Run the API alone; it needs PostgreSQL, not Temporal",
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
			ln, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.HTTP.Addr)
			if err != nil {
				return fmt.Errorf("listen on %s (setting http.addr): %w", cfg.HTTP.Addr, err)
			}
			logger := service.Logger(cfg, os.Stderr)
			if err := service.ServeProfiles(ctx, cfg, logger); err != nil {
				return err
			}
			return service.API(ctx, cfg, d, ln, logger)
		},
	}
	config.AddFlags(cmd.Flags(), "http.addr", "database.url")
	return cmd
}
