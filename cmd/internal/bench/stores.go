package bench

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/uptrace/bun"

	"greenroom/cmd/internal/devstack"
	"greenroom/cmd/internal/testbed"
	"greenroom/db/pg"
)

// stores are PostgreSQL and Temporal, started here or given.
type stores struct {
	dir     string
	stack   *devstack.Stack
	server  *devstack.TemporalServer // nil with the development server or a given server
	admin   *bun.DB
	secrets devstack.Secrets
	secret  []byte
}

// openStores starts the stores that are not given.
func openStores(ctx context.Context, opts Options) (_ *stores, err error) {
	var programs devstack.TemporalServerPrograms
	if opts.TemporalAddress == "" && !opts.DevServer {
		if programs, err = devstack.FindTemporalServer(ctx, opts.Log); err != nil {
			return nil, err
		}
	}
	s := &stores{}
	if s.dir, err = testbed.NewWorkDir(opts.Dir); err != nil {
		return nil, err
	}
	if err := s.open(ctx, opts, programs); err != nil {
		return nil, errors.Join(err, s.close(context.WithoutCancel(ctx)))
	}
	return s, nil
}

func (s *stores) open(ctx context.Context, opts Options, programs devstack.TemporalServerPrograms) (err error) {
	stack := devstack.Options{
		Dir:             s.dir,
		DatabaseURL:     opts.DatabaseURL,
		TemporalAddress: opts.TemporalAddress,
		Log:             opts.Log,
	}
	full := programs != devstack.TemporalServerPrograms{}
	if full {
		port, err := devstack.FreePort()
		if err != nil {
			return err
		}
		stack.TemporalAddress = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	}
	if s.stack, err = devstack.Start(ctx, stack); err != nil {
		return err
	}
	if full {
		if err := s.startServer(ctx, opts, programs); err != nil {
			return err
		}
	}
	if s.admin, err = pg.Open(ctx, pg.Options{URL: s.stack.DatabaseURL, MaxConns: 2}); err != nil {
		return err
	}
	return s.loadSecrets()
}

func (s *stores) startServer(ctx context.Context, opts Options, programs devstack.TemporalServerPrograms) error {
	_, text, _ := net.SplitHostPort(s.stack.TemporalAddress) // well-formed: see open
	port, _ := strconv.Atoi(text)
	server, err := devstack.StartTemporalServer(ctx, devstack.TemporalServerOptions{
		Postgres: s.stack.Postgres, Port: port, Dir: s.dir, LeanIndexes: true, Programs: programs, Log: opts.Log,
	})
	s.server = server
	return err
}

func (s *stores) loadSecrets() (err error) {
	if s.secrets, err = devstack.LoadSecrets(s.dir); err != nil {
		return err
	}
	s.secret, err = hex.DecodeString(s.secrets.Secret)
	if err != nil {
		return fmt.Errorf("read the generated secret: %w", err)
	}
	return nil
}

func (s *stores) postgresVersion(ctx context.Context) (version string, err error) {
	if err := s.admin.NewRaw("SHOW server_version").Scan(ctx, &version); err != nil {
		return "", fmt.Errorf("read PostgreSQL's version: %w", err)
	}
	return version, nil
}

// processes returns the process ids of the started stores, by name.
func (s *stores) processes() map[string]int {
	pids := map[string]int{}
	if s.stack.Postgres != nil {
		pids[postgresName] = s.stack.Postgres.PID()
	}
	switch {
	case s.server != nil:
		pids[temporalName] = s.server.PID()
	case s.stack.Temporal != nil:
		pids[temporalName] = s.stack.Temporal.PID()
	}
	return pids
}

// database creates an empty database. It returns its URL and a function that drops it.
func (s *stores) database(
	ctx context.Context,
	name string,
) (address string, drop func(context.Context) error, err error) {
	u, err := url.Parse(s.stack.DatabaseURL)
	if err != nil {
		return "", nil, fmt.Errorf("read the database's address: %w", err)
	}
	name = "bench_" + strings.ReplaceAll(name, "-", "_") + "_" + strings.ReplaceAll(pg.NewID().String(), "-", "")
	if _, err := s.admin.ExecContext(ctx, "CREATE DATABASE ?", bun.Ident(name)); err != nil {
		return "", nil, fmt.Errorf("create a database: %w", err)
	}
	u.Path = "/" + name
	return u.String(), func(ctx context.Context) error {
		if _, err := s.admin.ExecContext(ctx, "DROP DATABASE ? WITH (FORCE)", bun.Ident(name)); err != nil {
			return fmt.Errorf("drop the database: %w", err)
		}
		return nil
	}, nil
}

// close stops the started stores and removes all data.
func (s *stores) close(ctx context.Context) error {
	var errs []error
	if s.admin != nil {
		errs = append(errs, s.admin.Close())
	}
	if s.server != nil {
		errs = append(errs, s.server.Stop(ctx))
	}
	if s.stack != nil {
		errs = append(errs, s.stack.Stop(ctx))
	}
	return errors.Join(append(errs, devstack.Remove(s.dir))...)
}
