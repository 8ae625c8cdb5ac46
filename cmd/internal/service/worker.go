// Package service puts the product's pieces together from the configuration: the API, the worker with its dispatcher,
// and what both need. Each is one function that runs until its context ends, so that `greenroom api`, `greenroom
// worker` and `greenroom dev` differ only in which of them they call.
package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/uptrace/bun"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"golang.org/x/sync/errgroup"

	"greenroom/activities"
	"greenroom/activities/deliver"
	"greenroom/activities/inflight"
	"greenroom/activities/webhook"
	"greenroom/cmd/internal/config"
	"greenroom/db"
	"greenroom/db/leader"
	"greenroom/db/pg"
	"greenroom/db/seal"
	"greenroom/workflows"
	"greenroom/workflows/dispatch"
)

// Worker runs workflows, activities and the dispatcher until ctx ends. It waits for Temporal as long as it takes: a
// worker may start before its stores. It refuses a keyset that is not the installation's. It calls ready, when not nil,
// once it works.
func Worker(ctx context.Context, cfg config.Config, d *bun.DB, logger *slog.Logger, ready func()) error {
	options, err := TemporalOptions(cfg)
	if err != nil {
		return err
	}
	box, err := openBox(ctx, cfg, d)
	if err != nil {
		return err
	}
	cfg.Temporal.Address, cfg.Temporal.Namespace = options.HostPort, options.Namespace
	h := &health{db: d, box: box, logger: logger, namespace: cfg.Temporal.Namespace}
	if err := h.serve(ctx, cfg); err != nil {
		return err
	}
	traces, err := startTracing(ctx, cfg, workerSampler(), logger)
	if err != nil {
		return err
	}
	defer traces.end()
	if err := traces.intercept(&options); err != nil {
		return err
	}
	engine, err := openEngine(ctx, cfg, cfg.Database.MaxConns)
	if err != nil {
		return err
	}
	defer func() { _ = pg.Close(engine) }()
	c, err := dial(ctx, options, logger)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := prepare(ctx, c, cfg); err != nil {
		return err
	}
	if err := deleteFormerSchedule(ctx, c); err != nil {
		logger.WarnContext(ctx, "a schedule of an older version is still there", "error", err)
	}
	var dispatcher *dispatch.Dispatcher
	endpoints := inflight.New(limitsOf(cfg.Dispatch), func() { dispatcher.Wake() })
	streams := new(deliver.Streams)
	o := dispatchOptions(cfg, engine, c, endpoints, logger)
	o.Streams, o.Traced = streams, traces != nil
	o.Upkeep.SealHeaders = func(ctx context.Context) (int, error) { return db.SealHeaders(ctx, d, box) }
	if o.MailNotices, err = noticeMailer(cfg, d, logger); err != nil {
		return err
	}
	dispatcher = dispatch.New(o)
	egress, err := EgressClient(cfg, logger)
	if err != nil {
		return err
	}
	platform, err := platformActivities(cfg, d, box, egress, logger)
	if err != nil {
		return err
	}
	delivering := deliveryActivities(cfg, engine, box, egress, endpoints, logger)
	delivering.Streams, delivering.Moved = streams, dispatcher.WakeLines
	delivering.Tracing = deliver.Tracing{Tracer: traces.tracer(), Propagate: cfg.Tracing.Propagate}
	if err := openJournal(ctx, cfg.Worker, delivering); err != nil {
		return err
	}
	defer delivering.Journal.Close()
	all := []any{delivering, platform}
	defer joinWorkers(ctx, d, cfg.Worker.BuildID, logger, endpoints)()
	run := func() error {
		return runWorker(ctx, cfg, c, all, dispatcher, logger, func(ctx context.Context) {
			h.working.Store(&c)
			context.AfterFunc(ctx, func() { h.working.Store(nil) }) // one that stops, or died, is not ready
			if ready != nil {
				ready()
			}
		})
	}
	return whileNamespaced(ctx, run, func() error { return prepare(ctx, c, cfg) }, logger)
}

// joinWorkers divides the places of each endpoint among the live workers. leave ends it.
func joinWorkers(
	ctx context.Context, d *bun.DB, version string, logger *slog.Logger, e *inflight.Endpoints,
) (leave func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { leader.Join(ctx, d, "worker", version, logger, e.SetProcesses) })
	return func() { cancel(); wg.Wait() }
}

// whileNamespaced runs the workers again when their namespace was gone and is there again: Temporal came back with an
// empty store, where the namespace is made after the server answers. Any other end is the end.
func whileNamespaced(ctx context.Context, run, prepare func() error, logger *slog.Logger) error {
	for {
		err := run()
		var none *serviceerror.NamespaceNotFound
		if ctx.Err() != nil || !errors.As(err, &none) {
			return err
		}
		logger.WarnContext(ctx, "the workers wait for their namespace", "error", err)
		for err := prepare(); err != nil; err = prepare() {
			select {
			case <-ctx.Done():
				return fmt.Errorf("wait for the namespace: %w", errors.Join(err, ctx.Err()))
			case <-time.After(dialRetry):
			}
		}
	}
}

