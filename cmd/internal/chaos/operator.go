package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"greenroom/cmd/internal/testbed"
	"greenroom/workflows"
)

const (
	handLimit  = 10 * time.Second // of one action, including the search for a workflow
	sampled    = 100              // number of workflows from which one is chosen
	candidates = 5                // number of workflows tried
	// resetEvery is how often the operator resets circuits with manual recovery.
	resetEvery = 12 * time.Second
)

// operator acts on random workflows as a person does in Temporal's UI, and records the affected deliveries.
type operator struct {
	r *run

	mu       sync.Mutex
	canceled map[uuid.UUID]bool // deliveries whose workflow or batch was canceled
	resent   map[uuid.UUID]bool // deliveries whose workflow or batch was reset
}

func newOperator(r *run) *operator {
	return &operator{r: r, canceled: map[uuid.UUID]bool{}, resent: map[uuid.UUID]bool{}}
}

// types lists the workflow types; a type with more entries is chosen more often.
var types = []string{
	"DeliverWebhook", "DeliverWebhook", "DeliverWebhook", "DeliverBatch", "Circuit", "Circuit", "ReplayDeliveries",
}

const running = " AND ExecutionStatus = 'Running'"

// act applies an action to a matching workflow of the drawn type, or else of another type. A listed workflow
// can have ended since, so act tries several. It returns errSkipped while Temporal is unavailable.
func (o *operator) act(
	ctx context.Context,
	d draw,
	condition string,
	do func(ctx context.Context, e *commonpb.WorkflowExecution) error,
) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, handLimit)
	defer cancel()
	last := errSkipped
	for i := range types {
		list, err := o.list(ctx, types[(d.of(len(types))+i)%len(types)], condition)
		if err != nil {
			return err.Error(), errSkipped
		}
		for tries := range min(len(list), candidates) {
			e := list[(d.of(len(list))+tries)%len(list)].GetExecution()
			if last = do(ctx, e); last == nil {
				return e.GetWorkflowId(), nil
			}
		}
	}
	return last.Error(), errSkipped
}

func (o *operator) list(ctx context.Context, workflow, condition string) ([]*workflowpb.WorkflowExecutionInfo, error) {
	list, err := o.r.stores.client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		Namespace: client.DefaultNamespace, PageSize: sampled, Query: "WorkflowType = '" + workflow + "'" + condition,
	})
	return list.GetExecutions(), err
}

func (o *operator) terminate(ctx context.Context, d draw) (string, error) {
	return o.act(ctx, d, running, func(ctx context.Context, e *commonpb.WorkflowExecution) error {
		return o.r.stores.client.TerminateWorkflow(ctx, e.GetWorkflowId(), e.GetRunId(), "chaos")
	})
}

func (o *operator) delete(ctx context.Context, d draw) (string, error) {
	return o.act(ctx, d, running, func(ctx context.Context, e *commonpb.WorkflowExecution) error {
		_, err := o.r.stores.client.WorkflowService().
			DeleteWorkflowExecution(ctx, &workflowservice.DeleteWorkflowExecutionRequest{
				Namespace: client.DefaultNamespace, WorkflowExecution: e,
			})
		return err
	})
}

// cancel records the deliveries before the request: it can succeed although its response is lost.
func (o *operator) cancel(ctx context.Context, d draw) (string, error) {
	return o.act(ctx, d, running, func(ctx context.Context, e *commonpb.WorkflowExecution) error {
		if err := o.note(ctx, e, o.canceled); err != nil {
			return err
		}
		return o.r.stores.client.CancelWorkflow(ctx, e.GetWorkflowId(), e.GetRunId())
	})
}

// reset resets a workflow to its first task, also one that has ended.
func (o *operator) reset(ctx context.Context, d draw) (string, error) {
	return o.act(ctx, d, "", func(ctx context.Context, e *commonpb.WorkflowExecution) error {
		first, err := o.firstTask(ctx, e)
		if err != nil {
			return err
		}
		if err := o.note(ctx, e, o.resent); err != nil {
			return err
		}
		_, err = o.r.stores.client.ResetWorkflowExecution(ctx, &workflowservice.ResetWorkflowExecutionRequest{
			Namespace:                 client.DefaultNamespace,
			WorkflowExecution:         e,
			Reason:                    "chaos",
			WorkflowTaskFinishEventId: first,
			RequestId:                 uuid.NewString(),
		})
		return err
	})
}

