package e2e_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/admin"
	"greenroom/cmd/internal/config"
)

// asCompany returns a system that calls the API as another company, which it creates.
func (s *system) asCompany(name string) *system {
	s.t.Helper()
	operator, _ := s.operator()
	const perMinute = 1_000_000
	k, err := operator.CreateKey(s.t.Context(), admin.KeyRequest{
		Company: name, CreateCompany: true, PerMinute: perMinute, PerHour: perMinute,
	})
	require.NoError(s.t, err)
	other := *s
	other.key = k.Plain
	return &other
}

// holding is a receiver that answers once it is released, at the end of the test at the latest, except what has the
// header X-Healthy.
type holding struct {
	*httptest.Server
	now, most atomic.Int64
	release   func()
}

func hold(t *testing.T) *holding {
	t.Helper()
	h, end := &holding{}, make(chan struct{})
	h.release = sync.OnceFunc(func() { close(end) })
	h.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.Header.Get("X-Healthy") != "" {
			return
		}
		now := h.now.Add(1)
		defer h.now.Add(-1)
		for most := h.most.Load(); now > most && !h.most.CompareAndSwap(most, now); most = h.most.Load() {
		}
		select {
		case <-end:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(h.Close)
	t.Cleanup(h.release)
	return h
}

// webhooks registers n webhooks at one receiver.
func (s *system) webhooks(url string, n int) {
	s.t.Helper()
	for i := range n {
		s.must(http.MethodPost, "/webhooks", map[string]any{"url": fmt.Sprintf("%s/%d", url, i), "events": []any{5}})
	}
}

func TestFairnessBetweenCompaniesAndHosts(t *testing.T) {
	for name, tc := range map[string]struct {
		limits func(*config.Dispatch)
		// sameHost: the healthy company's webhook is at the host that hangs for the other one.
		sameHost bool
	}{
		"a_company_leaves_a_quarter_of_the_process": {limits: func(d *config.Dispatch) { d.MaxInFlight = 20 }},
		"a_company_leaves_a_quarter_of_a_host": {
			limits: func(d *config.Dispatch) { d.MaxInFlightPerHost = 20 }, sameHost: true,
		},
	} {
		for lane, mode := range dispatchModes {
			t.Run(name+"/"+lane, func(t *testing.T) {
				s := setup(t, mode, func(c *config.Config) { tc.limits(&c.Dispatch) })
				hanging := hold(t)
				s.webhooks(hanging.URL, 8)
				other := s.asCompany("Healthy")
				url := listen(t, nil).URL
				if tc.sameHost {
					url = hanging.URL
				}
				w := other.must(http.MethodPost, "/webhooks", map[string]any{
					"url": url, "events": []any{5}, "headers": []any{map[string]any{"name": "X-Healthy", "value": "1"}},
				})
				began := time.Now()
				s.publishAtOnce("interview.started", 6)
				s.eventually(func() bool { return hanging.now.Load() == 15 }, "the company has three quarters")
				other.publishAtOnce("interview.started", 40)
				s.eventually(func() bool { return s.statuses(w["id"])["succeeded"] == 40 }, "the other company's arrive")
				if time.Since(began) < 25*time.Second { // none has timed out, and been followed by another
					require.EqualValues(t, 15, hanging.most.Load())
				}
			})
		}
	}
}

// TestARetryIsNotOvertakenByABacklog: a retry that finds no place waits in the queue, and is woken before deliveries
// that are younger.
func TestARetryIsNotOvertakenByABacklog(t *testing.T) {
	for lane, mode := range dispatchModes {
		t.Run(lane, func(t *testing.T) {
			s := setup(t, mode, func(c *config.Config) { c.Dispatch.MaxInFlightPerEndpoint = 1 })
			r := listen(t, nil)
			var first atomic.Value
			r.turn(func(n int, got received) (int, http.Header) {
				if n == 1 {
					first.Store(got.ID())
					return http.StatusInternalServerError, nil
				}
				time.Sleep(120 * time.Millisecond)
				return http.StatusOK, nil
			})
			w := s.webhook(r, "instaview", 5)
			s.publish("interview.started", 1)
			s.eventually(func() bool { return s.statuses(w["id"])["retrying"] == 1 }, "the first attempt fails")
			const backlog = 80
			s.publishAtOnce("interview.started", backlog)
			s.eventually(func() bool { return s.statuses(w["id"])["succeeded"] == backlog+1 }, "all arrive")
			all := r.all()
			require.Len(t, all, backlog+2, "each once, but the one that failed")
			at := 0
			for i, got := range all[1:] {
				if got.ID() == first.Load() {
					at = i
				}
			}
			require.Less(t, at, backlog-8, "the retry does not wait for the end of the backlog")
			require.Equal(t, 2, s.attemptsOf(first.Load()))
		})
	}
}

func (s *system) attemptsOf(delivery any) (n int) {
	s.t.Helper()
	require.NoError(s.t, s.db.NewRaw("SELECT attempts FROM deliveries WHERE id = ?", delivery).Scan(s.t.Context(), &n))
	return n
}

// TestAReceiverThatIsOverloadedGetsFewerAtOnce: it loses places while it answers 503, and has them again afterwards.
func TestAReceiverThatIsOverloadedGetsFewerAtOnce(t *testing.T) {
	s := setup(t, inBatches)
	var now, most atomic.Int64
	r := listen(t, nil)
	r.turn(func(n int, _ received) (int, http.Header) {
		most.Store(max(most.Load(), now.Add(1)))
		defer now.Add(-1)
		time.Sleep(50 * time.Millisecond)
		if n < 8 {
			return http.StatusServiceUnavailable, nil
		}
		return http.StatusOK, nil
	})
	w := s.webhook(r, "instaview", 5)
	s.publishAtOnce("interview.started", 7)
	s.eventually(func() bool { return s.statuses(w["id"])["succeeded"] == 7 }, "they are accepted at their second attempt")
	require.LessOrEqual(t, most.Load(), int64(10))
	s.publishAtOnce("interview.started", 400)
	s.eventually(func() bool { return s.statuses(w["id"])["succeeded"] == 407 }, "all arrive")
}
