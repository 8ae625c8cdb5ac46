package interviewsuite

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func FuzzPhone(f *testing.F) {
	for _, seed := range []string{"+421 900/000-000", "00421900000000", "(0900) 1", "++1", "+0123456789", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, phone string) {
		number := e164(phone)
		if number == nil {
			return
		}
		require.Regexp(t, `^\+[1-9][0-9]{6,14}$`, *number)
		require.Equal(t, number, e164(*number))
	})
}

func FuzzDate(f *testing.F) {
	for _, seed := range []string{"2016-11-01", "2016-11-01T23:00:00-05:00", "1969-12-31", "2023-02-29", "T", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		day, err := date("deadline", text)
		if err != nil {
			return
		}
		at, err := time.Parse(time.DateOnly, day)
		require.NoError(t, err)
		require.GreaterOrEqual(t, at.Year(), 1970)
	})
}
