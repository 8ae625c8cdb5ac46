package db

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

// PartitionDaysAhead is how many days after today get their partition in advance: a week, so that a schedule that stood
// still over a long weekend harms nothing. Rows of a day without a partition go to the default partition, never nowhere.
const PartitionDaysAhead = 7

// partitioned are the tables cut by day; attempts follow their delivery's id.
var partitioned = []string{"events", "deliveries", "attempts"}

const dayLayout = "20060102"

// EnsurePartitions makes the day partitions from the day before `from` to `ahead` days after it. It may run at any time and
// beside itself.
func EnsurePartitions(ctx context.Context, db bun.IDB, from time.Time, ahead int) error {
	day := from.UTC().Truncate(24*time.Hour).AddDate(0, 0, -1)
	return InTx(ctx, db, func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock(?)", partitionLock); err != nil {
			return fmt.Errorf("lock partitions: %w", err)
		}
		for range ahead + 2 {
			for _, table := range partitioned {
				if err := ensureDay(ctx, tx, table, day); err != nil {
					return err
				}
			}
			day = day.AddDate(0, 0, 1)
		}
		return nil
	})
}

const partitionLock = migrationLock + 1

// ensureDay skips a day whose rows already fell into the default partition: attaching would be refused, and they are safe there.
func ensureDay(ctx context.Context, tx bun.Tx, table string, day time.Time) error {
	name := table + "_" + day.Format(dayLayout)
	lo, hi := FloorID(day), FloorID(day.AddDate(0, 0, 1))
	var exists, occupied bool
	key := "id"
	if table == "attempts" {
		key = "delivery_id"
	}
	err := tx.NewRaw("SELECT to_regclass(?) IS NOT NULL, EXISTS (SELECT 1 FROM ?_default WHERE ? >= ? AND ? < ?)",
		name, bun.Safe(table), bun.Ident(key), lo, bun.Ident(key), hi).Scan(ctx, &exists, &occupied)
	if err != nil {
		return fmt.Errorf("look up partition %s: %w", name, err)
	}
	if exists || occupied {
		return nil
	}
	_, err = tx.ExecContext(ctx, "CREATE TABLE ? PARTITION OF ? FOR VALUES FROM (?) TO (?) WITH (fillfactor = 85)",
		bun.Ident(name), bun.Ident(table), lo, hi)
	if err != nil {
		return fmt.Errorf("make partition %s: %w", name, err)
	}
	return nil
}

// DropPartitions drops the day partitions that ended before `before` and returns their names. Retention is this, never a
// DELETE. A day with deliveries that still have something to do (or wait behind an open circuit) is kept until they end.
func DropPartitions(ctx context.Context, db bun.IDB, before time.Time) ([]string, error) {
	var names []string
	err := db.NewRaw(`SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
		WHERE p.relname = 'deliveries' AND c.relname <> 'deliveries_default' ORDER BY 1`).Scan(ctx, &names)
	if err != nil {
		return nil, fmt.Errorf("list partitions: %w", err)
	}
	var dropped []string
	for _, name := range names {
		day, err := time.Parse(dayLayout, name[len("deliveries_"):])
		if err != nil || day.AddDate(0, 0, 1).After(before) {
			continue
		}
		did, err := dropDay(ctx, db, day)
		if err != nil {
			return dropped, err
		}
		dropped = append(dropped, did...)
	}
	return dropped, nil
}

// eventLead is how much older than its deliveries an event may be: those of a day's last event can belong to the next day.
const eventLead = time.Hour

func dropDay(ctx context.Context, db bun.IDB, day time.Time) ([]string, error) {
	suffix := "_" + day.Format(dayLayout)
	var live bool
	err := db.NewRaw(`SELECT EXISTS (SELECT 1 FROM deliveries WHERE id >= ? AND id < ? AND status IN ('pending', 'retrying', 'paused'))`,
		FloorID(day), FloorID(day.AddDate(0, 0, 1).Add(eventLead))).Scan(ctx, &live)
	if err != nil {
		return nil, fmt.Errorf("look for live deliveries of %s: %w", day.Format(time.DateOnly), err)
	}
	if live {
		return nil, nil
	}
	var dropped []string
	for _, table := range partitioned {
		if _, err := db.ExecContext(ctx, "DROP TABLE IF EXISTS ?", bun.Ident(table+suffix)); err != nil {
			return dropped, fmt.Errorf("drop partition %s: %w", table+suffix, err)
		}
		dropped = append(dropped, table+suffix)
	}
	return dropped, nil
}
