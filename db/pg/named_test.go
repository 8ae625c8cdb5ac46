package pg_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/schema"

	"greenroom/db/pg"
)

func TestNamed(t *testing.T) {
	t.Parallel()
	s := pg.Named("SELECT @company_id::uuid, @limit, @company FROM t WHERE id = @company_id AND tags @> '{}' LIMIT @limit")
	t.Run("numbers_names_in_the_order_of_their_first_use", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, "SELECT $1::uuid, $2, $3 FROM t WHERE id = $1 AND tags @> '{}' LIMIT $2", s.SQL)
		require.Equal(t, []any{"id", 2, nil}, s.Args(pg.Args{"limit": 2, "company": nil, "company_id": "id"}))
	})
	t.Run("panics_on_a_missing_name", func(t *testing.T) {
		t.Parallel()
		require.PanicsWithValue(t, "pg: no value for @limit", func() {
			s.Args(pg.Args{"company_id": "id", "company": nil, "limits": 2})
		})
	})
	t.Run("panics_on_an_unknown_name", func(t *testing.T) {
		t.Parallel()
		require.Panics(t, func() { s.Args(pg.Args{"limit": 2, "company": nil, "company_id": "id", "other": 1}) })
	})
}

func TestArgsInABunStatement(t *testing.T) {
	t.Parallel()
	gen := schema.NewQueryGen(pgdialect.New())
	args := pg.Args{"name": "it's", "name_2": 7, "none": (*int)(nil)}
	require.Equal(t, "SELECT 'it''s', 7::int, NULL, 'it''s'",
		gen.FormatQuery("SELECT ?name, ?name_2::int, ?none, ?name", args))
	require.Equal(
		t,
		"SELECT ?other",
		gen.FormatQuery("SELECT ?other", args),
		"an unknown name stays, for PostgreSQL to refuse",
	)
}
