package surface

import (
	"encoding/json"
)

// Update collects the columns that a PATCH changes.
type Update struct{ Columns []string }

// Set sets a column that is never null.
func Set[T any](u *Update, column string, to *T, from Opt[T]) {
	if from.Set {
		*to, u.Columns = from.Value, append(u.Columns, column)
	}
}

// SetNull sets a column that null empties.
func SetNull[T any](u *Update, column string, to **T, from Opt[T]) {
	if from.Set {
		*to, u.Columns = from.Ptr(), append(u.Columns, column)
	}
}

// SetJSON sets a column of free JSON; null makes it an empty object.
func SetJSON(u *Update, column string, to *json.RawMessage, from Opt[json.RawMessage]) {
	if !from.Set {
		return
	}
	*to, u.Columns = from.Value, append(u.Columns, column)
	if from.Null {
		*to = json.RawMessage("{}")
	}
}