// openJournal opens the configured journal and records what killed processes left. Without one nothing bounds the
// requests that a kill repeats.
func openJournal(ctx context.Context, cfg config.Worker, a *deliver.Activities) (err error) {
	if cfg.JournalDir == "" {
		return nil
	}
	if a.Journal, err = deliver.OpenJournal(cfg.JournalDir, a.Logger); err != nil {
		return err
	}
	a.Wire = deliver.NewWire()
	a.Journal.Recover(ctx, a.DB)
	go a.Journal.Run(ctx, a.DB)
	return nil
}

// deliveryActivities are the delivery engine's.
func deliveryActivities(
	cfg config.Config,
	d *bun.DB,
	box *seal.Box,
	egress *webhook.Client,
	e *inflight.Endpoints,
	logger *slog.Logger,
) *deliver.Activities {
	return &deliver.Activities{
		DB: d, Box: box, Client: egress, Logger: logger, CircuitThreshold: cfg.Circuit.Threshold,
		CircuitSpan: cfg.Circuit.Span, Endpoints: e, PublicURL: cfg.HTTP.PublicURL,
		ConsoleURL: consoleURL(cfg),
	}
}

// platformActivities are the interview's.
func platformActivities(
	cfg config.Config,
	d *bun.DB,
	box *seal.Box,
	egress *webhook.Client,
	logger *slog.Logger,
) (*activities.Activities, error) {
	services, err := servicesClient(cfg)
	if err != nil {
		return nil, err
	}
	mail, err := MailServer(cfg)
	if err != nil {
		return nil, err
	}
	return &activities.Activities{
		DB: d, Box: box, Client: egress, Services: services, Logger: logger,
		Calls:    activities.Service{URL: cfg.Provider.URL, Token: cfg.Provider.Token},
		Analyser: activities.Service{URL: cfg.Analysis.URL, Token: cfg.Analysis.Token},

		Generator: activities.Service{URL: cfg.Generator.URL, Token: cfg.Generator.Token},
		Sourcing:  activities.Service{URL: cfg.Sourcing.URL, Token: cfg.Sourcing.Token},
		Extractor: activities.Service{URL: cfg.Extractor.URL, Token: cfg.Extractor.Token},
		Mail:      mail,

		PublicURL: cfg.HTTP.PublicURL, Secret: cfg.Secret.Bytes(), AnalysisWithin: cfg.Interview.AnalysisTimeout,
	}, nil
}

// noticeMailer mails about webhooks; nil without a mail server.
func noticeMailer(cfg config.Config, d *bun.DB, logger *slog.Logger) (func(context.Context) error, error) {
	if cfg.SMTP.URL == "" {
		return nil, nil
	}
	mail, err := MailServer(cfg)
	if err != nil {
		return nil, err
	}
	m := &activities.NoticeMailer{
		DB: d, Mail: mail, Logger: logger, ConsoleURL: consoleURL(cfg), PublicURL: cfg.HTTP.PublicURL,
		Window: cfg.Notify.Window,
	}
	return m.Run, nil
}

func dispatchOptions(
	cfg config.Config,
	d *bun.DB,
	c client.Client,
	e *inflight.Endpoints,
	logger *slog.Logger,
) dispatch.Options {
	return dispatch.Options{
		ConsoleURL:   consoleURL(cfg),
		DB:           d,
		Client:       c,
		TaskQueue:    cfg.Temporal.TaskQueue,
		Endpoints:    e,
		Logger:       logger,
		PollInterval: cfg.Dispatch.PollInterval,
		BatchAbove:   cfg.Dispatch.BatchAbove,
		Prepare:      func(ctx context.Context) error { return prepare(ctx, c, cfg) },
		Versioned:    cfg.Worker.DeploymentName != "",
		Upkeep: dispatch.UpkeepSettings{
			RetentionDays: cfg.Retention.Days, DisableAfter: cfg.Circuit.DisableAfter, AuditDays: cfg.Retention.AuditDays,
		},
		Circuit: dispatch.CircuitSettings{
			Probe:         cfg.Circuit.Recovery == config.RecoverByProbe,
			ByProfile:     cfg.Circuit.Recovery == config.RecoverByProfile,
			Cooldown:      cfg.Circuit.Cooldown,
			CooldownLimit: cfg.Circuit.CooldownLimit,
			ReleaseLimit:  cfg.Circuit.ReleaseLimit,
		},
		Interview: dispatch.InterviewSettings{
			NoAnswerRetries: cfg.Interview.NoAnswerRetries,
			NoAnswerDelay:   cfg.Interview.NoAnswerDelay,
		},
	}
}

