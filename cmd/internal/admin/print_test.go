package admin_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"greenroom/api"
	"greenroom/cmd/internal/admin"
)

func printed(t *testing.T, asJSON bool, print func(admin.Printer) error) string {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, print(admin.Printer{Out: &out, JSON: asJSON}))
	return out.String()
}

func TestPrinter(t *testing.T) {
	t.Parallel()
	k := admin.Key{ID: uuid.New(), Plain: "sk_x", Prefix: "sk_", State: "active", Scopes: []string{"*"}}
	assert.Contains(t, printed(t, false, func(p admin.Printer) error { return p.NewKey(k) }), "API key  sk_x\n")
	assert.Contains(t, printed(t, false, func(p admin.Printer) error { return p.Keys([]admin.Key{k}) }), "every company")
	var got []map[string]any
	require.NoError(
		t,
		json.Unmarshal([]byte(printed(t, true, func(p admin.Printer) error { return p.Keys([]admin.Key{k}) })), &got),
	)
	require.Equal(t, k.ID.String(), got[0]["id"])
	assert.Equal(t, "[]\n", printed(t, true, func(p admin.Printer) error { return p.Deliveries([]admin.Delivery{}) }))
}

func TestMoment(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"": {}, "2026-01-31": time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC),
		"2026-01-31T10:00:00+02:00": time.Date(2026, 1, 31, 8, 0, 0, 0, time.UTC),
		"36h":                       now.Add(-36 * time.Hour),
		"7d":                        now.AddDate(0, 0, -7),
		"1h30m":                     now.Add(-90 * time.Minute),
	} {
		got, err := admin.Moment("since", text, now, true)
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
	}
	got, err := admin.Moment("expires", "90d", now, false)
	require.NoError(t, err)
	assert.Equal(t, now.AddDate(0, 0, 90), got)
	for _, bad := range []string{"yesterday", "-1h", "-1d", "9999999999d", "1.5d", "d"} {
		_, err := admin.Moment("since", bad, now, true)
		require.ErrorContains(t, err, "--since must be a time", bad)
	}
}

func TestPrinter_at_a_terminal(t *testing.T) {
	t.Parallel()
	list := []admin.Delivery{{
		ID: someID, EventType: "interview.started", Status: "failed", AttemptCount: 4, CreatedAt: time.Now(),
	}}
	print := func(p admin.Printer) string {
		var out bytes.Buffer
		p.Out = &out
		require.NoError(t, p.Deliveries(list))
		return out.String()
	}
	for _, width := range []int{40, 60, 80, 100, 120} {
		for line := range strings.Lines(print(admin.Printer{Width: width})) {
			require.LessOrEqual(t, utf8.RuneCountInString(strings.TrimSuffix(line, "\n")), width)
		}
	}
	require.Contains(t, print(admin.Printer{Width: 60}), "  interview.sta…  failed\n", "the others have no room")
	require.Contains(t, print(admin.Printer{Width: 20}), "\n"+someID.String()+"\n", "other commands take the id")
	require.Contains(t, print(admin.Printer{Colour: true}), "\x1b[31mfailed\x1b[")
	require.NotContains(t, print(admin.Printer{}), "\x1b")

	var out bytes.Buffer
	detail := admin.DeliveryDetail{Explanation: api.Explanation{Why: strings.Repeat("because ", 20)}}
	require.NoError(t, admin.Printer{Out: &out, Width: 40}.DeliveryDetail(detail))
	require.Contains(t, out.String(), detail.Explanation.Why, "a text to read is not cut")
}

func TestPrinter_JSON_has_the_form_of_the_API(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 4, 5, 6, 7, 123456789, time.FixedZone("", 3600))
	text := printed(t, true, func(p admin.Printer) error {
		return p.Deliveries([]admin.Delivery{{CreatedAt: at, NextAttemptAt: &at}})
	})
	assert.Contains(t, text, `"createdAt": "2026-03-04T04:06:07.123Z"`)
	assert.Contains(t, text, `"nextAttemptAt": "2026-03-04T04:06:07.123Z"`)
	assert.Contains(t, text, `"lastError": null`)
	assert.Equal(t, "[]\n", printed(t, true, func(p admin.Printer) error { return p.Deliveries(nil) }))
}
