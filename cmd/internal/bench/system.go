package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
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

// system is an installation of Greenroom: a database, an API and a worker.
type system struct {
	opts        Options
	stores      *stores
	label       string
	url         string
	env         []string
	profileAddr map[string]string // by process; empty without --pprof
	drop        func(context.Context) error
	db          *bun.DB
	api, worker *devstack.Program
}

func startSystem(ctx context.Context, opts Options, stores *stores, label string) (*system, error) {
	s := &system{opts: opts, stores: stores, label: label, profileAddr: map[string]string{}}
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
	port, err := devstack.FreePort()
	if err != nil {
		return err
	}
	s.url = "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	s.env = s.environment(address, port)
	return s.launch(ctx)
}

// environment returns the environment of API and worker.
func (s *system) environment(database string, port int) []string {
	variables := []string{
		"GREENROOM_DATABASE_URL=" + database, "GREENROOM_TEMPORAL_ADDRESS=" + s.stores.stack.TemporalAddress,
		"GREENROOM_TEMPORAL_TASK_QUEUE=" + s.label + "-" + pg.NewID().String(),
		"GREENROOM_HTTP_ADDR=127.0.0.1:" + strconv.Itoa(port), "GREENROOM_HTTP_PUBLIC_URL=" + s.url,
		"GREENROOM_SECRET=" + s.stores.secrets.Secret, "GREENROOM_KEYSET=" + s.stores.secrets.Keyset,
		"GREENROOM_EGRESS_ALLOW_HTTP=true", "GREENROOM_EGRESS_ALLOW_LOOPBACK=true",
	}
	return testbed.Environment(variables, s.opts.Settings)
}

// launch starts both processes. When it returns the API is ready; the worker may still be starting.
func (s *system) launch(ctx context.Context) (err error) {
	if s.worker, err = s.child(workerName); err != nil {
		return err
	}
	if s.api, err = s.child(apiName); err != nil {
		return err
	}
	return s.api.AwaitReady(ctx, readyLimit, func(ctx context.Context) error { return testbed.CheckReady(ctx, s.url) })
}

func (s *system) child(name string) (*devstack.Program, error) {
	env := s.env
	if s.opts.Profiles != "" {
		port, err := devstack.FreePort()
		if err != nil {
			return nil, err
		}
		s.profileAddr[name] = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		env = append(env[:len(env):len(env)], "GREENROOM_PPROF_ADDR="+s.profileAddr[name])
	}
	return devstack.StartProgram(devstack.ProgramOptions{
		Name: name, Path: s.opts.Program, Args: []string{name}, Env: env, Dir: s.stores.dir,
	})
}

// stopWorker stops the worker gracefully; startWorker starts a new one.
func (s *system) stopWorker(ctx context.Context) error { return s.worker.Stop(ctx, childGrace) }

func (s *system) startWorker() (err error) {
	s.worker, err = s.child(workerName)
	return err
}

// vacuum collects statistics of an empty queue, as autovacuum does in a quiet period.
func (s *system) vacuum(ctx context.Context) error {
	if _, err := s.db.ExecContext(ctx, "VACUUM ANALYZE"); err != nil {
		return fmt.Errorf("vacuum: %w", err)
	}
	return nil
}

// kill sends SIGKILL to both processes at the same time.
func (s *system) kill() {
	killed := make(chan struct{})
	go func() { s.worker.Kill(); close(killed) }()
	s.api.Kill()
	<-killed
}

// broken returns an error if a process exited unexpectedly.
func (s *system) broken() error {
	for _, p := range []*devstack.Program{s.api, s.worker} {
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
	pids[apiName], pids[workerName] = s.api.PID(), s.worker.PID()
	return pids
}

// peaks returns the peak memory of API and worker, in MiB.
func (s *system) peaks() map[string]float64 {
	peaks := map[string]float64{}
	for name, pid := range map[string]int{apiName: s.api.PID(), workerName: s.worker.PID()} {
		if peak, ok := peakMemory(pid); ok {
			peaks[name] = peak
		}
	}
	return peaks
}

func (s *system) close(ctx context.Context) error {
	var errs []error
	for _, p := range []*devstack.Program{s.api, s.worker} {
		if p != nil {
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
