package pg

import (
	"time"

	"github.com/google/uuid"
)

// NewID returns a UUIDv7: later ids sort after earlier ones.
func NewID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

// ParseID reads a UUID; ok is false for anything else.
func ParseID(s string) (uuid.UUID, bool) {
	if len(s) != 36 {
		return uuid.Nil, false
	}
	id, err := uuid.Parse(s)
	return id, err == nil
}

// FloorID is the smallest UUIDv7 of an instant (ms): `id >= FloorID(t)` means "made at or after t".
func FloorID(t time.Time) uuid.UUID {
	var id uuid.UUID
	ms := uint64(max(t.UnixMilli(), 0))
	for i := range 6 {
		id[i] = byte(ms >> (8 * (5 - i)))
	}
	return id
}

// TimeOf is the instant that a UUIDv7 was made at, rounded down to the millisecond.
func TimeOf(id uuid.UUID) time.Time {
	var ms int64
	for _, b := range id[:6] {
		ms = ms<<8 | int64(b)
	}
	return time.UnixMilli(ms)
}
