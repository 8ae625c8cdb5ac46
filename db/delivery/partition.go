package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// PartitionDaysAhead is how many days after today get their partition in advance: a week, so that upkeep that
// stands still over a long weekend does no harm. Rows of a day without a partition go to the default partition, never
// nowhere.
const PartitionDaysAhead = 7

// ErrPartitionBusy means that a partition was not created or dropped because other transactions kept its table locked.
// Nothing was changed; try again later.
var ErrPartitionBusy = errors.New("partition is in use")

// dayTable is a table that is partitioned by day.
type dayTable struct {
	name string
	key  string // the column with the UUIDv7 whose time decides the day
	// held is a condition on ?0, ?1 and ?2, the first ids of the day and of the two days after it. The day is kept while
	// it is true.
	held string
}

// dayTables in the order in which a day's are dropped. Deliveries that still have something to do keep their day;
// those that are paused are ended first. Attempts follow their deliveries. Events outlive both by a day: one of the
// last moment may belong to a delivery of the next day, which can be replayed as long as it is there. Each asks for
// the first of an index, so that no planner reads the whole day.
var dayTables = []dayTable{
	{
		"deliveries",
		"id",
		`(SELECT id FROM deliveries WHERE id >= ?0 AND id < ?1 AND live_webhook(status, webhook_id) >=
			'00000000-0000-0000-0000-000000000000'
		ORDER BY live_webhook(status, webhook_id), status, id LIMIT 1) IS NOT NULL`,
	},
	{"attempts", "delivery_id", "(SELECT id FROM deliveries WHERE id >= ?0 AND id < ?1 ORDER BY id LIMIT 1) IS NOT NULL"},
	{"events", "id", "(SELECT id FROM deliveries WHERE id >= ?0 AND id < ?2 ORDER BY id LIMIT 1) IS NOT NULL"},
}

const dayLayout = "20060102"

// day is a partition's day of one table.
type day struct {
	dayTable
	at time.Time // its midnight, UTC
}

func dayOf(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

func (d day) partition() string { return d.name + "_" + d.at.Format(dayLayout) }

func (d day) bounds() (lo, hi uuid.UUID) { return pg.FloorID(d.at), pg.FloorID(d.at.AddDate(0, 0, 1)) }

// EnsurePartitions makes the day partitions from the day before `from` to `ahead` days after it. It may run at any
// time and in several processes at once. Other users of the tables never wait longer than lockTimeout. It returns
// ErrPartitionBusy when it did not get its locks.
func EnsurePartitions(ctx context.Context, db *bun.DB, from time.Time, ahead int) error {
	first := dayOf(from).AddDate(0, 0, -1)
	for i := range ahead + 2 {
		for _, table := range dayTables {
			if err := ensureDay(ctx, db, day{table, first.AddDate(0, 0, i)}); err != nil {
				return err
			}
		}
	}
	return nil
}

// ensureDay skips a day whose rows already fell into the default partition: attaching would be refused, they are safe
// there, and DropPartitions finds them. The partition is made beside its parent and then attached, which readers and
// writers of the parent's other partitions do not notice; CREATE TABLE … PARTITION OF would lock them all out. Only
// the default partition is locked, and read to prove that it has no row of the day: it is empty unless upkeep stood
// still for a week.
func ensureDay(ctx context.Context, db *bun.DB, d day) error {
	lo, hi := d.bounds()
	settled, err := d.settled(ctx, db)
	if err != nil || settled {
		return err
	}
	return withLockTimeout(ctx, db, "make partition "+d.partition(), func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock(?)", partitionLock); err != nil {
			return err
		}
		if settled, err := d.settled(ctx, tx); err != nil || settled { // another process was faster
			return err
		}
		_, err := tx.ExecContext(
			ctx,
			"CREATE TABLE ?0 (LIKE ?1 INCLUDING DEFAULTS INCLUDING CONSTRAINTS) WITH (fillfactor = 85);"+
				"ALTER TABLE ?1 ATTACH PARTITION ?0 FOR VALUES FROM (?2) TO (?3)",
			bun.Ident(d.partition()),
			bun.Ident(d.name),
			lo,
			hi,
		)
		return err
	})
}

// MissingPartitions returns the names of the day partitions that do not exist, from the day of `from` to `ahead` days
// after it. Their rows go to the default partition.
func MissingPartitions(ctx context.Context, db bun.IDB, from time.Time, ahead int) (missing []string, err error) {
	var names []string
	for i := range ahead + 1 {
		for _, table := range dayTables {
			names = append(names, day{table, dayOf(from).AddDate(0, 0, i)}.partition())
		}
	}
	err = db.NewRaw("SELECT name FROM unnest(ARRAY[?]) name WHERE to_regclass(name) IS NULL ORDER BY name",
		bun.List(names)).Scan(ctx, &missing)
	if err != nil {
		return nil, fmt.Errorf("look for partitions: %w", err)
	}
	return missing, nil
}

const partitionLock = 0x67726e726e // migrationLock + 1

// settled reports whether the day has its partition, or rows in the default partition.
func (d day) settled(ctx context.Context, db bun.IDB) (settled bool, err error) {
	lo, hi := d.bounds()
	err = db.NewRaw("SELECT to_regclass(?) IS NOT NULL OR EXISTS (SELECT FROM ? WHERE ? >= ? AND ? < ?)",
		d.partition(), bun.Ident(d.name+"_default"), bun.Ident(d.key), lo, bun.Ident(d.key), hi).Scan(ctx, &settled)
	if err != nil {
		return false, fmt.Errorf("look up partition %s: %w", d.partition(), err)
	}
	return settled, nil
}

const (
	// lockTimeout is how long maintenance waits for a table lock. Later statements queue behind that request, so this is
	// also the longest pause of the delivery path when a transaction keeps the table locked.
	lockTimeout = 100 * time.Millisecond
	// Ordinary queries take milliseconds, so one of lockTries tries succeeds unless a transaction keeps the table locked.
	lockTries = 3
	lockPause = 300 * time.Millisecond
)

// withLockTimeout runs fn in a transaction that waits up to lockTimeout for a lock. It retries lockTries times.
func withLockTimeout(
	ctx context.Context,
	db *bun.DB,
	what string,
	fn func(ctx context.Context, tx bun.Tx) error,
) error {
	for try := 1; ; try++ {
		err := pg.InTx(ctx, db, func(ctx context.Context, tx bun.Tx) error {
			if _, err := tx.ExecContext(
				ctx,
				fmt.Sprintf("SET LOCAL lock_timeout = %d", lockTimeout.Milliseconds()),
			); err != nil {
				return err
			}
			return fn(ctx, tx)
		})
		switch {
		case err == nil:
			return nil
		case !isLockTimeout(err):
			return fmt.Errorf("%s: %w", what, err)
		case try == lockTries:
			return fmt.Errorf("%s: %w", what, ErrPartitionBusy)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, ctx.Err())
		case <-time.After(lockPause):
		}
	}
}

func isLockTimeout(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "55P03" // lock_not_available
}
