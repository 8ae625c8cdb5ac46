package surface

import (
	"encoding/json"
	"slices"
)

// Update collects the columns that a PATCH changes, without duplicates.
type Update struct{ Columns []string }

// Add adds a column.
func (u *Update) Add(column string) {
	if !slices.Contains(u.Columns, column) {
		u.Columns = append(u.Columns, column)
	}
}

// Set sets a column that cannot be null.
func Set[T any](u *Update, column string, to *T, from Opt[T]) {
	if from.Set {
		*to = from.Value
		u.Add(column)
	}
}

// SetNull sets a nullable column.
func SetNull[T any](u *Update, column string, to **T, from Opt[T]) {
	if from.Set {
		*to = from.Ptr()
		u.Add(column)
	}
}

// SetJSON sets a column of free JSON; null becomes an empty object.
func SetJSON(u *Update, column string, to *json.RawMessage, from Opt[json.RawMessage]) {
	if !from.Set {
		return
	}
	*to = from.Value
	u.Add(column)
	if from.Null {
		*to = json.RawMessage("{}")
	}
}
