package pg_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"pgregory.net/rapid"

	"greenroom/db/dbtest"
)

// TestJSONIsStoredAsItIs: any text comes back from a jsonb column, also one with backslashes that look like escapes.
func TestJSONIsStoredAsItIs(t *testing.T) {
	t.Parallel()
	d, ctx := dbtest.New(t), t.Context()
	_, err := d.ExecContext(ctx, "CREATE TABLE kept (id int PRIMARY KEY, value jsonb)")
	require.NoError(t, err)
	type kept struct {
		bun.BaseModel `bun:"table:kept"`

		ID    int             `bun:"id,pk"`
		Value json.RawMessage `bun:"value,type:jsonb"`
	}
	round := func(raw string) string {
		_, err := d.NewInsert().Model(&kept{ID: 1, Value: json.RawMessage(raw)}).
			On("CONFLICT (id) DO UPDATE").Set("value = EXCLUDED.value").Exec(ctx)
		require.NoError(t, err, raw)
		var got kept
		require.NoError(t, d.NewSelect().Model(&got).Scan(ctx))
		return string(got.Value)
	}
	for _, raw := range []string{
		`{"a": "\\u0000"}`, `{"\\u0000": "\\\\u0000"}`, `"\\\\\\u0000 ' \\' '' \" \u00e9 \\"`, `["\\", "u0000"]`, `"'"`,
	} {
		require.JSONEq(t, raw, round(raw))
	}
	require.JSONEq(t, `"a\\u0000"`, round(`"a\u0000"`), "jsonb has no NUL")
	rapid.Check(t, func(r *rapid.T) {
		text := rapid.StringOfN(rapid.SampledFrom([]rune(`\\\u0'"nx{}é`)), 0, 20, -1).Draw(r, "text")
		raw, err := json.Marshal(map[string]string{text: text})
		require.NoError(r, err)
		require.JSONEq(r, string(raw), round(string(raw)))
	})
}
