package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"greenroom/activities/webhook"
	"greenroom/db"
	"greenroom/db/delivery"
	"greenroom/workflows"
)

// commandsAtOnce bounds one round of commands.
const commandsAtOnce = 200

// dispatchCommands tells workflows what they must be told. Commands that could not be told go back to the outbox.
func (d *Dispatcher) dispatchCommands(ctx context.Context) (Result, error) {
	var r Result
	err := d.inTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		commands, err := delivery.TakeCommands(ctx, tx, commandsAtOnce)
		if err != nil || len(commands) == 0 {
			return err
		}
		t := &telling{Dispatcher: d, tx: tx}
		each(commands, startsAtOnce, func(c delivery.Command) { t.try(ctx, c) })
		told := len(commands) - len(t.failed)
		r = Result{Taken: told, Failed: len(t.failed), Away: t.away && told == 0}
		t.report(ctx, told)
		return delivery.PutBackCommands(ctx, tx, t.failed)
	})
	return r, err
}

// telling is one round of commands. The transaction is one connection, so it is used under the lock.
type telling struct {
	*Dispatcher
	mu     sync.Mutex
	tx     bun.Tx
	failed []delivery.FailedCommand
	away   bool
}

func (t *telling) try(ctx context.Context, c delivery.Command) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	err := t.tell(ctx, c)
	if err == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	f := delivery.FailedCommand{Command: c, Reason: err.Error(), Unavailable: isAway(err)}
	f.Keep = f.Unavailable || errors.Is(err, errUnknownKind)
	t.failed, t.away = append(t.failed, f), t.away || f.Unavailable
}

// report says what failed for good. Where others were told, Temporal does answer: a command that finds it unavailable
// then waits as a refused one does, so that it cannot hold up every round.
func (t *telling) report(ctx context.Context, told int) {
	for i := range t.failed {
		f := &t.failed[i]
		f.Unavailable = f.Unavailable && told == 0
		if !f.Unavailable {
			t.o.Logger.ErrorContext(
				ctx,
				"workflow cannot be told",
				"kind",
				f.Kind,
				"subject_id",
				f.SubjectID,
				"attempt",
				f.Attempts+1,
				"parked",
				f.Parked(),
				"error",
				f.Reason,
			)
		}
	}
}

// tell tells the workflow that a command is about. One that is gone is started, that of a delivery by way of the queue.
func (t *telling) tell(ctx context.Context, c delivery.Command) error {
	if c.Kind == delivery.WakeDelivery {
		return t.wakeDelivery(ctx, c)
	}
	return t.Dispatcher.tell(ctx, c.Kind, c.SubjectID, enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY)
}

// errUnknownKind: a newer version wrote the command, or an older one that was rolled back to does not know it yet.
var errUnknownKind = errors.New("command kind is not known to this version")

// tell signals the workflow of a row, and starts it when there is none. once says of a workflow that is only started
// whether it is started again when it has ended.
func (d *Dispatcher) tell(
	ctx context.Context,
	kind delivery.CommandKind,
	id uuid.UUID,
	once enumspb.WorkflowIdReusePolicy,
) error {
	switch kind {
	case db.InterviewChanged:
		s := d.o.Interview
		return d.signal(
			ctx,
			workflows.InterviewWorkflowID(id),
			workflows.SignalInterviewChanged,
			d.summaryOfInterview(ctx, id),
			workflows.Interview,
			workflows.InterviewInput{InterviewID: id, NoAnswerRetries: s.NoAnswerRetries, NoAnswerDelay: s.NoAnswerDelay},
		)
	case delivery.CircuitChanged:
		s := d.o.Circuit
		return d.signal(
			ctx,
			workflows.CircuitWorkflowID(id),
			workflows.SignalCircuitChanged,
			d.summaryOfCircuit(ctx, id),
			workflows.Circuit,
			workflows.CircuitInput{
				WebhookID:    id,
				Probe:        s.Probe,
				Cooldown:     s.Cooldown,
				ReleaseLimit: s.ReleaseLimit,
				Refresh:      true,
			},
		)
	case delivery.ReplayChanged:
		return d.signal(ctx, workflows.ReplayWorkflowID(id), workflows.SignalReplayChanged, "", workflows.ReplayDeliveries,
			workflows.ReplayDeliveriesInput{ReplayID: id, PerSecond: d.o.Circuit.ReleaseLimit})
	case db.GenerationRequested:
		return d.startOnce(ctx, workflows.GenerateInterviewWorkflowID(id), once, workflows.GenerateInterview,
			workflows.GenerateInterviewInput{GenerationID: id})
	case delivery.WakeDelivery: // needs the command's arguments
	}
	return fmt.Errorf("tell %q: %w", kind, errUnknownKind)
}

func (d *Dispatcher) signal(ctx context.Context, id, signal, summary string, workflow, input any) error {
	_, err := d.o.Client.SignalWithStartWorkflow(ctx, id, signal, nil, client.StartWorkflowOptions{
		TaskQueue:             d.o.TaskQueue,
		WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		StaticSummary:         summary,
	}, workflow, input)
	return err
}

// summaryOfCircuit names the webhook's host, for the lists of the Temporal UI. A workflow without a summary is better
// than none.
func (d *Dispatcher) summaryOfCircuit(ctx context.Context, id uuid.UUID) string {
	hooks, err := delivery.LoadWebhooks(ctx, d.o.DB, []uuid.UUID{id})
	if err != nil || hooks[id] == nil {
		return ""
	}
	return "circuit of " + webhook.Host(hooks[id].URL)
}

// summaryOfInterview names the interview's kind and number.
func (d *Dispatcher) summaryOfInterview(ctx context.Context, id uuid.UUID) string {
	i, err := db.InterviewKind(ctx, d.o.DB, id)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%s interview %d", strings.ToLower(string(i.Type)), i.Number)
}

// startOnce starts a workflow that nothing has to be told afterwards; one that runs is left alone, and one that has
// ended unless reuse allows another.
func (d *Dispatcher) startOnce(
	ctx context.Context,
	id string,
	reuse enumspb.WorkflowIdReusePolicy,
	workflow, input any,
) error {
	_, err := d.o.Client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: id, TaskQueue: d.o.TaskQueue, WorkflowIDReusePolicy: reuse,
	}, workflow, input)
	var started *serviceerror.WorkflowExecutionAlreadyStarted
	if errors.As(err, &started) {
		return nil
	}
	return err
}

// wakeDelivery wakes the workflow that has a delivery. If it is gone (an operator ended it), the delivery goes back
// to the queue and gets another.
func (t *telling) wakeDelivery(ctx context.Context, c delivery.Command) error {
	var args delivery.WakeArgs
	if err := json.Unmarshal(c.Args, &args); err != nil {
		return fmt.Errorf("read command: %w", err)
	}
	t.mu.Lock()
	id, err := delivery.WorkflowOf(ctx, t.tx, c.SubjectID)
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
	_, err = delivery.RequeueLost(ctx, t.tx, c.SubjectID, args.Probe)
	return err
}
