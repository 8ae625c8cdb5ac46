package workflows

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"greenroom/activities"
)

// Signals of the Interview workflow. Changed: the interview's row changed, so the workflow reads it; the outbox sends
// it, and starts the workflow when there is none. Cancel: cancel the interview; an engineer sends it from the Temporal
// UI or CLI, with a reason as a JSON string or without payload.
const (
	SignalInterviewChanged = "changed"
	SignalInterviewCancel  = "cancel"
)

// InterviewInput is one interview with the settings for calls that are not answered. The fields from PlacedCall on are
// the state of the previous run, when the workflow was continued as new; starters leave them empty.
type InterviewInput struct {
	InterviewID uuid.UUID
	// NoAnswerRetries is how many more calls are made, each NoAnswerDelay after an unanswered one.
	NoAnswerRetries int
	NoAnswerDelay   time.Duration

	// PlacedCall is the call that the provider has. It must be ended when the interview ends.
	PlacedCall uuid.UUID `json:",omitzero"`
	// RetriedCall is the unanswered call that was already followed by another: if that one is deleted, it is not repeated.
	RetriedCall uuid.UUID `json:",omitzero"`
	// AnalysisRequested: the analyser was asked.
	AnalysisRequested bool `json:",omitzero"`
}

// InterviewWorkflowID is the id of the one workflow of an interview.
func InterviewWorkflowID(interview uuid.UUID) string { return "interview:" + interview.String() }

// Interview manages the life of one interview: it places calls, asks for the analysis and keeps the deadlines. The
// interview's row decides; a signal only makes the workflow read it. A late change is ignored.
//
// A cancellation request does the same as the signal cancel. An interview that has taken place cannot be canceled: the
// workflow continues, for the analysis.
func Interview(ctx workflow.Context, in InterviewInput) error {
	switch {
	case in.InterviewID == uuid.Nil:
		return refuseWithout("InterviewID")
	case in.NoAnswerDelay <= 0: // without the settings an unanswered call would be the last
		return refuseWithout("NoAnswerDelay")
	}
	i := &interview{
		in:        in,
		changed:   workflow.GetSignalChannel(ctx, SignalInterviewChanged),
		cancel:    workflow.GetSignalChannel(ctx, SignalInterviewCancel),
		requested: func() bool { return ctx.Err() != nil },
	}
	work, _ := workflow.NewDisconnectedContext(ctx)
	workflow.Go(work, i.obeyCancel)
	if err := i.run(work); err != nil || i.last != activities.InterviewCanceled {
		return err
	}
	return ctx.Err()
}

type interview struct {
	in              InterviewInput
	changed, cancel workflow.ReceiveChannel
	// inviting: sending the invitation was started.
	inviting bool
	// obeying: a cancellation is being carried out.
	obeying bool
	// requested: the workflow's cancellation was requested; obeyed: that was carried out.
	requested func() bool
	obeyed    bool
	// last is the interview's status when it was last read.
	last string
	// attributed: the search attributes were written.
	attributed bool
}

func (i *interview) run(ctx workflow.Context) error {
	for {
		for i.changed.ReceiveAsync(nil) { // the row is read next
		}
		s, err := i.load(ctx)
		if err != nil {
			return err
		}
		if err := i.show(ctx, s); err != nil {
			return err
		}
		if endedByProvider(s, i.in.PlacedCall) {
			i.in.PlacedCall = uuid.Nil
		}
		i.invite(ctx, s)
		next := nextStep(s, workflow.Now(ctx), i.in)
		if err := i.take(ctx, next, s); err != nil {
			return err
		}
		if next.do == stepDone && i.quiet() {
			return nil
		}
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() && i.quiet() {
			return workflow.NewContinueAsNewError(ctx, Interview, i.in)
		}
	}
}

// invite starts sending the invitation, once per run and concurrently: a mail server that is down for days must not
// hold up the deadlines. After continue-as-new, the new run finds the mail still due, if it is.
func (i *interview) invite(ctx workflow.Context, s activities.InterviewState) {
	if !s.InvitationDue || i.inviting {
		return
	}
	i.inviting = true
	workflow.Go(ctx, func(ctx workflow.Context) {
		var a *activities.Activities
		err := workflow.ExecuteActivity(withInvitation(ctx, s.DeadlineAt), a.SendInvitation, i.in.InterviewID).Get(ctx, nil)
		if err != nil && !temporal.IsCanceledError(err) {
			workflow.GetLogger(ctx).Warn("invitation not sent", "error", err)
		}
	})
}

