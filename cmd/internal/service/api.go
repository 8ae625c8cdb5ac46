package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/uptrace/bun"

	"greenroom/activities"
	"greenroom/api"
	"greenroom/cmd/internal/config"
	"greenroom/db"
	"greenroom/db/seal"
)

// Time limits of the HTTP server. A request's body is at most 1 MiB, so half a minute is ample; an answer may take longer,
// because a test call waits for its delivery.
const (
	readHeaderLimit = 5 * time.Second
	readLimit       = 30 * time.Second
	idleLimit       = 2 * time.Minute
	drainLimit      = 10 * time.Second
)

// API serves HTTP on ln until ctx ends, then lets requests that are under way end.
func API(ctx context.Context, cfg config.Config, d *bun.DB, ln net.Listener, logger *slog.Logger) error {
	box, err := seal.New(cfg.Keyset)
	if err != nil {
		return err
	}
	handler, err := api.New(api.Options{
		DB: d, Box: box, Secret: cfg.Secret.Bytes(), CheckURL: EgressClient(cfg).CheckURL, PublicURL: cfg.HTTP.PublicURL,
		Limits: api.Limits{PerMinute: cfg.RateLimit.PerMinute, PerHour: cfg.RateLimit.PerHour},
		Interviews: api.InterviewRules{
			InvitationDeadline: cfg.Interview.InvitationDeadline, MaxDuration: cfg.Interview.MaxDuration,
			AnalysisTimeout: cfg.Interview.AnalysisTimeout,
		},
		Metrics: metrics(d), Logger: logger,
	})
	if err != nil {
		return err
	}
	srv := &http.Server{
		Handler: handler, ReadHeaderTimeout: readHeaderLimit, ReadTimeout: readLimit, IdleTimeout: idleLimit,
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	logger.InfoContext(ctx, "api ready", "addr", ln.Addr().String())
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainLimit)
	defer cancel()
	if err := srv.Shutdown(stop); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("stop serving: %w", err)
	}
	return nil
}

// queueShown bounds what the queue gauges count, so that a scrape never scans a long backlog.
const queueShown = 10_000

// metrics is the registry of one process: the runtime, the attempts and the length of the queues.
func metrics(d *bun.DB) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	r.MustRegister(activities.Collectors()...)
	r.MustRegister(&queueCollector{db: d})
	return r
}

var (
	queueDesc   = prometheus.NewDesc("greenroom_queue_deliveries", "Deliveries that wait for a dispatcher, at most 10000.", nil, nil)
	commandDesc = prometheus.NewDesc("greenroom_queue_commands", "Commands that wait for a dispatcher, at most 10000.", nil, nil)
)

type queueCollector struct{ db *bun.DB }

// Describe implements prometheus.Collector.
func (c *queueCollector) Describe(ch chan<- *prometheus.Desc) { ch <- queueDesc; ch <- commandDesc }

// Collect implements prometheus.Collector. When the database does not answer, the gauges are left out.
func (c *queueCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	deliveries, commands, err := db.QueueLength(ctx, c.db, queueShown)
	if err != nil {
		return
	}
	ch <- prometheus.MustNewConstMetric(queueDesc, prometheus.GaugeValue, float64(deliveries))
	ch <- prometheus.MustNewConstMetric(commandDesc, prometheus.GaugeValue, float64(commands))
}
