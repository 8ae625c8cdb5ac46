package demo_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/client"
	"greenroom/cmd/internal/demo"
	"greenroom/cmd/internal/listen"
)

const secret = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

// fake is an API that responds to the demo and delivers as Greenroom does. Test cases change signs and sends.
type fake struct {
	t       *testing.T
	url     string
	signs   string   // the secret it signs with
	sends   []string // the events of an interview
	refuses string   // a path whose response is 400
	work    sync.WaitGroup

	mu       sync.Mutex
	receiver string
	deleted  bool
	ids      int
}

func setup(t *testing.T) *fake {
	t.Helper()
	f := &fake{t: t, signs: secret, sends: []string{"interview.started", "interview.completed", "analysis.completed"}}
	srv := httptest.NewServer(f)
	t.Cleanup(func() { srv.Close(); f.work.Wait() })
	f.url = srv.URL
	return f
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	assert.Equal(f.t, "Bearer sk_demo", r.Header.Get("Authorization"))
	f.ids++
	id := fmt.Sprintf("id-%d", f.ids)
	var data any = map[string]string{"id": id, "status": "FAILED"}
	switch r.Method + " " + r.URL.Path {
	case "POST " + f.refuses:
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(
			w,
			`{"success":false,"data":null,"error":{"code":"VALIDATION_ERROR","message":"title is required","details":null}}`,
		)
		return
	case "POST /webhooks":
		var body struct{ URL string }
		assert.NoError(f.t, json.NewDecoder(r.Body).Decode(&body))
		f.receiver = body.URL
		data = map[string]string{"id": "w", "signingSecret": secret}
	case "POST /webhooks/w/test":
		f.deliver("ping", "")
		data = map[string]any{"success": true, "message": "Webhook test successful!", "durationMs": 3}
	case "DELETE /webhooks/w":
		f.deleted = true
		w.WriteHeader(http.StatusNoContent)
		return
	case "POST /interviews":
		f.work.Go(func() {
			f.deliver("interview.started", "of another interview")
			for _, event := range f.sends {
				f.deliver(event, id)
			}
		})
	}
	w.Header().Set("Content-Type", "application/json")
	assert.NoError(f.t, json.NewEncoder(w).Encode(map[string]any{"success": true, "data": data, "error": nil}))
}

// deliver posts until the receiver accepts it, at most three times.
func (f *fake) deliver(event, interview string) {
	body := fmt.Sprintf(`{"event":%q,"timestamp":"2024-01-20T14:30:00.000Z","data":{"interviewId":%q}}`, event, interview)
	key, err := hex.DecodeString(f.signs)
	require.NoError(f.t, err)
	wh, err := standardwebhooks.NewWebhookRaw(key)
	require.NoError(f.t, err)
	now, id := time.Now(), "d-"+event+interview
	signature, err := wh.Sign(id, now, []byte(body))
	require.NoError(f.t, err)
	for range 3 {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, f.receiver, strings.NewReader(body))
		require.NoError(f.t, err)
		req.Header.Set("webhook-id", id)
		req.Header.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
		req.Header.Set("webhook-signature", signature)
		resp, err := http.DefaultClient.Do(req)
		if err != nil { // the demo has already ended
			return
		}
		resp.Body.Close()
		if resp.StatusCode < 300 {
			return
		}
	}
}

func (f *fake) run(change func(*demo.Options)) (string, error) {
	var out bytes.Buffer
	opts := demo.Options{
		Settings: client.Settings{URL: f.url, APIKey: "sk_demo", TemporalUI: "http://ui"},
		Out:      &out,
		Wait:     5 * time.Second,
	}
	if change != nil {
		change(&opts)
	}
	err := demo.Run(f.t.Context(), opts)
	return out.String(), err
}

func TestRun(t *testing.T) {
	t.Parallel()

	t.Run("shows_three_verified_deliveries_in_order", func(t *testing.T) {
		t.Parallel()
		f := setup(t)
		out, err := f.run(nil)
		require.NoError(t, err)
		at := -1
		for _, event := range []string{"ping", "interview.started", "interview.completed", "analysis.completed"} {
			next := strings.Index(out, "✓ verified  "+event)
			assert.Greater(t, next, at, "%s in:\n%s", event, out)
			at = next
		}
		assert.Contains(t, out, "http://ui")
		assert.NotContains(t, out, "of another interview")
		assert.NotContains(t, out, secret)
		assert.True(t, f.deleted)
	})
	t.Run("bad_receiver_spares_the_ping_and_is_retried", func(t *testing.T) {
		t.Parallel()
		f := setup(t)
		out, err := f.run(func(o *demo.Options) { o.Receiver = listen.Options{Fail: 4, Status: 503}; o.Keep = true })
		require.NoError(t, err) // the other interview's delivery takes three of the four
		assert.Contains(t, out, "→ responded 503")
		assert.Contains(t, out, "retry (seen 2×)")
		assert.NotContains(t, out[:strings.Index(out, "Created      job")], "503")
		assert.False(t, f.deleted)
	})
	t.Run("missing_deliveries_are_named", func(t *testing.T) {
		t.Parallel()
		f := setup(t)
		f.sends = f.sends[:1]
		_, err := f.run(func(o *demo.Options) { o.Wait = 100 * time.Millisecond })
		require.ErrorContains(t, err, "not received after 100ms: interview.completed, analysis.completed")
		require.ErrorContains(t, err, "is FAILED")
		assert.True(t, f.deleted)
	})
	t.Run("wrong_signature_fails", func(t *testing.T) {
		t.Parallel()
		f := setup(t)
		f.signs = strings.Repeat("ab", 32)
		_, err := f.run(nil)
		require.ErrorContains(t, err, "of ping did not verify: signature does not match the secret")
	})
	t.Run("refusal_of_the_API_is_shown", func(t *testing.T) {
		t.Parallel()
		f := setup(t)
		f.refuses = "/jobs"
		_, err := f.run(nil)
		require.ErrorContains(t, err, "create job: responded 400 VALIDATION_ERROR: title is required")
		assert.True(t, f.deleted)
	})
	t.Run("no_server", func(t *testing.T) {
		t.Parallel()
		_, err := setup(t).run(func(o *demo.Options) { o.URL = "http://127.0.0.1:1" })
		require.ErrorContains(t, err, "start it with `make run`")
	})
}
