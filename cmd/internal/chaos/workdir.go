package chaos

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"greenroom/cmd/internal/devstack"
)

const workPattern = "run-*"

// workDir makes the directory that everything lives in while it runs.
func workDir(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o711); err != nil { // PostgreSQL's unprivileged user has to pass through
		return "", fmt.Errorf("make directory: %w", err)
	}
	work, err := os.MkdirTemp(dir, workPattern)
	if err == nil && os.Geteuid() == 0 {
		err = os.Chmod(work, 0o711)
	}
	if err != nil {
		return "", fmt.Errorf("make a directory for the data: %w", err)
	}
	return work, nil
}

func removeAbandoned(dir string) {
	left, _ := filepath.Glob(filepath.Join(dir, workPattern)) // the pattern is well-formed
	for _, dir := range left {
		_ = devstack.Remove(dir) // in use: another run is under way
	}
}

// keepLogs moves the logs of all processes out of the data, which is removed, and gives their new place.
func keepLogs(work, dir string, seed uint64) (string, error) {
	kept := filepath.Join(dir, fmt.Sprintf("logs-%d", seed))
	if err := os.RemoveAll(kept); err != nil {
		return "", fmt.Errorf("keep the logs: %w", err)
	}
	if err := os.Rename(filepath.Join(work, "logs"), kept); err != nil {
		return "", fmt.Errorf("keep the logs: %w", err)
	}
	return kept, nil
}

func portOf(address string) (int, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return 0, fmt.Errorf("read the address %s: %w", address, err)
	}
	return strconv.Atoi(port)
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
