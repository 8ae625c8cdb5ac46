package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// quickLook: three tries in a row are for a blip of the database; five seconds are a hundred times what two look-ups
// by key take.
func quickLook(ctx workflow.Context) workflow.Context {
	return workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout: 5 * time.Second,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    200 * time.Millisecond,
			BackoffCoefficient: 2,
			MaximumAttempts:    3,
		},
		Summary: "look at the interview",
	})
}

// recording is for one write to the database: it is repeated until the database answers.
func recording(ctx workflow.Context, summary string) workflow.Context {
	ctx = withShortActivity(ctx)
	options := workflow.GetActivityOptions(ctx)
	options.Summary = summary
	return workflow.WithActivityOptions(ctx, options)
}

const (
	// askTimeout is a minute for the service, the total deadline of webhook.Client, and a quarter for our own reads and
	// writes.
	askTimeout = 75 * time.Second
	// placeWithin: a candidate who expects a call still takes it ten minutes late; later, a failure is the better news.
	placeWithin = 10 * time.Minute
	// hangUpWithin: most calls that nobody listens to have ended by then of themselves.
	hangUpWithin = 10 * time.Minute
)

// asking is the way every outside service is asked: again after 1, 2, 4 … seconds, each half-minute at the most, so
// that one that restarts is found again quickly and one that is down is not pressed.
func asking(ctx workflow.Context, within time.Duration, summary string) workflow.Context {
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

func placing(ctx workflow.Context, retry int) workflow.Context {
	if retry == 0 {
		return asking(ctx, placeWithin, "place the call")
	}
	return asking(ctx, placeWithin, fmt.Sprintf("place the call, retry %d", retry))
}

func hangingUp(ctx workflow.Context) workflow.Context { return asking(ctx, hangUpWithin, "hang up") }

// inviting tries for as long as the invitation is open, every ten minutes at the least: a mail server that is away
// for longer than minutes is away for hours. The activity itself ends when the candidate has begun or the interview
// has ended.
func inviting(ctx workflow.Context, until time.Time) workflow.Context {
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

// analysing gives the analyser the whole time that the analysis has.
func analysing(ctx workflow.Context, due time.Time) workflow.Context {
	return asking(ctx, max(due.Sub(workflow.Now(ctx)), time.Second), "ask for the analysis")
}
