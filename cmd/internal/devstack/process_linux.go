package devstack

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
)

func childAttributes(as *owner, onParentDeath syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: onParentDeath, Credential: as.credential()}
}

// commandLine returns "" if there is no such process.
func commandLine(_ context.Context, pid int) string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(strings.ReplaceAll(string(data), "\x00", " "))
}

// isZombie reports whether a process has ended but its parent has not waited for it. In a container the parent often
// never does.
func isZombie(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(data), ") ")
	return strings.HasPrefix(after, "Z")
}
