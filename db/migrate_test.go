package db_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/db"
	"greenroom/db/dbtest"
	"greenroom/db/pg"
)

func TestMigrate(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	ctx := t.Context()
	t.Run("is_idempotent", func(t *testing.T) {
		applied, err := db.Migrate(ctx, d)
		require.NoError(t, err)
		require.Empty(t, applied)
	})
	all, err := db.MigrationStatus(ctx, d)
	require.NoError(t, err)
	name := func(fromEnd int) string { return all[len(all)-fromEnd].Name }
	t.Run("plans_a_rollback_without_a_change", func(t *testing.T) {
		_, err := d.ExecContext(ctx, "INSERT INTO companies (id, name) VALUES (uuid_v7(), 'Acme')")
		require.NoError(t, err)
		plan, err := db.PlanRollback(ctx, d, len(all)+1)
		require.NoError(t, err)
		require.Len(t, plan.Migrations, len(all))
		require.Equal(t, name(1), plan.Migrations[0])
		require.Contains(t, plan.Lost, db.Loss{Table: "companies", Rows: 1})
		require.Contains(t, plan.Lost, db.Loss{Table: "deliveries"}, "a table is one loss, not one for each column")
		for _, l := range plan.Lost {
			require.Empty(t, l.Column, "no table is left")
			require.NotRegexp(t, `_\d{8}$`, l.Table, "partitions belong to their table")
		}
		require.NoError(t, db.CheckMigrated(ctx, d))
	})
	t.Run("counts_the_values_of_a_lost_column", func(t *testing.T) {
		at := slices.IndexFunc(all, func(m db.MigrationState) bool { return strings.HasSuffix(m.Name, "_erasures") })
		require.Positive(t, at)
		plan, err := db.PlanRollback(ctx, d, len(all)-at)
		require.NoError(t, err)
		require.Contains(t, plan.Lost, db.Loss{Table: "deliveries", Column: "erased_at"})
		require.Contains(t, plan.Lost, db.Loss{Table: "erasures"})
	})
	t.Run("rolls_back_one", func(t *testing.T) {
		require.NoError(t, db.RollBack(ctx, d, []string{name(1)}))
		pending, err := db.PendingMigrations(ctx, d)
		require.NoError(t, err)
		require.Len(t, pending, 1)
		require.Equal(t, name(1), pending[0].Name)
		require.NotEmpty(t, pending[0].SQL)
		applied, err := db.Migrate(ctx, d)
		require.NoError(t, err)
		require.Equal(t, []string{name(1)}, applied)
	})
	t.Run("refuses_others_than_the_newest", func(t *testing.T) {
		require.ErrorContains(t, db.RollBack(ctx, d, []string{name(2)}), "another process")
		require.NoError(t, db.CheckMigrated(ctx, d))
	})
	t.Run("refuses_a_migration_of_a_newer_version", func(t *testing.T) {
		_, err := d.ExecContext(ctx, "INSERT INTO bun_migrations (name, group_id) VALUES ('29990101000001', 9)")
		require.NoError(t, err)
		_, err = db.PlanRollback(ctx, d, 1)
		require.ErrorContains(t, err, "29990101000001 is of a newer version")
		_, err = d.ExecContext(ctx, "DELETE FROM bun_migrations WHERE name = '29990101000001'")
		require.NoError(t, err)
	})
	t.Run("waits_a_while_for_a_table_in_use", func(t *testing.T) {
		tx, err := d.BeginTx(ctx, nil)
		require.NoError(t, err)
		defer func() { _ = tx.Rollback() }()
		_, err = tx.ExecContext(ctx, "LOCK TABLE erasures")
		require.NoError(t, err)
		_, err = db.PlanRollback(ctx, d, len(all))
		require.ErrorContains(t, err, "lock timeout")
		require.NoError(t, db.CheckMigrated(ctx, d))
	})
	t.Run("goes_down_and_up", func(t *testing.T) {
		plan, err := db.PlanRollback(ctx, d, len(all))
		require.NoError(t, err)
		require.NoError(t, db.RollBack(ctx, d, plan.Migrations))
		status, err := db.MigrationStatus(ctx, d)
		require.NoError(t, err)
		for _, m := range status {
			require.True(t, m.AppliedAt.IsZero(), m.Name)
		}
		var left []string
		require.NoError(
			t,
			d.NewRaw(`SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace
			AND relname NOT LIKE 'bun_%'`).Scan(ctx, &left),
		)
		require.Empty(t, left)
		applied, err := db.Migrate(ctx, d)
		require.NoError(t, err)
		require.ElementsMatch(t, plan.Migrations, applied)
	})
	t.Run("reads_an_empty_database", func(t *testing.T) {
		_, err := d.ExecContext(ctx, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
		require.NoError(t, err)
		status, err := db.MigrationStatus(ctx, d)
		require.NoError(t, err)
		require.Len(t, status, len(all))
		plan, err := db.PlanRollback(ctx, d, 1)
		require.NoError(t, err)
		require.Empty(t, plan.Migrations)
		var tables int
		require.NoError(t, d.NewRaw("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").Scan(ctx, &tables))
		require.Zero(t, tables, "it only reads")
	})
}

func TestOtherConnections(t *testing.T) {
	t.Parallel()
	other, url := dbtest.NewURL(t)
	own, err := pg.Open(t.Context(), pg.Options{URL: url, MaxConns: 1})
	require.NoError(t, err)
	defer own.Close()
	require.NoError(t, other.PingContext(t.Context()))
	found, err := db.OtherConnections(t.Context(), own)
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.NoError(t, other.Close())
	require.Eventually(t, func() bool {
		found, err = db.OtherConnections(t.Context(), own)
		return err == nil && len(found) == 0
	}, time.Minute, 10*time.Millisecond)
}

func TestFloorIDAgreesWithSQL(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	at := time.Date(2026, 3, 4, 5, 6, 7, 89e6, time.UTC)
	var id uuid.UUID
	require.NoError(t, d.NewRaw("SELECT uuid_v7_floor(?)", at).Scan(t.Context(), &id))
	require.Equal(t, pg.FloorID(at), id)
}

func TestSQLIDsAreVersion7AndOrdered(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	before := pg.FloorID(time.Now().Add(-time.Second))
	var id uuid.UUID
	require.NoError(t, d.NewRaw("SELECT uuid_v7()").Scan(t.Context(), &id))
	require.Equal(t, uuid.Version(7), id.Version())
	require.Equal(t, uuid.RFC4122, id.Variant())
	require.Greater(t, id.String(), before.String())
	require.Less(t, id.String(), pg.FloorID(time.Now().Add(time.Second)).String())
}
