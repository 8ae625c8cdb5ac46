package webhook_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"greenroom/activities/webhook"
)

func profile(t testing.TB, name string) *webhook.Profile {
	t.Helper()
	p, err := webhook.ProfileByName(name)
	require.NoError(t, err)
	return p
}

func TestProfileByName(t *testing.T) {
	t.Parallel()
	for _, name := range webhook.ProfileNames() {
		assert.Equal(t, name, profile(t, name).Name)
	}
	for _, name := range []string{"", "Standard", "unheard-of"} {
		_, err := webhook.ProfileByName(name)
		require.ErrorIs(t, err, webhook.ErrUnknownProfile, name)
	}
}

func TestContracts(t *testing.T) {
	t.Parallel()
	instaview, standard := profile(t, "instaview"), profile(t, "standard")

	assert.Equal(t, 30*time.Second, instaview.Timeout)
	assert.Equal(t, 15*time.Second, standard.Timeout)
	assert.Len(t, instaview.Schedule, 3, "1 + maxRetries 3 attempts")
	assert.Len(t, standard.Schedule, 9, "10 attempts")

	var total time.Duration
	for _, wait := range standard.Schedule {
		total += wait
	}
	assert.Equal(t, 75*time.Hour+35*time.Minute+5*time.Second, total)

	for _, p := range []*webhook.Profile{instaview, standard} {
		assert.True(t, slices.IsSorted(p.Schedule), p.Name)
		for status, want := range map[int]bool{199: false, 200: true, 201: true, 204: true, 299: true, 300: false, 404: false, 500: false} {
			assert.Equal(t, want, p.Success(status), "%s %d", p.Name, status)
		}
	}
}

func TestScheduleFor(t *testing.T) {
	t.Parallel()
	p := profile(t, "standard")
	for _, tc := range []struct{ maxRetries, want int }{{-1, 9}, {0, 0}, {1, 1}, {3, 3}, {9, 9}, {10, 9}, {1 << 40, 9}} {
		got := p.ScheduleFor(tc.maxRetries)
		assert.Equal(t, p.Schedule[:tc.want], got, "maxRetries %d", tc.maxRetries)
	}
	mine := p.ScheduleFor(-1)
	mine[0] = 0
	assert.Equal(t, 5*time.Second, p.Schedule[0], "the slice is the caller's own")
}

func TestRenderRefusesWhatIsNotJSON(t *testing.T) {
	t.Parallel()
	for _, name := range webhook.ProfileNames() {
		for _, data := range []string{`{`, `{} {}`, `nope`, `{"a":1},"b":2`, "\x00"} {
			_, err := profile(t, name).Render(message("ping", "ping", json.RawMessage(data)))
			require.ErrorIs(t, err, webhook.ErrInvalidData, "%s %q", name, data)
		}
		body, err := profile(t, name).Render(message("ping", "ping", nil))
		require.NoError(t, err)
		assert.Contains(t, string(body), `"data":{}}`)
	}
}

// Whatever the names and the data are, the body is JSON that means the same and holds the data byte for byte.
func TestRenderProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.String().Draw(t, "event name")
		data, err := json.Marshal(rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "data"))
		require.NoError(t, err)
		p, err := webhook.ProfileByName(rapid.SampledFrom(webhook.ProfileNames()).Draw(t, "profile"))
		require.NoError(t, err)

		body, err := p.Render(message(name, name, data))
		require.NoError(t, err)
		var got struct {
			Event, Type, Timestamp, DeliveryID string
			Data                               json.RawMessage
		}
		require.NoError(t, json.Unmarshal(body, &got))
		require.Equal(t, name, got.Event+got.Type)
		require.Equal(t, string(data), string(got.Data))
		require.Equal(t, "2024-01-20T14:30:00.123Z", got.Timestamp)
	})
}
