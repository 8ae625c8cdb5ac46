package deliver

import (
	"context"
	"errors"
	"time"

	"greenroom/db/delivery"
)

// KeepPartitions makes the partitions of the coming days and drops those that ended more than keepDays days ago. What
// is in use is left for the next upkeep: there is a week until a missing partition is wanted, and an old one harms
// nothing.
func (a *Activities) KeepPartitions(ctx context.Context, keepDays int) error {
	now := time.Now()
	made := delivery.EnsurePartitions(ctx, a.DB, now, delivery.PartitionDaysAhead)
	if made != nil && !errors.Is(made, delivery.ErrPartitionBusy) {
		return made
	}
	dropped, err := delivery.DropPartitions(ctx, a.DB, now.AddDate(0, 0, -keepDays))
	if len(dropped) > 0 {
		a.Logger.InfoContext(ctx, "dropped partitions", "partitions", dropped)
	}
	if err != nil && !errors.Is(err, delivery.ErrPartitionBusy) {
		return err
	}
	if err = errors.Join(made, err); err != nil {
		a.Logger.WarnContext(ctx, "partitions are left for the next upkeep", "error", err)
	}
	return nil
}

// disableAtOnce bounds one transaction.
const disableAtOnce = 100

// DisableAbandoned disables the webhooks whose circuit has been open for longer than openFor.
func (a *Activities) DisableAbandoned(ctx context.Context, openFor time.Duration) error {
	for {
		ids, err := delivery.DisableAbandoned(ctx, a.DB, openFor, disableAtOnce)
		for _, id := range ids {
			a.Logger.WarnContext(ctx, "webhook disabled: its circuit was open for too long", "webhook_id", id)
		}
		if err != nil || len(ids) < disableAtOnce {
			return err
		}
	}
}
