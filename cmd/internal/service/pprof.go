package service

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"

	"greenroom/cmd/internal/config"
)

// ServeProfiles serves Go's profiles under /debug/pprof/ on cfg.Pprof.Addr until ctx ends. Without an address it does
// nothing. They are not on the API's port because they reveal internals and take longer than the limit of a request.
func ServeProfiles(ctx context.Context, cfg config.Config, logger *slog.Logger) error {
	if cfg.Pprof.Addr == "" {
		return nil
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.Pprof.Addr)
	if err != nil {
		return fmt.Errorf("listen on %s (setting pprof.addr): %w", cfg.Pprof.Addr, err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: readHeaderLimit}
	context.AfterFunc(ctx, func() { _ = srv.Close() })
	go func() { _ = srv.Serve(ln) }() // ends with ctx
	logger.InfoContext(ctx, "profiles ready", "addr", ln.Addr().String())
	return nil
}
