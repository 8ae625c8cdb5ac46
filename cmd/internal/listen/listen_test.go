package listen_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/listen"
)

const (
	hexSecret = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	whSecret  = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" // the same bytes
	body      = `{"event":"interview.started","timestamp":"2024-01-20T14:30:00.000Z","data":{"status":"<IN_PROGRESS>"}}`
)

type bundle struct {
	t        *testing.T
	receiver *listen.Receiver
	url      string
	got      chan listen.Delivery
}

func setup(t *testing.T, opts listen.Options) *bundle {
	t.Helper()
	b := &bundle{t: t, got: make(chan listen.Delivery, 16)}
	opts.OnDelivery = func(d listen.Delivery) { b.got <- d }
	var err error
	b.receiver, err = listen.New(opts)
	require.NoError(t, err)
	srv, err := listen.Serve(t.Context(), "127.0.0.1:0", b.receiver)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, srv.Close()) })
	b.url = srv.URL
	return b
}

// send posts body signed with hexSecret's key, changed by edit, and returns the response's status and the
// delivery.
func (b *bundle) send(id string, edit func(*http.Request)) (int, listen.Delivery) {
	b.t.Helper()
	key, err := hex.DecodeString(hexSecret)
	require.NoError(b.t, err)
	wh, err := standardwebhooks.NewWebhookRaw(key)
	require.NoError(b.t, err)
	now := time.Now()
	signature, err := wh.Sign(id, now, []byte(body))
	require.NoError(b.t, err)
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.url+"hook", strings.NewReader(body))
	require.NoError(b.t, err)
	req.Header.Set("webhook-id", id)
	req.Header.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
	req.Header.Set("webhook-signature", signature)
	if edit != nil {
		edit(req)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(b.t, err)
	require.NoError(b.t, resp.Body.Close())
	return resp.StatusCode, <-b.got
}

func TestVerification(t *testing.T) {
	t.Parallel()
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	old := strconv.FormatInt(time.Now().Add(-time.Hour).Unix(), 10)
	for name, c := range map[string]struct {
		secret string
		edit   func(*http.Request)
		reason string // empty: verifies
		status int
	}{
		"hex_secret":   {hexSecret, nil, "", 204},
		"whsec_secret": {whSecret, nil, "", 204},
		"one_of_signatures": {hexSecret, func(r *http.Request) {
			r.Header["Webhook-Signature"][0] = "v1,AAAA " + r.Header.Get("webhook-signature")
		}, "", 204},
		"no_secret":        {"", nil, "no --secret", 204},
		"other_secret":     {strings.Repeat("ab", 32), nil, "does not match", 401},
		"other_id":         {hexSecret, header("webhook-id", "other"), "does not match", 401},
		"no_signature":     {hexSecret, func(r *http.Request) { r.Header.Del("webhook-signature") }, "missing", 401},
		"old_timestamp":    {hexSecret, header("webhook-timestamp", old), "5 minutes ago", 401},
		"broken_timestamp": {hexSecret, header("webhook-timestamp", "noon"), "not a number", 401},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, listen.Options{Secret: c.secret})
			status, d := b.send("id-1", c.edit)
			assert.Equal(t, c.status, status)
			assert.Equal(t, c.reason == "", d.Verified)
			assert.Contains(t, d.Reason, c.reason)
			assert.Equal(t, "interview.started", d.Event)
			assert.Positive(t, d.Age)
		})
	}
}

func TestSecretsOfOtherFormsAreRefused(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{"abcd", hexSecret[2:], "whsec_%%%", strings.Repeat("zz", 32)} {
		_, err := listen.New(listen.Options{Secret: secret})
		require.ErrorContains(t, err, "64 hex digits")
		assert.NotContains(t, err.Error(), secret)
	}
	_, err := listen.New(listen.Options{Status: 99})
	require.ErrorContains(t, err, "200 to 599")
}

