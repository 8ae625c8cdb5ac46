package api

import "encoding/json"

// update collects the columns that a PATCH changes.
type update struct{ columns []string }

// put sets a column that is never null.
func put[T any](u *update, column string, to *T, from opt[T]) {
	if from.Set {
		*to, u.columns = from.Value, append(u.columns, column)
	}
}

// putNull sets a column that null empties.
func putNull[T any](u *update, column string, to **T, from opt[T]) {
	if from.Set {
		*to, u.columns = from.ptr(), append(u.columns, column)
	}
}

// putJSON sets a column of free JSON; null makes it an empty object.
func putJSON(u *update, column string, to *json.RawMessage, from opt[json.RawMessage]) {
	if !from.Set {
		return
	}
	*to, u.columns = from.Value, append(u.columns, column)
	if from.Null {
		*to = json.RawMessage("{}")
	}
}