// Sizes of a worker process. The sticky cache holds the workflows that wait; each costs some 30 KiB, so 2,000 keep
// the process near 150 MiB. An attempt by an activity of its own holds a slot of Temporal's worker. Those that wait for
// a receiver are bounded by singleAttempts, which inflight divides among companies; the other slots are for attempts
// that find no place and end at once. So attempts at receivers that hang never fill the slots. The other activities
// have activitySlots: the external services take at most activities.OutsidePlaces each, 768 together.
const (
	stickyWorkflows = 2000
	singleAttempts  = 256
	attemptSlots    = singleAttempts + 64
	activitySlots   = 1000
	taskPollers     = 4
)

func limitsOf(cfg config.Dispatch) inflight.Limits {
	return inflight.Limits{
		PerEndpoint: cfg.MaxInFlightPerEndpoint, PerHost: cfg.MaxInFlightPerHost, Total: cfg.MaxInFlight,
		Single: singleAttempts,
	}
}

func runWorker(
	ctx context.Context,
	cfg config.Config,
	c client.Client,
	activities []any,
	d *dispatch.Dispatcher,
	logger *slog.Logger,
	ready func(ctx context.Context),
) error {
	worker.SetStickyWorkflowCacheSize(stickyWorkflows)
	fatal := make(chan error, 2) // one from each worker
	died := func(err error) { fatal <- err }
	fast := worker.New(c, cfg.Temporal.TaskQueue, worker.Options{
		MaxConcurrentLocalActivityExecutionSize: attemptSlots, MaxConcurrentActivityExecutionSize: activitySlots,
		MaxConcurrentWorkflowTaskPollers: taskPollers,
		WorkerStopTimeout:                stopTimeout, DeploymentOptions: deployment(cfg.Worker), OnFatalError: died,
		Interceptors: []interceptor.WorkerInterceptor{workflows.OwnIDs()},
	})
	slow := worker.New(c, workflows.SlowTaskQueue(cfg.Temporal.TaskQueue), worker.Options{
		DisableWorkflowWorker:              true,
		MaxConcurrentActivityExecutionSize: attemptSlots,
		MaxConcurrentActivityTaskPollers:   taskPollers,
		WorkerStopTimeout:                  stopTimeout,
		DeploymentOptions:                  deployment(cfg.Worker),
		OnFatalError:                       died,
	})
	workflows.Register(fast)
	for _, a := range activities {
		fast.RegisterActivity(a)
		slow.RegisterActivity(a)
	}
	g, gctx := errgroup.WithContext(ctx)
	stop, err := startWorkers(fast, slow)
	defer func() {
		logger.InfoContext(context.WithoutCancel(ctx), "worker stops: attempts under way end first", "at_most", stopTimeout)
		stop()
	}()
	if err != nil {
		return err
	}
	g.Go(func() error { return d.Run(gctx) })
	g.Go(func() error {
		select {
		case <-gctx.Done():
			return nil
		case err := <-fatal:
			return fmt.Errorf("worker died: %w", err)
		}
	})
	logger.InfoContext(ctx, "worker ready", "task_queue", cfg.Temporal.TaskQueue)
	ready(gctx)
	return g.Wait()
}

// startWorkers also returns what stops the workers that were started: side by side, so that each has the whole
// stopTimeout.
func startWorkers(workers ...worker.Worker) (stop func(), err error) {
	var wg sync.WaitGroup
	var started []worker.Worker
	stop = func() {
		for _, w := range started {
			wg.Go(w.Stop)
		}
		wg.Wait()
	}
	for _, w := range workers {
		if err := w.Start(); err != nil {
			return stop, fmt.Errorf("start worker: %w", err)
		}
		started = append(started, w)
	}
	return stop, nil
}

// deployment is a worker's version in Temporal. The default is AutoUpgrade: a delivery may wait for days and an
// interview for weeks, and pinned ones would need the workers of each version for as long. AutoUpgrade requires that a
// newer version can continue an older one's history, which a test proves by replay.
func deployment(cfg config.Worker) worker.DeploymentOptions {
	if cfg.DeploymentName == "" {
		return worker.DeploymentOptions{}
	}
	return worker.DeploymentOptions{
		UseVersioning:             true,
		Version:                   worker.WorkerDeploymentVersion{DeploymentName: cfg.DeploymentName, BuildID: cfg.BuildID},
		DefaultVersioningBehavior: workflow.VersioningBehaviorAutoUpgrade,
	}
}

// stopTimeout is how long a stopping worker lets attempts end: the longest time-out of a webhook, and recording. What
// it cuts off is sent a second time by another worker. A worker that has nothing under way stops at once.
const stopTimeout = 35 * time.Second
