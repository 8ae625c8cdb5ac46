package workflows

import (
	"go.temporal.io/sdk/workflow"

	"greenroom/activities"
)

// KeepHouseInput is what regular upkeep needs to know.
type KeepHouseInput struct {
	// RetentionDays is how long events, deliveries and attempts are kept.
	RetentionDays int
}

// KeepHouse is the upkeep that a Temporal Schedule runs: partitions made ahead and dropped when they are old, and answers to
// idempotency keys forgotten when their time is over.
func KeepHouse(ctx workflow.Context, in KeepHouseInput) error {
	var a *activities.Activities
	ctx = withShortActivity(ctx)
	if err := workflow.ExecuteActivity(ctx, a.KeepPartitions, in.RetentionDays).Get(ctx, nil); err != nil {
		return err
	}
	return workflow.ExecuteActivity(ctx, a.ForgetIdempotencyKeys).Get(ctx, nil)
}
