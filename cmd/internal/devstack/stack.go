package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sync/errgroup"
)

// Options say what Start may use and what it has to start itself.
type Options struct {
	Dir             string // holds all data; made when missing
	PostgresPort    int    // 0 takes a free port; the same for the others
	TemporalPort    int
	TemporalUIPort  int    // 0: no UI
	DatabaseURL     string // a database to use instead of starting one
	TemporalAddress string // a Temporal to use instead of starting one, host:port
	// Throwaway is for tests: no fsync, Temporal in memory and without UI, and Stop removes Dir.
	Throwaway bool
	Log       io.Writer // progress; nil: silent
}

// Stack is the two stores, running. Fields are fixed after Start.
type Stack struct {
	DatabaseURL     string
	TemporalAddress string
	UIURL           string    // Temporal's web UI; empty when there is none or it is not ours
	TemporalProgram string    // path of the temporal program; empty when Temporal is not ours
	Postgres        *Postgres // nil when the database is not ours
	Temporal        *Temporal // nil when Temporal is not ours

	opts Options
	lock *os.File
}

// Start finds or fetches what is missing, starts both stores side by side and returns when both are ready. It refuses a
// directory that another running Greenroom uses. On error nothing is left running.
func Start(ctx context.Context, opts Options) (*Stack, error) {
	s := &Stack{opts: opts, DatabaseURL: opts.DatabaseURL, TemporalAddress: opts.TemporalAddress}
	if s.opts.Log == nil {
		s.opts.Log = io.Discard
	}
	if err := s.openDir(); err != nil {
		return nil, err
	}
	if err := s.startBoth(ctx); err != nil {
		return nil, errors.Join(err, s.Stop(context.WithoutCancel(ctx)))
	}
	return s, nil
}

func (s *Stack) openDir() error {
	dir, err := filepath.Abs(s.opts.Dir)
	if err != nil {
		return fmt.Errorf("find %s: %w", s.opts.Dir, err)
	}
	s.opts.Dir = dir
	mode := os.FileMode(0o700)
	if os.Geteuid() == 0 {
		mode = 0o711 // PostgreSQL's unprivileged user has to pass through
	}
	if err := os.MkdirAll(dir, mode); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	s.lock, err = lockDir(dir)
	return err
}

// CheckUnused fails when another Greenroom runs on the directory.
func CheckUnused(dir string) error {
	if _, err := os.Stat(dir); err != nil {
		return nil //nolint:nilerr // nothing runs on what is not there
	}
	lock, err := lockDir(dir)
	if err != nil {
		return err
	}
	return lock.Close()
}

func lockDir(dir string) (*os.File, error) {
	const other = "choose another directory with GREENROOM_DEV_DIR or --dev-dir"
	lock, err := tryLock(filepath.Join(dir, "lock"))
	switch {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return nil, fmt.Errorf("another Greenroom runs on %s: stop it first, or %s", dir, other)
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("%s belongs to another user (%w): run as that user, or %s", dir, err, other)
	}
	return lock, err
}

func (s *Stack) startBoth(ctx context.Context) error {
	if err := s.findPrograms(ctx); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	if s.opts.DatabaseURL == "" {
		group.Go(func() error { return s.startPostgres(ctx) })
	}
	if s.opts.TemporalAddress == "" {
		group.Go(func() error { return s.startTemporal(ctx) })
	}
	return group.Wait() //nolint:wrapcheck // each says what it is about
}

// findPrograms comes before any start: what the machine lacks, or this user may not install, shows first, and no
// database waits while a program is built for minutes.
func (s *Stack) findPrograms(ctx context.Context) (err error) {
	if s.opts.DatabaseURL == "" {
		if _, err := findOrInstallPostgres(ctx, s.opts.Log); err != nil {
			return err
		}
	}
	if s.opts.TemporalAddress == "" {
		s.TemporalProgram, err = FindTemporal(ctx, s.opts.Log)
	}
	return err
}

func (s *Stack) startPostgres(ctx context.Context) (err error) {
	s.Postgres, err = StartPostgres(ctx, PostgresOptions{
		Dir: s.opts.Dir, Port: s.opts.PostgresPort, Fast: s.opts.Throwaway, Log: s.opts.Log,
	})
	if err == nil {
		s.DatabaseURL = s.Postgres.URL()
	}
	return err
}

func (s *Stack) startTemporal(ctx context.Context) (err error) {
	opts := TemporalOptions{
		Dir:     s.opts.Dir,
		Program: s.TemporalProgram,
		Port:    s.opts.TemporalPort,
		UIPort:  s.opts.TemporalUIPort,
		Log:     s.opts.Log,
	}
	if !s.opts.Throwaway {
		opts.DBFile = filepath.Join(s.opts.Dir, "temporal.db")
	}
	s.Temporal, err = StartTemporal(ctx, opts)
	if err == nil {
		s.TemporalAddress, s.UIURL = s.Temporal.Address(), s.Temporal.UIURL()
	}
	return err
}

// Lost gives one error, when a store that we started ends before Stop was called.
func (s *Stack) Lost() <-chan error {
	lost := make(chan error, 2)
	if s.Postgres != nil {
		go watch(s.Postgres.process, lost)
	}
	if s.Temporal != nil {
		go watch(s.Temporal.process, lost)
	}
	return lost
}

func watch(p *process, lost chan<- error) {
	<-p.done
	lost <- fmt.Errorf("%s ended (%s): %s", p.name, p.cmd.ProcessState, p.logTail())
}

// Stop ends Temporal, then PostgreSQL, and lets go of the directory; a throw-away one is removed. It may be called
// once.
func (s *Stack) Stop(ctx context.Context) error {
	var errs []error
	if s.Temporal != nil {
		errs = append(errs, s.Temporal.Stop(ctx))
	}
	if s.Postgres != nil {
		errs = append(errs, s.Postgres.Stop(ctx))
	}
	if s.opts.Throwaway {
		errs = append(errs, s.remove())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

// Remove takes all data in dir away. It refuses while a Greenroom runs on it; a directory that is not there is no
// error.
func Remove(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("find the directory: %w", err)
	}
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	lock, err := lockDir(dir)
	if err != nil {
		return err
	}
	s := &Stack{opts: Options{Dir: dir}, lock: lock}
	return errors.Join(s.remove(), lock.Close())
}

// remove takes the directory away, and the cluster where it had to live elsewhere.
func (s *Stack) remove() error {
	var elsewhere error
	place := filepath.Join(s.opts.Dir, "postgres")
	if target, err := os.Readlink(place); err == nil && filepath.Dir(filepath.Dir(target)) == systemDir {
		elsewhere = os.RemoveAll(filepath.Dir(target))
	}
	return errors.Join(elsewhere, os.RemoveAll(s.opts.Dir))
}
