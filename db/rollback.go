package db

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/migrate"

	"greenroom/db/migrations"
	"greenroom/db/pg"
)

// Rollback is what rolling back the newest migrations does.
type Rollback struct {
	// Migrations are their names, in the order in which they are rolled back: the newest first.
	Migrations []string
	Lost       []Loss
}

// Loss is a table, or a column of a table that stays, that a rollback deletes.
type Loss struct {
	Table  string
	Column string // "": the whole table
	// Rows counts the rows of the table, or those that have a value in the column.
	Rows int64
}

// PlanRollback finds out what rolling back the newest applied migrations, at most steps, would delete. It executes the
// statements in a transaction that it aborts, so it locks tables for that moment. Changes of values are not listed.
func PlanRollback(ctx context.Context, db *bun.DB, steps int) (r Rollback, err error) {
	err = pg.InTx(ctx, db, func(ctx context.Context, tx bun.Tx) error {
		before, err := columns(ctx, tx)
		if err != nil {
			return err
		}
		if r.Migrations, err = rollBack(ctx, tx, steps); err != nil {
			return err
		}
		after, err := columns(ctx, tx)
		if err != nil {
			return err
		}
		r.Lost = lost(before, after)
		return errAbort
	})
	if !errors.Is(err, errAbort) {
		return Rollback{}, err
	}
	for i, l := range r.Lost {
		var counted any = bun.Safe("*")
		if l.Column != "" {
			counted = bun.Ident(l.Column)
		}
		if err := db.NewRaw("SELECT count(?) FROM ?", counted, bun.Ident(l.Table)).Scan(ctx, &r.Lost[i].Rows); err != nil {
			return Rollback{}, fmt.Errorf("count the rows of %s: %w", l.Table, err)
		}
	}
	return r, nil
}

var errAbort = errors.New("abort")

// RollBack rolls back these migrations, which must be the newest applied ones, the newest first, in one transaction.
func RollBack(ctx context.Context, db *bun.DB, names []string) error {
	return pg.InTx(ctx, db, func(ctx context.Context, tx bun.Tx) error {
		rolledBack, err := rollBack(ctx, tx, len(names))
		if err == nil && !slices.Equal(rolledBack, names) {
			return errors.New("another process has applied or rolled back migrations: nothing was changed")
		}
		return err
	})
}

// rollbackLockTimeout bounds the wait for a table that another session uses, and so how long the statements of others
// queue behind this one.
const rollbackLockTimeout = "5s"

func rollBack(ctx context.Context, tx bun.Tx, steps int) ([]string, error) {
	if _, err := tx.ExecContext(ctx, "SET LOCAL lock_timeout = '"+rollbackLockTimeout+"'"); err != nil {
		return nil, fmt.Errorf("limit the wait for locks: %w", err)
	}
	if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock(?)", migrationLock); err != nil {
		return nil, fmt.Errorf("wait for other migrations: %w", err)
	}
	names, err := newestApplied(ctx, tx, steps)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		text, err := migrations.Down(name)
		if err != nil {
			return nil, err
		}
		if _, err := tx.ExecContext(ctx, text); err != nil {
			return nil, fmt.Errorf("roll back %s: %w", name, err)
		}
		version, _, _ := strings.Cut(name, "_")
		if _, err := tx.ExecContext(ctx, "DELETE FROM bun_migrations WHERE name = ?", version); err != nil {
			return nil, fmt.Errorf("mark %s as rolled back: %w", name, err)
		}
	}
	return names, nil
}

// newestApplied returns the full names of the newest applied migrations. It refuses one that this program does not
// have: the ones before it cannot be rolled back without it.
func newestApplied(ctx context.Context, tx bun.Tx, steps int) ([]string, error) {
	var exists bool
	if err := tx.NewRaw("SELECT to_regclass('bun_migrations') IS NOT NULL").Scan(ctx, &exists); err != nil || !exists {
		return nil, err
	}
	versions := []string{}
	err := tx.NewRaw("SELECT name FROM bun_migrations ORDER BY name DESC LIMIT ?", steps).Scan(ctx, &versions)
	if err != nil {
		return nil, fmt.Errorf("list applied migrations: %w", err)
	}
	known := migrations.All().Sorted()
	names := make([]string, len(versions))
	for i, version := range versions {
		at := slices.IndexFunc(known, func(m migrate.Migration) bool { return m.Name == version })
		if at < 0 {
			return nil, fmt.Errorf("migration %s is of a newer version of Greenroom: roll it back with that version", version)
		}
		names[i] = known[at].String()
	}
	return names, nil
}

// column is a column of a table, without the partitions of tables.
type column struct{ Table, Column string }

func columns(ctx context.Context, tx bun.Tx) (all []column, err error) {
	err = tx.NewRaw(`SELECT c.relname AS table, a.attname AS column FROM pg_class c
		JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
		WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
		ORDER BY c.relname, a.attnum`).Scan(ctx, &all)
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	return all, nil
}

// lost compares the columns before and after. A table of which no column is left is listed once.
func lost(before, after []column) []Loss {
	has := map[column]bool{}
	for _, c := range after {
		has[c], has[column{Table: c.Table}] = true, true
	}
	var all []Loss
	for _, c := range before {
		l := Loss{Table: c.Table, Column: c.Column}
		if !has[column{Table: c.Table}] {
			l.Column = ""
		}
		if !has[c] && !slices.Contains(all, l) {
			all = append(all, l)
		}
	}
	return all
}

// OtherConnections counts the sessions of other Greenroom processes in the database, by the address they come from. d
// must have one connection: all others are taken for other processes'.
func OtherConnections(ctx context.Context, d *bun.DB) (byAddress map[string]int, err error) {
	var rows []struct {
		Address string
		Count   int
	}
	// A role sees the names of other roles' sessions, but not always their addresses.
	err = d.NewRaw(`SELECT COALESCE(host(client_addr), 'an unknown address') AS address, count(*) AS count
		FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid()
			AND (application_name LIKE 'greenroom%' OR application_name = current_setting('application_name'))
		GROUP BY 1`).Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("look for other processes: %w", err)
	}
	byAddress = map[string]int{}
	for _, r := range rows {
		byAddress[r.Address] = r.Count
	}
	return byAddress, nil
}

// PendingMigration is a migration that Migrate would apply.
type PendingMigration struct{ Name, SQL string }

// PendingMigrations returns what Migrate would apply, in order. It changes nothing.
func PendingMigrations(ctx context.Context, db *bun.DB) ([]PendingMigration, error) {
	all, err := MigrationStatus(ctx, db)
	if err != nil {
		return nil, err
	}
	pending := []PendingMigration{}
	for _, m := range all {
		if !m.AppliedAt.IsZero() {
			continue
		}
		text, err := migrations.Up(m.Name)
		if err != nil {
			return nil, err
		}
		pending = append(pending, PendingMigration{Name: m.Name, SQL: text})
	}
	return pending, nil
}
