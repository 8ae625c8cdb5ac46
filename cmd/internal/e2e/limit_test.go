package e2e_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/config"
)

// jitter is how much later than it began an attempt may arrive in these tests: the machine may be slow.
const jitter = 300 * time.Millisecond

// requireRate checks that in every window of W seconds at most rate * (W + 1) requests arrived.
func requireRate(t *testing.T, all []received, rate float64) {
	t.Helper()
	for i := range all {
		for j := i; j < len(all); j++ {
			window := (all[j].At.Sub(all[i].At) + jitter).Seconds()
			require.LessOrEqual(t, float64(j-i+1), rate*(window+1), "arrivals %d to %d, in %.2f s", i, j, window)
		}
	}
}

func (s *system) limited(r *receiver, rate int) (path string, w map[string]any) {
	s.t.Helper()
	w = s.must(http.MethodPost, "/webhooks", map[string]any{"url": r.URL, "events": []any{5}, "rateLimit": rate})
	return "/webhooks/" + w["id"].(string), w
}

func TestARateLimitHoldsAcrossWorkers(t *testing.T) {
	for name, mode := range dispatchModes {
		t.Run(name, func(t *testing.T) { aRateLimitHoldsAcrossWorkers(t, mode) })
	}
}

// aRateLimitHoldsAcrossWorkers has three workers, of which one is killed, and a backlog.
func aRateLimitHoldsAcrossWorkers(t *testing.T, mode func(*config.Config)) {
	t.Helper()
	const rate, total, killedAt = 10, 250, 80
	s := prepare(t, mode)
	s.serve()
	r, come := listenUntil(t, killedAt, time.Millisecond)
	_, w := s.limited(r, rate)
	s.publishAtOnce("interview.started", total)
	killed := s.process()
	s.work()
	s.work()
	await(t, come)
	require.NoError(t, killed.Process.Kill())
	_ = killed.Wait()
	s.eventually(func() bool { return s.statuses(w["id"])["succeeded"] == total }, "all arrive")
	all := r.all()
	requireRate(t, all, rate)
	took := all[len(all)-1].At.Sub(all[0].At).Seconds()
	t.Logf("%d arrived in %.1f s: %.2f/s", len(all), took, float64(len(all))/took)
	if took > 20 {
		inTwenty := 0
		for _, a := range all {
			if a.At.Sub(all[0].At) <= 20*time.Second-jitter {
				inTwenty++
			}
		}
		require.LessOrEqual(t, inTwenty, 210)
	}
}

func TestAChangedRateLimitActsAtOnce(t *testing.T) {
	for name, mode := range dispatchModes {
		t.Run(name, func(t *testing.T) {
			s := setup(t, mode)
			s.work()
			r := listen(t, nil)
			path, w := s.limited(r, 20)
			s.publishAtOnce("interview.started", 300)
			s.eventually(func() bool { return r.count() >= 60 }, "it is under load")
			s.must(http.MethodPatch, path, map[string]any{"rateLimit": 2})
			time.Sleep(time.Second) // what was under way has arrived
			before := r.count()
			time.Sleep(4 * time.Second)
			require.LessOrEqual(t, r.count()-before, 2*5+1)
			s.must(http.MethodPatch, path, map[string]any{"rateLimit": 0})
			s.eventually(func() bool { return s.statuses(w["id"])["succeeded"] == 300 }, "without a limit all arrive")
		})
	}
}

// TestRetriesKeepToTheRateLimit has a receiver that refuses each delivery once.
func TestRetriesKeepToTheRateLimit(t *testing.T) {
	for name, mode := range dispatchModes {
		t.Run(name, func(t *testing.T) {
			const rate, total = 10, 60
			s := setup(t, mode)
			s.work()
			var mu sync.Mutex
			seen := map[string]bool{}
			r := listen(t, func(_ int, got received) (int, http.Header) {
				mu.Lock()
				defer mu.Unlock()
				id := got.Header.Get("webhook-id")
				if seen[id] {
					return http.StatusOK, nil
				}
				seen[id] = true
				return http.StatusTooManyRequests, nil // does not open the circuit
			})
			_, w := s.limited(r, rate)
			s.publishAtOnce("interview.started", total)
			s.eventually(func() bool { return s.statuses(w["id"])["succeeded"] == total }, "all arrive in the end")
			require.Equal(t, 2*total, r.count())
			requireRate(t, r.all(), rate)
		})
	}
}
