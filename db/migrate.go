package db

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/migrate"

	"greenroom/db/delivery"
	"greenroom/db/migrations"
)

// Migrator returns the migrator of this schema. A migration is marked as applied once it has succeeded.
func Migrator(db *bun.DB) *migrate.Migrator {
	return migrate.NewMigrator(db, migrations.All(), migrate.WithMarkAppliedOnSuccess(true))
}

// Migrate applies all migrations, creates the partitions of the coming days, and aligns the feed of events with the
// server: see delivery.AlignFeed. Concurrent calls are serialised by an
// advisory lock.
func Migrate(ctx context.Context, db *bun.DB) (applied []string, err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock(?)", migrationLock); err != nil {
		return nil, fmt.Errorf("wait for other migrations: %w", err)
	}
	defer func() {
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock(?)", migrationLock)
	}()
	m := Migrator(db)
	if err := m.Init(ctx); err != nil {
		return nil, fmt.Errorf("prepare migrations: %w", err)
	}
	group, err := m.Migrate(ctx)
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	for _, mig := range group.Migrations {
		applied = append(applied, mig.Name+"_"+mig.Comment)
	}
	if err := delivery.EnsurePartitions(ctx, db, time.Now(), delivery.PartitionDaysAhead); err != nil {
		return applied, err
	}
	return applied, delivery.AlignFeed(ctx, db)
}

// ErrNotMigrated means that the schema is missing or older than this program.
var ErrNotMigrated = errors.New("the database is not migrated: run greenroom migrate up")

// CheckMigrated returns ErrNotMigrated when a migration of this program was not applied.
func CheckMigrated(ctx context.Context, db *bun.DB) error {
	all, err := Migrator(db).MigrationsWithStatus(ctx)
	if isUndefinedTable(err) || err == nil && len(all.Unapplied()) > 0 {
		return ErrNotMigrated
	}
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	return nil
}

// isUndefinedTable reports that not even the list of migrations exists.
func isUndefinedTable(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "42P01"
}

// MigrationState is one migration and when it was applied; zero when it was not.
type MigrationState struct {
	Name      string
	AppliedAt time.Time
}

// MigrationStatus lists all migrations, oldest first. It changes nothing: in an empty database none is applied.
func MigrationStatus(ctx context.Context, db *bun.DB) ([]MigrationState, error) {
	all, err := Migrator(db).MigrationsWithStatus(ctx)
	if isUndefinedTable(err) {
		all, err = migrations.All().Sorted(), nil
	}
	if err != nil {
		return nil, fmt.Errorf("list migrations: %w", err)
	}
	states := make([]MigrationState, 0, len(all))
	for _, mig := range all {
		states = append(states, MigrationState{Name: mig.Name + "_" + mig.Comment, AppliedAt: mig.MigratedAt})
	}
	slices.SortFunc(states, func(a, b MigrationState) int { return strings.Compare(a.Name, b.Name) })
	return states, nil
}

// migrationLock is the id of Migrate's advisory lock: an arbitrary number, unique in this database.
const migrationLock = 0x67726e726d // "grnrm"
