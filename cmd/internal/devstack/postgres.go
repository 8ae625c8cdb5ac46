package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// postgresName is the cluster's superuser and its database.
	postgresName = "greenroom"
	// postgresStartLimit covers crash recovery after a kill under load: seconds in practice, more on a slow disk.
	postgresStartLimit = 2 * time.Minute
	// postgresStopLimit covers the checkpoint of a fast shutdown.
	postgresStopLimit = 30 * time.Second
)

// PostgresOptions configure a private cluster. Only Dir is required.
type PostgresOptions struct {
	Dir  string    // holds postgres/ (the data), postgres.password and logs/
	Port int       // on 127.0.0.1; 0 takes a free one
	Fast bool      // for temporary data: no fsync, so a crash can destroy it
	Log  io.Writer // progress, one line each; nil: silent
}

// Postgres is a private PostgreSQL cluster run by this process: TCP on 127.0.0.1 only, with a
// generated password. It has no Unix socket, whose path would be limited to 107 bytes.
type Postgres struct {
	opts     PostgresOptions
	programs postgresPrograms
	owner    *owner
	data     string // the data directory, links resolved
	password string
	process  *process
}

// StartPostgres creates the cluster on first use, starts it and returns when it accepts queries and its database
// exists. A cluster that a killed Greenroom left running or incomplete is stopped, recovered and reused. It refuses a
// port in use, and data that belongs to another user or needs a PostgreSQL release that is not installed.
func StartPostgres(ctx context.Context, opts PostgresOptions) (*Postgres, error) {
	dir, err := filepath.Abs(opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", opts.Dir, err)
	}
	opts.Dir = dir
	if opts.Log == nil {
		opts.Log = io.Discard
	}
	if opts.Port, err = portOrFree(opts.Port); err != nil {
		return nil, err
	}
	p := &Postgres{opts: opts}
	if err := p.prepare(ctx); err != nil {
		return nil, err
	}
	if err := p.Start(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// URL returns the URL of the cluster's database, for a superuser.
func (p *Postgres) URL() string { return p.url(postgresName) }

// Done is closed when the server has ended.
func (p *Postgres) Done() <-chan struct{} { return p.process.done }

// PID returns the server's process id.
func (p *Postgres) PID() int { return p.process.pid() }

// Start restarts a stopped or killed cluster, on the same port and data.
func (p *Postgres) Start(ctx context.Context) error {
	pidFile := filepath.Join(p.data, "postmaster.pid")
	crashed := readPID(pidFile) != 0
	if err := stopLeftover(ctx, pidFile, p.data, syscall.SIGINT); err != nil {
		return err
	}
	if err := CheckAddr(
		ctx,
		loopback(p.opts.Port),
		"PostgreSQL",
		"GREENROOM_DEV_POSTGRES_PORT or --postgres-port",
	); err != nil {
		return err
	}
	err := p.launch(ctx)
	// Sessions of a killed server need a moment to end. Until then a new server refuses their shared memory.
	for tries := 0; err != nil && crashed && p.process != nil && p.process.ended() && tries < 10; tries++ {
		if sleep(ctx, 500*time.Millisecond) != nil {
			return ctx.Err()
		}
		err = p.launch(ctx)
	}
	return err
}

// Stop ends every session and shuts down cleanly (a "fast shutdown"). It kills a server that takes longer than 30 s.
func (p *Postgres) Stop(ctx context.Context) error {
	return p.process.stop(ctx, syscall.SIGINT, postgresStopLimit)
}

// Kill sends SIGKILL to the server.
func (p *Postgres) Kill() { p.process.kill() }

// Restart stops and starts the server.
func (p *Postgres) Restart(ctx context.Context) error {
	if err := p.Stop(ctx); err != nil {
		return err
	}
	return p.Start(ctx)
}

func (p *Postgres) launch(ctx context.Context) error {
	process, err := startProcess(processSpec{
		name:          "PostgreSQL",
		path:          p.programs.path("postgres"),
		args:          append([]string{"-D", p.data}, serverSettings(p.opts)...),
		dir:           p.data,
		logFile:       filepath.Join(p.opts.Dir, "logs", "postgres.log"),
		owner:         p.owner,
		onParentDeath: syscall.SIGINT,
	})
	if err != nil {
		return err
	}
	p.process = process
	if err := process.waitReady(ctx, postgresStartLimit, p.ensureDatabase); err != nil {
		// A kill would leave its sessions and its pid file behind.
		return errors.Join(err, process.stop(context.WithoutCancel(ctx), syscall.SIGINT, postgresStopLimit))
	}
	return nil
}

// serverSettings are passed on the command line and not in the cluster's files, so that those of a newer Greenroom
// apply to old data.
func serverSettings(opts PostgresOptions) []string {
	settings := []string{
		"listen_addresses=127.0.0.1", "port=" + strconv.Itoa(opts.Port), "unix_socket_directories=",
		"max_connections=200", "shared_buffers=256MB", "max_wal_size=2GB", "wal_compression=lz4",
		"jit=off", // the queries are small: compiling them costs more than it saves
		"timezone=UTC", "log_timezone=UTC", "log_checkpoints=off", "cluster_name=greenroom",
	}
	if opts.Fast {
		settings = append(settings, "fsync=off", "synchronous_commit=off", "full_page_writes=off")
	} else {
		settings = append(settings, "fsync=on", "synchronous_commit=on") // an accepted event is durable
	}
	var args []string
	for _, setting := range settings {
		args = append(args, "-c", setting)
	}
	return args
}

func (p *Postgres) url(database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(postgresName, p.password),
		Host:     loopback(p.opts.Port),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

func (p *Postgres) ensureDatabase(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, p.url("postgres"))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var exists bool
	query := "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)"
	if err := conn.QueryRow(ctx, query, postgresName).Scan(&exists); err != nil {
		return fmt.Errorf("look for the database: %w", err)
	}
	if exists {
		return nil
	}
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+postgresName); err != nil {
		return fmt.Errorf("create the database: %w", err)
	}
	return nil
}

// prepare finds the programs, the user, the data and the password, and creates the cluster if it does not exist.
func (p *Postgres) prepare(ctx context.Context) error {
	mode := os.FileMode(0o700)
	if os.Geteuid() == 0 {
		mode = 0o711 // the unprivileged user needs access
	}
	if err := os.MkdirAll(p.opts.Dir, mode); err != nil {
		return fmt.Errorf("create directory: %w", err)
	}
	p.data = filepath.Join(p.opts.Dir, "postgres")
	if version, err := os.ReadFile(filepath.Join(p.data, "PG_VERSION")); err == nil {
		return p.prepareExisting(ctx, strings.TrimSpace(string(version)))
	} else if !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("examine the cluster in %s: %w", p.data, err)
	}
	programs, err := findOrInstallPostgres(ctx, p.opts.Log)
	if err != nil {
		return err
	}
	p.programs = programs
	if p.owner, err = unprivilegedOwner(); err != nil {
		return err
	}
	return p.makeCluster(ctx)
}

func (p *Postgres) prepareExisting(ctx context.Context, version string) error {
	data, err := filepath.EvalSymlinks(p.data)
	if err != nil {
		return fmt.Errorf("find %s: %w", p.data, err)
	}
	p.data = data
	if p.owner, err = ownerOfCluster(data); err != nil {
		return err
	}
	major, err := strconv.Atoi(version)
	if err != nil {
		return fmt.Errorf("%s/PG_VERSION is not a release of PostgreSQL: %q", data, version)
	}
	var found bool
	if p.programs, found = findPostgres(ctx, func(m int) bool { return m == major }); !found {
		return fmt.Errorf(
			"the data in %s needs PostgreSQL %d, which is not installed: install it, or move %s away to start with empty data",
			data,
			major,
			filepath.Join(p.opts.Dir, "postgres"),
		)
	}
	password, err := os.ReadFile(p.passwordFile())
	if err != nil {
		return fmt.Errorf("read the cluster's password: %w: restore the file, or move %s away to start with empty data",
			err, filepath.Join(p.opts.Dir, "postgres"))
	}
	p.password = strings.TrimSpace(string(password))
	return nil
}

func (p *Postgres) passwordFile() string { return filepath.Join(p.opts.Dir, "postgres.password") }
