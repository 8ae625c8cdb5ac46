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

// Options configure the stores that Start starts or uses.
type Options struct {
	Dir             string // holds all data; created if missing
	PostgresPort    int    // 0 takes a free port; the same for the others
	TemporalPort    int
	TemporalUIPort  int    // 0: no UI
	DatabaseURL     string // a database to use instead of starting one
	TemporalAddress string // a Temporal to use instead of starting one, host:port
	// Throwaway is for tests: no fsync, Temporal in memory and without a UI, and Stop removes Dir.
	Throwaway bool
	Log       io.Writer // progress; nil: silent
}

// Stack is the two running stores. Its fields do not change after Start.
type Stack struct {
	DatabaseURL     string
	TemporalAddress string
	UIURL           string    // Temporal's web UI; empty without one or with a given Temporal
	TemporalProgram string    // path of the temporal program; empty with a given Temporal
	Postgres        *Postgres // nil with a given database
	Temporal        *Temporal // nil with a given Temporal

	opts Options
	lock *os.File
}

// Start finds or fetches the programs, starts both stores concurrently and returns when both are ready. It refuses a
// directory that another running Greenroom uses. On an error it stops what it started.
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
		mode = 0o711 // PostgreSQL's unprivileged user needs access
	}
	if err := os.MkdirAll(dir, mode); err != nil {
		return fmt.Errorf("create directory: %w", err)
	}
	s.lock, err = lockDir(dir)
	return err
}

// CheckUnused returns an error if another Greenroom runs in the directory.
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
		return nil, fmt.Errorf("another Greenroom runs in %s: stop it first, or %s", dir, other)
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
	if err := group.Wait(); err != nil {
		return err //nolint:wrapcheck // each says what it is about
	}
	return writeFile(temporalAddressPath(s.opts.Dir), s.TemporalAddress+"\n")
}

// findPrograms runs before any start, so that missing programs are reported first and no
// database runs while a program is built for minutes.
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

// Lost returns a channel that gets one error if a store that Start started ends before Stop is called.
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

// Stop stops Temporal, then PostgreSQL, and unlocks the directory; it removes a throw-away one. It may be called
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

// Remove removes all data in dir. It refuses while a Greenroom runs in it. A missing directory is not an
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

// remove removes the directory, and the cluster if it is elsewhere.
func (s *Stack) remove() error {
	var elsewhere error
	place := filepath.Join(s.opts.Dir, "postgres")
	if target, err := os.Readlink(place); err == nil && filepath.Dir(filepath.Dir(target)) == systemDir {
		elsewhere = os.RemoveAll(filepath.Dir(target))
	}
	return errors.Join(elsewhere, os.RemoveAll(s.opts.Dir))
}
