package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/uptrace/bun"

	"greenroom/cmd/internal/config"
	"greenroom/cmd/internal/service"
	"greenroom/db/pg"
)

func apiCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "api",
		Short: "Run only the API; it needs PostgreSQL, not Temporal",
		Args:  cobra.NoArgs,
		RunE:  runComponent(runAPI),
	}
	config.AddFlags(cmd.Flags(), "http.addr", "database.url")
	return cmd
}

func workerCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "worker",
		Short: "Run workflows, delivery attempts and the dispatcher; several workers can run side by side",
		Args:  cobra.NoArgs,
		RunE:  runComponent(runWorker),
	}
	config.AddFlags(cmd.Flags(), "database.url", "temporal.address", "worker.http_addr")
	return cmd
}

// component is the API or a worker. It runs until ctx ends.
type component func(ctx context.Context, cfg config.Config, d *bun.DB, logger *slog.Logger) error

func runAPI(ctx context.Context, cfg config.Config, d *bun.DB, logger *slog.Logger) error {
	ln, err := listenHTTP(ctx, cfg)
	if err != nil {
		return err
	}
	return service.API(ctx, withBuildID(cfg), d, ln, logger, examination(cfg))
}

func runWorker(ctx context.Context, cfg config.Config, d *bun.DB, logger *slog.Logger) error {
	return service.Worker(ctx, withBuildID(cfg), d, logger, nil)
}

// runComponent checks the settings, opens the database and runs the component until a signal.
func runComponent(run component) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
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
		logUnknownVariables(ctx, logger)
		d, err := service.AwaitDB(ctx, cfg, logger)
		if err != nil {
			return err
		}
		defer pg.Close(d)
		if err := service.ServeProfiles(ctx, cfg, logger); err != nil {
			return err
		}
		return run(ctx, cfg, d, logger)
	}
}

// logUnknownVariables logs the environment variables that look like settings and are ignored.
func logUnknownVariables(ctx context.Context, logger *slog.Logger) {
	for _, v := range config.UnknownVariables(os.Environ()) {
		args := []any{"variable", v.Name}
		if v.Setting != "" {
			args = append(args, "did_you_mean", v.Setting)
		}
		logger.WarnContext(ctx, "unknown environment variable is ignored", args...)
	}
}

// logs are the commands that log the unknown variables.
var logs = []string{"api", "worker", "dev"}

// warnOfVariables says which environment variables look like settings and are ignored, for commands that do not log.
func warnOfVariables(cmd *cobra.Command, _ []string) error {
	if slices.Contains(logs, cmd.Name()) || strings.HasPrefix(cmd.Name(), "__") { // __complete: for shells
		return nil
	}
	for _, v := range config.UnknownVariables(os.Environ()) {
		hint := "see greenroom help settings"
		if v.Setting != "" {
			hint = "did you mean " + v.Setting + "?"
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "greenroom: %s is not a setting and is ignored: %s\n", v.Name, hint)
	}
	return nil
}

// listenHTTP listens on the API's address.
func listenHTTP(ctx context.Context, cfg config.Config) (net.Listener, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.HTTP.Addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s (setting http.addr): %w", cfg.HTTP.Addr, err)
	}
	return ln, nil
}
