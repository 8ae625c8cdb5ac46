package listen_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/listen"
)

func TestForward(t *testing.T) {
	t.Parallel()
	var got *http.Request
	var raw []byte
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		raw, _ = io.ReadAll(r.Body)
		w.Header().Set("X-App", "yes")
		w.WriteHeader(http.StatusTeapot)
		_, _ = w.Write([]byte("short and stout"))
	}))
	t.Cleanup(app.Close)
	b := setup(t, listen.Options{Secret: hexSecret, ForwardTo: app.URL + "/hooks?x=1"})

	t.Run("unchanged_and_answered_with_its_answer", func(t *testing.T) {
		status, d := b.send("d-1", func(r *http.Request) {
			r.Header.Set("X-Custom", "a")
			r.Header.Set("User-Agent", "Greenroom-Webhooks/1.0")
		})
		require.Equal(t, http.StatusTeapot, status)
		require.Equal(t, http.StatusTeapot, d.Status)
		require.True(t, d.Verified)
		require.Equal(t, body, string(raw))
		require.Equal(t, "/hooks?x=1", got.RequestURI)
		for name, value := range map[string]string{
			"Webhook-Id": "d-1", "X-Custom": "a", "User-Agent": "Greenroom-Webhooks/1.0",
		} {
			require.Equal(t, value, got.Header.Get(name))
		}
		require.NotEmpty(t, got.Header.Get("Webhook-Signature"))
		require.Empty(t, got.Header.Get("X-Forwarded-For"))
	})
	t.Run("what_does_not_verify_is_not_forwarded", func(t *testing.T) {
		got = nil
		status, d := b.send("d-2", func(r *http.Request) { r.Header.Set("webhook-signature", "v1,xxxx") })
		require.Equal(t, http.StatusUnauthorized, status)
		require.False(t, d.Verified)
		require.Nil(t, got)
	})
	t.Run("a_redirect_is_the_answer", func(t *testing.T) {
		moved := httptest.NewServer(http.RedirectHandler("/elsewhere", http.StatusFound))
		t.Cleanup(moved.Close)
		_, d := setup(t, listen.Options{Secret: hexSecret, ForwardTo: moved.URL}).send("d-3", nil)
		require.Equal(t, http.StatusFound, d.Status)
	})
}

func TestForwardWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := ln.Addr().String()
	require.NoError(t, ln.Close())
	t.Run("nothing_listens", func(t *testing.T) {
		t.Parallel()
		status, d := setup(t, listen.Options{Secret: hexSecret, ForwardTo: "http://" + addr}).send("d-1", nil)
		require.Equal(t, http.StatusBadGateway, status, "it is retried")
		require.Equal(t, "nothing listens on "+addr, d.Refusal)
	})
	t.Run("it_takes_too_long", func(t *testing.T) {
		t.Parallel()
		slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		}))
		t.Cleanup(slow.Close)
		b := setup(t, listen.Options{Secret: hexSecret, ForwardTo: slow.URL})
		b.receiver.SetForwardWait(20 * time.Millisecond)
		status, d := b.send("d-1", nil)
		require.Equal(t, http.StatusBadGateway, status)
		require.Contains(t, d.Refusal, "within 20ms")
	})
}

func TestForwardToAnUnusableURL(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"localhost:3000", "ftp://a/", "http://", "/hooks", "http://a b/"} {
		_, err := listen.New(listen.Options{ForwardTo: bad})
		require.ErrorContains(t, err, "the URL to forward to must be like http://127.0.0.1:3000/webhooks", bad)
	}
}

// What arrives before the secret is known waits for it.
func TestAwaitSecret(t *testing.T) {
	t.Parallel()
	b := setup(t, listen.Options{AwaitSecret: true, Accept: http.StatusOK})
	answered := make(chan int, 1)
	go func() {
		status, d := b.send("d-1", nil)
		assert.True(t, d.Verified)
		answered <- status
	}()
	select {
	case status := <-answered:
		t.Fatalf("answered %d without a secret", status)
	case <-time.After(50 * time.Millisecond):
	}
	require.NoError(t, b.receiver.SetSecret(hexSecret))
	require.Equal(t, http.StatusOK, <-answered)
}
