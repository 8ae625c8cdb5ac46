package listen_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook"
	"greenroom/api"
	"greenroom/api/apitest"
	"greenroom/cmd/internal/client"
	"greenroom/cmd/internal/listen"
)

// registry is a real API that webhooks are registered with.
type registry struct {
	*apitest.Bundle
	settings client.Settings
}

func newRegistry(t *testing.T) *registry {
	t.Helper()
	b := apitest.Setup(t, func(o *api.Options) {
		o.CheckURL = webhook.NewClient(webhook.ClientOptions{AllowHTTP: true, AllowLoopback: true}).CheckURL
	})
	srv := httptest.NewServer(b.Handler)
	t.Cleanup(srv.Close)
	return &registry{b, client.Settings{URL: srv.URL, APIKey: b.Key}}
}

type hookRow struct {
	ID, URL, Name, Profile string
	Events                 []string
	IsActive               bool
	CircuitOpenedAt        *string
}

func (r *registry) hooks() []hookRow {
	r.T.Helper()
	var got struct{ Data struct{ Data []hookRow } }
	r.As(r.Key, "GET", "/webhooks", nil).Into(200, &got)
	return got.Data.Data
}

// freeURL is the URL of a port that nothing listens on.
func freeURL(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	return "http://" + ln.Addr().String() + "/"
}

func TestRegister(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	register := func(change func(*listen.Registration)) (*listen.Registered, error) {
		reg := listen.Registration{
			Settings: r.settings, Events: []string{"interview.*", "ping"}, Profile: "standard", URL: freeURL(t),
		}
		if change != nil {
			change(&reg)
		}
		return listen.Register(t.Context(), reg)
	}
	other := r.As(r.Key, "POST", "/webhooks", apitest.Object{
		"url": "http://127.0.0.1:1/", "events": []string{"ping"}, "name": "mine",
	}).Is(201)["data"].(apitest.Object)["id"]

	first, err := register(nil)
	require.NoError(t, err)
	t.Run("creates_a_webhook", func(t *testing.T) {
		hooks := r.hooks()
		require.Len(t, hooks, 2)
		host, err := os.Hostname()
		require.NoError(t, err)
		require.Equal(t, "greenroom listen on "+host, hooks[1].Name)
		require.Contains(t, hooks[1].Events, "interview.started")
		require.Contains(t, hooks[1].Events, "ping")
		require.NotContains(t, hooks[1].Events, "job.created")
		require.Equal(t, first.ID, hooks[1].ID)
		require.False(t, first.IsTakenOver)
		require.Len(t, first.Secret, 64)
	})
	t.Run("takes_over_that_of_a_receiver_that_was_killed", func(t *testing.T) {
		_, err := r.ExecContext(t.Context(), "UPDATE webhooks SET circuit_opened_at = now() WHERE id = ?", first.ID)
		require.NoError(t, err)
		var url string
		second, err := register(func(reg *listen.Registration) { reg.Events = []string{"job.created"}; url = reg.URL })
		require.NoError(t, err)
		require.True(t, second.IsTakenOver)
		require.Equal(t, first.ID, second.ID)
		require.NotEqual(t, first.Secret, second.Secret)
		hooks := r.hooks()
		require.Len(t, hooks, 2)
		require.Equal(t, []string{"job.created"}, hooks[1].Events)
		require.Equal(t, url, hooks[1].URL)
		require.Nil(t, hooks[1].CircuitOpenedAt)
	})
	t.Run("leaves_that_of_a_receiver_that_runs", func(t *testing.T) {
		running := httptest.NewServer(nil)
		t.Cleanup(running.Close)
		kept, err := register(func(reg *listen.Registration) { reg.URL = running.URL + "/" })
		require.NoError(t, err)
		require.Equal(t, first.ID, kept.ID)
		another, err := register(nil)
		require.NoError(t, err)
		require.NotEqual(t, kept.ID, another.ID)
		require.False(t, another.IsTakenOver)
		same, err := register(func(reg *listen.Registration) { reg.URL = running.URL + "/" })
		require.NoError(t, err)
		require.Equal(t, kept.ID, same.ID, "its address is this receiver's now")
		require.Len(t, r.hooks(), 2, "and that of another one that has ended is deleted")
	})
	t.Run("another_profile_needs_another_webhook", func(t *testing.T) {
		running := r.hooks()[1]
		_, err := r.ExecContext(t.Context(), "UPDATE webhooks SET url = ? WHERE id = ?", freeURL(t), running.ID)
		require.NoError(t, err)
		wise, err := register(func(reg *listen.Registration) {
			reg.Profile, reg.Events = "wise", []string{"interview.started", "Fee*"}
		})
		require.NoError(t, err)
		hooks := r.hooks()
		require.Len(t, hooks, 2, "the old one is deleted")
		require.Equal(t, wise.ID, hooks[1].ID)
		require.Equal(
			t,
			[]string{"MeetingStartedEvent", "FeePaymentCompletedEvent", "FeeInvoiceChargedEvent"},
			hooks[1].Events,
		)
		require.NoError(t, wise.Delete(t.Context()))
	})
	t.Run("refusals", func(t *testing.T) {
		_, err := register(func(reg *listen.Registration) { reg.Events = []string{"interview.*", "nope.*"} })
		require.ErrorContains(t, err, `no event type that the profile standard sends matches "nope.*"; it sends `)
		_, err = register(func(reg *listen.Registration) { reg.Profile = "none" })
		require.ErrorContains(t, err, `the API has no profile "none"`)
		_, err = register(func(reg *listen.Registration) { reg.URL = "http://10.0.0.1/" })
		require.ErrorContains(t, err, "create webhook: responded 400 VALIDATION_ERROR")
		_, err = register(func(reg *listen.Registration) { reg.APIKey = "sk_none" })
		require.ErrorContains(t, err, "responded 401 INVALID_API_KEY")
		hooks := r.hooks()
		require.Len(t, hooks, 1)
		require.Equal(t, other, hooks[0].ID)
	})
}

