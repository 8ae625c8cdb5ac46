package workflows

import (
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"greenroom/activities"
)

// SignalRunChanged makes the workflow of a service run read its row: the service reported, or another pass was begun.
// The outbox sends it, and starts the workflow when there is none.
const SignalRunChanged = "changed"

// ServiceRunInput names the run. Its row says what to ask which service.
type ServiceRunInput struct{ RunID uuid.UUID }

// ServiceRunWorkflowID is the id of the one workflow of a service run.
func ServiceRunWorkflowID(run uuid.UUID) string { return "run:" + run.String() }

// ServiceRun carries one request to the sourcing service or the extractor to its end: it asks until the service
// answers, waits for the result if the service reports it later, and fails the run at its time limit. The run's row
// decides; a late result is ignored. A cancellation request fails the run.
func ServiceRun(ctx workflow.Context, in ServiceRunInput) error {
	if in.RunID == uuid.Nil {
		return refuseWithout("RunID")
	}
	r := &serviceRun{id: in.RunID, changed: workflow.GetSignalChannel(ctx, SignalRunChanged)}
	err := r.run(ctx)
	if !temporal.IsCanceledError(err) {
		return err
	}
	work, _ := workflow.NewDisconnectedContext(ctx)
	if err := r.load(work); err != nil { // the request may have come before the row was read
		return err
	}
	if err := r.end(work, activities.RunStopped, "the request was canceled by an operator"); err != nil {
		return err
	}
	return err
}

type serviceRun struct {
	id      uuid.UUID
	changed workflow.ReceiveChannel
	// state is the row as it was read last; asked is the pass that the service was asked for.
	state activities.RunState
	asked int
}

func (r *serviceRun) run(ctx workflow.Context) error {
	for {
		for r.changed.ReceiveAsync(nil) { // the row is read next
		}
		if err := r.load(ctx); err != nil {
			return err
		}
		if err := r.step(ctx); err != nil {
			return err
		}
		if !r.state.Processing && r.changed.Len() == 0 { // else a signal came while the row was read
			return nil
		}
	}
}

func (r *serviceRun) load(ctx workflow.Context) error {
	var a *activities.Activities
	r.state = activities.RunState{}
	return workflow.ExecuteActivity(withDBActivity(ctx, "read the request"), a.LoadRun, r.id).Get(ctx, &r.state)
}

// step does what the row needs: it asks the service once for each pass, and then waits for its report.
func (r *serviceRun) step(ctx workflow.Context) error {
	switch {
	case !r.state.Processing:
		return nil
	case r.asked != r.state.Pass:
		r.asked = r.state.Pass
		return r.ask(ctx)
	}
	return r.await(ctx)
}

// ask asks the service until the time limit. The row is read again unless the answer ended the run.
func (r *serviceRun) ask(ctx workflow.Context) error {
	var a *activities.Activities
	var ended bool
	within := max(r.state.DueAt.Sub(workflow.Now(ctx)), time.Second)
	ask := workflow.ExecuteActivity(withService(ctx, within, "ask the service"), a.AskService,
		activities.RunPass{RunID: r.id, Pass: r.asked})
	err := ask.Get(ctx, &ended)
	if outOfTries(err) {
		workflow.GetLogger(ctx).Warn("service not reached", "error", err)
		return r.end(ctx, activities.RunUnavailable, "the service could not be reached")
	}
	r.state.Processing = !ended
	return err
}

// await waits for a signal, at most until the time limit, where it fails the run.
func (r *serviceRun) await(ctx workflow.Context) error {
	timer, stop := workflow.WithCancel(ctx)
	defer stop()
	late, left := false, max(r.state.DueAt.Sub(workflow.Now(ctx)), 0)
	sel := workflow.NewSelector(ctx).
		AddReceive(r.changed, func(c workflow.ReceiveChannel, _ bool) { c.ReceiveAsync(nil) }).
		AddFuture(workflow.NewTimer(timer, left), func(workflow.Future) { late = true })
	if err := await(ctx, sel); err != nil || !late {
		return err
	}
	return r.end(ctx, activities.RunTimedOut, "the service did not report its result in time")
}

// end fails the run, unless it has ended.
func (r *serviceRun) end(ctx workflow.Context, code, reason string) error {
	var a *activities.Activities
	r.state.Processing = false
	return write(ctx, "fail the request", a.EndRun, activities.EndRunInput{
		RunID: r.id, Pass: r.state.Pass, Code: code, Reason: reason,
	})
}
