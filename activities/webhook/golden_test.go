package webhook_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook"
	"greenroom/db/catalog"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// attemptedAt is two days after the event: the body's time is the event's, the headers' that of the attempt.
var attemptedAt = time.Date(2024, 1, 22, 9, 5, 0, 0, time.UTC)

// TestGolden holds every event of every profile to its recorded body and headers. testdata/events has the stored data of
// each domain event; `go test ./activities/webhook -run TestGolden -update` records a new one.
func TestGolden(t *testing.T) {
	t.Parallel()
	for _, name := range webhook.ProfileNames() {
		p, err := webhook.ProfileByName(name)
		require.NoError(t, err)
		names, err := catalog.ForProfile(name)
		require.NoError(t, err)
		require.NotEmpty(t, names.Labels)
		for _, label := range names.Labels {
			t.Run(name+"/"+label.Name, func(t *testing.T) {
				t.Parallel()
				golden(t, p, label)
			})
		}
	}
}

func golden(t *testing.T, p *webhook.Profile, label catalog.Label) {
	data, err := os.ReadFile(filepath.Join("testdata", "events", label.Type+".json"))
	require.NoError(t, err)
	m := message(label.Type, label.Name, data)

	body, err := p.Render(m)
	require.NoError(t, err)
	again, err := p.Render(m)
	require.NoError(t, err)
	require.Equal(t, string(body), string(again), "the same message gives the same bytes")
	require.True(t, json.Valid(body))
	require.Contains(t, string(body), `"data":`+string(data), "data is passed byte for byte")

	r := webhook.Request{Profile: p, Message: m, Body: body, Secrets: webhook.Secrets{testSecret(1)}}
	h, err := r.Header(attemptedAt)
	require.NoError(t, err)

	base := filepath.Join("testdata", "golden", p.Name, label.Name)
	compare(t, base+".body", string(body))
	compare(t, base+".headers", headerText(h))
}

// TestGoldenFilesAreAllUsed finds recordings of events that a profile no longer has.
func TestGoldenFilesAreAllUsed(t *testing.T) {
	t.Parallel()
	if *update {
		return // they are being written
	}
	files, err := filepath.Glob(filepath.Join("testdata", "golden", "*", "*"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		names, err := catalog.ForProfile(filepath.Base(filepath.Dir(file)))
		require.NoError(t, err, file)
		event := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
		used := slices.ContainsFunc(names.Labels, func(l catalog.Label) bool { return l.Name == event })
		require.True(t, used, file)
	}
}

func compare(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o750))
		require.NoError(t, os.WriteFile(file, []byte(got), 0o600))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

func headerText(h http.Header) string {
	var lines []string
	for name, values := range h {
		for _, v := range values {
			lines = append(lines, fmt.Sprintf("%s: %s\n", name, v))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

func message(eventType, eventName string, data json.RawMessage) webhook.Message {
	return webhook.Message{
		DeliveryID: "550e8400-e29b-41d4-a716-446655440000",
		EventID:    "0198c2a4-5b1e-7c3a-9d4f-6e2b8a1c0d22",
		EventType:  eventType,
		EventName:  eventName,
		CompanyID:  "0198c2a0-0000-7000-8000-000000000001",
		OccurredAt: time.Date(2024, 1, 20, 15, 30, 0, 123_999_000, time.FixedZone("CET", 3600)),
		Data:       data,
		Endpoint:   "https://api.example.com/webhooks/instaview",
	}
}

// testSecret is a fixed secret; n tells several apart.
func testSecret(n byte) []byte {
	secret := make([]byte, 32)
	for i := range secret {
		secret[i] = n + byte(i)
	}
	return secret
}
