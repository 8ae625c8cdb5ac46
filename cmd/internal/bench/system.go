package bench

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"greenroom/cmd/internal/devstack"
	"greenroom/cmd/internal/testbed"
	"greenroom/db"
	"greenroom/db/pg"
)

// Names of the processes in results.
const (
	apiName      = "api"
	workerName   = "worker"
	temporalName = "temporal"
	postgresName = "postgres"
	driverName   = "driver"
)

const (
	readyLimit = time.Minute
	childGrace = 20 * time.Second
)

// system is an installation of Greenroom: a database, an API and a worker, or several of both.
type system struct {
	opts        Options
	stores      *stores
	label       string
	urls        []string // of the APIs
	onOneCPU    bool     // each process
	env         []string
	profileAddr map[string]string // by process; empty without --pprof
	drop        func(context.Context) error
	db          *bun.DB
	programs    map[string]*devstack.Program // by name: api, worker, api-2, worker-2 …
}

// startSystem starts that many APIs and workers, each of which uses one processor at a time. 0 is one of each, without
// that bound.
func startSystem(ctx context.Context, opts Options, stores *stores, label string, processes int) (*system, error) {
	s := &system{
		opts: opts, onOneCPU: processes > 0, stores: stores, label: label, urls: make([]string, max(1, processes)),
		profileAddr: map[string]string{}, programs: map[string]*devstack.Program{},
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.close(context.WithoutCancel(ctx)))
	}
	return s, nil
}

func (s *system) start(ctx context.Context) error {
	address, drop, err := s.stores.database(ctx, s.label)
	if err != nil {
		return err
	}
	s.drop = drop
	if s.db, err = pg.Open(ctx, pg.Options{URL: address, MaxConns: 4}); err != nil {
		return err
	}
	if _, err := db.Migrate(ctx, s.db); err != nil {
		return err
	}
	for i := range s.urls {
		port, err := devstack.FreePort()
		if err != nil {
			return err
		}
		s.urls[i] = "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	}
	s.env = s.environment(address)
	return s.launch(ctx)
}

// environment returns the environment of API and worker.
func (s *system) environment(database string) []string {
	variables := []string{
		"GREENROOM_DATABASE_URL=" + database, "GREENROOM_TEMPORAL_ADDRESS=" + s.stores.stack.TemporalAddress,
		"GREENROOM_TEMPORAL_TASK_QUEUE=" + s.label + "-" + pg.NewID().String(),
		"GREENROOM_SECRET=" + s.stores.secrets.Secret, "GREENROOM_KEYSET=" + s.stores.secrets.Keyset,
		"GREENROOM_EGRESS_ALLOW_HTTP=true", "GREENROOM_EGRESS_ALLOW_LOOPBACK=true",
	}
	if s.onOneCPU {
		variables = append(variables, "GOMAXPROCS=1")
	}
	return testbed.Environment(variables, s.opts.Settings)
}

// launch starts all processes. When it returns the APIs are ready; the workers may still be starting.
func (s *system) launch(ctx context.Context) error {
	for i, url := range s.urls {
		if err := s.child(workerName, numbered(workerName, i)); err != nil {
			return err
		}
		address := strings.TrimPrefix(url, "http://")
		name := numbered(apiName, i)
		if err := s.child(apiName, name, "GREENROOM_HTTP_ADDR="+address, "GREENROOM_HTTP_PUBLIC_URL="+url); err != nil {
			return err
		}
	}
	for i, url := range s.urls {
		err := s.programs[numbered(apiName, i)].AwaitReady(ctx, readyLimit, func(ctx context.Context) error {
			return testbed.CheckReady(ctx, url)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// numbered returns the name of the i-th process of a kind: api, api-2 …
func numbered(kind string, i int) string {
	if i == 0 {
		return kind
	}
	return fmt.Sprintf("%s-%d", kind, i+1)
}

func (s *system) child(command, name string, more ...string) (err error) {
	env := append(slices.Clone(s.env), more...)
	if s.opts.Profiles != "" {
		port, err := devstack.FreePort()
		if err != nil {
			return err
		}
		s.profileAddr[name] = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		env = append(env, "GREENROOM_PPROF_ADDR="+s.profileAddr[name])
	}
	s.programs[name], err = devstack.StartProgram(devstack.ProgramOptions{
		Name: name, Path: s.opts.Program, Args: []string{command}, Env: env, Dir: s.stores.dir,
	})
	return err
}

// stopWorker stops the worker gracefully; startWorker starts a new one.
func (s *system) stopWorker(ctx context.Context) error {
	return s.programs[workerName].Stop(ctx, childGrace)
}

func (s *system) startWorker() error { return s.child(workerName, workerName) }

// vacuum collects statistics of an empty queue, as autovacuum does in a quiet period.
func (s *system) vacuum(ctx context.Context) error {
	if _, err := s.db.ExecContext(ctx, "VACUUM ANALYZE"); err != nil {
		return fmt.Errorf("vacuum: %w", err)
	}
	return nil
}

// kill sends SIGKILL to all processes at the same time.
func (s *system) kill() {
	var group sync.WaitGroup
	for _, p := range s.programs {
		group.Go(p.Kill)
	}
	group.Wait()
}

// broken returns an error if a process exited unexpectedly.
func (s *system) broken() error {
	for _, p := range s.programs {
		select {
		case <-p.Done():
			return p.AwaitReady(context.Background(), 0, func(context.Context) error { return errEnded })
		default:
		}
	}
	return nil
}

var errEnded = errors.New("it exited")

// processes returns the process ids of all servers, by name.
func (s *system) processes() map[string]int {
	pids := s.stores.processes()
	for name, p := range s.programs {
		pids[name] = p.PID()
	}
	return pids
}

// peaks returns the peak memory of APIs and workers, in MiB.
func (s *system) peaks() map[string]float64 {
	peaks := map[string]float64{}
	for name, p := range s.programs {
		if peak, ok := peakMemory(p.PID()); ok {
			peaks[name] = peak
		}
	}
	return peaks
}

func (s *system) close(ctx context.Context) error {
	var errs []error
	for _, p := range s.programs {
		if p != nil { // it may not have started
			errs = append(errs, p.Stop(ctx, childGrace))
		}
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	if s.drop != nil {
		errs = append(errs, s.drop(ctx))
	}
	return errors.Join(errs...)
}

// transactions counts the ended transactions in the database of this system and in all databases. The latter include
// Temporal's if the PostgreSQL server was started here.
func (s *system) transactions(ctx context.Context) (own, all int64, err error) {
	err = s.db.NewRaw(`SELECT sum(xact_commit + xact_rollback) FILTER (WHERE datname = current_database()),
		sum(xact_commit + xact_rollback)
		FROM pg_stat_database`).
		Scan(ctx, &own, &all)
	if err != nil {
		return 0, 0, fmt.Errorf("count transactions: %w", err)
	}
	return own, all, nil
}

// holdSnapshot opens a transaction with a snapshot. release ends it.
func (s *system) holdSnapshot(ctx context.Context) (release func(), err error) {
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	if err == nil {
		_, err = tx.ExecContext(ctx, "SET LOCAL idle_in_transaction_session_timeout = 0; SELECT txid_current()")
	}
	if err != nil {
		return nil, fmt.Errorf("hold a transaction: %w", err)
	}
	return func() { _ = tx.Rollback() }, nil
}
