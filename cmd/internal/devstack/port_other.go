//go:build !linux

package devstack

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// portHolder names the process that listens on the port, as " by process 123", or returns "" if lsof cannot find it.
func portHolder(ctx context.Context, port int) string {
	out, err := exec.CommandContext(ctx, "lsof", "-nP", "-t", "-sTCP:LISTEN", fmt.Sprintf("-iTCP:%d", port)).Output()
	pid, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if err != nil || pid == "" {
		return ""
	}
	return " by process " + pid
}
