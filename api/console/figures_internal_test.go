package console

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"greenroom/db/delivery"
	"greenroom/db/pg"
)

func TestFigures(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	made := func(before time.Duration, status delivery.Status, took time.Duration) delivery.Delivery {
		at := now.Add(-before)
		return delivery.Delivery{ID: pg.FloorID(at), Status: status, CreatedAt: at, UpdatedAt: at.Add(took)}
	}
	t.Run("of_nothing", func(t *testing.T) {
		require.Equal(t, figures{}, figuresOf(nil, now))
	})
	t.Run("success_is_of_those_that_have_ended", func(t *testing.T) {
		again := made(80*time.Second, delivery.Succeeded, time.Hour)
		again.Generation = 1
		f := figuresOf([]delivery.Delivery{
			made(time.Second, delivery.Pending, 0), made(2*time.Second, delivery.Canceled, 0),
			made(10*time.Second, delivery.Succeeded, 10*time.Millisecond), made(20*time.Second, delivery.Failed, time.Second),
			made(30*time.Second, delivery.Succeeded, 30*time.Millisecond), again,
			made(120*time.Second, delivery.Succeeded, 20*time.Millisecond),
		}, now)
		require.Equal(t, 7, f.Made)
		require.Equal(t, 5, f.Ended)
		require.Equal(t, 4, f.Succeeded)
		require.Equal(t, 20*time.Millisecond, f.P50, "a replay is no measure of the first delivery")
		require.Equal(t, 20*time.Millisecond, f.P95, "the lower neighbour")
		require.Equal(t, 2*time.Minute, f.Over)
		require.InDelta(t, 7.0/120, f.Rate, 0.001)
		total := 0
		for _, b := range f.Bars {
			total += b.Count
			require.LessOrEqual(t, b.Y+b.Height, 40)
		}
		require.Equal(t, 7, total)
	})
	t.Run("a_few_in_a_second_are_no_rate", func(t *testing.T) {
		f := figuresOf([]delivery.Delivery{made(time.Second, delivery.Pending, 0)}, now)
		require.Equal(t, time.Minute, f.Over)
		require.Equal(t, "–", percent(f.Succeeded, f.Ended))
	})
}

func TestWords(t *testing.T) {
	t.Parallel()
	require.Equal(t, "99.9 %", percent(9999, 10000), "never rounded up to 100")
	require.Equal(t, "1 234 567", number(1234567))
	require.Equal(t, "123", number(123))
	for d, want := range map[time.Duration]string{
		3 * time.Millisecond: "3 ms", 90 * time.Second: "90 s", 3 * time.Minute: "3 m", 25*time.Hour + 5*time.Minute: "25 h 5 m",
		50 * time.Hour: "2 d",
	} {
		require.Equal(t, want, span(d))
	}
	require.Equal(t, "2026-01-31T15:04:00Z", moment("2026-01-31T15:04"))
	require.Equal(t, "never", moment("never"))
	require.Equal(t, state{"✕", "open", "bad"}, stateOf("open"))
	word := "IN_PROGRESS"
	require.Equal(t, "in progress", stateOf(&word).Word)
	require.Equal(t, "not json", pretty([]byte(`"not json"`)))
	require.Equal(t, "{\n  \"a\": 1\n}", pretty([]byte(`{"a":1}`)))
	require.Empty(t, pretty([]byte("null")))
}
