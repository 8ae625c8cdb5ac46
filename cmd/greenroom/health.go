package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"greenroom/cmd/internal/config"
)

// healthLimit is shorter than the usual timeouts of health checks.
const healthLimit = 4 * time.Second

// healthCmd is the health check of the container image, which has neither a shell nor curl.
func healthCmd() *cobra.Command {
	var worker bool
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Check that the API (http.addr) or a worker (worker.http_addr) is ready; exit code 0 if it is",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(cmd.Flags())
			if err != nil {
				return err
			}
			component, addr := "the API", cfg.HTTP.Addr
			if worker {
				component, addr = "the worker", cfg.Worker.HTTPAddr
				if err := cfg.Require("worker.http_addr"); err != nil {
					return err
				}
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), healthLimit)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/readyz", nil)
			if err != nil {
				return fmt.Errorf("check readiness: %w", err)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return fmt.Errorf("check readiness: %w", err)
			}
			_ = resp.Body.Close() // the status is enough
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("%s on %s is not ready: HTTP %d", component, addr, resp.StatusCode)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&worker, "worker", false, "check a worker instead of the API")
	config.AddFlags(cmd.Flags(), "http.addr", "worker.http_addr")
	return cmd
}
