package apitest

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
)

// rowsOf dumps all rows of a company: those of every table that contain its id, those that contain their ids, and so
// on.
func (b *Bundle) rowsOf(t *testing.T, company uuid.UUID) []string {
	t.Helper()
	rest := b.dump(t)
	ids := []string{company.String()}
	var mine []string
	for len(ids) > 0 {
		id := ids[0]
		ids = ids[1:]
		rest = slices.DeleteFunc(rest, func(row string) bool {
			if !strings.Contains(row, id) {
				return false
			}
			mine = append(mine, row)
			if own := idOf(row); own != "" {
				ids = append(ids, own)
			}
			return true
		})
	}
	slices.Sort(mine)
	return mine
}

// dump returns every row of every table, as the table's name and JSON.
func (b *Bundle) dump(t *testing.T) []string {
	t.Helper()
	var tables []string
	require.NoError(
		t,
		b.NewRaw(`SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
		AND NOT relispartition AND relname NOT LIKE 'bun_%' ORDER BY relname`).Scan(b.Ctx, &tables),
	)
	var all []string
	for _, table := range tables {
		var rows []string
		require.NoError(t, b.NewRaw("SELECT ? || ' ' || to_jsonb(t) FROM ? t", table, bun.Ident(table)).Scan(b.Ctx, &rows))
		all = append(all, rows...)
	}
	return all
}

// idOf returns the id of a dumped row, or "".
func idOf(row string) string {
	_, object, _ := strings.Cut(row, " ")
	var r struct {
		ID string `json:"id"`
	}
	_ = json.Unmarshal([]byte(object), &r) // an id of another type is not a UUID
	return r.ID
}
