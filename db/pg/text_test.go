package pg_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"greenroom/db/pg"
)

func TestText(t *testing.T) {
	t.Parallel()
	require.Nil(t, pg.Text(nil))
	require.Nil(t, pg.Text([]byte{}))
	for in, want := range map[string]string{
		"plain":        "plain",
		"\x00":         "\uFFFD",
		"a\x00b":       "a\uFFFDb",
		"\xff\xfe ok":  "\uFFFD ok", // a run of invalid bytes is one replacement
		"é\xc3":        "é\uFFFD",
		"\xed\xa0\x80": "\uFFFD", // half of a surrogate pair
		"\uFFFD":       "\uFFFD",
	} {
		require.Equal(t, want, *pg.Text([]byte(in)), "%q", in)
	}
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "bytes")
		out := *pg.Text(in)
		require.True(t, utf8.ValidString(out))
		require.NotContains(t, out, "\x00")
		require.Equal(t, out, *pg.Text([]byte(out)))
	})
}

func TestParseID(t *testing.T) {
	t.Parallel()
	id := pg.NewID()
	got, ok := pg.ParseID(id.String())
	require.True(t, ok)
	require.Equal(t, id, got)
	got, ok = pg.ParseID(strings.ToUpper(id.String()))
	require.True(t, ok)
	require.Equal(t, id, got)
	bare := strings.ReplaceAll(id.String(), "-", "")
	for _, other := range []string{
		"", "1", bare, "{" + id.String() + "}", "urn:uuid:" + id.String(), id.String() + " ", "g" + id.String()[1:],
		strings.Repeat("-", 36), "'; DROP TABLE companies; SELECT '....",
	} {
		got, ok := pg.ParseID(other)
		require.False(t, ok, "%q", other)
		require.Equal(t, uuid.Nil, got, "%q", other)
	}
}

// FloorID divides the ids of two adjacent milliseconds.
func TestFloorID(t *testing.T) {
	t.Parallel()
	require.Equal(t, uuid.Nil, pg.FloorID(time.Time{}), "a time before 1970 is before all ids")
	require.Equal(t, uuid.Nil, pg.FloorID(time.UnixMilli(-1)))
	rapid.Check(t, func(t *rapid.T) {
		ms := rapid.Int64Range(0, 1<<48-2).Draw(t, "ms")
		at := time.UnixMilli(ms)
		floor, next := pg.FloorID(at), pg.FloorID(at.Add(time.Millisecond))
		require.Less(t, floor.String(), next.String())
		require.Equal(t, floor, pg.FloorID(at.Add(999*time.Microsecond)), "the precision is a millisecond")
		last := floor
		for i := 6; i < len(last); i++ {
			last[i] = 0xff
		}
		require.Less(t, last.String(), next.String())
	})
	id := pg.NewID()
	sec, nsec := id.Time().UnixTime()
	require.LessOrEqual(t, pg.FloorID(time.Unix(sec, nsec)).String(), id.String())
}

func TestNewIDsAreOrdered(t *testing.T) {
	t.Parallel()
	last := pg.NewID()
	for range 10_000 {
		id := pg.NewID()
		require.Less(t, last.String(), id.String())
		last = id
	}
}

func TestUnlessLost(t *testing.T) {
	t.Parallel()
	other := errors.New("another error")
	for err, want := range map[error]error{
		nil:            nil,
		pg.ErrConflict: nil,
		pg.ErrNotFound: nil,
		other:          other,
	} {
		require.Equal(t, want, pg.UnlessLost(err))
	}
	require.NoError(t, pg.UnlessLost(fmt.Errorf("wrapped: %w", &pg.StateError{Resource: "interview", State: "FAILED"})))
	require.ErrorIs(t, pg.UnlessLost(pg.ErrDuplicate), pg.ErrDuplicate, "a duplicate is no lost race")
}

func TestStateError(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("start: %w", &pg.StateError{Resource: "interview", State: "FAILED"})
	require.EqualError(t, err, "start: interview is FAILED")
	require.ErrorIs(t, err, pg.ErrConflict)
	require.NotErrorIs(t, err, pg.ErrNotFound)
}
