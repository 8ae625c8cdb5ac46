package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// DropPartitions drops the day partitions that ended before `before` and returns their names. Retention is this: a
// DELETE is made only of rows that fell into the default partition because their day had none. What keeps an old day
// is in dayTables. Other users of the tables never wait longer than lockTimeout. When a table is busy
// (errors.Is ErrPartitionBusy), its remaining days are left for the next run: each try would delay the other users.
func DropPartitions(ctx context.Context, db *bun.DB, before time.Time) (dropped []string, err error) {
	var busy []error
	for _, table := range dayTables {
		did, err := dropDays(ctx, db, table, before)
		dropped = append(dropped, did...)
		if errors.Is(err, ErrPartitionBusy) {
			busy = append(busy, err)
		} else if err != nil {
			return dropped, err
		}
		if err := clearDefault(ctx, db, table, before); err != nil {
			return dropped, err
		}
	}
	return dropped, errors.Join(busy...)
}

func dropDays(ctx context.Context, db *bun.DB, table dayTable, before time.Time) (dropped []string, err error) {
	days, err := oldDays(ctx, db, table, before)
	if err != nil {
		return nil, err
	}
	for _, d := range days {
		if table.name == "deliveries" {
			waiting, err := d.expire(ctx, db, waitingOfDay, ExpiredInLine)
			if err != nil {
				return dropped, err
			}
			paused, err := d.expire(ctx, db, pausedOfDay, ExpiredWhilePaused)
			if err != nil {
				return dropped, err
			}
			if waiting+paused > 0 { // stay visible until the next run of maintenance
				continue
			}
		}
		did, err := d.drop(ctx, db)
		if err != nil {
			return dropped, err
		}
		if did {
			dropped = append(dropped, d.partition())
		}
	}
	return dropped, nil
}

// ExpiredWhilePaused is the last error of a delivery whose circuit stayed open, or whose webhook inactive, until it
// was too old. ExpiredInLine is that of one that waited for such a delivery, or for one that blocked its subject.
const (
	ExpiredWhilePaused = "expired while paused: " +
		"its webhook was inactive, or its circuit open, for longer than deliveries are kept"
	ExpiredInLine = "expired while it waited: " +
		"an earlier delivery of its subject was paused, or blocked the subject, for longer than deliveries are kept"
)

// Of a day, from id ?0 to ?1: the paused deliveries, and those that wait in a line whose head is paused or has failed.
const (
	pausedOfDay = `SELECT id FROM deliveries WHERE id >= ?0 AND id < ?1 AND status = 'paused'
		AND live_webhook(status, webhook_id) >= '00000000-0000-0000-0000-000000000000' LIMIT ?2 FOR UPDATE SKIP LOCKED`
	waitingOfDay = `SELECT d.id FROM line_waiting w
		CROSS JOIN LATERAL (SELECT h.delivery_id FROM line_heads h
			WHERE h.webhook_id = w.webhook_id AND h.subject = w.subject OFFSET 0) h
		CROSS JOIN LATERAL (SELECT x.status FROM deliveries x WHERE x.id = h.delivery_id OFFSET 0) x
		CROSS JOIN LATERAL (SELECT d.id FROM deliveries d
			WHERE d.id = w.delivery_id AND d.status = 'pending' FOR UPDATE SKIP LOCKED) d
		WHERE w.delivery_id >= ?0 AND w.delivery_id < ?1 AND x.status IN ('paused', 'failed') LIMIT ?2`
)

