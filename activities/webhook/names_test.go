package webhook_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook"
)

func TestNames(t *testing.T) {
	t.Parallel()
	p := &webhook.Profile{Numbered: 1, Events: []webhook.Event{
		{
			Name:  "project_changed",
			Types: []string{"job.created", "job.updated"},
		},
		{Name: "interview.done", Types: []string{"interview.finished"}},
	}}
	for name, want := range map[string][]string{
		"project_changed": {"job.created", "job.updated"}, "PROJECT_CHANGED": {"job.created", "job.updated"},
		"interview.done": {"interview.finished"}, "INTERVIEW_DONE": {"interview.finished"},
	} {
		got, err := p.ByName(name)
		require.NoError(t, err)
		assert.Equal(t, want, got)
		got[0] = "changed"
		again, err := p.ByName(name)
		require.NoError(t, err)
		assert.Equal(t, want, again, "the slice is the caller's own")
	}
	for _, name := range []string{"", "job.created", "Project_changed"} {
		_, err := p.ByName(name)
		require.ErrorIs(t, err, webhook.ErrUnknownEvent, name)
	}
	for _, name := range []string{"interview.*", "order.*", "a_1.*"} {
		got, err := (&webhook.Profile{Open: true}).ByName(name)
		require.NoError(t, err)
		assert.Equal(t, []string{name}, got)
		_, err = p.ByName(name)
		require.ErrorIs(t, err, webhook.ErrUnknownEvent, "the profile is not open")
	}
	for _, name := range []string{"*", ".*", "interview*", "interview.*.*", "interview.st*", "Interview.*", "interview.started.*"} {
		_, err := (&webhook.Profile{Open: true}).ByName(name)
		require.ErrorIs(t, err, webhook.ErrUnknownEvent, name)
	}
	got, err := p.ByNumber(0)
	require.NoError(t, err)
	assert.Equal(t, []string{"job.created", "job.updated"}, got)
	for _, id := range []int{-1, 1, 2} {
		_, err := p.ByNumber(id)
		require.ErrorIs(t, err, webhook.ErrUnknownEvent, id)
	}
	assert.Equal(t, "project_changed", p.NameOf("job.updated"))
	assert.Equal(t, "order.shipped", p.NameOf("order.shipped"), "what has no name keeps its own")
	assert.Equal(
		t,
		[]string{"project_changed", "order.shipped"},
		p.NamesOf([]string{"job.updated", "order.shipped", "job.created"}),
	)
	assert.True(t, p.Takes("job.created"))
	assert.False(t, p.Takes("project_changed"))
	assert.Equal(t, []string{"project_changed", "interview.done"}, p.Names())
	assert.Equal(t, []int{0}, p.Numbers())
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

func TestNextAttempt(t *testing.T) {
	t.Parallel()
	occurred := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(s int) time.Time { return occurred.Add(time.Duration(s) * time.Second) }
	p := webhook.Profile{Schedule: []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute}}
	fromEvent := p
	fromEvent.FromEvent = true
	for _, tc := range []struct {
		name           string
		profile        *webhook.Profile
		ended, attempt int
		retryAfter     time.Duration
		jitter         float64
		want           int
	}{
		{"from_the_attempt_before", &p, 10, 1, 0, 0, 70},
		{"with_jitter", &p, 10, 1, 0, 1, 82},
		{"from_the_event", &fromEvent, 10, 1, 0, 1, 60},
		{"second_from_the_event", &fromEvent, 65, 2, 0, -1, 180},
		{"third_from_the_event", &fromEvent, 181, 3, 0, 0, 420},
		{"a_slot_that_is_past", &fromEvent, 1000, 1, 0, 0, 1060},
		{"a_slot_that_is_now", &fromEvent, 60, 1, 0, 0, 120},
		{"asked_to_wait_longer", &fromEvent, 10, 1, 2 * time.Minute, 0, 130},
		{"asked_to_wait_less", &fromEvent, 10, 1, 20 * time.Second, 0, 60},
		{"asked_to_wait_until_the_slot", &fromEvent, 10, 1, 50 * time.Second, 0, 60},
		{"asked_to_wait_a_negative_time", &fromEvent, 10, 1, -time.Hour, 1, 60},
		{"asked_to_wait_after_a_slot_that_is_past", &fromEvent, 1000, 1, 2 * time.Minute, 0, 1120},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			wait := tc.profile.Schedule[tc.attempt-1]
			got := tc.profile.NextAttempt(occurred, at(tc.ended), tc.attempt, wait, tc.retryAfter, tc.jitter)
			assert.Equal(t, at(tc.want), got)
		})
	}
}

func TestReservedHeadersOfAProfile(t *testing.T) {
	t.Parallel()
	p := &webhook.Profile{Reserved: []string{"Authorization"}}
	require.ErrorIs(t, p.CheckHeader(webhook.Header{Name: "authorization", Value: "x"}), webhook.ErrReservedHeader)
	require.ErrorIs(t, p.CheckHeader(webhook.Header{Name: "host", Value: "x"}), webhook.ErrReservedHeader)
	require.NoError(t, p.CheckHeader(webhook.Header{Name: "X-API-Key", Value: "x"}))
}