// quiet reports whether every signal was handled: ending the run now loses none.
func (i *interview) quiet() bool { return i.changed.Len() == 0 && !i.toCancel() && !i.obeying }

// toCancel reports whether a cancel signal or a cancellation request was not handled yet.
func (i *interview) toCancel() bool { return i.cancel.Len() > 0 || (i.requested() && !i.obeyed) }

// show writes the search attributes for the Temporal UI: company and job.
func (i *interview) show(ctx workflow.Context, s activities.InterviewState) error {
	i.last = s.Status
	if i.attributed || s.CompanyID == uuid.Nil {
		return nil
	}
	i.attributed = true
	updates := []temporal.SearchAttributeUpdate{CompanyID.ValueSet([]string{s.CompanyID.String()})}
	if s.JobID != uuid.Nil {
		updates = append(updates, JobID.ValueSet(s.JobID.String()))
	}
	return workflow.UpsertTypedSearchAttributes(ctx, updates...)
}

// load reads the row in a local activity. During a longer outage of the database it is a regular activity, which holds
// no workflow task while it waits.
func (i *interview) load(ctx workflow.Context) (s activities.InterviewState, err error) {
	var a *activities.Activities
	err = workflow.ExecuteLocalActivity(withQuickLook(ctx), a.LoadInterview, i.in.InterviewID).Get(ctx, &s)
	if err == nil || temporal.IsCanceledError(err) {
		return s, err
	}
	workflow.GetLogger(ctx).Warn("interview is loaded by an activity", "error", err)
	patient := withDBActivity(ctx, "read the interview")
	err = workflow.ExecuteActivity(patient, a.LoadInterview, i.in.InterviewID).Get(ctx, &s)
	return s, err
}

// take does one step. The row is read again afterwards.
func (i *interview) take(ctx workflow.Context, next step, s activities.InterviewState) error {
	switch next.do {
	case stepWait:
		return i.wait(ctx, next)
	case stepPlaceCall:
		return i.placeCall(ctx, s)
	case stepRetryCall:
		return i.retryCall(ctx, s)
	case stepHangUp:
		return i.hangUp(ctx)
	case stepFail:
		return i.fail(ctx, s, next.reason)
	case stepRequestAnalysis:
		return i.requestAnalysis(ctx, s)
	case stepFailAnalysis:
		return i.failAnalysis(ctx, s)
	case stepDone:
		return i.done(ctx, s)
	}
	return fmt.Errorf("unknown step %d", next.do)
}

// wait waits for a change of the row, or until the step's time.
func (i *interview) wait(ctx workflow.Context, next step) error {
	details := "waiting for " + next.what
	timerCtx, stop := workflow.WithCancel(ctx)
	defer stop()
	sel := workflow.NewSelector(ctx)
	sel.AddReceive(i.changed, func(c workflow.ReceiveChannel, _ bool) { c.Receive(ctx, nil) })
	if !next.until.IsZero() {
		details += ", until " + next.until.UTC().Format(time.RFC3339)
		timer := workflow.NewTimerWithOptions(
			timerCtx,
			next.until.Sub(workflow.Now(ctx)),
			workflow.TimerOptions{Summary: next.what},
		)
		sel.AddFuture(timer, func(workflow.Future) {})
	}
	workflow.SetCurrentDetails(
		ctx,
		fmt.Sprintf("%s; send the signal `%s` to cancel the interview", details, SignalInterviewCancel),
	)
	return await(ctx, sel)
}

// placeCall hands the call to the provider. A provider that could not be reached may have the call nevertheless.
func (i *interview) placeCall(ctx workflow.Context, s activities.InterviewState) error {
	workflow.SetCurrentDetails(ctx, "calling the candidate")
	var a *activities.Activities
	var res activities.PlaceCallResult
	in := activities.PlaceCallInput{InterviewID: i.in.InterviewID, CallID: s.Call.ID, Version: s.Version}
	err := workflow.ExecuteActivity(withPlaceCall(ctx, s.Call.RetryNumber), a.PlaceCall, in).Get(ctx, &res)
	if res.Placed || err != nil {
		i.in.PlacedCall = s.Call.ID
	}
	if !outOfTries(err) {
		return err
	}
	return i.fail(ctx, s, activities.ReasonProvider)
}

