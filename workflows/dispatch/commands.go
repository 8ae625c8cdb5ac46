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

// commandsEach bounds one round of commands: so many calls of Temporal one after another, each of which may take
// startLimit, end within roundLimit.
const commandsEach = 5

// dispatchCommands is one round of commands: each signals or starts a workflow. Failed ones go back to the outbox.
func (d *Dispatcher) dispatchCommands(ctx context.Context) (Result, error) {
	var r Result
	err := d.inTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		atOnce := d.temporal.atOnce()
		limit := atOnce * commandsEach
		commands, err := delivery.TakeCommands(ctx, tx, limit)
		if err != nil || len(commands) == 0 {
			return err
		}
		if err := waitsForTemporal(ctx, tx); err != nil {
			return err
		}
		t := &commandRound{Dispatcher: d, tx: tx}
		each(commands, atOnce, func(c delivery.Command) { t.try(ctx, c) })
		d.temporal.learn(t.unavailable)
		done := len(commands) - len(t.failed)
		r = Result{
			Taken: done, Failed: len(t.failed), Unavailable: t.unavailable && done == 0, more: len(commands) >= limit,
		}
		t.report(ctx, done)
		return delivery.PutBackCommands(ctx, tx, t.failed)
	})
	return r, err
}

// commandRound is one round of commands. tx is one connection, so it is used under mu.
type commandRound struct {
	*Dispatcher
	mu          sync.Mutex
	tx          bun.Tx
	failed      []delivery.FailedCommand
	unavailable bool // Temporal did not answer one of them
}

func (t *commandRound) try(ctx context.Context, c delivery.Command) {
	ctx, cancel := context.WithTimeout(delivery.WithTrace(ctx, c.Trace), startLimit)
	defer cancel()
	err := t.execute(ctx, c)
	if err == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	f := delivery.FailedCommand{Command: c, Reason: err.Error(), Unavailable: isUnavailable(err)}
	f.Keep = f.Unavailable || isContended(err) || errors.Is(err, errUnknownKind)
	t.failed, t.unavailable = append(t.failed, f), t.unavailable || f.Unavailable
}

// report logs refused commands. When other commands of the round were done, Temporal does answer: a command that found
// it unavailable is then treated as refused, so that it cannot hold up every round.
func (t *commandRound) report(ctx context.Context, done int) {
	for i := range t.failed {
		f := &t.failed[i]
		f.Unavailable = f.Unavailable && done == 0
		if !f.Unavailable {
			t.o.Logger.ErrorContext(ctx, "command to a workflow failed", "kind", f.Kind, "subject_id", f.SubjectID,
				"attempt", f.Attempts+1, "parked", f.Parked(), "error", f.Reason)
		}
	}
}

// execute signals the command's workflow, and starts it when it is gone. A delivery is started by way of the queue.
func (t *commandRound) execute(ctx context.Context, c delivery.Command) error {
	if c.Kind == delivery.WakeDelivery {
		return t.wakeDelivery(ctx, c)
	}
	return t.signalRow(ctx, c.Kind, c.SubjectID, enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY)
}

// errUnknownKind means that a newer version wrote the command, before a roll-back for example.
var errUnknownKind = errors.New("command kind is not known to this version")

// signalRow signals the workflow of a row that changed, and starts it when there is none. once says whether a workflow
// without signals is started again after it has ended.
func (d *Dispatcher) signalRow(
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
			d.linkTo("/interviews/"+id.String()),
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
			d.linkTo("/webhooks/"+id.String()+"/circuit"),
			workflows.Circuit,
			workflows.CircuitInput{
				WebhookID:     id,
				Probe:         s.Probe,
				ByProfile:     s.ByProfile,
				Cooldown:      s.Cooldown,
				CooldownLimit: s.CooldownLimit,
				ReleaseLimit:  s.ReleaseLimit,
				Refresh:       true,
			},
		)
	case delivery.ReplayChanged:
		return d.signal(ctx, workflows.ReplayWorkflowID(id), workflows.SignalReplayChanged, "",
			d.linkTo("/replays/"+id.String()), workflows.ReplayDeliveries,
			workflows.ReplayDeliveriesInput{ReplayID: id, PerSecond: d.o.Circuit.ReleaseLimit})
	case db.GenerationRequested:
		return d.startOnce(ctx, workflows.GenerateInterviewWorkflowID(id), once, workflows.GenerateInterview,
			workflows.GenerateInterviewInput{GenerationID: id})
	case db.RunChanged:
		return d.signal(ctx, workflows.ServiceRunWorkflowID(id), workflows.SignalRunChanged, d.summaryOfRun(ctx, id), "",
			workflows.ServiceRun, workflows.ServiceRunInput{RunID: id})
	case db.StaffInvited:
		return d.startOnce(ctx, workflows.InviteStaffWorkflowID(id), once, workflows.InviteStaff,
			workflows.InviteStaffInput{StaffID: id})
	case delivery.WakeDelivery: // needs the command's arguments
	}
	return fmt.Errorf("command %q: %w", kind, errUnknownKind)
}

func (d *Dispatcher) signal(ctx context.Context, id, signal, summary, details string, workflow, input any) error {
	_, err := d.o.Client.SignalWithStartWorkflow(ctx, id, signal, nil, client.StartWorkflowOptions{
		TaskQueue:             d.o.TaskQueue,
		WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		StaticSummary:         summary,
		StaticDetails:         details,
	}, workflow, input)
	return err
}

// linkTo links a page of the console in the details of a workflow, which the Temporal UI shows as Markdown.
func (d *Dispatcher) linkTo(page string) string {
	if d.o.ConsoleURL == "" {
		return ""
	}
	return "[In the console](" + d.o.ConsoleURL + page + ")"
}

// summaryOfCircuit names the webhook's host for the Temporal UI. It is "" when the webhook cannot be read: the workflow
// starts without it.
func (d *Dispatcher) summaryOfCircuit(ctx context.Context, id uuid.UUID) string {
	hooks, err := delivery.LoadWebhooks(ctx, d.o.DB, []uuid.UUID{id})
	if err != nil || hooks[id] == nil {
		return ""
	}
	return "circuit of " + webhook.Host(hooks[id].URL)
}

// summaryOfInterview names the interview's type and number for the Temporal UI, like summaryOfCircuit.
func (d *Dispatcher) summaryOfInterview(ctx context.Context, id uuid.UUID) string {
	i, err := db.InterviewKind(ctx, d.o.DB, id)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%s interview %d", strings.ToLower(string(i.Type)), i.Number)
}

// summaryOfRun says what a service is asked for, like summaryOfCircuit.
func (d *Dispatcher) summaryOfRun(ctx context.Context, id uuid.UUID) string {
	r, err := db.GetRun(ctx, d.o.DB, id)
	if err != nil {
		return ""
	}
	return strings.ReplaceAll(string(r.Kind), "_", " ")
}

// startOnce starts a workflow without a signal. One that runs is unchanged, and so is one that has ended unless reuse
// allows another.
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

// wakeDelivery wakes the workflow of a delivery. If an operator ended that workflow, the delivery goes back to the
// queue and gets another one.
func (t *commandRound) wakeDelivery(ctx context.Context, c delivery.Command) error {
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
