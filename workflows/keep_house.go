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

// KeepHouse is the upkeep that a Temporal Schedule runs: partitions made ahead and dropped when they are old.
func KeepHouse(ctx workflow.Context, in KeepHouseInput) error {
	var a *activities.Activities
	return workflow.ExecuteActivity(withShortActivity(ctx), a.KeepPartitions, in.RetentionDays).Get(ctx, nil)
}
