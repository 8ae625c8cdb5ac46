package doctor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"greenroom/cmd/internal/service"
)

const temporalServer = "temporal"

// temporal examines the server, its namespace and whether a worker polls it.
func (e *examination) temporal(ctx context.Context) {
	options, err := service.TemporalOptions(e.Config)
	if err != nil {
		e.problem(temporalServer, "correct Temporal's variables (TEMPORAL_*) or the settings temporal.tls_…",
			"%s", oneLine(err))
		return
	}
	options.Logger = log.NewStructuredLogger(slog.New(slog.DiscardHandler))
	c, err := client.DialContext(ctx, options)
	if err != nil {
		e.problem(temporalServer, "start Temporal at "+options.HostPort+", or correct GREENROOM_TEMPORAL_ADDRESS; with "+
			"TLS see temporal.tls and temporal.api_key", "%s does not answer: %s", options.HostPort, oneLine(err))
		return
	}
	defer c.Close()
	e.ok(temporalServer, "%s answers%s", options.HostPort, serverVersion(ctx, c))
	if e.namespace(ctx, c, options) {
		e.searchAttributes(ctx, c, options)
		e.pollers(ctx, c)
	}
}

// serverVersion is "" where it is not told, as in Temporal Cloud.
func serverVersion(ctx context.Context, c client.Client) string {
	info, err := c.WorkflowService().GetClusterInfo(ctx, new(workflowservice.GetClusterInfoRequest))
	if err != nil {
		return ""
	}
	return ", version " + info.GetServerVersion()
}

func (e *examination) namespace(ctx context.Context, c client.Client, o client.Options) (exists bool) {
	const check = "temporal namespace"
	_, err := c.WorkflowService().
		DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: o.Namespace})
	var none *serviceerror.NamespaceNotFound
	switch {
	case errors.As(err, &none):
		e.problem(check, fmt.Sprintf("temporal operator namespace create --address %s --namespace %s, or correct "+
			"GREENROOM_TEMPORAL_NAMESPACE", o.HostPort, o.Namespace), "%s does not exist", o.Namespace)
		return false
	case err != nil:
		e.problem(check, "give temporal.api_key or the client certificate access to the namespace", "%s", oneLine(err))
		return false
	}
	e.ok(check, "%s exists", o.Namespace)
	return true
}

func (e *examination) searchAttributes(ctx context.Context, c client.Client, o client.Options) {
	const check = "search attributes"
	missing, err := service.MissingAttributes(ctx, c, o.Namespace)
	if err != nil {
		e.problem(check, "temporal operator search-attribute list --namespace "+o.Namespace+", and see the message",
			"%s", oneLine(err))
		return
	}
	if len(missing) == 0 {
		e.ok(check, "are registered")
		return
	}
	cure := "start a worker, which registers them, or: temporal operator search-attribute create --namespace " +
		o.Namespace
	names := slices.Sorted(maps.Keys(missing))
	for _, name := range names {
		cure += fmt.Sprintf(" --name %s --type %s", name, missing[name])
	}
	e.warn(check, cure, "missing: %v", names)
}

func (e *examination) pollers(ctx context.Context, c client.Client) {
	const check = "workers"
	queue := e.Config.Temporal.TaskQueue
	got, err := c.DescribeTaskQueue(ctx, queue, enumspb.TASK_QUEUE_TYPE_WORKFLOW)
	switch {
	case err != nil:
		e.warn(check, "see Temporal's log", "%s", oneLine(err))
	case len(got.GetPollers()) == 0:
		e.warn(check, "greenroom worker", "none polls the task queue %s: nothing is delivered", queue)
	default:
		e.ok(check, "%d poll the task queue %s", len(got.GetPollers()), queue)
	}
}
