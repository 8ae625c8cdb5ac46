package workflows

import (
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"greenroom/activities"
)

// GenerateInterviewInput names the generation; what is to be made is in its row.
type GenerateInterviewInput struct{ GenerationID uuid.UUID }

// GenerateInterviewWorkflowID is the id of the one workflow of a generation.
func GenerateInterviewWorkflowID(generation uuid.UUID) string {
	return "generate:" + generation.String()
}

// GenerateInterview makes an AI interview from a role and its description: the job, then its questions, when there is
// a generator to write them. The client hears of the progress where it asked to. A generator that refuses, or cannot
// be reached, fails the generation; the job stays. A cancellation request fails the generation too.
func GenerateInterview(ctx workflow.Context, in GenerateInterviewInput) error {
	if in.GenerationID == uuid.Nil {
		return refuse(`the input has no "GenerationID"`)
	}
	err := generate(ctx, in)
	if !temporal.IsCanceledError(err) {
		return err
	}
	work, _ := workflow.NewDisconnectedContext(ctx)
	var a *activities.Activities
	end := activities.EndGenerationInput{
		GenerationID: in.GenerationID,
		Reason:       "the generation was canceled by an operator",
	}
	if err := workflow.ExecuteActivity(recording(work, "cancel"), a.EndGeneration, end).Get(work, nil); err != nil {
		return err
	}
	return err
}

func generate(ctx workflow.Context, in GenerateInterviewInput) error {
	var a *activities.Activities
	var s activities.GenerationState
	err := workflow.ExecuteActivity(recording(ctx, "create the AI interview"), a.CreateGenerated, in.GenerationID).
		Get(ctx, &s)
	if err != nil {
		return err
	}
	g := &generation{id: in.GenerationID, state: s}
	reason, err := g.askForQuestions(ctx)
	if err != nil {
		return err
	}
	end := activities.EndGenerationInput{GenerationID: in.GenerationID, Reason: reason}
	if err := workflow.ExecuteActivity(recording(ctx, "note the end"), a.EndGeneration, end).Get(ctx, nil); err != nil {
		return err
	}
	return g.notify(ctx, notifyEndWithin)
}

type generation struct {
	id    uuid.UUID
	state activities.GenerationState
}

const (
	// generateWithin: a generator takes minutes; one that is down for an hour is better told of than waited for.
	generateWithin = time.Hour
	// notifyWithin is for progress, which the next news replaces; the end is worth a day of tries, like the first tries
	// of a webhook's delivery.
	notifyWithin    = 10 * time.Minute
	notifyEndWithin = 24 * time.Hour
)

// askForQuestions has the generator asked and meanwhile tells the client that the interview is there; that news is
// given up when the end is to be told. It returns why there are no questions although there should be.
func (g *generation) askForQuestions(ctx workflow.Context) (reason string, err error) {
	if !g.state.HasGenerator {
		return "", nil
	}
	telling, stop := workflow.WithCancel(ctx)
	told := workflow.NewBufferedChannel(ctx, 1)
	workflow.Go(telling, func(telling workflow.Context) {
		_ = g.notify(telling, notifyWithin)
		told.SendAsync(nil)
	})
	var a *activities.Activities
	err = workflow.ExecuteActivity(asking(ctx, generateWithin, "ask for questions"), a.AskGenerator, g.id).Get(ctx, nil)
	stop()
	told.Receive(ctx, nil) // so that news cannot overtake each other
	if outOfTries(err) {
		workflow.GetLogger(ctx).Warn("generator not reached", "error", err)
		return "the generator could not be reached", nil
	}
	return "", err
}

// notify tells the client where the generation stands. One that cannot be reached can still ask.
func (g *generation) notify(ctx workflow.Context, within time.Duration) error {
	if !g.state.Notifies {
		return nil
	}
	var a *activities.Activities
	options := workflow.ActivityOptions{
		StartToCloseTimeout:    askTimeout,
		ScheduleToCloseTimeout: within,
		WaitForCancellation:    true,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    time.Second,
			BackoffCoefficient: 2,
			MaximumInterval:    10 * time.Minute,
		},
		Summary: "tell the client",
	}
	err := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), a.NotifyGeneration, g.id).Get(ctx, nil)
	if outOfTries(err) {
		workflow.GetLogger(ctx).Warn("client not notified", "error", err)
		return nil
	}
	return err
}
