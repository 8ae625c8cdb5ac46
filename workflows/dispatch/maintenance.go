package dispatch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"greenroom/db"
	"greenroom/db/delivery"
	"greenroom/db/leader"
)

// workerLease is the lease of the one worker that does maintenance.
const workerLease = "leader"

// UpkeepSettings are what upkeep needs to know.
type UpkeepSettings struct {
	// RetentionDays is how long events, deliveries and attempts are kept.
	RetentionDays int
	// DisableAfter is how long a circuit may be open before its webhook is disabled; 0: without a limit.
	DisableAfter time.Duration
	// AuditDays is how long the audit log is kept; 0: without a limit.
	AuditDays int
	// SealHeaders seals the header values that an older version stored in plain text; nil: it is not done.
	SealHeaders func(context.Context) (int, error)
}

// mailEvery is how soon after its window a letter is written.
const mailEvery = 5 * time.Second

// upkeepEvery is far shorter than the week for which partitions are made ahead.
const upkeepEvery = 6 * time.Hour

// maintenance is what one worker does for all.
func (d *Dispatcher) maintenance() []leader.Task {
	r := &reconciler{Dispatcher: d}
	tasks := []leader.Task{
		{Name: "recover batches", Every: recoverEvery, Run: d.recoverStale},
		{Name: "reconcile", Every: d.o.Reconcile.Every, Run: func(ctx context.Context) error {
			_, err := r.runOnce(ctx)
			return err
		}},
		{Name: "upkeep", Every: upkeepEvery, Run: d.upkeep},
		{Name: "erase", Every: eraseEvery, Run: d.erase},
		{Name: "expire candidates", Every: expireEvery, Run: d.expire},
	}
	if d.o.MailNotices != nil {
		tasks = append(tasks, leader.Task{Name: "mail about webhooks", Every: mailEvery, Run: d.o.MailNotices})
	}
	return tasks
}

// upkeep makes and drops partitions, forgets old answers to idempotency keys, old entries of the audit log, old mail
// about webhooks and old service runs, seals headers, and disables webhooks whose circuit stays open. It needs
// PostgreSQL alone: partitions are made also while Temporal is unavailable.
func (d *Dispatcher) upkeep(ctx context.Context) error {
	_, forgotten := db.DropIdempotencyKeys(ctx, d.o.DB, time.Now().Add(-db.IdempotencyTTL))
	letters := delivery.DropNotices(ctx, d.o.DB, time.Now().AddDate(0, 0, -d.o.Upkeep.RetentionDays))
	return errors.Join(d.keepPartitions(ctx), forgotten, letters, d.disableAbandoned(ctx), d.sealHeaders(ctx),
		d.dropAudit(ctx), d.dropRuns(ctx))
}

func (d *Dispatcher) sealHeaders(ctx context.Context) error {
	if d.o.Upkeep.SealHeaders == nil {
		return nil
	}
	n, err := d.o.Upkeep.SealHeaders(ctx)
	if n > 0 {
		d.o.Logger.InfoContext(ctx, "sealed headers that an older version stored in plain text", "webhooks", n)
	}
	return err
}

// auditAtOnce bounds one statement.
const auditAtOnce = 1000

// dropAudit deletes the entries of the audit log that are older than the retention.
func (d *Dispatcher) dropAudit(ctx context.Context) error {
	if d.o.Upkeep.AuditDays == 0 {
		return nil
	}
	for {
		n, err := db.DropAudit(ctx, d.o.DB, time.Now().AddDate(0, 0, -d.o.Upkeep.AuditDays), auditAtOnce)
		if err != nil || n < auditAtOnce {
			return err
		}
	}
}

// runsAtOnce bounds one statement, which deletes up to db.MostSourced profiles with each run.
const runsAtOnce = 100

// dropRuns deletes the service runs that are older than the retention of events, with the persons that they found.
func (d *Dispatcher) dropRuns(ctx context.Context) error {
	for {
		n, err := db.DropRuns(ctx, d.o.DB, time.Now().AddDate(0, 0, -d.o.Upkeep.RetentionDays), runsAtOnce)
		if err != nil || n < runsAtOnce {
			return err
		}
	}
}

// keepPartitions makes the partitions of the coming days and drops those older than the retention. A table in use is
// left for the next upkeep: a missing partition is needed in a week at the earliest, and an old one does no harm.
func (d *Dispatcher) keepPartitions(ctx context.Context) error {
	now := time.Now()
	made := delivery.EnsurePartitions(ctx, d.o.DB, now, delivery.PartitionDaysAhead)
	if made != nil && !errors.Is(made, delivery.ErrPartitionBusy) {
		return fmt.Errorf("make partitions: %w", made)
	}
	if err := delivery.DropStreams(ctx, d.o.DB, now.AddDate(0, 0, -d.o.Upkeep.RetentionDays)); err != nil {
		return err
	}
	dropped, err := delivery.DropPartitions(ctx, d.o.DB, now.AddDate(0, 0, -d.o.Upkeep.RetentionDays))
	if len(dropped) > 0 {
		d.o.Logger.InfoContext(ctx, "dropped partitions", "partitions", dropped)
	}
	if err != nil && !errors.Is(err, delivery.ErrPartitionBusy) {
		return fmt.Errorf("drop partitions: %w", err)
	}
	if err := delivery.TidyLines(ctx, d.o.DB); err != nil {
		return err
	}
	if busy := errors.Join(made, err); busy != nil {
		d.o.Logger.WarnContext(ctx, "partitions are left for the next upkeep", "error", busy)
	}
	return nil
}

// disableAtOnce bounds one transaction.
const disableAtOnce = 100

// disableAbandoned disables the webhooks whose circuit has been open for too long.
func (d *Dispatcher) disableAbandoned(ctx context.Context) error {
	if d.o.Upkeep.DisableAfter == 0 {
		return nil
	}
	for {
		ids, err := delivery.DisableAbandoned(ctx, d.o.DB, d.o.Upkeep.DisableAfter, disableAtOnce)
		for _, id := range ids {
			d.o.Logger.WarnContext(ctx, "webhook disabled: its circuit was open for too long", "webhook_id", id)
		}
		if err != nil || len(ids) < disableAtOnce {
			return err
		}
	}
}
