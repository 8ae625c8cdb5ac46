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
	// abandonedAfter is longer than the time from the creation of a directory to its lock.
	abandonedAfter = time.Hour
	// execGrace is the time between the signal to the command and SIGKILL.
	execGrace = 10 * time.Second
)

// Exec starts temporary stores on free ports, runs a program with their addresses in its environment
// (GREENROOM_TEST_DATABASE_URL, GREENROOM_TEST_TEMPORAL_ADDRESS, GREENROOM_TEST_TEMPORAL_BIN) and removes everything
// when it has ended. If there is a browser or it can be installed, GREENROOM_TEST_CHROMIUM is its path. It returns the
// program's exit code, or 128 + n after signal n as shells do. The error concerns the stores or the start of the
// program, not its result.
func Exec(ctx context.Context, argv []string, log io.Writer) (code int, err error) {
	removeAbandoned()
	dir, err := os.MkdirTemp("", execPattern)
	if err != nil {
		return 1, fmt.Errorf("create a temporary directory: %w", err)
	}
	if os.Geteuid() == 0 {
		err = os.Chmod(dir, 0o711) // PostgreSQL's unprivileged user needs access
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
	if path := ensureChromium(ctx, log); path != "" {
		env = append(env, chromiumVariable+"="+path)
	}
	fmt.Fprintln(log, strings.Join(env, "\n"))
	return runCommand(argv, env)
}

// testEnv returns the variables with the addresses of the stores.
func (s *Stack) testEnv() []string {
	return []string{
		"GREENROOM_TEST_DATABASE_URL=" + s.DatabaseURL,
		"GREENROOM_TEST_TEMPORAL_ADDRESS=" + s.TemporalAddress,
		"GREENROOM_TEST_TEMPORAL_BIN=" + s.TemporalProgram,
	}
}

// runCommand runs the program in the foreground. With a terminal as its input it shares this process's group, so that
// it can read and gets the terminal's Ctrl-C itself. Otherwise it gets its own group, so that a signal to this process
// also ends its children.
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
		_ = cmd.Wait() // the result is in ProcessState
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

// forward forwards signals until the command has ended, and kills it after the grace period. In a shared group the
// command has already got a Ctrl-C from the terminal.
func forward(signals <-chan os.Signal, ended <-chan struct{}, target int, shared bool) {
	var kill <-chan time.Time
	for {
		select {
		case <-ended:
			return
		case sig := <-signals:
			informed := shared && sig == os.Interrupt
			if number, ok := sig.(syscall.Signal); ok && !informed {
				_ = syscall.Kill(target, number) // it may have just ended
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

// removeAbandoned removes the directories of killed runs from the temporary directory: those that are old and not
// locked.
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
		_ = s.remove() // refused if it belongs to another user
		lock.Close()
	}
}