func TestRepeats(t *testing.T) {
	t.Parallel()

	t.Run("again_after_2xx_is_a_duplicate", func(t *testing.T) {
		t.Parallel()
		b := setup(t, listen.Options{Secret: hexSecret})
		b.send("id-1", nil)
		_, d := b.send("id-1", nil)
		assert.Equal(t, 2, d.Seen)
		assert.True(t, d.Repeat)
		_, other := b.send("id-2", nil)
		assert.False(t, other.Repeat)
		assert.Equal(t, listen.Summary{Received: 3, Verified: 3, Duplicates: 1}, b.receiver.Summary())
	})
	t.Run("fails_the_first_n_and_their_retry_is_no_duplicate", func(t *testing.T) {
		t.Parallel()
		b := setup(t, listen.Options{Secret: hexSecret, Fail: 2, Status: 503})
		for _, want := range []int{503, 503, 204} {
			status, d := b.send("id-1", nil)
			assert.Equal(t, want, status)
			assert.Equal(t, want, d.Status)
			assert.False(t, d.Repeat)
		}
		assert.Equal(t, listen.Summary{Received: 3, Verified: 3}, b.receiver.Summary())
		b.receiver.FailNext(1)
		status, d := b.send("id-1", nil)
		assert.Equal(t, 503, status)
		assert.True(t, d.Repeat)
	})
	t.Run("a_late_response_does_not_count_as_accepted", func(t *testing.T) {
		t.Parallel()
		b := setup(t, listen.Options{Delay: time.Hour})
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url, strings.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("webhook-id", "id-1")
		for range 2 {
			go func() { <-b.got; cancel() }()
			_, err = http.DefaultClient.Do(req)
			require.ErrorIs(t, err, context.Canceled)
			ctx, cancel = context.WithCancel(t.Context())
			req = req.Clone(ctx)
			req.Body, err = req.GetBody()
			require.NoError(t, err)
		}
		cancel()
		assert.Equal(t, listen.Summary{Received: 2}, b.receiver.Summary())
	})
}

func TestOnlyPostIsADelivery(t *testing.T) {
	t.Parallel()
	b := setup(t, listen.Options{})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.url, nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, http.StatusMethodNotAllowed, resp.StatusCode)
	assert.Zero(t, b.receiver.Summary().Received)
}

func TestPrinter(t *testing.T) {
	t.Parallel()
	d := listen.Delivery{
		At: time.Date(
			2024,
			1,
			20,
			14,
			30,
			1,
			0,
			time.UTC,
		),
		ID:       "id-1",
		Event:    "ping",
		Attempt:  "2",
		Body:     []byte(`{"a":"<b>"}`),
		Verified: true,
		Seen:     2,
		Repeat:   true,
		Status:   204,
		Age:      25 * time.Millisecond,
	}
	refused := d
	refused.Verified, refused.Reason = false, "signature does not match the secret"
	refused.Repeat, refused.Status = false, 401

	t.Run("for_people", func(t *testing.T) {
		t.Parallel()
		var out bytes.Buffer
		p := listen.NewPrinter(&out, false)
		p.Print(d)
		p.PrintLine(refused)
		assert.Equal(t, "14:30:01.000  ✓ verified  ping  id-1  attempt 2  11 B  25 ms  duplicate (seen 2×)\n"+
			"    {\n      \"a\": \"<b>\"\n    }\n"+
			"14:30:01.000  ✗ signature does not match the secret  ping  id-1  attempt 2  11 B  25 ms  "+
			"retry (seen 2×)  → responded 401\n",
			out.String())
	})
	t.Run("as_json", func(t *testing.T) {
		t.Parallel()
		var out bytes.Buffer
		p := listen.NewPrinter(&out, true)
		p.Print(d)
		p.Print(listen.Delivery{Body: []byte("no\njson"), Age: -1})
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		require.Len(t, lines, 2)
		assert.Equal(
			t,
			`{"receivedAt":"2024-01-20T14:30:01.000Z","verified":true,"event":"ping","webhookId":"id-1","attempt":"2",`+
				`"seen":2,"duplicate":true,"status":204,"ageMs":25,"body":{"a":"<b>"}}`,
			lines[0],
		)
		var second map[string]any
		require.NoError(t, json.Unmarshal([]byte(lines[1]), &second))
		assert.Equal(t, "no\njson", second["body"])
		assert.NotContains(t, second, "ageMs")
	})
}
