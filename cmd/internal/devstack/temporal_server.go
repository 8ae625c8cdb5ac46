package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"syscall"
)

// TemporalServerOptions configure a full Temporal server. Postgres and Dir are required.
type TemporalServerOptions struct {
	Postgres *Postgres // holds its databases, temporal and temporal_visibility
	Port     int       // gRPC on 127.0.0.1; 0 takes a free one
	Dir      string    // gets temporal-server.yaml, its dynamic settings and logs/
	// LeanIndexes drops the indexes of search attributes that Greenroom does not use (temporal_server_lean.sql).
	LeanIndexes bool
	Programs    TemporalServerPrograms // empty: FindTemporalServer
	Log         io.Writer              // progress; nil: silent
}

// TemporalServer is a full Temporal server run by this process: all four services in one process, its state in
// PostgreSQL. It is the setup of a small installation, so benchmarks measure it.
type TemporalServer struct {
	opts    TemporalServerOptions
	process *process
}

// StartTemporalServer creates the databases on first use, starts a server and returns when it responds and its
// namespace "default" exists with the project's search attributes.
func StartTemporalServer(ctx context.Context, opts TemporalServerOptions) (*TemporalServer, error) {
	t := &TemporalServer{opts: opts}
	if err := t.prepare(ctx); err != nil {
		return nil, err
	}
	if err := t.Start(ctx); err != nil {
		return nil, err
	}
	if err := registerNamespace(ctx, t.Address()); err != nil {
		return nil, errors.Join(err, t.Stop(context.WithoutCancel(ctx)))
	}
	return t, nil
}

func (t *TemporalServer) prepare(ctx context.Context) (err error) {
	if t.opts.Log == nil {
		t.opts.Log = io.Discard
	}
	if t.opts.Dir, err = filepath.Abs(t.opts.Dir); err != nil {
		return fmt.Errorf("find %s: %w", t.opts.Dir, err)
	}
	if t.opts.Programs == (TemporalServerPrograms{}) {
		if t.opts.Programs, err = FindTemporalServer(ctx, t.opts.Log); err != nil {
			return err
		}
	}
	if t.opts.Port, err = portOrFree(t.opts.Port); err != nil {
		return err
	}
	if err := t.makeDatabases(ctx); err != nil {
		return err
	}
	return t.writeConfig()
}

// Address returns the address for clients, host:port.
func (t *TemporalServer) Address() string { return loopback(t.opts.Port) }

// PID returns the server's process id.
func (t *TemporalServer) PID() int { return t.process.pid() }

// Done is closed when the server has ended.
func (t *TemporalServer) Done() <-chan struct{} { return t.process.done }

// Start restarts a stopped or killed server, with the same histories.
func (t *TemporalServer) Start(ctx context.Context) error {
	process, err := startProcess(processSpec{
		name:          "Temporal",
		path:          t.opts.Programs.Server,
		args:          []string{"--config-file", t.configFile(), "--allow-no-auth", "start"},
		dir:           t.opts.Dir,
		logFile:       filepath.Join(t.opts.Dir, "logs", "temporal-server.log"),
		onParentDeath: syscall.SIGTERM,
	})
	if err != nil {
		return err
	}
	t.process = process
	if err := process.waitReady(ctx, temporalStartLimit, t.healthy); err != nil {
		process.kill()
		return err
	}
	return nil
}

// Stop shuts down cleanly. It kills a server that takes longer than 15 s.
func (t *TemporalServer) Stop(ctx context.Context) error {
	return t.process.stop(ctx, syscall.SIGTERM, temporalStopLimit)
}

// Kill sends SIGKILL to the server.
func (t *TemporalServer) Kill() { t.process.kill() }
