package db_test

import (
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
	t.Run("goes_down_and_up", func(t *testing.T) {
		taken, err := db.Rollback(ctx, d)
		require.NoError(t, err)
		require.NotEmpty(t, taken)
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
		require.ElementsMatch(t, taken, applied)
	})
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
