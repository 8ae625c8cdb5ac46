package listen_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/listen"
)

// post sends an unsigned body to a Receiver without a server and returns the response and the delivery.
func post(
	t *testing.T,
	opts listen.Options,
	body string,
	headers ...string,
) (*httptest.ResponseRecorder, listen.Delivery) {
	t.Helper()
	var got listen.Delivery
	opts.OnDelivery = func(d listen.Delivery) { got = d }
	r, err := listen.New(opts)
	require.NoError(t, err)
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	return w, got
}

func TestStatusOfFailures(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]int{0: 500, 200: 200, 301: 301, 410: 410, 429: 429, 599: 599} {
		w, d := post(t, listen.Options{Fail: 1, Status: status}, `{}`)
		require.Equal(t, want, w.Code)
		require.Equal(t, want, d.Status)
	}
	for _, status := range []int{-1, 1, 199, 600} {
		_, err := listen.New(listen.Options{Status: status})
		require.ErrorContains(t, err, "status must be 200 to 599")
	}
}

func TestDescriptionOfADelivery(t *testing.T) {
	t.Parallel()
	hourAgo := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	for name, c := range map[string]struct {
		body, event, attempt string
		headers              []string
		aged                 bool
	}{
		"event":              {body: `{"event":"a","type":"b"}`, event: "a"},
		"type":               {body: `{"type":"b"}`, event: "b"},
		"timestamp":          {body: `{"timestamp":"` + hourAgo + `"}`, aged: true},
		"numeric_timestamp":  {body: `{"event":"a","timestamp":1700000000}`, event: "a"},
		"no_time":            {body: `{"event":"a","timestamp":"now"}`, event: "a"},
		"no_json":            {body: "\xff\x00"},
		"array":              {body: `[1]`},
		"attempt":            {body: `{}`, headers: []string{"X-Delivery-Attempt", "3"}, attempt: "3"},
		"first_attempt_wins": {body: `{}`, headers: []string{"X-Webhook-Attempt", "2", "webhook-attempt", "1"}, attempt: "1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, d := post(t, listen.Options{}, c.body, c.headers...)
			require.Equal(t, http.StatusNoContent, w.Code, "without a secret everything is accepted")
			require.Equal(t, c.event, d.Event)
			require.Equal(t, c.attempt, d.Attempt)
			require.Equal(t, c.body, string(d.Body))
			require.False(t, d.Verified)
			if c.aged {
				require.InDelta(t, time.Hour.Seconds(), d.Age.Seconds(), 10)
			} else {
				require.Negative(t, d.Age)
			}
		})
	}
}

func TestBodyAboveTheLimitIsRefused(t *testing.T) {
	t.Parallel()
	w, d := post(t, listen.Options{}, strings.Repeat("a", 8<<20))
	require.Equal(t, http.StatusNoContent, w.Code)
	require.Len(t, d.Body, 8<<20)
	w, d = post(t, listen.Options{}, strings.Repeat("a", 8<<20+1))
	require.Equal(t, http.StatusBadRequest, w.Code)
	require.Empty(t, d.Body, "it is no delivery")
}

// Deliveries without an id are never duplicates of each other.
func TestDeliveriesAtOnce(t *testing.T) {
	t.Parallel()
	r, err := listen.New(listen.Options{Fail: 7})
	require.NoError(t, err)
	var wg sync.WaitGroup
	statuses := make(chan int, 40)
	for i := range cap(statuses) {
		wg.Go(func() {
			req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(`{}`))
			if i%2 == 0 {
				req.Header.Set("webhook-id", "same")
			}
			w := httptest.NewRecorder()
			r.ServeHTTP(w, req)
			statuses <- w.Code
		})
	}
	wg.Wait()
	close(statuses)
	failed := 0
	for status := range statuses {
		if status == http.StatusInternalServerError {
			failed++
		}
	}
	require.Equal(t, 7, failed)
	s := r.Summary()
	require.Equal(t, 40, s.Received)
	require.Zero(t, s.Verified)
	require.Less(t, s.Duplicates, 20, "the first of an id is no duplicate, nor is one without an id")
	r.FailNext(1)
	_, after := r.Summary(), httptest.NewRecorder()
	r.ServeHTTP(after, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", http.NoBody))
	require.Equal(t, http.StatusInternalServerError, after.Code)
}

func TestPrinterOfUnusualDeliveries(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p := listen.NewPrinter(&out, false)
	p.Print(listen.Delivery{Age: -1, Reason: "no signature", Body: []byte("\xff not JSON"), Status: 204, Seen: 2})
	require.Regexp(t, `✗ no signature  –  –  10 B  retry \(seen 2×\)\n    � not JSON\n$`, out.String())
	out.Reset()
	p = listen.NewPrinter(&out, true)
	p.Print(listen.Delivery{Age: -1, Body: []byte(`<a> & "b"`), Status: 410})
	require.Contains(t, out.String(), `"body":"<a> & \"b\""`)
	require.NotContains(t, out.String(), "ageMs")
	require.Equal(t, 1, strings.Count(out.String(), "\n"))
}

func TestServer(t *testing.T) {
	t.Parallel()
	slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	s, err := listen.Serve(t.Context(), "127.0.0.1:0", slow)
	require.NoError(t, err)
	addr := strings.TrimSuffix(strings.TrimPrefix(s.URL, "http://"), "/")
	_, err = listen.Serve(t.Context(), addr, slow)
	require.ErrorContains(t, err, "listen for deliveries: listen tcp "+addr)

	answered := make(chan error, 1)
	go func() {
		resp, err := http.Post(s.URL, "application/json", http.NoBody)
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		answered <- err
	}()
	time.Sleep(50 * time.Millisecond)
	begun := time.Now()
	require.NoError(t, s.Close())
	require.Less(t, time.Since(begun), 10*time.Second, "a response that does not end is aborted")
	require.Error(t, <-answered)
	require.ErrorIs(t, s.Wait(t.Context()), http.ErrServerClosed)
}
