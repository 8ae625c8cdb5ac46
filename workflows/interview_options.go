package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// withQuickLook is for reading the interview in the workflow task. Three tries in a row cover a blip of the database;
// five seconds are a hundred times what two look-ups by key take.
func withQuickLook(ctx workflow.Context) workflow.Context {
	return workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout: 5 * time.Second,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    200 * time.Millisecond,
			BackoffCoefficient: 2,
			MaximumAttempts:    3,
		},
		Summary: "read the interview",
	})
}

// withDBActivity is for one write to the database. It is repeated until the database answers.
func withDBActivity(ctx workflow.Context, summary string) workflow.Context {
	ctx = withShortActivity(ctx)
	options := workflow.GetActivityOptions(ctx)
	options.Summary = summary
	return workflow.WithActivityOptions(ctx, options)
}

// write executes an activity that writes to the database once.
func write(ctx workflow.Context, summary string, activity, in any) error {
	return workflow.ExecuteActivity(withDBActivity(ctx, summary), activity, in).Get(ctx, nil)
}

const (
	// askTimeout is the minute that webhook.Client gives a service, and 15 s for our own reads and writes.
	askTimeout = 75 * time.Second
	// placeWithin bounds the tries to place a call: a candidate who expects it still takes it ten minutes late.
	placeWithin = 10 * time.Minute
	// hangUpWithin bounds the tries to hang up. By then an abandoned call has normally ended.
	hangUpWithin = 10 * time.Minute
)

// withService is for a request to an outside service. It is retried after 1, 2, 4 … seconds, at most 30 s apart: a
// service that restarts is found quickly, and one that is down gets few requests.
func withService(ctx workflow.Context, within time.Duration, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout:    askTimeout,
		ScheduleToCloseTimeout: within,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    time.Second,
			BackoffCoefficient: 2,
			MaximumInterval:    30 * time.Second,
		},
		Summary: summary,
	})
}

func withPlaceCall(ctx workflow.Context, retry int) workflow.Context {
	if retry == 0 {
		return withService(ctx, placeWithin, "place the call")
	}
	return withService(ctx, placeWithin, fmt.Sprintf("place the call, retry %d", retry))
}

func withHangUp(ctx workflow.Context) workflow.Context {
	return withService(ctx, hangUpWithin, "hang up")
}

// withInvitation is for sending an invitation. It is retried until the invitation's deadline, at most ten minutes
// apart: a mail server that is unavailable for minutes is often unavailable for hours. The activity itself ends when
// the candidate has started or the interview has ended.
func withInvitation(ctx workflow.Context, until time.Time) workflow.Context {
	o := workflow.ActivityOptions{
		StartToCloseTimeout: askTimeout,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    5 * time.Second,
			BackoffCoefficient: 2,
			MaximumInterval:    10 * time.Minute,
		},
		Summary: "send the invitation",
	}
	if !until.IsZero() {
		o.ScheduleToCloseTimeout = max(until.Sub(workflow.Now(ctx)), time.Second)
	}
	return workflow.WithActivityOptions(ctx, o)
}

// withAnalysis is for asking the analyser, until the analysis is due.
func withAnalysis(ctx workflow.Context, due time.Time) workflow.Context {
	return withService(ctx, max(due.Sub(workflow.Now(ctx)), time.Second), "ask for the analysis")
}
