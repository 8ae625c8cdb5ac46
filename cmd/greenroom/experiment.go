package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"greenroom/cmd/internal/config"
)

// addTemporalFlag adds the choice of the Temporal server that bench and chaos start.
func addTemporalFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("temporal", "server",
		"server: the full server on PostgreSQL; dev: the development server, no build")
}

// isDevServer parses the value of --temporal.
func isDevServer(temporal string) (bool, error) {
	if temporal != "server" && temporal != "dev" {
		return false, fmt.Errorf("--temporal is server or dev, not %q", temporal)
	}
	return temporal == "dev", nil
}

// experimentPaths returns this program's file and the absolute directory for the results of a bench or chaos run.
func experimentPaths(cmd *cobra.Command, name string) (program, dir string, err error) {
	cfg, err := config.Load(cmd.Flags())
	if err != nil {
		return "", "", err
	}
	if program, err = os.Executable(); err != nil {
		return "", "", fmt.Errorf("find this program: %w", err)
	}
	if dir, err = filepath.Abs(filepath.Join(cfg.Dev.Dir, name)); err != nil {
		return "", "", fmt.Errorf("find the directory: %w", err)
	}
	return program, dir, nil
}
