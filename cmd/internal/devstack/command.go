package devstack

import (
	"context"
	"os/exec"
	"syscall"
	"time"
)

// command prepares a program that ends by itself, in its own process group. When ctx ends, the whole group is signalled
// to end (a package manager needs to clean up, a compiler has children), and is killed after 10 s.
func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// reason returns why a command failed: the error of ctx, if that ended, instead of the signal that ended the command.
func reason(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}
