package main

import (
	"context"
	"fmt"
	"net"
	"os"

	"golang.org/x/sync/errgroup"

	"greenroom/cmd/internal/config"
	"greenroom/cmd/internal/devstack"
	"greenroom/cmd/internal/service"
	"greenroom/db"
)

// runAll runs the product on the stores until ctx ends: migrations, the demo key, then API, worker and simulator side by side.
func runAll(ctx context.Context, cfg config.Config, _ *devstack.Stack) error {
	logger := service.Logger(cfg, os.Stderr)
	d, err := service.OpenDB(ctx, cfg)
	if err != nil {
		return err
	}
	defer d.Close()
	if _, err := db.Migrate(ctx, d); err != nil {
		return err
	}
	key, first, err := service.DemoKey(ctx, cfg, d)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", cfg.HTTP.Addr)
	if err != nil {
		return fmt.Errorf("listen on %s (setting http.addr): %w", cfg.HTTP.Addr, err)
	}
	cfg.Egress.AllowHTTP, cfg.Egress.AllowLoopback = true, true
	g, ctx := errgroup.WithContext(ctx)
	if cfg.Provider.URL == "" || cfg.Analysis.URL == "" {
		sim, err := service.StartSimulator(logger)
		if err != nil {
			return err
		}
		defer sim.Close()
		sim.Use(&cfg)
	}
	g.Go(func() error { return service.API(ctx, cfg, d, ln, logger) })
	g.Go(func() error { return service.Worker(ctx, cfg, d, logger) })
	if err := service.AwaitReady(ctx, cfg); err == nil {
		err = devstack.WriteDevEnv(cfg.Dev.Dir, devstack.DevEnv{URL: cfg.HTTP.PublicURL, APIKey: key})
		if err != nil {
			return err
		}
		devstack.Banner{
			APIURL: cfg.HTTP.PublicURL, DocsURL: cfg.HTTP.PublicURL + "/docs", UIURL: cfg.Temporal.UIURL, Dir: cfg.Dev.Dir, FirstStart: first,
		}.Print(os.Stderr)
	}
	return g.Wait()
}
