package devstack

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// ProgramOptions configure a child other than the stores. All fields but Args are required.
type ProgramOptions struct {
	Name string // for messages, and the log: Dir/logs/<name>.log
	Path string
	Args []string
	Env  []string // the whole environment
	Dir  string   // working directory
}

// Program is a child of this process. The caller stops it; on Linux the kernel does when this process is killed.
type Program struct{ process *process }

// StartProgram starts a program without waiting until it is ready.
func StartProgram(opts ProgramOptions) (*Program, error) {
	logFile := filepath.Join(opts.Dir, "logs", opts.Name+".log")
	log, err := openLog(logFile)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(opts.Path, opts.Args...) //nolint:noctx // ended in order by Stop, not by a context
	cmd.Dir, cmd.Env = opts.Dir, opts.Env
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = childAttributes(nil, syscall.SIGTERM)
	p := &process{name: opts.Name, logFile: logFile, cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", opts.Name, err)
	}
	return &Program{p}, nil
}

// PID returns the child's process id.
func (p *Program) PID() int { return p.process.pid() }

// Done is closed when the child has ended.
func (p *Program) Done() <-chan struct{} { return p.process.done }

// AwaitReady calls ready until it succeeds, the child ends, the limit has passed or ctx ends.
func (p *Program) AwaitReady(ctx context.Context, limit time.Duration, ready func(context.Context) error) error {
	return p.process.waitReady(ctx, limit, ready)
}

// Stop sends SIGTERM, and SIGKILL after the grace period.
func (p *Program) Stop(ctx context.Context, grace time.Duration) error {
	return p.process.stop(ctx, syscall.SIGTERM, grace)
}

// Kill sends SIGKILL and returns when the child has ended.
func (p *Program) Kill() { p.process.kill() }
