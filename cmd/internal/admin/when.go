package admin

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Moment parses RFC 3339, a date (midnight UTC) or a duration from now such as 90d, 36h or 15m: before now if ago is
// true, otherwise after it. Empty text is the zero time.
func Moment(flag, text string, now time.Time, ago bool) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	d, err := parseDuration(text)
	if err != nil {
		return time.Time{}, fmt.Errorf(
			"--%s must be a time (2026-01-31, 2026-01-31T15:04:05Z) or a duration (90d, 36h, 15m), not %q",
			flag,
			text,
		)
	}
	if ago {
		d = -d
	}
	return now.UTC().Add(d), nil
}

// maxDays keeps a duration within the range of time.Duration (292 years).
const maxDays = 100_000

// parseDuration also accepts days, such as 90d.
func parseDuration(text string) (time.Duration, error) {
	if days, found := strings.CutSuffix(text, "d"); found {
		n, err := strconv.ParseUint(days, 10, 64)
		if err != nil || n > maxDays {
			return 0, strconv.ErrRange
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(text)
	if err == nil && d < 0 {
		return 0, strconv.ErrRange
	}
	return d, err
}
