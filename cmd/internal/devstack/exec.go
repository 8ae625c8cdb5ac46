package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"
)

const (
	execPattern = "greenroom-exec-*"
	// abandonedAfter is older than any start that has not taken its lock yet.
	abandonedAfter = time.Hour
	// execGrace is what the command gets between a signal and its end.
	execGrace = 10 * time.Second
)

// Exec starts throw-away stores on free ports, runs a program with their addresses in its environment
// (GREENROOM_TEST_DATABASE_URL, GREENROOM_TEST_TEMPORAL_ADDRESS, GREENROOM_TEST_TEMPORAL_BIN) and removes everything
// when it has ended. It returns the program's exit code, 128 + n after signal n as shells do. The error is about the
// stores or the start of the program, not about what the program did.
func Exec(ctx context.Context, argv []string, log io.Writer) (code int, err error) {
	removeAbandoned()
	dir, err := os.MkdirTemp("", execPattern)
	if err != nil {
		return 1, fmt.Errorf("make a temporary directory: %w", err)
	}
	if os.Geteuid() == 0 {
		err = os.Chmod(dir, 0o711) // PostgreSQL's unprivileged user has to pass through
	}
	if err != nil {
		return 1, fmt.Errorf("open the temporary directory: %w", err)
	}
	stack, err := Start(ctx, Options{Dir: dir, Throwaway: true, Log: log})
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, stack.Stop(context.WithoutCancel(ctx))) }()
	env := stack.testEnv()
	fmt.Fprintln(log, strings.Join(env, "\n"))
	return runCommand(argv, env)
}

// testEnv is what tests find the stores by.
func (s *Stack) testEnv() []string {
	return []string{
		"GREENROOM_TEST_DATABASE_URL=" + s.DatabaseURL,
		"GREENROOM_TEST_TEMPORAL_ADDRESS=" + s.TemporalAddress,
		"GREENROOM_TEST_TEMPORAL_BIN=" + s.TemporalProgram,
	}
}

// runCommand runs the program in front. With a terminal as its input it shares our process group, so that it can read
// and gets the terminal's Ctrl-C itself; without one it gets its own group, so that a signal to us ends its children
// too.
func runCommand(argv, env []string) (int, error) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	shared := term.IsTerminal(int(os.Stdin.Fd()))
	cmd := exec.Command(argv[0], argv[1:]...) //nolint:noctx // the caller's own command; ended by signals
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: !shared}
	if err := cmd.Start(); err != nil {
		return 1, fmt.Errorf("run %s: %w", argv[0], err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is in ProcessState
		close(ended)
	}()
	target := cmd.Process.Pid
	if !shared {
		target = -target
		defer syscall.Kill(target, syscall.SIGKILL) //nolint:errcheck // children that outlived it, if any
	}
	forward(signals, ended, target, shared)
	return exitCode(cmd.ProcessState), nil
}

// forward hands signals on until the command has ended, and kills it when it does not obey. In a shared group the
// terminal has already told the command of a Ctrl-C.
func forward(signals <-chan os.Signal, ended <-chan struct{}, target int, shared bool) {
	var kill <-chan time.Time
	for {
		select {
		case <-ended:
			return
		case sig := <-signals:
			told := shared && sig == os.Interrupt
			if number, ok := sig.(syscall.Signal); ok && !told {
				_ = syscall.Kill(target, number) // it may have ended just now
			}
			kill = time.After(execGrace)
		case <-kill:
			_ = syscall.Kill(target, syscall.SIGKILL)
		}
	}
}

func exitCode(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}

// removeAbandoned takes away what killed runs left in the temporary directory: old, and locked by nobody.
func removeAbandoned() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), execPattern)) // the pattern is well-formed
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		if err != nil || time.Since(info.ModTime()) < abandonedAfter {
			continue
		}
		lock, err := tryLock(filepath.Join(dir, "lock"))
		if err != nil {
			continue
		}
		s := &Stack{opts: Options{Dir: dir}}
		_ = s.remove() // another user's, perhaps: not ours to clean
		lock.Close()
	}
}
