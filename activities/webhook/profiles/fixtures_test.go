package profiles_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook"
	"greenroom/activities/webhook/profiles"
	"greenroom/db/catalog"
)

func profile(t testing.TB, name string) *webhook.Profile {
	t.Helper()
	p, err := profiles.ByName(name)
	require.NoError(t, err)
	return p
}

// message returns a delivery of the sample of that type as it was published: without a context.
func message(t testing.TB, p *webhook.Profile, eventType string) webhook.Message {
	t.Helper()
	s, found := profiles.SampleOf(eventType)
	require.True(t, found, eventType)
	s.Context = nil
	return s.Message(p, eventType)
}

// about returns the context of the sample of that type; nil for a published type.
func about(eventType string) *catalog.Context {
	s, _ := profiles.SampleOf(eventType)
	return s.Context
}

// testSecret is a fixed secret; n tells several apart.
func testSecret(n byte) []byte {
	secret := make([]byte, 32)
	for i := range secret {
		secret[i] = n + byte(i)
	}
	return secret
}
