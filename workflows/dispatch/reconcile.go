package dispatch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"

	"greenroom/db"
	"greenroom/db/delivery"
	"greenroom/workflows"
)

var reconciled = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "greenroom_reconciled_total",
	Help: "Rows whose workflow was missing or late, by kind: it was started or signaled again.",
}, []string{"kind"})

// Collectors are this package's metrics.
func Collectors() []prometheus.Collector { return []prometheus.Collector{reconciled} }

const (
	// sweepPage bounds one page of overdue deliveries. A round reads pages for sweepTime, and the next round continues
	// after them.
	sweepPage = 1000
	sweepTime = time.Second
	// lookPage bounds one page of rows of another kind, looksAtOnce the pages of a round.
	lookPage    = 200
	looksAtOnce = 5
	// settleTime is how long workflows may catch up by themselves after Temporal was unavailable: work that was due then
	// is overdue now.
	settleTime = 10 * time.Second
)

// reconciler makes sure that every row that needs a workflow has one: no work is known to Temporal's store alone. It
// runs in the leader.
type reconciler struct {
	*Dispatcher
	sweptTo delivery.SweepCursor
	// unavailable: Temporal did not answer the last time. backAt is when it answered again.
	unavailable bool
	backAt      time.Time
}

// kinds are the rows besides deliveries that need a workflow, with the command and the workflow id of each.
var kinds = []struct {
	delivery.Reconciled
	command  delivery.CommandKind
	workflow func(uuid.UUID) string
}{
	{db.ReconciledInterviews, db.InterviewChanged, workflows.InterviewWorkflowID},
	{delivery.ReconciledCircuits, delivery.CircuitChanged, workflows.CircuitWorkflowID},
	{delivery.ReconciledReleases, delivery.CircuitChanged, workflows.CircuitWorkflowID},
	{delivery.ReconciledReplays, delivery.ReplayChanged, workflows.ReplayWorkflowID},
	{db.ReconciledGenerations, db.GenerationRequested, workflows.GenerateInterviewWorkflowID},
	{db.ReconciledRuns, db.RunChanged, workflows.ServiceRunWorkflowID},
	{db.ReconciledActivations, db.StaffInvited, workflows.InviteStaffWorkflowID},
}

// runOnce is one reconciliation. Taken counts the rows that got a workflow.
func (r *reconciler) runOnce(ctx context.Context) (res Result, err error) {
	if !r.temporalAnswers(ctx) {
		return Result{Unavailable: true}, nil
	}
	n, err := r.sweep(ctx)
	r.report(ctx, "delivery", n)
	res.Taken = n
	for _, k := range kinds {
		found, lookErr := r.look(ctx, k.Reconciled, k.command, k.workflow)
		r.report(ctx, k.Kind, found)
		res.Taken += found
		if isUnavailable(lookErr) {
			return Result{Taken: res.Taken, Unavailable: true}, err
		}
		err = errors.Join(err, lookErr)
	}
	return res, err
}

// temporalAnswers prepares Temporal, whose store may have come back empty. After an outage it is false for settleTime.
func (r *reconciler) temporalAnswers(ctx context.Context) bool {
	if r.o.Prepare != nil {
		if err := r.o.Prepare(ctx); isUnavailable(err) {
			r.unavailable = true
			return false
		} else if err != nil {
			r.o.Logger.WarnContext(ctx, "Temporal cannot be prepared", "error", err)
		}
	}
	if r.unavailable {
		r.unavailable, r.backAt = false, time.Now()
	}
	return time.Since(r.backAt) > settleTime
}

func (r *reconciler) report(ctx context.Context, kind string, n int) {
	if n > 0 {
		reconciled.WithLabelValues(kind).Add(float64(n))
		r.o.Logger.WarnContext(ctx, "rows without a workflow got one", "kind", kind, "count", n)
	}
}

// sweep reads the overdue deliveries page by page. What a round does not reach, the next one does.
func (r *reconciler) sweep(ctx context.Context) (requeued int, err error) {
	for until := time.Now().Add(sweepTime); time.Now().Before(until); {
		p, err := delivery.SweepDeliveries(ctx, r.o.DB, r.sweptTo, r.o.Reconcile.Grace, sweepPage)
		if err != nil {
			return requeued, err
		}
		requeued += p.Requeued
		r.sweptTo = p.Next
		if p.Looked < sweepPage {
			r.sweptTo = delivery.SweepCursor{}
			break
		}
	}
	return requeued, nil
}

// look reads the due rows of one kind, signals their workflows, and starts the missing ones. A row that was read is not
// due again for a while, unless Temporal was unavailable.
func (r *reconciler) look(
	ctx context.Context,
	k delivery.Reconciled,
	command delivery.CommandKind,
	workflow func(uuid.UUID) string,
) (found int, err error) {
	for range looksAtOnce {
		due, err := delivery.LookForDue(ctx, r.o.DB, k, r.o.Reconcile.Grace, lookPage)
		if err != nil || len(due) == 0 {
			return found, err
		}
		page := &lookedPage{reconciler: r, kind: k, command: command, workflow: workflow}
		each(due, r.temporal.atOnce(), func(d delivery.Due) { page.visit(ctx, d) })
		r.temporal.learn(page.err != nil)
		found += page.found
		if err := errors.Join(page.err, delivery.NoteLooked(ctx, r.o.DB, k, page.looked)); err != nil || len(due) < lookPage {
			return found, err
		}
	}
	return found, nil
}

// lookedPage is one page of rows of a kind.
type lookedPage struct {
	*reconciler
	kind     delivery.Reconciled
	command  delivery.CommandKind
	workflow func(uuid.UUID) string

	mu     sync.Mutex
	looked []delivery.Due
	found  int
	err    error
}

func (p *lookedPage) visit(ctx context.Context, d delivery.Due) {
	found, err := p.signalDue(ctx, d)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case isUnavailable(err):
		p.err = err
		return
	case isContended(err): // it is visited again
		return
	case err != nil:
		p.o.Logger.ErrorContext(ctx, "workflow cannot be signaled", "kind", p.kind.Kind, "subject_id", d.ID, "error", err)
	case found:
		p.found++
	}
	p.looked = append(p.looked, d)
}

// signalDue reports whether the row's workflow was missing, or late with what it should have done.
func (p *lookedPage) signalDue(ctx context.Context, d delivery.Due) (found bool, err error) {
	if !d.Overdue && !d.Needed {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	runs, err := p.runs(ctx, p.workflow(d.ID))
	if err != nil || runs && !d.Overdue {
		return false, err
	}
	// The row says that there is work, so a workflow that has ended is started again, however it ended.
	err = p.signalRow(ctx, p.command, d.ID, enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE)
	return err == nil && (!runs || !p.kind.Works), err
}

// runs reports whether a workflow exists and has not ended.
func (d *Dispatcher) runs(ctx context.Context, workflow string) (bool, error) {
	w, err := d.o.Client.DescribeWorkflowExecution(ctx, workflow, "")
	var gone *serviceerror.NotFound
	if errors.As(err, &gone) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for a workflow: %w", err)
	}
	return w.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, nil
}
