package chaos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"greenroom/cmd/internal/devstack"
	"greenroom/cmd/internal/testbed"
)

// restartLimit is how long the start of a store is retried, for instance because another program took its
// port.
const restartLimit = time.Minute

// temporalServer is the development server or the full one.
type temporalServer interface {
	child
	Address() string
	Start(context.Context) error
	Stop(context.Context) error
	Kill()
}

// stores are PostgreSQL and Temporal. A fault of either holds the lock while it lasts.
type stores struct {
	opts     Options
	dir      string
	mu       sync.Mutex
	stack    *devstack.Stack // holds PostgreSQL, and the lock on dir
	postgres *devstack.Postgres
	temporal temporalServer
	programs devstack.TemporalServerPrograms
	secrets  devstack.Secrets
	client   client.Client
}

// openStores starts both.
func openStores(ctx context.Context, opts Options) (_ *stores, err error) {
	s := &stores{opts: opts}
	if !opts.DevServer {
		if s.programs, err = devstack.FindTemporalServer(ctx, opts.Log); err != nil {
			return nil, err
		}
	}
	if s.dir, err = testbed.NewWorkDir(opts.Dir); err != nil {
		return nil, err
	}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.close(context.WithoutCancel(ctx)))
	}
	return s, nil
}

func (s *stores) open(ctx context.Context) (err error) {
	port, err := devstack.FreePort()
	if err != nil {
		return err
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) // for Temporal, started below
	if s.stack, err = devstack.Start(
		ctx,
		devstack.Options{Dir: s.dir, TemporalAddress: address, Log: s.opts.Log},
	); err != nil {
		return err
	}
	s.postgres = s.stack.Postgres
	if err := s.launchTemporal(ctx, port); err != nil {
		return err
	}
	if s.secrets, err = devstack.LoadSecrets(s.dir); err != nil {
		return err
	}
	s.client, err = client.NewLazyClient(client.Options{
		HostPort: s.temporal.Address(), Logger: log.NewStructuredLogger(discard()),
	})
	if err != nil {
		return fmt.Errorf("create a Temporal client: %w", err)
	}
	return nil
}

// launchTemporal starts Temporal on the port and creates its stores if they are missing.
func (s *stores) launchTemporal(ctx context.Context, port int) error {
	if s.opts.DevServer {
		t, err := devstack.StartTemporal(
			ctx,
			devstack.TemporalOptions{Dir: s.dir, DBFile: s.sqlite(), Port: port, Log: s.opts.Log},
		)
		if err != nil {
			return err
		}
		s.temporal = t
		return nil
	}
	t, err := devstack.StartTemporalServer(ctx, devstack.TemporalServerOptions{
		Postgres: s.postgres, Port: port, Dir: s.dir, LeanIndexes: true, Programs: s.programs, Log: s.opts.Log,
	})
	if err != nil {
		return err
	}
	s.temporal = t
	return nil
}

func (s *stores) sqlite() string { return filepath.Join(s.dir, "temporal.db") }

// dropTemporal replaces Temporal's stores by empty ones: all workflows, schedules and search attributes are lost.
func (s *stores) dropTemporal(ctx context.Context, pause time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	port, err := portOf(s.temporal.Address())
	if err != nil {
		return err
	}
	s.temporal.Kill()
	if err := s.emptyTemporal(ctx); err != nil {
		return err
	}
	if err := testbed.Sleep(ctx, pause); err != nil {
		return err
	}
	return retry(ctx, restartLimit, func(ctx context.Context) error { return s.launchTemporal(ctx, port) })
}

func (s *stores) emptyTemporal(ctx context.Context) error {
	if s.opts.DevServer {
		for _, suffix := range []string{"", "-wal", "-shm"} {
			if err := os.Remove(s.sqlite() + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("remove Temporal's store: %w", err)
			}
		}
		return nil
	}
	conn, err := pgx.Connect(ctx, s.postgres.URL())
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, name := range []string{"temporal", "temporal_visibility"} {
		if _, err := conn.Exec(ctx, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			return fmt.Errorf("drop Temporal's store: %w", err)
		}
	}
	return nil
}

// breakTemporal runs stop, waits, and restarts Temporal.
func (s *stores) breakTemporal(ctx context.Context, pause time.Duration, stop func(context.Context) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := errors.Join(stop(ctx), testbed.Sleep(ctx, pause)); err != nil {
		return err
	}
	return retry(ctx, restartLimit, s.temporal.Start)
}

func (s *stores) killTemporal(ctx context.Context, pause time.Duration) error {
	return s.breakTemporal(ctx, pause, func(context.Context) error { s.temporal.Kill(); return nil })
}

func (s *stores) restartTemporal(ctx context.Context, pause time.Duration) error {
	return s.breakTemporal(ctx, pause, s.temporal.Stop)
}

// freezeTemporal suspends Temporal for a time. Its connections stay open without responses.
func (s *stores) freezeTemporal(ctx context.Context, length time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return freeze(ctx, s.temporal, length)
}

func (s *stores) breakPostgres(ctx context.Context, pause time.Duration, stop func(context.Context) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := errors.Join(stop(ctx), testbed.Sleep(ctx, pause)); err != nil {
		return err
	}
	return retry(ctx, restartLimit, s.postgres.Start)
}

func (s *stores) killPostgres(ctx context.Context, pause time.Duration) error {
	return s.breakPostgres(ctx, pause, func(context.Context) error { s.postgres.Kill(); return nil })
}

func (s *stores) restartPostgres(ctx context.Context, pause time.Duration) error {
	return s.breakPostgres(ctx, pause, s.postgres.Stop)
}

// child is a process of this run.
type child interface {
	PID() int
	Done() <-chan struct{}
}

// freeze suspends a child with SIGSTOP for the given length, or until ctx ends.
func freeze(ctx context.Context, c child, length time.Duration) error {
	if err := syscall.Kill(c.PID(), syscall.SIGSTOP); err != nil {
		return fmt.Errorf("freeze process %d: %w", c.PID(), err)
	}
	defer func() {
		select {
		case <-c.Done(): // killed: the process id may belong to another process now
		default:
			_ = syscall.Kill(c.PID(), syscall.SIGCONT)
		}
	}()
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.Done():
	case <-ctx.Done():
	}
	return ctx.Err()
}

// close stops both and leaves the data.
func (s *stores) close(ctx context.Context) error {
	var errs []error
	if s.client != nil {
		s.client.Close()
	}
	if s.temporal != nil {
		errs = append(errs, s.temporal.Stop(ctx))
	}
	if s.stack != nil {
		errs = append(errs, s.stack.Stop(ctx))
	}
	return errors.Join(errs...)
}
