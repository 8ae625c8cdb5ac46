package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"greenroom/cmd/internal/config"
	"greenroom/cmd/internal/simulator"
)

// Simulator serves simulated external services on a loopback port: call provider, analyser, generator,
// sourcing service and extractor.
type Simulator struct {
	URL string
	sim *simulator.Simulator
	srv *http.Server
}

// StartSimulator serves the simulator on a free loopback port.
func StartSimulator(ctx context.Context, logger *slog.Logger) (*Simulator, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start simulator: %w", err)
	}
	sim := simulator.New(simulator.Options{Logger: logger})
	s := &Simulator{
		URL: "http://" + ln.Addr().String(),
		sim: sim,
		srv: &http.Server{Handler: sim, ReadHeaderTimeout: readHeaderLimit},
	}
	go func() {
		if err := s.srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			logger.Error("simulator", "error", err)
		}
	}()
	return s, nil
}

// Use configures the simulator for every external service that is not configured.
func (s *Simulator) Use(cfg *config.Config) {
	for _, service := range []*config.Service{
		&cfg.Provider, &cfg.Analysis, &cfg.Generator, &cfg.Sourcing, &cfg.Extractor,
	} {
		if service.URL == "" {
			service.URL = s.URL
		}
	}
}

// Close stops the simulator and drops the calls in progress.
func (s *Simulator) Close() {
	s.sim.Close()
	_ = s.srv.Close()
}

// readyPoll is the interval of AwaitReady's checks.
const readyPoll = 50 * time.Millisecond

// AwaitReady waits until the API is ready.
func AwaitReady(ctx context.Context, cfg config.Config) error {
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+cfg.HTTP.Addr+"/readyz", nil)
		if err != nil {
			return fmt.Errorf("check readiness: %w", err)
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(readyPoll):
		}
	}
}
