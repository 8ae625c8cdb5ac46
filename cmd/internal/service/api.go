package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/uptrace/bun"

	"greenroom/api"
	"greenroom/api/aiinterviews"
	"greenroom/api/interviewsuite"
	"greenroom/api/surface"
	"greenroom/cmd/internal/config"
	"greenroom/db/pg"
)

// Time limits of the HTTP server. A request's body is at most 1 MiB, an array of events 4 MiB, so half a minute is
// ample; videos, up and down, have limits of their own (media.ExtendDeadlines, media.Serve). net/http counts
// writeLimit from the request's header on and cuts an answer off without a word, so it covers the slowest there is: a
// body that takes all of readLimit, then a test call that waits for its delivery, the longest time-out of a profile
// (30 s) plus 5 s.
const (
	readHeaderLimit = 5 * time.Second
	readLimit       = 30 * time.Second
	writeLimit      = 90 * time.Second
	idleLimit       = 2 * time.Minute
	drainLimit      = 10 * time.Second
)

// maxHeaderBytes limits a request's header. Go's default, 1 MiB, would let 500 clients without a key hold 400 MiB.
const maxHeaderBytes = 32 << 10

// errDraining is why a process that was told to stop is not ready.
var errDraining = errors.New("this process stops")

// API serves HTTP on ln until ctx ends. Then it is not ready any more, serves on for http.drain_delay, and lets the
// requests end that are in progress. It refuses a keyset that is not the installation's.
func API(ctx context.Context, cfg config.Config, d *bun.DB, ln net.Listener, logger *slog.Logger) error {
	box, err := openBox(ctx, cfg, d)
	if err != nil {
		return err
	}
	traces, err := startTracing(ctx, cfg, apiSampler(cfg), logger)
	if err != nil {
		return err
	}
	defer traces.end()
	engine, err := openEngine(ctx, cfg, engineConns)
	if err != nil {
		return err
	}
	defer func() { _ = pg.Close(engine) }()
	store, err := MediaStore(ctx, cfg)
	if err != nil {
		return err
	}
	registry := metrics(d)
	handler, err := api.New(api.Options{
		Options: surface.Options{
			DB: d, Box: box, Secret: cfg.Secret.Bytes(),
			NextSecret: cfg.SecretNext.Bytes(), PreviousSecret: cfg.SecretPrevious.Bytes(),
			CheckURL: CheckEgressURL(cfg), PublicURL: cfg.HTTP.PublicURL,
			PerMinute: cfg.RateLimit.PerMinute, PerHour: cfg.RateLimit.PerHour, PublicPerMinute: cfg.RateLimit.PublicPerMinute,
			Quota: surface.Quota{
				Webhooks: cfg.Quota.Webhooks, EventTypes: cfg.Quota.EventTypes, APIKeys: cfg.Quota.APIKeys,
				MediaBytes: int64(cfg.Quota.MediaBytes),
			},
			InvitationDeadline: cfg.Interview.InvitationDeadline, MaxDuration: cfg.Interview.MaxDuration,
			AnalysisTimeout: cfg.Interview.AnalysisTimeout, Mails: cfg.SMTP.URL != "",
			TokenMaxAge: cfg.Staff.TokenMaxAge, SelfService: cfg.Suite.SelfService,
			SourcingTimeout: sourcingTimeout(cfg), Imports: cfg.Extractor.URL != "",
			CompanyPerMinute: cfg.RateLimit.CompanyPerMinute, CompanyPerHour: cfg.RateLimit.CompanyPerHour,
			TrustedProxies: cfg.HTTP.TrustedProxies.List(), Metrics: registry, Logger: logger,
		},
		Ready: func(context.Context) error {
			if ctx.Err() != nil {
				return errDraining
			}
			return nil
		},
		Engine: engine, Stopping: ctx.Done(), MetricsElsewhere: cfg.HTTP.MetricsAddr != "",
		ReplaysPerSecond: cfg.Circuit.ReleaseLimit, Console: consoleOptions(cfg),
		InterviewSuite: interviewsuite.Options{
			Videos: interviewsuite.Videos{Store: store, MaxBytes: int64(cfg.Media.MaxBytes)},
		},
		AIInterviews: aiinterviews.Options{Media: store},
	})
	if err != nil {
		return err
	}
	defer sweepMedia(ctx, d, store, logger)()
	if err := serveMetrics(ctx, cfg.HTTP.MetricsAddr, registry, logger); err != nil {
		return err
	}
	conns := limitConns(ln, cfg.HTTP.MaxConns)
	srv := &http.Server{
		Handler:           closeWhenDraining(ctx, traces.handler(handler)),
		ReadHeaderTimeout: readHeaderLimit,
		ReadTimeout:       readLimit,
		WriteTimeout:      writeLimit,
		IdleTimeout:       idleLimit,
		MaxHeaderBytes:    maxHeaderBytes,
		ConnState:         conns.track,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(conns) }()
	logger.InfoContext(ctx, "api ready", "addr", ln.Addr().String())
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-time.After(cfg.HTTP.DrainDelay):
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainLimit)
	defer cancel()
	if err := srv.Shutdown(stop); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("stop serving: %w", err)
	}
	return nil
}

// sourcingTimeout is zero without a sourcing service.
func sourcingTimeout(cfg config.Config) time.Duration {
	if cfg.Sourcing.URL == "" {
		return 0
	}
	return cfg.SourcingTimeout
}

// closeWhenDraining makes clients and proxies that keep connections open connect anew for their next request, which
// then goes to another process. A connection that is closed without this loses the request that is just on its way.
func closeWhenDraining(ctx context.Context, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ctx.Err() != nil {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}