func TestRunRegistersAndDeletes(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	ctx, cancel := context.WithCancel(t.Context())
	log, ended := &lines{seen: make(chan string, 16)}, make(chan error, 1)
	go func() {
		ended <- listen.Run(ctx, listen.RunOptions{
			Addr: "127.0.0.1:0", Out: new(bytes.Buffer), Log: log,
			Link:     func(_ context.Context, page string) string { return "http://console" + page },
			Register: &listen.Registration{Settings: r.settings, Events: []string{"*"}, Profile: "standard"},
		})
	}()
	own := ""
	for line := range log.seen {
		if rest, found := strings.CutPrefix(line, "Listening for webhooks on "); found {
			own, _, _ = strings.Cut(rest, " ")
		}
		if strings.HasPrefix(line, "Signing secret: ") {
			break
		}
	}
	require.Len(t, r.hooks(), 1)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, own, strings.NewReader("{}"))
	require.NoError(t, err)
	req.Header.Set("webhook-id", "d/1")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	cancel()
	require.NoError(t, <-ended)
	require.Empty(t, r.hooks())
	close(log.seen)
	var last []string
	for line := range log.seen {
		last = append(last, line)
	}
	require.Contains(t, last, "The last one: http://console/deliveries/d%2F1\n")
}

// lines hands on each line that is written.
type lines struct{ seen chan string }

func (l *lines) Write(p []byte) (int, error) {
	l.seen <- string(p)
	return len(p), nil
}

func TestRunRefusesToForwardToItself(t *testing.T) {
	t.Parallel()
	url := freeURL(t)
	err := listen.Run(t.Context(), listen.RunOptions{
		Addr: strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/"), Out: new(bytes.Buffer), Log: new(bytes.Buffer),
		Options: listen.Options{ForwardTo: url + "hooks"},
	})
	require.ErrorContains(t, err, "is this receiver's own")
}
