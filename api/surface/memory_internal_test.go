package surface

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db/seal"
)

// boundedAPI serves the routes with memory for one request of a network and two in all.
func boundedAPI(t *testing.T, routes ...Route) http.Handler {
	t.Helper()
	core, err := New(Options{
		DB: &bun.DB{}, Box: &seal.Box{}, Secret: []byte("x"), CheckURL: func(string) error { return nil },
		Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	core.memory = NewShares(200, 100, 50*time.Millisecond)
	fail := func(c *gin.Context, e *Error) { c.String(e.Status, "styled: "+e.Message) }
	h, err := core.Mount(Surface{Name: "test", Style: Style{Fail: fail}, Routes: routes})
	require.NoError(t, err)
	return h
}

func from(address, method, path string, body io.Reader) *http.Request {
	r := httptest.NewRequest(method, path, body)
	r.RemoteAddr = address + ":1"
	return r
}

func answerTo(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

// unreadable fails the test when it is read.
type unreadable struct{ t *testing.T }

func (u unreadable) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

func TestBodyLimit(t *testing.T) {
	t.Parallel()
	read := func(c *gin.Context) error {
		raw, err := ReadBody(c)
		if err == nil {
			c.String(http.StatusOK, "%d", len(raw))
		}
		return err
	}
	h := boundedAPI(t,
		Post("/default", Public, read),
		Post("/own", Public, read).MaxBody(2<<10),
		Post("/file", Public, func(c *gin.Context) error {
			n, err := io.Copy(io.Discard, c.Request.Body)
			c.String(http.StatusOK, "%d", n)
			return err
		}).Streams(),
	)
	text := func(n int) string { return "{" + strings.Repeat(" ", n-2) + "}" }
	t.Run("a_body_within_the_limit_is_read", func(t *testing.T) {
		require.Equal(
			t,
			"16384",
			answerTo(h, from("192.0.2.1", "POST", "/default", strings.NewReader(text(16<<10)))).Body.String(),
		)
		require.Equal(t, "2048", answerTo(h, from("192.0.2.1", "POST", "/own", strings.NewReader(text(2<<10)))).Body.String())
	})
	t.Run("a_longer_one_is_refused_unread", func(t *testing.T) {
		for path, limit := range map[string]int64{"/default": 16 << 10, "/own": 2 << 10} {
			r := from("192.0.2.1", "POST", path, unreadable{t})
			r.ContentLength = limit + 1
			rec := answerTo(h, r)
			require.Equal(t, http.StatusRequestEntityTooLarge, rec.Code)
			require.Equal(t, "close", rec.Header().Get("Connection"))
		}
	})
	t.Run("and_at_the_limit_when_its_length_is_not_announced", func(t *testing.T) {
		r := from("192.0.2.1", "POST", "/own", strings.NewReader(text(4<<10)))
		r.ContentLength = -1
		rec := answerTo(h, r)
		require.Equal(t, http.StatusRequestEntityTooLarge, rec.Code)
		require.Equal(t, "styled: The body must be at most 2 KiB", rec.Body.String())
	})
	t.Run("a_file_has_no_limit_here", func(t *testing.T) {
		require.Equal(
			t,
			"1048576",
			answerTo(h, from("192.0.2.1", "POST", "/file", strings.NewReader(text(1<<20)))).Body.String(),
		)
	})
}

func TestMemoryOfRequestsIsBounded(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}), make(chan struct{})
	h := boundedAPI(t,
		Post("/work", Public, func(*gin.Context) error {
			entered <- struct{}{}
			<-leave
			return nil
		}),
		Get("/healthz", Public, func(*gin.Context) error { return nil }),
		Get("/heavy", Public, func(*gin.Context) error { return nil }).Weighs(1),
	)
	work := func(address string) *http.Request {
		return from(address, "POST", "/work", strings.NewReader(strings.Repeat(" ", 100)))
	}
	done := make(chan int)
	for _, address := range []string{"192.0.2.1", "192.0.2.2"} {
		go func() { done <- answerTo(h, work(address)).Code }()
		<-entered
		rec := answerTo(h, work(address))
		require.Equal(t, http.StatusServiceUnavailable, rec.Code, "this network's share is used up")
		require.Equal(t, "5", rec.Header().Get("Retry-After"))
		require.Equal(t, "styled: Too many requests are in progress; try again", rec.Body.String())
	}
	require.Equal(t, http.StatusServiceUnavailable, answerTo(h, work("192.0.2.3")).Code, "all of it is used up")
	require.Equal(t, http.StatusServiceUnavailable, answerTo(h, from("192.0.2.3", "GET", "/heavy", nil)).Code)
	require.Equal(t, http.StatusOK, answerTo(h, from("192.0.2.3", "GET", "/healthz", nil)).Code)
	close(leave)
	require.Equal(t, http.StatusOK, <-done)
	require.Equal(t, http.StatusOK, <-done)
	require.Equal(t, http.StatusOK, answerTo(h, from("192.0.2.3", "GET", "/heavy", nil)).Code)
}

func TestShares(t *testing.T) {
	t.Parallel()
	acquire := func(s *Shares, owner string, n int64) (func(), bool) {
		return s.Acquire(context.Background(), owner, n)
	}
	t.Run("one_owner_leaves_the_rest_to_others", func(t *testing.T) {
		t.Parallel()
		s := NewShares(4, 2, time.Millisecond)
		_, got := acquire(s, "a", 2)
		require.True(t, got)
		_, got = acquire(s, "a", 1)
		require.False(t, got)
		_, got = acquire(s, "b", 2)
		require.True(t, got)
		_, got = acquire(s, "c", 1)
		require.False(t, got, "the total is used up")
	})
	t.Run("released_shares_can_be_taken_again_and_unused_owners_are_forgotten", func(t *testing.T) {
		t.Parallel()
		s := NewShares(4, 2, time.Minute)
		for range 3 {
			release, got := acquire(s, "a", 5)
			require.True(t, got, "more than a share is a whole share")
			release()
		}
		require.Empty(t, s.owners)
	})
	t.Run("a_waiting_owner_holds_nothing", func(t *testing.T) {
		t.Parallel()
		s := NewShares(4, 3, time.Millisecond)
		release, _ := acquire(s, "a", 3)
		_, got := acquire(s, "a", 1)
		require.False(t, got)
		_, got = acquire(s, "b", 2)
		require.False(t, got)
		_, got = acquire(s, "b", 1)
		require.True(t, got)
		release()
		_, got = acquire(s, "c", 3)
		require.True(t, got)
	})
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	for address, network := range map[string]string{
		"192.0.2.1":            "192.0.2.1",
		"::ffff:192.0.2.1":     "192.0.2.1",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
		"2001:db8:1:2:ffff::1": "2001:db8:1:2::/64",
		"2001:db8:1:2:ffff::":  "2001:db8:1:2::/64",
		"2001:db8:1:3::":       "2001:db8:1:3::/64",
		"fe80::1%eth0":         "fe80::/64",
		"":                     "",
		"not an address":       "not an address",
	} {
		require.Equal(t, network, Network(address))
	}
}
