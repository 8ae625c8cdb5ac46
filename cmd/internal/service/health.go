package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/uptrace/bun"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"greenroom/cmd/internal/config"
	"greenroom/db"
	"greenroom/db/seal"
)

// health answers for a worker, which has no API: whether the process lives, whether it can work, what it measures.
type health struct {
	db        *bun.DB
	box       *seal.Box
	logger    *slog.Logger
	namespace string
	// working is the client of workers that run; nil before they have started.
	working atomic.Pointer[client.Client]
}

// readyLimit is what both stores together get to answer: less than the time-out of any usual probe.
const readyLimit = 2 * time.Second

// serve answers on cfg.Worker.HTTPAddr until ctx ends; without an address it does nothing. It begins before Temporal
// is reached, so that a worker that waits for it is alive and not ready.
func (h *health) serve(ctx context.Context, cfg config.Config) error {
	if cfg.Worker.HTTPAddr == "" {
		return nil
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.Worker.HTTPAddr)
	if err != nil {
		return fmt.Errorf("listen on %s (setting worker.http_addr): %w", cfg.Worker.HTTPAddr, err)
	}
	serveAside(ctx, ln, h.handler())
	h.logger.InfoContext(ctx, "worker answers probes", "addr", ln.Addr().String())
	return nil
}

// serveAside serves probes or metrics on an address of their own until ctx ends.
func serveAside(ctx context.Context, ln net.Listener, handler http.Handler) {
	srv := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderLimit,
		ReadTimeout:       readLimit,
		WriteTimeout:      readLimit,
		IdleTimeout:       idleLimit,
		MaxHeaderBytes:    maxHeaderBytes,
	}
	context.AfterFunc(ctx, func() { _ = srv.Close() })
	go func() { _ = srv.Serve(ln) }() // ends with ctx
}

// serveMetrics serves the API's /metrics on an address of its own until ctx ends; without an address it does nothing.
func serveMetrics(ctx context.Context, addr string, r *prometheus.Registry, logger *slog.Logger) error {
	if addr == "" {
		return nil
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("listen on %s (setting http.metrics_addr): %w", addr, err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{}))
	serveAside(ctx, ln, mux)
	logger.InfoContext(ctx, "api shows metrics", "addr", ln.Addr().String())
	return nil
}

func (h *health) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "up") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if reason, err := h.notReady(r.Context()); reason != "" {
			h.logger.WarnContext(r.Context(), "not ready", "reason", reason, "error", err)
			answer(w, http.StatusServiceUnavailable, "not ready: "+reason)
			return
		}
		answer(w, http.StatusOK, "ready")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics(h.db), promhttp.HandlerOpts{}))
	return mux
}

// notReady is why the worker cannot work, and the error behind it; "" when it can.
func (h *health) notReady(ctx context.Context) (reason string, err error) {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	c := h.working.Load()
	if c == nil {
		return "the workers do not run: Temporal or its namespace was not reached", nil
	}
	err = db.CheckMigrated(ctx, h.db)
	if err == nil {
		err = db.CheckKeyset(ctx, h.db, h.box)
	}
	switch {
	case errors.Is(err, db.ErrNotMigrated), errors.Is(err, db.ErrOtherKeyset):
		return err.Error(), nil
	case err != nil:
		return "the database does not answer", err
	}
	// A healthy server without the namespace gives no work.
	_, err = (*c).WorkflowService().
		DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: h.namespace})
	if err != nil {
		return "Temporal does not answer, or its namespace is gone", err
	}
	return "", nil
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"status": text}) // the prober may be gone
}
