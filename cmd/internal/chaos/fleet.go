package chaos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"greenroom/cmd/internal/devstack"
	"greenroom/cmd/internal/testbed"
)

const (
	readyLimit = time.Minute
	// deployGrace is the time between SIGTERM and SIGKILL, the default of Kubernetes.
	deployGrace = 30 * time.Second
	// superviseEvery is the longest time until a process that exited is restarted.
	superviseEvery = 500 * time.Millisecond
)

// process is one API or worker. It is restarted when it exits. A fault holds the lock while it lasts.
type process struct {
	mu      sync.Mutex
	opts    devstack.ProgramOptions
	program *devstack.Program
	url     string
}

func (p *process) start() (err error) {
	p.program, err = devstack.StartProgram(p.opts)
	return err
}

func (p *process) ended() bool {
	select {
	case <-p.program.Done():
		return true
	default:
		return false
	}
}

// kill sends SIGKILL and restarts the process after the pause.
func (p *process) kill(ctx context.Context, pause time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.program.Kill()
	return errors.Join(testbed.Sleep(ctx, pause), p.start())
}

// deploy stops the process with SIGTERM and restarts it after the pause.
func (p *process) deploy(ctx context.Context, pause time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	late := p.program.Stop(ctx, deployGrace)
	return errors.Join(late, testbed.Sleep(ctx, pause), p.start())
}

// freeze suspends the process for a time. The process can be killed during it.
func (p *process) freeze(ctx context.Context, length time.Duration) error {
	p.mu.Lock()
	program := p.program
	ended := p.ended()
	p.mu.Unlock()
	if ended {
		return errSkipped
	}
	return freeze(ctx, program, length)
}

// fleet is all API and worker processes.
type fleet struct {
	apis, workers []*process
	selfEnded     atomic.Int64 // exits without a fault
}

func startFleet(opts Options, s *stores) (*fleet, error) {
	f := &fleet{}
	for i := range opts.APIs {
		p, err := newProcess(opts, s, "api", "GREENROOM_HTTP_ADDR", i)
		if err != nil {
			return f, err
		}
		f.apis = append(f.apis, p)
	}
	for i := range opts.Workers {
		p, err := newProcess(opts, s, "worker", "GREENROOM_WORKER_HTTP_ADDR", i)
		if err != nil {
			return f, err
		}
		f.workers = append(f.workers, p)
	}
	for _, p := range f.all() {
		if err := p.start(); err != nil {
			return f, err
		}
	}
	return f, nil
}

// newProcess prepares the n-th process of a sub-command, on its own port.
func newProcess(opts Options, s *stores, name, addrVariable string, n int) (*process, error) {
	port, err := devstack.FreePort()
	if err != nil {
		return nil, err
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	return &process{url: "http://" + addr, opts: devstack.ProgramOptions{
		Name: fmt.Sprintf("%s-%d", name, n+1), Path: opts.Program, Args: []string{name}, Dir: s.dir,
		Env: append(environment(opts, s), addrVariable+"="+addr),
	}}, nil
}

// environment returns the environment of API and worker. Circuits
// open early and cool down fast, so that a run of minutes has many of them.
func environment(opts Options, s *stores) []string {
	variables := []string{
		"GREENROOM_DATABASE_URL=" + s.postgres.URL(), "GREENROOM_TEMPORAL_ADDRESS=" + s.temporal.Address(),
		"GREENROOM_SECRET=" + s.secrets.Secret, "GREENROOM_KEYSET=" + s.secrets.Keyset,
		"GREENROOM_EGRESS_ALLOW_HTTP=true", "GREENROOM_EGRESS_ALLOW_LOOPBACK=true",
		"GREENROOM_CIRCUIT_THRESHOLD=6", "GREENROOM_CIRCUIT_COOLDOWN=5s", "GREENROOM_CIRCUIT_SPAN=0s",
		"GREENROOM_MEDIA_DIR=" + s.dir + "/media",
	}
	return testbed.Environment(variables, opts.Settings)
}

func (f *fleet) all() []*process { return append(append([]*process{}, f.apis...), f.workers...) }

func (f *fleet) urls() []string {
	urls := make([]string, len(f.apis))
	for i, p := range f.apis {
		urls[i] = p.url
	}
	return urls
}

// awaitReady returns when every process is ready.
func (f *fleet) awaitReady(ctx context.Context) error {
	for _, p := range f.all() {
		if err := p.program.AwaitReady(
			ctx,
			readyLimit,
			func(ctx context.Context) error { return testbed.CheckReady(ctx, p.url) },
		); err != nil {
			return err
		}
	}
	return nil
}

// supervise restarts processes that exited, until ctx ends, as a supervisor in production does.
func (f *fleet) supervise(ctx context.Context) {
	for testbed.Sleep(ctx, superviseEvery) == nil {
		for _, p := range f.all() {
			if !p.mu.TryLock() {
				continue // a fault holds it
			}
			if p.ended() {
				f.selfEnded.Add(1)
				_ = p.start() // tried again in the next round
			}
			p.mu.Unlock()
		}
	}
}

// killAll kills every process at the same time. The returned function restarts them.
func (f *fleet) killAll() (restart func() error) {
	var wait sync.WaitGroup
	for _, p := range f.all() {
		p.mu.Lock()
		wait.Go(p.program.Kill)
	}
	wait.Wait()
	return func() error {
		var errs []error
		for _, p := range f.all() {
			errs = append(errs, p.start())
			p.mu.Unlock()
		}
		return errors.Join(errs...)
	}
}

func (f *fleet) close(ctx context.Context) error {
	var wait sync.WaitGroup
	all := f.all()
	errs := make([]error, len(all))
	for i, p := range all {
		if p.program != nil {
			wait.Go(func() { errs[i] = p.program.Stop(ctx, deployGrace) })
		}
	}
	wait.Wait()
	return errors.Join(errs...)
}
