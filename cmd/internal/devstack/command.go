package devstack

import (
	"context"
	"os/exec"
	"syscall"
	"time"
)

// command runs a program that ends by itself, in a process group of its own; when ctx ends, the whole group is asked
// to end (a package manager must put its house in order, a compiler has children), and killed after 10 s.
func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// reason is why a command failed: that it was told to, if it was, rather than the signal it died of.
func reason(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}
