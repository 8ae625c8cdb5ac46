package chaos

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

// keepLogs moves the logs of all processes out of the work directory before its removal, and returns their new path.
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
