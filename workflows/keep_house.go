package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"greenroom/activities"
	"greenroom/activities/deliver"
)

// KeepHouseInput is what regular upkeep needs to know.
type KeepHouseInput struct {
	// RetentionDays is how long events, deliveries and attempts are kept.
	RetentionDays int
	// DisableAfter is how long a circuit may be open before its webhook is disabled; 0: without a limit.
	DisableAfter time.Duration `json:",omitzero"`
}

// KeepHouse is the upkeep that a Temporal Schedule runs: partitions made ahead and dropped when they are old, answers
// to idempotency keys forgotten when their time is over, and webhooks disabled whose circuit nobody closes.
func KeepHouse(ctx workflow.Context, in KeepHouseInput) error {
	var a *deliver.Activities
	ctx = withShortActivity(ctx)
	if err := workflow.ExecuteActivity(ctx, a.KeepPartitions, in.RetentionDays).Get(ctx, nil); err != nil {
		return err
	}
	var platform *activities.Activities
	if err := workflow.ExecuteActivity(ctx, platform.ForgetIdempotencyKeys).
		Get(ctx, nil); err != nil ||
		in.DisableAfter == 0 {
		return err
	}
	return workflow.ExecuteActivity(ctx, a.DisableAbandoned, in.DisableAfter).Get(ctx, nil)
}
