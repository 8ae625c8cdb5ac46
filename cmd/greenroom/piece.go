package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"

	"github.com/spf13/cobra"
	"github.com/uptrace/bun"

	"greenroom/cmd/internal/config"
	"greenroom/cmd/internal/service"
)

// runPiece runs one piece of the product apart from the others: with its settings checked and its database open,
// until a signal ends it.
func runPiece(cmd *cobra.Command, run func(context.Context, config.Config, *bun.DB, *slog.Logger) error) error {
	cfg, err := config.Load(cmd.Flags())
	if err != nil {
		return err
	}
	if err := cfg.Require("database.url", "secret", "keyset"); err != nil {
		return err
	}
	ctx, stop := untilSignal(cmd.Context())
	defer stop()
	logger := service.Logger(cfg, os.Stderr)
	d, err := service.AwaitDB(ctx, cfg, logger)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := service.ServeProfiles(ctx, cfg, logger); err != nil {
		return err
	}
	return run(ctx, cfg, d, logger)
}

// listenHTTP takes the API's address.
func listenHTTP(ctx context.Context, cfg config.Config) (net.Listener, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.HTTP.Addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s (setting http.addr): %w", cfg.HTTP.Addr, err)
	}
	return ln, nil
}
