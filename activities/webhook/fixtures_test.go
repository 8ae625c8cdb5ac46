package webhook_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook"
	"greenroom/activities/webhook/profiles"
)

// attemptedAt is two days after the event: the body's time is the event's, the headers' that of the attempt.
var attemptedAt = time.Date(2024, 1, 22, 9, 5, 0, 0, time.UTC)

func profile(t testing.TB, name string) *webhook.Profile {
	t.Helper()
	p, err := profiles.ByName(name)
	require.NoError(t, err)
	return p
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
