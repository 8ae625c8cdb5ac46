package trigger_test

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/api/apitest"
	"greenroom/cmd/internal/client"
	"greenroom/cmd/internal/trigger"
)

// TestRun triggers events of a real API. cmd/internal/e2e does so with a worker and receivers.
func TestRun(t *testing.T) {
	t.Parallel()
	b := apitest.Setup(t)
	srv := httptest.NewServer(b.Handler)
	t.Cleanup(srv.Close)
	b.As(b.Key, "POST", "/webhooks", apitest.Object{
		"url": "https://a.example/", "profile": "standard", "events": []string{"interview.started"},
	}).Is(201)
	run := func(key string, change func(*trigger.Options)) (string, error) {
		var out bytes.Buffer
		o := trigger.Options{Settings: client.Settings{URL: srv.URL, APIKey: key}, Type: "interview.started", Out: &out}
		if change != nil {
			change(&o)
		}
		err := trigger.Run(t.Context(), o)
		return out.String(), err
	}
	t.Run("publishes_the_sample", func(t *testing.T) {
		out, err := run(b.Key, nil)
		require.NoError(t, err)
		require.Regexp(
			t,
			`^interview.started published as event (\S{36}); deliveries: 1\n`+srv.URL+`/console/events/\S{36}\n$`,
			out,
		)
		out, err = run(b.Key, func(o *trigger.Options) { o.JSON = true })
		require.NoError(t, err)
		var event struct {
			ID         uuid.UUID
			Deliveries int
		}
		require.NoError(t, json.Unmarshal([]byte(out), &event))
		require.Equal(t, 1, event.Deliveries)
	})
	t.Run("that_no_webhook_gets", func(t *testing.T) {
		out, err := run(b.Key, func(o *trigger.Options) { o.Type = "job.created" })
		require.NoError(t, err)
		require.Regexp(
			t,
			`no webhook gets it, and GET /events/\S{36}/fan-out says why\nhttp://\S+/console/events/\S{36}\n$`,
			out,
		)
	})
	t.Run("of_a_company_that_a_platform_key_names", func(t *testing.T) {
		out, err := run(b.PlatformKey, func(o *trigger.Options) { o.Company = b.Company.String() })
		require.NoError(t, err)
		require.Contains(t, out, "deliveries: 1")
	})
	t.Run("refusals", func(t *testing.T) {
		for want, change := range map[string]func(*trigger.Options){
			`there is no event type "../jobs": there are `:          func(o *trigger.Options) { o.Type = "../jobs" },
			"did you mean interview.started?":                       func(o *trigger.Options) { o.Type = "interview.startd" },
			"a ping is sent to one webhook alone":                   func(o *trigger.Options) { o.Type = "ping" },
			"test webhook: responded 404 RESOURCE_NOT_FOUND":        func(o *trigger.Options) { o.Webhook = uuid.NewString() },
			"responded 401 INVALID_API_KEY":                         func(o *trigger.Options) { o.APIKey = "sk_none" },
			"no Greenroom at http://127.0.0.1:1":                    func(o *trigger.Options) { o.URL = "http://127.0.0.1:1" },
			"there is no sample of order.odd: No example was found": func(o *trigger.Options) { o.Type = "order.odd" },
		} {
			b.As(b.Key, "POST", "/event-types", `{"name":"order.odd","schema":{"required":["a"],`+
				`"properties":{"a":{"type":"string","not":{"pattern":"e"}}}}}`)
			out, err := run(b.Key, change)
			require.ErrorContains(t, err, want)
			require.Empty(t, out)
		}
	})
	t.Run("types", func(t *testing.T) {
		names, err := trigger.Types(t.Context(), client.Settings{URL: srv.URL, APIKey: b.Key}, "")
		require.NoError(t, err)
		require.Contains(t, names, "interview.started")
		require.Contains(t, names, "order.odd")
	})
}
