package surface

import (
	"time"
)

// Timestamp is a time in the format of most surfaces: RFC 3339, UTC, milliseconds.
type Timestamp time.Time

const timestampLayout = "2006-01-02T15:04:05.000Z"

// String formats the time like 2024-01-15T10:30:00.000Z.
func (t Timestamp) String() string { return time.Time(t).UTC().Format(timestampLayout) }

// MarshalJSON formats the time like String.
func (t Timestamp) MarshalJSON() ([]byte, error) { return []byte(`"` + t.String() + `"`), nil }

// UnmarshalJSON reads what MarshalJSON writes.
func (t *Timestamp) UnmarshalJSON(raw []byte) error { return (*time.Time)(t).UnmarshalJSON(raw) }

// Maybe converts a time that may be nil.
func Maybe(t *time.Time) *Timestamp {
	if t == nil {
		return nil
	}
	ts := Timestamp(*t)
	return &ts
}