func (i *interview) retryCall(ctx workflow.Context, s activities.InterviewState) error {
	i.in.RetriedCall = s.Call.ID
	var a *activities.Activities
	return write(ctx, "no answer: schedule another call", a.RetryCall, activities.RetryCallInput{
		InterviewID: i.in.InterviewID, Version: s.Version, RetryNumber: s.Call.RetryNumber + 1,
		At: workflow.Now(ctx).Add(i.in.NoAnswerDelay),
	})
}

// hangUp ends the call at the provider. When the provider cannot be reached for minutes the call is left to end by
// itself: its report finds an interview that has ended.
func (i *interview) hangUp(ctx workflow.Context) error {
	call := i.in.PlacedCall
	i.in.PlacedCall = uuid.Nil
	var a *activities.Activities
	err := workflow.ExecuteActivity(withHangUp(ctx), a.HangUp, call).Get(ctx, nil)
	if outOfTries(err) {
		workflow.GetLogger(ctx).Warn("call not ended at the provider", "call_attempt_id", call, "error", err)
		return nil
	}
	return err
}

func (i *interview) fail(ctx workflow.Context, s activities.InterviewState, reason string) error {
	var a *activities.Activities
	return write(ctx, "fail: "+reason, a.FailInterview, activities.FailInterviewInput{
		InterviewID: i.in.InterviewID, Version: s.Version, Reason: reason,
	})
}

// requestAnalysis asks the analyser until the analysis is due. If it was not reached, the wait that follows ends at
// once and fails the analysis.
func (i *interview) requestAnalysis(ctx workflow.Context, s activities.InterviewState) error {
	i.in.AnalysisRequested = true
	workflow.SetCurrentDetails(ctx, "asking for the analysis, until "+s.AnalysisDueAt.UTC().Format(time.RFC3339))
	var a *activities.Activities
	err := workflow.ExecuteActivity(withAnalysis(ctx, s.AnalysisDueAt), a.RequestAnalysis, i.in.InterviewID).Get(ctx, nil)
	if outOfTries(err) {
		workflow.GetLogger(ctx).Warn("analyser not reached", "error", err)
		return nil
	}
	return err
}

func (i *interview) failAnalysis(ctx workflow.Context, s activities.InterviewState) error {
	var a *activities.Activities
	return write(ctx, "the analysis did not arrive in time", a.FailAnalysis, activities.FailAnalysisInput{
		InterviewID: i.in.InterviewID, Version: s.Version,
	})
}

// ending describes the interview's final state for the Temporal UI.
func ending(s activities.InterviewState) string {
	switch {
	case s.Status == "":
		return "there is no such interview"
	case s.Analysis != "":
		return fmt.Sprintf("interview %s, analysis %s", s.Status, s.Analysis)
	}
	return fmt.Sprintf("interview %s", s.Status)
}

// done waits for a cancellation that arrived last: it finds that the row has ended.
func (i *interview) done(ctx workflow.Context, s activities.InterviewState) error {
	workflow.SetCurrentDetails(ctx, "ended: "+ending(s))
	if s.Status == "" {
		return refuse(fmt.Sprintf("there is no interview %s", i.in.InterviewID))
	}
	return workflow.Await(ctx, func() bool { return !i.toCancel() && !i.obeying })
}

// obeyCancel cancels the interview for an engineer, concurrently with run: the row changes at once, and run learns of
// the change by a signal, as of any other. It receives a signal only when it can handle it, so that quiet counts every
// unhandled one.
func (i *interview) obeyCancel(ctx workflow.Context) {
	for {
		if workflow.Await(ctx, i.toCancel) != nil {
			return
		}
		i.obeying = true
		if i.requested() {
			i.obeyed = true
		}
		var reason any
		i.cancel.ReceiveAsync(&reason)
		text, _ := reason.(string)
		var a *activities.Activities
		in := activities.CancelInterviewInput{InterviewID: i.in.InterviewID, Reason: text}
		err := write(ctx, "cancel", a.CancelInterview, in)
		if err != nil {
			workflow.GetLogger(ctx).Warn("interview not canceled", "error", err)
		}
		i.obeying = false
	}
}

// outOfTries reports whether an activity failed for good; false when the workflow was canceled.
func outOfTries(err error) bool {
	var failed *temporal.ActivityError
	return errors.As(err, &failed) && !temporal.IsCanceledError(err)
}