// firstTask returns the id of the event that completed the first workflow task.
func (o *operator) firstTask(ctx context.Context, e *commonpb.WorkflowExecution) (int64, error) {
	history := o.r.stores.client.GetWorkflowHistory(
		ctx,
		e.GetWorkflowId(),
		e.GetRunId(),
		false,
		enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT,
	)
	for history.HasNext() {
		event, err := history.Next()
		if err != nil {
			return 0, err
		}
		if event.GetEventType() == enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED {
			return event.GetEventId(), nil
		}
	}
	return 0, errors.New("the workflow has not started")
}

// signal sends a signal that an engineer could send: a wake to a delivery, a reset to a circuit, otherwise a look.
func (o *operator) signal(ctx context.Context, d draw) (string, error) {
	return o.act(ctx, d, running, func(ctx context.Context, e *commonpb.WorkflowExecution) error {
		name := workflows.SignalReplayChanged
		switch kind, _, _ := strings.Cut(e.GetWorkflowId(), ":"); kind {
		case "delivery":
			name = workflows.SignalWake
		case "circuit":
			name = workflows.SignalCircuitReset
		}
		return o.r.stores.client.SignalWorkflow(ctx, e.GetWorkflowId(), "", name, nil)
	})
}

// note adds the deliveries of a workflow to a set.
func (o *operator) note(ctx context.Context, e *commonpb.WorkflowExecution, in map[uuid.UUID]bool) error {
	ids, err := o.deliveries(ctx, e)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, id := range ids {
		in[id] = true
	}
	return nil
}

// deliveries returns the deliveries of a workflow; a Circuit, for instance, has none.
func (o *operator) deliveries(ctx context.Context, e *commonpb.WorkflowExecution) ([]uuid.UUID, error) {
	if id, err := byDelivery(e.GetWorkflowId()); err == nil {
		return []uuid.UUID{id}, nil
	}
	if !strings.HasPrefix(e.GetWorkflowId(), "batch:") {
		return nil, nil
	}
	history := o.r.stores.client.GetWorkflowHistory(
		ctx,
		e.GetWorkflowId(),
		e.GetRunId(),
		false,
		enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT,
	)
	first, err := history.Next()
	if err != nil {
		return nil, err
	}
	var in workflows.DeliverBatchInput
	for _, payload := range first.GetWorkflowExecutionStartedEventAttributes().GetInput().GetPayloads() {
		if err := json.Unmarshal(payload.GetData(), &in); err != nil {
			return nil, fmt.Errorf("read the input of a batch: %w", err)
		}
	}
	return in.Deliveries, nil
}

func (o *operator) touched(in map[uuid.UUID]bool, delivery uuid.UUID) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return in[delivery]
}

// resetCircuits resets open circuits of healthy receivers through the API, until ctx ends. Circuits with
// probes close without it.
func (o *operator) resetCircuits(ctx context.Context) {
	for testbed.Sleep(ctx, resetEvery) == nil {
		var open []uuid.UUID
		err := o.r.db.NewRaw("SELECT id FROM webhooks WHERE circuit_opened_at IS NOT NULL "+
			"AND circuit_recovery IS DISTINCT FROM 'probe'").
			Scan(ctx, &open)
		if err != nil {
			continue // PostgreSQL is down
		}
		for _, h := range o.r.hooks {
			for _, id := range open {
				if h.id == id && mode(h.receiver.mode.Load()) == healthy {
					o.resetCircuit(ctx, h)
				}
			}
		}
	}
}

func (o *operator) resetCircuit(ctx context.Context, h *hook) {
	for _, api := range o.r.fleet.apis {
		if call(ctx, api.url, h.key, "/webhooks/"+h.id.String()+"/reset-circuit", struct{}{}, nil) == nil {
			return
		}
	}
}
