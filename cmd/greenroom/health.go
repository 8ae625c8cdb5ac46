package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"greenroom/cmd/internal/config"
)

// healthLimit is less than the time-out of any usual health check.
const healthLimit = 4 * time.Second

// healthCmd is for container engines, whose health check is a command: the image has no shell and no curl.
func healthCmd() *cobra.Command {
	var worker bool
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask the API on http.addr, or a worker on worker.http_addr, whether it can work; exit code 0 if so",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(cmd.Flags())
			if err != nil {
				return err
			}
			what, addr := "the API", cfg.HTTP.Addr
			if worker {
				what, addr = "the worker", cfg.Worker.HTTPAddr
				if err := cfg.Require("worker.http_addr"); err != nil {
					return err
				}
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), healthLimit)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/readyz", nil)
			if err != nil {
				return fmt.Errorf("ask for readiness: %w", err)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return fmt.Errorf("ask for readiness: %w", err)
			}
			_ = resp.Body.Close() // the status says it all
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("%s on %s is not ready: HTTP %d", what, addr, resp.StatusCode)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&worker, "worker", false, "ask a worker instead of the API")
	config.AddFlags(cmd.Flags(), "http.addr", "worker.http_addr")
	return cmd
}
