package webhook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook"
	"greenroom/activities/webhook/profiles"
)

func TestSecretForms(t *testing.T) {
	t.Parallel()
	one, other := webhook.GenerateSecret(), webhook.GenerateSecret()
	require.Len(t, one, 32)
	require.NotEqual(t, one, other)
	require.Len(t, webhook.SecretHex(one), 64)

	bytes := []byte{0x00, 0x0f, 0xfb, 0xff, 'a'}
	assert.Equal(t, "000ffbff61", webhook.SecretHex(bytes))
	assert.Equal(t, "whsec_AA/7/2E=", webhook.SecretWhsec(bytes), "standard base64 with padding")
}

// headersNow signs body as an attempt made now would.
func headersNow(t testing.TB, p *webhook.Profile, s webhook.Secrets, body []byte) http.Header {
	t.Helper()
	r := webhook.Request{Profile: p, Message: message("ping", "ping", nil), Body: body, Secrets: s}
	h, err := r.Header(time.Now())
	require.NoError(t, err)
	return h
}

func verify(t *testing.T, secret, body []byte, h http.Header) error {
	t.Helper()
	wh, err := standardwebhooks.NewWebhook(webhook.SecretWhsec(secret))
	require.NoError(t, err)
	return wh.Verify(body, h)
}

func TestReferenceLibraryVerifies(t *testing.T) {
	t.Parallel()
	body := []byte(`{"type":"ping"}`)
	for _, name := range profiles.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			current, previous, stranger := testSecret(1), testSecret(2), testSecret(3)
			h := headersNow(t, profile(t, name), webhook.Secrets{current, previous}, body)

			require.NoError(t, verify(t, current, body, h))
			require.NoError(t, verify(t, previous, body, h), "while a secret is being rotated the old one verifies too")
			require.Error(t, verify(t, stranger, body, h))
			require.Error(t, verify(t, current, []byte(`{"type":"pong"}`), h))

			h.Set(webhook.HeaderID, "another")
			require.Error(t, verify(t, current, body, h), "the id is signed")
		})
	}
}

func TestNoSecretNoSignature(t *testing.T) {
	t.Parallel()
	for _, name := range profiles.Names() {
		h := headersNow(t, profile(t, name), nil, []byte(`{}`))
		assert.NotEmpty(t, h.Get(webhook.HeaderID))
		assert.Empty(t, h.Values(webhook.HeaderSignature))
		assert.Empty(t, h.Values("X-Webhook-Signature"))
	}
}

// The receiver's documentation says only "HMAC with the hex secret".
func TestInstaviewSignature(t *testing.T) {
	t.Parallel()
	body := []byte(`{"event":"ping"}`)
	h := headersNow(t, profile(t, "instaview"), webhook.Secrets{testSecret(1), testSecret(2)}, body)

	mac := hmac.New(sha256.New, []byte(webhook.SecretHex(testSecret(1))))
	mac.Write(body)
	assert.Equal(t, "sha256="+hex.EncodeToString(mac.Sum(nil)), h.Get("X-Webhook-Signature"))
	assert.Equal(t, "ping", h.Get("X-Webhook-Event"))
	assert.Equal(t, h.Get(webhook.HeaderID), h.Get("X-Webhook-Delivery-Id"))
	assert.Equal(t, h.Get(webhook.HeaderTimestamp), h.Get("X-Webhook-Timestamp"))
}

func TestCustomHeaders(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"webhook-id", "Webhook-Signature", "WEBHOOK-TIMESTAMP", "x-webhook-signature", "X-Webhook-Event", "host",
		"content-length", "Content-Type", "User-Agent", "Connection", "transfer-encoding", "TE", "Trailer", "Upgrade",
		"Proxy-Authorization", "Idempotency-Key", "webhook_test",
	} {
		assert.True(t, webhook.ReservedHeader(name), name)
		require.ErrorIs(t, webhook.CheckHeader(webhook.Header{Name: name, Value: "x"}), webhook.ErrReservedHeader)
	}
	for _, name := range []string{
		"Authorization", "X-API-Key", "API-Key", "X-Secret", "X-Source", "X-Webhook-Key", "Cookie", "Accept",
	} {
		assert.False(t, webhook.ReservedHeader(name), name)
		require.NoError(t, webhook.CheckHeader(webhook.Header{Name: name, Value: "Bearer abc"}))
	}
	for _, h := range []webhook.Header{
		{"", "x"}, {"a b", "x"}, {"X-Über", "x"}, {"X-Source", "a\r\nHost: evil"}, {"X-Source", "\x00"},
	} {
		err := webhook.CheckHeader(h)
		require.ErrorIs(t, err, webhook.ErrInvalidHeader, "%q", h)
		assert.NotContains(t, err.Error(), "evil")
	}
}

func TestCustomHeadersDoNotOverride(t *testing.T) {
	t.Parallel()
	p := profile(t, "instaview")
	plain := webhook.Request{
		Profile: p,
		Message: message("ping", "ping", nil),
		Body:    []byte(`{}`),
		Secrets: webhook.Secrets{testSecret(1)},
	}
	want, err := plain.Header(attemptedAt)
	require.NoError(t, err)

	custom := plain
	for name := range want {
		custom.Headers = append(custom.Headers, webhook.Header{Name: strings.ToLower(name), Value: "forged"})
	}
	custom.Headers = append(
		custom.Headers,
		webhook.Header{Name: "x-source", Value: "one"},
		webhook.Header{Name: "X-Source", Value: "two"},
	)
	got, err := custom.Header(attemptedAt)
	require.NoError(t, err)
	want["X-Source"] = []string{"one", "two"}
	assert.Equal(t, want, got)
}

// TestTheTraceContextChangesNothingElse: it adds its two headers, unless the webhook has a traceparent of its own.
func TestTheTraceContextChangesNothingElse(t *testing.T) {
	t.Parallel()
	body, at := []byte(`{"type":"ping"}`), time.Now()
	context := http.Header{"Traceparent": {"00-trace-span-01"}, "Tracestate": {"vendor=1"}}
	for _, name := range profiles.Names() {
		r := webhook.Request{
			Profile: profile(
				t,
				name,
			),
			Message: message("ping", "ping", nil),
			Body:    body,
			Secrets: webhook.Secrets{testSecret(1)},
			Key:     "key",
			Headers: []webhook.Header{{Name: "X-Custom", Value: "1"}},
		}
		without, err := r.Header(at)
		require.NoError(t, err)
		r.Trace = context
		with, err := r.Header(at)
		require.NoError(t, err)
		assert.Equal(t, []string{"00-trace-span-01"}, with["Traceparent"], name)
		assert.Equal(t, []string{"vendor=1"}, with["Tracestate"], name)
		delete(with, "Traceparent")
		delete(with, "Tracestate")
		assert.Equal(t, without, with, name)

		r.Headers = append(r.Headers, webhook.Header{Name: "traceparent", Value: "own"})
		own, err := r.Header(at)
		require.NoError(t, err)
		assert.Equal(t, []string{"own"}, own["Traceparent"], name)
		assert.NotContains(t, own, "Tracestate", name)
	}
}
