package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/client"
	listener "greenroom/cmd/internal/listen"
	"greenroom/cmd/internal/trigger"
)

// output collects what a command prints.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func (s *system) settings() client.Settings { return client.Settings{URL: s.url, APIKey: s.key} }

// TestListenAndTrigger registers a receiver that forwards to an integrator's, and triggers samples.
func TestListenAndTrigger(t *testing.T) {
	s := setup(t)
	app := listen(t, nil)
	run := func(o listener.RunOptions) (out, log *output, stop func()) {
		out, log = new(output), new(output)
		o.Addr, o.Out, o.Log, o.JSON = "127.0.0.1:0", out, log, true
		o.Register = &listener.Registration{Settings: s.settings(), Events: []string{"interview.*"}, Profile: "standard"}
		stop = s.background(func(ctx context.Context) error { return listener.Run(ctx, o) })
		s.eventually(func() bool { return strings.Contains(log.String(), "Signing secret: ") }, "it is registered")
		return out, log, stop
	}
	out, log, stop := run(listener.RunOptions{Options: listener.Options{ForwardTo: app.URL + "/hooks"}})
	hook := regexp.MustCompile(`Webhook (\S+) registered, for \d+ events`).FindStringSubmatch(log.String())
	require.NotNil(t, hook, log.String())

	var printed bytes.Buffer
	o := trigger.Options{Settings: s.settings(), Type: "interview.completed", Out: &printed}
	require.NoError(t, trigger.Run(t.Context(), o))
	require.Regexp(t, `^interview.completed published as event \S+; deliveries: 1\n`+
		regexp.QuoteMeta(s.url)+`/console/events/\S+\n$`, printed.String())
	s.eventually(func() bool { return app.count() == 1 }, "the event is forwarded")
	s.eventually(func() bool { return s.statuses(hook[1])["succeeded"] == 1 }, "its answer is the answer")
	got := app.all()[0]
	require.Equal(t, "interview.completed", got.Body.Type)
	require.Empty(t, got.Header.Get("Webhook-Test"), "the event is published as any other")
	var line struct {
		Verified bool
		Event    string
		Status   int
		Body     json.RawMessage
	}
	require.NoError(t, json.Unmarshal([]byte(strings.TrimSpace(out.String())), &line))
	require.True(t, line.Verified)
	require.Equal(t, http.StatusOK, line.Status)
	require.JSONEq(t, string(got.Raw), string(line.Body))

	t.Run("a_test_of_the_webhook_is_marked", func(t *testing.T) {
		printed.Reset()
		o.Type, o.Webhook = "job.created", hook[1]
		require.NoError(t, trigger.Run(t.Context(), o))
		require.Regexp(t, `^job.created sent as a test: HTTP 200 after \d+ ms, delivery \S+\n`+
			regexp.QuoteMeta(s.url)+`/console/deliveries/\S+\n$`, printed.String())
		test := app.all()[1]
		require.Equal(t, "true", test.Header.Get("Webhook-Test"))
		require.Equal(t, "job.created", test.Body.Type)
	})
	t.Run("without_the_integrators_receiver", func(t *testing.T) {
		app.Close()
		err := trigger.Run(t.Context(), o)
		require.ErrorContains(t, err, "502")
		require.Contains(t, out.String(), `"refusal":"nothing listens on `)
	})
	stop()
	require.Contains(t, log.String(), "Webhook "+hook[1]+" deleted")
	require.Equal(t, http.StatusNotFound, s.do(http.MethodGet, "/webhooks/"+hook[1], nil).Status)
}
