package devstack

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// portHolder names the process that listens on the port, as " by process 123 (postgres)", or returns "" if this user
// cannot see it. The kernel's tables have the socket's inode, the processes' descriptors its owner.
func portHolder(_ context.Context, port int) string {
	inode := listenerInode(port)
	if inode == "" {
		return ""
	}
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*") // the pattern is well-formed
	for _, fd := range fds {
		target, err := os.Readlink(fd)
		if err != nil || target != "socket:["+inode+"]" {
			continue
		}
		process := filepath.Dir(filepath.Dir(fd))
		name, _ := os.ReadFile(filepath.Join(process, "comm")) // the process may have ended
		return fmt.Sprintf(" by process %s (%s)", filepath.Base(process), strings.TrimSpace(string(name)))
	}
	return ""
}

func listenerInode(port int) string {
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		data, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(data)) {
			// sl local_address rem_address st tx_queue:rx_queue tr:when retrnsmt uid timeout inode; state 0A is LISTEN.
			fields := strings.Fields(line)
			if len(fields) > 9 && fields[3] == "0A" && strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", port)) {
				return fields[9]
			}
		}
	}
	return ""
}
