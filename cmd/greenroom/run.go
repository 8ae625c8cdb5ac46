package main

import (
	"context"
	"net"
	"os"
	"strings"

	"github.com/uptrace/bun"
	"golang.org/x/sync/errgroup"

	"greenroom/cmd/internal/config"
	"greenroom/cmd/internal/devstack"
	"greenroom/cmd/internal/service"
	"greenroom/db"
	"greenroom/db/pg"
)

// runAll applies the migrations, ensures the demo key and runs API, worker and simulator in this process until ctx
// ends.
func runAll(ctx context.Context, cfg config.Config, _ *devstack.Stack) error {
	d, err := service.OpenDB(ctx, cfg)
	if err != nil {
		return err
	}
	defer pg.Close(d)
	if _, err := db.Migrate(ctx, d); err != nil {
		return err
	}
	key, first, err := service.DemoKey(ctx, cfg, d)
	if err != nil {
		return err
	}
	ln, err := listenHTTP(ctx, cfg)
	if err != nil {
		return err
	}
	return runProduct(ctx, cfg, d, ln, func() error {
		if err := devstack.WriteDevEnv(cfg.Dev.Dir, devstack.DevEnv{URL: cfg.HTTP.PublicURL, APIKey: key}); err != nil {
			return err
		}
		link, err := service.ConsoleLink(ctx, cfg, d)
		if err != nil {
			return err
		}
		devstack.Banner{
			ConsoleURL: link,
			APIURL:     cfg.HTTP.PublicURL,
			DocsURL:    cfg.HTTP.PublicURL + "/docs",
			UIURL:      cfg.Temporal.UIURL,
			Dir:        cfg.Dev.Dir,
			FirstStart: first,
		}.Print(os.Stderr)
		return nil
	})
}

// runProduct runs API, worker and simulator until ctx ends. It calls ready when both API and worker are ready.
func runProduct(ctx context.Context, cfg config.Config, d *bun.DB, ln net.Listener, ready func() error) error {
	logger := service.DevLogger(cfg, os.Stderr)
	logUnknownVariables(ctx, logger)
	cfg.Egress.AllowHTTP, cfg.Egress.AllowLoopback = true, true
	logger.InfoContext(ctx, "webhooks to this machine and over plain http are allowed")
	cfg.Suite.SelfService = true // whoever tries the product is its operator
	sim, err := service.StartSimulator(ctx, logger)
	if err != nil {
		return err
	}
	defer sim.Close()
	sim.Use(&cfg)
	noteReplaced(&cfg)
	g, ctx := errgroup.WithContext(ctx)
	workerReady := make(chan struct{})
	g.Go(func() error { return service.API(ctx, withBuildID(cfg), d, ln, logger) })
	g.Go(func() error { return service.Worker(ctx, withBuildID(cfg), d, logger, func() { close(workerReady) }) })
	g.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-workerReady:
		}
		if err := service.AwaitReady(ctx, cfg); err != nil {
			return nil //nolint:nilerr // stopped before it was ready
		}
		return ready()
	})
	return g.Wait()
}

// noteReplaced notes the settings that this command replaces, for the list of those in effect.
func noteReplaced(cfg *config.Config) {
	for name, value := range map[string]string{
		"database.url": cfg.Database.URL, "temporal.address": cfg.Temporal.Address, "temporal.ui_url": cfg.Temporal.UIURL,
		"secret": string(cfg.Secret), "keyset": cfg.Keyset, "media.dir": cfg.Media.Dir, "egress.allow_http": "true",
		"egress.allow_loopback": "true", "provider.url": cfg.Provider.URL, "provider.token": cfg.Provider.Token,
		"analysis.url": cfg.Analysis.URL, "analysis.token": cfg.Analysis.Token, "generator.url": cfg.Generator.URL,
		"generator.token": cfg.Generator.Token, "sourcing.url": cfg.Sourcing.URL,
		"sourcing.token": cfg.Sourcing.Token, "extractor.url": cfg.Extractor.URL, "extractor.token": cfg.Extractor.Token,
		"http.public_url": cfg.HTTP.PublicURL,
	} {
		if !cfg.Explicit(name) || strings.HasPrefix(name, "egress.") {
			cfg.Replaced(name, value, "greenroom dev")
		}
	}
}
