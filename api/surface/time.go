package surface

import (
	"time"
)

// Timestamp is a time as the answers of most surfaces show it: RFC 3339, UTC, milliseconds.
type Timestamp time.Time

const timestampLayout = "2006-01-02T15:04:05.000Z"

// String is the time like 2024-01-15T10:30:00.000Z.
func (t Timestamp) String() string { return time.Time(t).UTC().Format(timestampLayout) }

// MarshalJSON shows the time as String does.
func (t Timestamp) MarshalJSON() ([]byte, error) { return []byte(`"` + t.String() + `"`), nil }

// Maybe is a time that may be null.
func Maybe(t *time.Time) *Timestamp {
	if t == nil {
		return nil
	}
	ts := Timestamp(*t)
	return &ts
}