// expire fails deliveries of the day, page by page: one unavailable webhook must not keep the day of all. Their
// workflows are woken and end while the rows still exist.
func (d day) expire(ctx context.Context, db *bun.DB, which, reason string) (expired int64, err error) {
	lo, hi := d.bounds()
	for {
		var n int64
		err := db.NewRaw(`WITH e AS (
			UPDATE deliveries SET status = 'failed', last_error = ?3, next_attempt_at = NULL, updated_at = now()
			WHERE id IN (`+which+`)
			RETURNING id, workflow_id
		), c AS (
			INSERT INTO commands (id, kind, subject_id) SELECT uuid_v7(), ?4, id FROM e WHERE workflow_id IS NOT NULL
		) SELECT count(*) FROM e`, lo, hi, clearPage, reason, string(WakeDelivery)).Scan(ctx, &n)
		if err != nil {
			return expired, fmt.Errorf("expire deliveries of %s: %w", d.partition(), err)
		}
		if expired += n; n == 0 {
			return expired, nil
		}
	}
}

// oldDays are the table's partitions whose day ended before that time, oldest first.
func oldDays(ctx context.Context, db *bun.DB, table dayTable, before time.Time) (days []day, err error) {
	var names []string
	err = db.NewRaw(`SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = ?::regclass`,
		table.name).
		Scan(ctx, &names)
	if err != nil {
		return nil, fmt.Errorf("list partitions of %s: %w", table.name, err)
	}
	for _, name := range names {
		at, err := time.Parse(dayLayout, strings.TrimPrefix(name, table.name+"_"))
		if err == nil && !at.AddDate(0, 0, 1).After(before) { // not the default partition, nor one that an operator made
			days = append(days, day{table, at})
		}
	}
	slices.SortFunc(days, func(a, b day) int { return a.at.Compare(b.at) })
	return days, nil
}

// OldestDay returns the beginning of the oldest day that has a partition, the zero time when there is none.
func OldestDay(ctx context.Context, db *bun.DB) (oldest time.Time, err error) {
	for _, table := range dayTables {
		days, err := oldDays(ctx, db, table, time.Now().AddDate(1, 0, 0))
		if err != nil {
			return time.Time{}, err
		}
		if len(days) > 0 && (oldest.IsZero() || days[0].at.Before(oldest)) {
			oldest = days[0].at
		}
	}
	return oldest, nil
}

// Day is a day's partitions of deliveries, attempts and events.
type Day struct {
	At time.Time // its midnight, UTC
	// Tables are the tables that have a partition of the day, Bytes their size with indexes.
	Tables int
	Bytes  int64
}

// ListDays returns the days that have partitions, newest first.
func ListDays(ctx context.Context, db *bun.DB) ([]Day, error) {
	byDay := map[time.Time]*Day{}
	for _, table := range dayTables {
		days, err := oldDays(ctx, db, table, time.Now().AddDate(1, 0, 0))
		if err != nil {
			return nil, err
		}
		for _, d := range days {
			var bytes *int64 // nil: dropped since
			err := db.NewRaw("SELECT pg_total_relation_size(to_regclass(?))", d.partition()).Scan(ctx, &bytes)
			if err != nil {
				return nil, fmt.Errorf("measure partition: %w", err)
			}
			if byDay[d.at] == nil {
				byDay[d.at] = &Day{At: d.at}
			}
			if byDay[d.at].Tables++; bytes != nil {
				byDay[d.at].Bytes += *bytes
			}
		}
	}
	all := make([]Day, 0, len(byDay))
	for _, d := range byDay {
		all = append(all, *d)
	}
	slices.SortFunc(all, func(a, b Day) int { return b.At.Compare(a.At) })
	return all, nil
}

// drop drops the day's partition unless it is held. It checks that again under the lock, because a delivery may be
// replayed at the same time. DROP TABLE locks the parent, and with it everybody, so this waits for
// it briefly and never holds two parents at once: it cannot come to a deadlock with the statements that write to
// several of them. (DETACH PARTITION CONCURRENTLY would not lock, but PostgreSQL refuses it where there is a default
// partition.)
func (d day) drop(ctx context.Context, db *bun.DB) (did bool, err error) {
	if held, err := d.isHeld(ctx, db); err != nil || held {
		return false, err
	}
	err = withLockTimeout(ctx, db, "drop partition "+d.partition(), func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.ExecContext(ctx, "LOCK TABLE ONLY ? IN ACCESS EXCLUSIVE MODE", bun.Ident(d.name)); err != nil {
			return err
		}
		held, err := d.isHeld(ctx, tx)
		if err != nil || held {
			return err
		}
		if d.name == "events" {
			if err := d.noteMissed(ctx, tx); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, "DROP TABLE IF EXISTS ?", bun.Ident(d.partition())); err != nil {
			return err
		}
		did = true
		return nil
	})
	return did && err == nil, err
}

