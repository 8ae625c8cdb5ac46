package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"greenroom/cmd/internal/config"
	"greenroom/cmd/internal/devstack"
)

// stopLimit bounds the shutdown of the stores after Ctrl-C. A second Ctrl-C ends the program at once.
const stopLimit = time.Minute

func devCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run everything on this machine: PostgreSQL, Temporal, API, worker and simulated external services",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return runDev(cmd) },
	}
	config.AddFlags(cmd.Flags(), "http.addr", "dev.dir", "dev.postgres_port", "dev.temporal_port", "dev.temporal_ui_port",
		"database.url", "temporal.address")
	cmd.AddCommand(devExecCmd(), devCleanCmd())
	return cmd
}

// runDev starts the stores, loads the secrets and runs the product until a signal, an error or the exit of a store.
func runDev(cmd *cobra.Command) (err error) {
	cfg, err := config.Load(cmd.Flags())
	if err != nil {
		return err
	}
	ctx, stop := untilSignal(cmd.Context())
	defer stop()
	if err := devstack.CheckAddr(ctx, cfg.HTTP.Addr, "the API", "GREENROOM_HTTP_ADDR or --http-addr"); err != nil {
		return errors.Join(devstack.CheckUnused(cfg.Dev.Dir), err)
	}
	stack, err := devstack.Start(ctx, stackOptions(cfg, cmd))
	if err != nil {
		return unlessCanceled(ctx, err)
	}
	defer func() {
		stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
		defer cancel()
		err = errors.Join(err, stack.Stop(stopCtx))
	}()
	if cfg, err = withStack(cfg, stack); err != nil {
		return err
	}
	if err := devstack.RemoveDevEnv(cfg.Dev.Dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, devstack.RemoveDevEnv(cfg.Dev.Dir)) }()
	err = whileStoresRun(ctx, stack, func(ctx context.Context) error { return runAll(ctx, cfg, stack) })
	return unlessCanceled(ctx, err)
}

// unlessCanceled drops the error of a step that a signal canceled.
func unlessCanceled(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// untilSignal returns a context that ends at the first signal to stop. Signals then have their default effect again, so
// a second one ends the program.
func untilSignal(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(parent, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	unregister := context.AfterFunc(ctx, func() {
		fmt.Fprintln(os.Stderr, "stopping … (Ctrl-C again ends at once)")
		stop()
	})
	return ctx, func() {
		unregister()
		stop()
	}
}

func stackOptions(cfg config.Config, cmd *cobra.Command) devstack.Options {
	opts := devstack.Options{
		Dir:            cfg.Dev.Dir,
		PostgresPort:   cfg.Dev.PostgresPort,
		TemporalPort:   cfg.Dev.TemporalPort,
		TemporalUIPort: cfg.Dev.TemporalUIPort,
		DatabaseURL:    cfg.Database.URL,
		Log:            cmd.ErrOrStderr(),
	}
	if cfg.Explicit("temporal.address") {
		opts.TemporalAddress = cfg.Temporal.Address
	}
	return opts
}

// withStack adds the addresses of the stack and the generated secrets to the settings. Configured secrets take
// precedence.
func withStack(cfg config.Config, stack *devstack.Stack) (config.Config, error) {
	secrets, err := devstack.LoadSecrets(cfg.Dev.Dir)
	if err != nil {
		return cfg, err
	}
	if cfg, err = cfg.WithSecrets(secrets.Secret, secrets.Keyset); err != nil {
		return cfg, fmt.Errorf("read the generated secrets: %w", err)
	}
	cfg.Database.URL, cfg.Temporal.Address = stack.DatabaseURL, stack.TemporalAddress
	cfg.Temporal.Managed = !cfg.Explicit("temporal.address")
	if cfg.Temporal.UIURL == "" {
		cfg.Temporal.UIURL = stack.UIURL
	}
	if !cfg.Explicit("media.dir") {
		cfg.Media.Dir = filepath.Join(cfg.Dev.Dir, "media")
	}
	for name, set := range map[string]func(){ // a circuit that can be watched
		"circuit.span":           func() { cfg.Circuit.Span = time.Second },
		"circuit.cooldown":       func() { cfg.Circuit.Cooldown = 5 * time.Second },
		"circuit.cooldown_limit": func() { cfg.Circuit.CooldownLimit = time.Minute },
	} {
		if !cfg.Explicit(name) {
			set()
		}
	}
	return cfg, nil
}

// whileStoresRun runs the product. It stops it when a store that the stack started exits, and returns that as the
// error.
func whileStoresRun(ctx context.Context, stack *devstack.Stack, run func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lost := make(chan error, 1)
	go func() {
		select {
		case err := <-stack.Lost():
			lost <- err
			cancel()
		case <-ctx.Done():
		}
	}()
	err := run(ctx)
	select {
	case cause := <-lost:
		return errors.Join(cause, err)
	default:
		return err
	}
}
