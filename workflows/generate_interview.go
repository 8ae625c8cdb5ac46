package workflows

import (
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"greenroom/activities"
)

// GenerateInterviewInput names the generation. Its row says what to generate.
type GenerateInterviewInput struct{ GenerationID uuid.UUID }

// GenerateInterviewWorkflowID is the id of the one workflow of a generation.
func GenerateInterviewWorkflowID(generation uuid.UUID) string {
	return "generate:" + generation.String()
}

// GenerateInterview makes an AI interview from a role and its description: the job, then its questions, when a
// generator is configured. It notifies the client of the progress if the client asked for it. A generator that refuses
// or cannot be reached fails the generation; the job stays. A cancellation request fails the generation too.
func GenerateInterview(ctx workflow.Context, in GenerateInterviewInput) error {
	if in.GenerationID == uuid.Nil {
		return refuseWithout("GenerationID")
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
	if err := write(work, "cancel", a.EndGeneration, end); err != nil {
		return err
	}
	return err
}

func generate(ctx workflow.Context, in GenerateInterviewInput) error {
	var a *activities.Activities
	var s activities.GenerationState
	err := workflow.ExecuteActivity(withDBActivity(ctx, "create the AI interview"), a.CreateGenerated, in.GenerationID).
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
	if err := write(ctx, "record the end", a.EndGeneration, end); err != nil {
		return err
	}
	return g.notify(ctx, notifyEndWithin)
}

type generation struct {
	id    uuid.UUID
	state activities.GenerationState
}

const (
	// generateWithin bounds the tries to reach the generator. It needs minutes; after an hour a failure is reported.
	generateWithin = time.Hour
	// notifyWithin is for progress, which the next notification replaces. The end is retried for a day.
	notifyWithin    = 10 * time.Minute
	notifyEndWithin = 24 * time.Hour
)

// askForQuestions asks the generator, and at the same time notifies the client that the interview exists. That
// notification is given up once the generator has answered. reason says why there are no questions, when there should
// be.
func (g *generation) askForQuestions(ctx workflow.Context) (reason string, err error) {
	if !g.state.HasGenerator {
		return "", nil
	}
	notifying, stop := workflow.WithCancel(ctx)
	notified := workflow.NewBufferedChannel(ctx, 1)
	workflow.Go(notifying, func(notifying workflow.Context) {
		_ = g.notify(notifying, notifyWithin)
		notified.SendAsync(nil)
	})
	var a *activities.Activities
	ask := withService(ctx, generateWithin, "ask for questions")
	err = workflow.ExecuteActivity(ask, a.AskGenerator, g.id).Get(ctx, nil)
	stop()
	notified.Receive(ctx, nil) // notifications must not overtake each other
	if outOfTries(err) {
		workflow.GetLogger(ctx).Warn("generator not reached", "error", err)
		return "the generator could not be reached", nil
	}
	return "", err
}

// notify sends the client the state of the generation. A client that cannot be reached can still poll.
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
		Summary: "notify the client",
	}
	err := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), a.NotifyGeneration, g.id).Get(ctx, nil)
	if outOfTries(err) {
		workflow.GetLogger(ctx).Warn("client not notified", "error", err)
		return nil
	}
	return err
}