// noteMissed records in the feed which events are removed with the day's partition.
func (d day) noteMissed(ctx context.Context, tx bun.Tx) error {
	_, err := tx.ExecContext(ctx, `UPDATE event_feed SET dropped_through = GREATEST(dropped_through,
		COALESCE((SELECT position FROM ? ORDER BY position DESC, id DESC LIMIT 1), 0))`, bun.Ident(d.partition()))
	return err
}

func (d day) isHeld(ctx context.Context, db bun.IDB) (held bool, err error) {
	lo, hi := d.bounds()
	err = db.NewRaw("SELECT "+d.held, lo, hi, pg.FloorID(d.at.AddDate(0, 0, 2))).Scan(ctx, &held)
	if err != nil {
		return false, fmt.Errorf("check what holds %s: %w", d.partition(), err)
	}
	return held, nil
}

// clearDefault deletes rows of days that never had a partition, by the same rules.
func clearDefault(ctx context.Context, db *bun.DB, table dayTable, before time.Time) error {
	for from := (time.Time{}); ; {
		var first uuid.UUID
		err := db.NewRaw("SELECT ?0 FROM ?1 WHERE ?0 >= ?2 AND ?0 < ?3 ORDER BY ?0 LIMIT 1", bun.Ident(table.key),
			bun.Ident(table.name+"_default"), pg.FloorID(from), pg.FloorID(dayOf(before))).Scan(ctx, &first)
		if errors.Is(pg.Translate(err), pg.ErrNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("look for old rows of %s without a partition: %w", table.name, err)
		}
		d := day{table, dayOf(pg.TimeOf(first))}
		if err := d.clear(ctx, db); err != nil {
			return err
		}
		from = d.at.AddDate(0, 0, 1)
	}
}

// clearPage limits one DELETE, and how long it holds its row locks, to some tens of milliseconds.
const clearPage = 5000

// clear deletes the day's rows from the default partition, one transaction a page, so that an interruption loses at
// most one page. A delivery that is replayed at the same time is not deleted, and then holds its attempts and its
// event.
func (d day) clear(ctx context.Context, db *bun.DB) error {
	lo, hi := d.bounds()
	ended, removed := "", "1"
	note := "SELECT count(*) FROM gone"
	switch d.name {
	case "deliveries":
		ended = "AND status NOT IN ('pending', 'retrying', 'paused')"
	case "events":
		removed = "position"
		note = `, feed AS (UPDATE event_feed SET dropped_through = GREATEST(dropped_through, g.last)
			FROM (SELECT max(position) AS last FROM gone) g WHERE g.last IS NOT NULL) ` + note
	}
	for {
		held, err := d.isHeld(ctx, db)
		if err != nil || held {
			return err
		}
		var n int
		err = db.NewRaw(`WITH gone AS (DELETE FROM ?0 WHERE ctid = ANY (ARRAY(
			SELECT ctid FROM ?0 WHERE ?1 >= ?2 AND ?1 < ?3 ORDER BY ?1 LIMIT ?4 FOR UPDATE SKIP LOCKED)) ?5 RETURNING ?6) ?7`,
			bun.Ident(d.name+"_default"), bun.Ident(d.key), lo, hi, clearPage, bun.Safe(ended), bun.Safe(removed),
			bun.Safe(note)).Scan(ctx, &n)
		if err != nil {
			return fmt.Errorf("delete old rows of %s without a partition: %w", d.name, err)
		}
		if n == 0 {
			return nil
		}
	}
}
