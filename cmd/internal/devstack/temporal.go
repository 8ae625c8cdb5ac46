package devstack

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
)

const (
	// temporalStartLimit covers a first start on a slow disk, in which the server writes its schema.
	temporalStartLimit = 2 * time.Minute
	temporalStopLimit  = 15 * time.Second
)

// SearchAttribute is a custom search attribute with its type in Temporal.
type SearchAttribute struct{ Name, Type string }

// SearchAttributes are those of Greenroom's workflows (workflows.SearchAttributes). The development server
// gets them at its start, so that the first workflow can use them.
var SearchAttributes = []SearchAttribute{
	{"WebhookId", "KeywordList"},
	{"CompanyId", "KeywordList"},
	{"JobId", "Keyword"},
	{"EventType", "Keyword"},
	{"DeliveryStatus", "Keyword"},
}

// temporalSettings are dynamic settings of the development server. The reasons: with eager start a delivery needs only
// two round trips; the version check would contact temporal.io; the limit of 2,400 requests/s would be reached before
// that of the CPU.
var temporalSettings = []string{
	"system.enableEagerWorkflowStart=true",
	"frontend.enableServerVersionCheck=false",
	"frontend.rps=20000",
	"frontend.namespaceRPS=20000",
	"history.rps=20000",
	"matching.rps=20000",
}

// TemporalOptions configure a development server. Only Dir is required.
type TemporalOptions struct {
	Dir     string    // holds logs/, temporal.pid
	Program string    // path of the temporal program; empty: FindTemporal
	DBFile  string    // history survives restarts in this SQLite file; empty: memory only
	Port    int       // gRPC on 127.0.0.1; 0 takes a free one
	UIPort  int       // web UI on 127.0.0.1; 0: no UI
	Log     io.Writer // progress; nil: silent
}

// Temporal is a Temporal development server run by this process.
type Temporal struct {
	opts    TemporalOptions
	process *process
}

// StartTemporal starts a development server and returns when it responds and its namespace "default" exists with the
// project's search attributes. It refuses ports in use.
func StartTemporal(ctx context.Context, opts TemporalOptions) (*Temporal, error) {
	var err error
	if opts.Dir, err = filepath.Abs(opts.Dir); err != nil {
		return nil, fmt.Errorf("find %s: %w", opts.Dir, err)
	}
	if opts.Log == nil {
		opts.Log = io.Discard
	}
	if opts.Program == "" {
		if opts.Program, err = FindTemporal(ctx, opts.Log); err != nil {
			return nil, err
		}
	}
	if opts.Port, err = portOrFree(opts.Port); err != nil {
		return nil, err
	}
	t := &Temporal{opts: opts}
	if err := t.Start(ctx); err != nil {
		return nil, err
	}
	return t, nil
}

// Address returns the address for clients, host:port.
func (t *Temporal) Address() string { return loopback(t.opts.Port) }

// Port returns the port of Address.
func (t *Temporal) Port() int { return t.opts.Port }

// UIURL returns the URL of the web UI, or "" without one.
func (t *Temporal) UIURL() string {
	if t.opts.UIPort == 0 {
		return ""
	}
	return "http://" + loopback(t.opts.UIPort)
}

// Done is closed when the server has ended.
func (t *Temporal) Done() <-chan struct{} { return t.process.done }

// PID returns the server's process id.
func (t *Temporal) PID() int { return t.process.pid() }

// Start restarts a stopped or killed server, on the same ports and, with a DBFile, with the same histories.
func (t *Temporal) Start(ctx context.Context) error {
	pidFile := filepath.Join(t.opts.Dir, "temporal.pid")
	if err := stopLeftover(ctx, pidFile, t.marker(), syscall.SIGTERM); err != nil {
		return err
	}
	if err := t.checkPorts(ctx); err != nil {
		return err
	}
	process, err := startProcess(processSpec{
		name:          "Temporal",
		path:          t.opts.Program,
		args:          t.args(),
		dir:           t.opts.Dir,
		logFile:       filepath.Join(t.opts.Dir, "logs", "temporal.log"),
		onParentDeath: syscall.SIGTERM,
	})
	if err != nil {
		return err
	}
	t.process = process
	if err := writePID(pidFile, process.pid()); err != nil {
		process.kill()
		return err
	}
	if err := process.waitReady(ctx, temporalStartLimit, t.ready); err != nil {
		process.kill()
		return err
	}
	return nil
}

// Stop shuts down cleanly. It kills a server that takes longer than 15 s.
func (t *Temporal) Stop(ctx context.Context) error {
	return t.process.stop(ctx, syscall.SIGTERM, temporalStopLimit)
}

// Kill sends SIGKILL to the server.
func (t *Temporal) Kill() { t.process.kill() }

// Restart stops and starts the server.
func (t *Temporal) Restart(ctx context.Context) error {
	if err := t.Stop(ctx); err != nil {
		return err
	}
	return t.Start(ctx)
}

// marker is the part of the command line that identifies the server: the path of its data or, without data, its
// port. An orphaned server locks the data until it has ended.
func (t *Temporal) marker() string {
	if t.opts.DBFile != "" {
		return " --db-filename " + t.opts.DBFile + " "
	}
	return "start-dev --ip 127.0.0.1 --port " + strconv.Itoa(t.opts.Port) + " "
}

func (t *Temporal) args() []string {
	args := []string{
		"server", "start-dev", "--ip", "127.0.0.1", "--port", strconv.Itoa(t.opts.Port),
		"--namespace", client.DefaultNamespace, "--log-level", "warn", "--log-format", "json",
	}
	if t.opts.UIPort == 0 {
		args = append(args, "--headless")
	} else {
		args = append(args, "--ui-port", strconv.Itoa(t.opts.UIPort))
	}
	if t.opts.DBFile != "" {
		args = append(args, "--db-filename", t.opts.DBFile)
	}
	for _, a := range SearchAttributes {
		args = append(args, "--search-attribute", a.Name+"="+a.Type)
	}
	for _, setting := range temporalSettings {
		args = append(args, "--dynamic-config-value", setting)
	}
	return args
}

func (t *Temporal) checkPorts(ctx context.Context) error {
	err := CheckAddr(ctx, loopback(t.opts.Port), "Temporal", "GREENROOM_DEV_TEMPORAL_PORT or --temporal-port")
	if err != nil || t.opts.UIPort == 0 {
		return err
	}
	return CheckAddr(
		ctx,
		loopback(t.opts.UIPort),
		"the Temporal UI",
		"GREENROOM_DEV_TEMPORAL_UI_PORT or --temporal-ui-port",
	)
}

func (t *Temporal) ready(ctx context.Context) error { return CheckTemporal(ctx, t.Address()) }

// CheckTemporal returns an error unless the Temporal server at address (host:port) is healthy and has the namespace
// "default".
func CheckTemporal(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	c, err := client.DialContext(ctx, client.Options{HostPort: address, Logger: silentLogger()})
	if err != nil {
		return fmt.Errorf("dial Temporal: %w", err)
	}
	defer c.Close()
	if _, err := c.CheckHealth(ctx, &client.CheckHealthRequest{}); err != nil {
		return fmt.Errorf("check Temporal's health: %w", err)
	}
	request := &workflowservice.DescribeNamespaceRequest{Namespace: client.DefaultNamespace}
	if _, err := c.WorkflowService().DescribeNamespace(ctx, request); err != nil {
		return fmt.Errorf("look for the namespace: %w", err)
	}
	return nil
}

// silentLogger discards the errors of the SDK while a server starts.
func silentLogger() sdklog.Logger { return sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)) }
