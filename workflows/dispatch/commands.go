package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/uptrace/bun"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"greenroom/db"
	"greenroom/workflows"
)

// commandsAtOnce bounds one round of commands.
const commandsAtOnce = 200

// dispatchCommands tells workflows what they must be told. Commands that could not be told go back to the outbox.
func (d *Dispatcher) dispatchCommands(ctx context.Context) (Result, error) {
	var r Result
	err := d.inTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		commands, err := db.TakeCommands(ctx, tx, commandsAtOnce)
		if err != nil || len(commands) == 0 {
			return err
		}
		t := &telling{Dispatcher: d, tx: tx}
		each(commands, startsAtOnce, func(c db.Command) { t.try(ctx, c) })
		r = Result{Taken: len(commands) - len(t.failed), Failed: len(t.failed), Away: t.away}
		return db.PutBackCommands(ctx, tx, t.failed)
	})
	return r, err
}

// telling is one round of commands. The transaction is one connection, so it is used under the lock.
type telling struct {
	*Dispatcher
	mu     sync.Mutex
	tx     bun.Tx
	failed []db.Command
	away   bool
}

func (t *telling) try(ctx context.Context, c db.Command) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	err := t.tell(ctx, c)
	if err == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed = append(t.failed, c)
	if isAway(err) {
		t.away = true
	} else {
		t.o.Logger.ErrorContext(ctx, "workflow cannot be told", "kind", c.Kind, "subject_id", c.SubjectID, "error", err)
	}
}

// tell signals the command's workflow, and starts it when there is none.
func (t *telling) tell(ctx context.Context, c db.Command) error {
	switch c.Kind {
	case db.InterviewChanged:
		s := t.o.Interview
		return t.signal(ctx, workflows.InterviewWorkflowID(c.SubjectID), workflows.SignalInterviewChanged, workflows.Interview,
			workflows.InterviewInput{InterviewID: c.SubjectID, NoAnswerRetries: s.NoAnswerRetries, NoAnswerDelay: s.NoAnswerDelay})
	case db.CircuitChanged:
		s := t.o.Circuit
		return t.signal(ctx, workflows.CircuitWorkflowID(c.SubjectID), workflows.SignalCircuitChanged, workflows.Circuit,
			workflows.CircuitInput{WebhookID: c.SubjectID, Probe: s.Probe, Cooldown: s.Cooldown, ReleaseLimit: s.ReleaseLimit})
	case db.ReplayChanged:
		return t.signal(ctx, workflows.ReplayWorkflowID(c.SubjectID), workflows.SignalReplayChanged, workflows.ReplayDeliveries,
			workflows.ReplayDeliveriesInput{ReplayID: c.SubjectID, PerSecond: t.o.Circuit.ReleaseLimit})
	case db.GenerationRequested:
		return t.startOnce(ctx, workflows.GenerateInterviewWorkflowID(c.SubjectID), workflows.GenerateInterview,
			workflows.GenerateInterviewInput{GenerationID: c.SubjectID})
	case db.DeliveryWake:
		return t.wakeDelivery(ctx, c)
	}
	return fmt.Errorf("command kind %q is not known to this version", c.Kind)
}

func (t *telling) signal(ctx context.Context, id, signal string, workflow, input any) error {
	_, err := t.o.Client.SignalWithStartWorkflow(ctx, id, signal, nil, client.StartWorkflowOptions{
		TaskQueue: t.o.TaskQueue, WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
	}, workflow, input)
	return err
}

// startOnce starts a workflow that nothing has to be told afterwards; one that runs or has run is left alone.
func (t *telling) startOnce(ctx context.Context, id string, workflow, input any) error {
	_, err := t.o.Client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: id, TaskQueue: t.o.TaskQueue, WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
	}, workflow, input)
	var started *serviceerror.WorkflowExecutionAlreadyStarted
	if errors.As(err, &started) {
		return nil
	}
	return err
}

// wakeDelivery wakes the workflow that has a delivery. If it is gone (an operator ended it), the delivery goes back to the
// queue and gets another.
func (t *telling) wakeDelivery(ctx context.Context, c db.Command) error {
	var args db.WakeArgs
	if err := json.Unmarshal(c.Args, &args); err != nil {
		return fmt.Errorf("read command: %w", err)
	}
	t.mu.Lock()
	id, err := db.WorkflowOf(ctx, t.tx, c.SubjectID)
	t.mu.Unlock()
	if err != nil || id == "" {
		return err
	}
	err = t.o.Client.SignalWorkflow(ctx, id, "", workflows.SignalWake, workflows.Wake{Probe: args.Probe})
	var gone *serviceerror.NotFound
	if !errors.As(err, &gone) {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	_, err = db.RequeueLost(ctx, t.tx, c.SubjectID)
	return err
}
