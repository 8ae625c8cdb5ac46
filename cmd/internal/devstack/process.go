package devstack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// processSpec configures a long-lived child.
type processSpec struct {
	name    string // for messages and the log file's name
	path    string
	args    []string
	dir     string // working directory
	logFile string // standard output and error are appended here
	owner   *owner // nil: as the caller
	// onParentDeath is the signal that the kernel sends the child when this process is killed (Linux only).
	onParentDeath syscall.Signal
}

// process is a running child in its own process group. done is closed when it has ended.
type process struct {
	name    string
	logFile string
	cmd     *exec.Cmd
	done    chan struct{}
}

// maxLogSize is the size above which the next start truncates a child's log: enough for weeks of warnings.
const maxLogSize = 16 << 20

func startProcess(spec processSpec) (*process, error) {
	log, err := openLog(spec.logFile)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(spec.path, spec.args...) //nolint:noctx // ended in order by stop, not by a context
	cmd.Dir = spec.dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = childAttributes(spec.owner, spec.onParentDeath)
	p := &process{name: spec.name, logFile: spec.logFile, cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.name, err)
	}
	return p, nil
}

// run locks the operating system's thread that forked the child until the child has ended, because the kernel ties the
// parent-death signal to that thread and not to the process (golang.org/issue/27505).
func (p *process) run(started chan<- error) {
	runtime.LockOSThread()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	_ = p.cmd.Wait() // the result is in cmd.ProcessState
	close(p.done)
}

func openLog(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("create log directory: %w", err)
	}
	flags := os.O_CREATE | os.O_APPEND | os.O_WRONLY
	if info, err := os.Stat(path); err == nil && info.Size() > maxLogSize {
		flags |= os.O_TRUNC
	}
	log, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return log, nil
}

// stop sends sig, then SIGKILL when ctx or the grace period ends. It returns when the child has ended.
func (p *process) stop(ctx context.Context, sig syscall.Signal, grace time.Duration) error {
	if p.ended() {
		return nil
	}
	_ = p.cmd.Process.Signal(sig) // it may have just ended
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
	case <-timer.C:
	}
	p.kill()
	return fmt.Errorf("%s did not stop within %s and was killed", p.name, grace)
}

// kill kills the child's whole process group and waits for the child.
func (p *process) kill() {
	if !p.ended() {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	}
	<-p.done
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// waitReady calls ready every 50 ms until it succeeds. It fails if the child ends, with the end of its log, if ctx
// ends, and after the limit, with the last error of ready.
func (p *process) waitReady(ctx context.Context, limit time.Duration, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended while starting (%s): %s", p.name, p.cmd.ProcessState, p.logTail())
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return fmt.Errorf("wait for %s: %w", p.name, ctx.Err())
			}
			return fmt.Errorf("%s not ready after %s: %w", p.name, limit, err)
		case <-tick.C:
		}
	}
}

// logTail returns the last lines of the log on one line, for an error message.
func (p *process) logTail() string {
	data, err := os.ReadFile(p.logFile)
	if err != nil {
		return "no log"
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return strings.Join(lines[max(0, len(lines)-3):], " | ") + " (all of it: " + p.logFile + ")"
}

func writePID(path string, pid int) error {
	if err := os.WriteFile(path, []byte(strconv.Itoa(pid)+"\n"), 0o600); err != nil {
		return fmt.Errorf("write process id: %w", err)
	}
	return nil
}

// readPID returns the number on the file's first line, as in PostgreSQL's postmaster.pid, or 0 without
// a file.
func readPID(path string) int {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(data), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || pid <= 1 {
		return 0
	}
	return pid
}

// stopLeftover ends an orphaned process of a killed Greenroom, if pidFile names a process whose command line contains
// marker: process ids are reused, so the number alone is not enough. It removes the file when no such process runs any
// more.
func stopLeftover(ctx context.Context, pidFile, marker string, sig syscall.Signal) error {
	pid := readPID(pidFile)
	if pid != 0 && strings.Contains(commandLine(ctx, pid), marker) {
		if err := endProcess(ctx, pid, sig, 20*time.Second); err != nil {
			return err
		}
	}
	if err := os.Remove(pidFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove stale process id: %w", err)
	}
	return nil
}

// endProcess ends a process that is not a child of this one, so it polls for the end.
func endProcess(ctx context.Context, pid int, sig syscall.Signal, grace time.Duration) error {
	deadline := time.Now().Add(grace)
	for {
		err := syscall.Kill(pid, sig)
		if errors.Is(err, syscall.ESRCH) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("stop orphaned process %d of an earlier run: %w", pid, err)
		}
		if sleep(ctx, 100*time.Millisecond) != nil {
			return ctx.Err()
		}
		if time.Now().After(deadline) {
			sig = syscall.SIGKILL
		}
		if isZombie(pid) {
			return nil
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
