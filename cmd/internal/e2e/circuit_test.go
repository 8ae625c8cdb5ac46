package e2e_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/config"
)

// TestCircuit opens a circuit, pauses later deliveries, and closes it in each possible way.
func TestCircuit(t *testing.T) {
	resets := map[string]func(s *system, webhook any){
		"by_api": func(s *system, webhook any) {
			w := s.must(http.MethodPost, fmt.Sprintf("/webhooks/%s/reset-circuit", webhook), nil)
			require.Nil(s.t, w["circuitOpenedAt"])
			require.EqualValues(s.t, 0, w["consecutiveFailures"])
			require.Equal(s.t, true, w["isActive"])
		},
		"by_temporal_signal": func(s *system, webhook any) {
			require.NoError(
				s.t,
				s.temporal().SignalWorkflow(s.t.Context(), fmt.Sprintf("circuit:%s", webhook), "", "reset", nil),
			)
		},
	}
	for name, reset := range resets {
		t.Run("1.9_threshold_opens_nothing_is_attempted_reset_"+name, func(t *testing.T) {
			s := setup(t, eachAlone)
			r := listen(t, status(http.StatusInternalServerError))
			w := s.webhook(r, "instaview", 5)
			s.publish("interview.started", 14)
			s.openCircuit(w["id"])
			s.publish("interview.started", 6)
			s.eventually(
				func() bool { return s.statuses(w["id"])["paused"] == 20 },
				"everything comes to wait: %v",
				s.statuses(w["id"]),
			)
			sent := r.count()
			r.turn(nil)
			reset(s, w["id"])
			s.eventually(func() bool { return s.statuses(w["id"])["succeeded"] == 20 }, "everything is released")
			deliveries, extra := r.acceptedOnce()
			require.Equal(t, 20, deliveries)
			require.Zero(t, extra, "nothing is sent twice")
			require.Equal(t, sent+20, r.count())
			require.Nil(t, s.must(http.MethodGet, fmt.Sprintf("/webhooks/%s", w["id"]), nil)["circuitOpenedAt"])
			s.record("Circuit-reset_"+name, fmt.Sprintf("circuit:%s", w["id"]))
			s.record("DeliverWebhook-parked_"+name, "delivery:"+r.all()[0].ID()+":0")
		})
	}
}

// openCircuit waits until the circuit is open. The receiver must fail.
func (s *system) openCircuit(webhook any) {
	s.t.Helper()
	s.eventually(func() bool {
		return s.must(http.MethodGet, fmt.Sprintf("/webhooks/%s", webhook), nil)["circuitOpenedAt"] != nil
	}, "the circuit opens")
	failures := s.must(http.MethodGet, fmt.Sprintf("/webhooks/%s", webhook), nil)["consecutiveFailures"].(float64)
	require.GreaterOrEqual(s.t, failures, float64(s.cfg.Circuit.Threshold))
}

func TestCircuitProbeClosesByItself(t *testing.T) {
	s := setup(t, func(c *config.Config) { c.Circuit.Recovery, c.Circuit.Cooldown = config.RecoverByProbe, 3e9 })
	r := listen(t, status(http.StatusInternalServerError))
	w := s.webhook(r, "instaview", 5)
	s.publish("interview.started", 12)
	s.openCircuit(w["id"])
	s.eventually(func() bool { return s.statuses(w["id"])["paused"] >= 11 }, "the rest waits")
	r.turn(nil)
	s.eventually(func() bool { return s.statuses(w["id"])["succeeded"] == 12 }, "a probe succeeds and the rest follows")
	_, extra := r.acceptedOnce()
	require.Zero(t, extra)
	s.record("Circuit-probe", fmt.Sprintf("circuit:%s", w["id"]))
}

// A batch makes the failures that open the circuit, so the deliveries have the id of a workflow that does not exist.
func TestCircuitOpenedByABatchClosesByAProbe(t *testing.T) {
	const total = 600
	s := setup(t, func(c *config.Config) {
		c.Circuit.Recovery, c.Circuit.Cooldown, c.Circuit.ReleaseLimit = config.RecoverByProbe, 1e9, 1000
	})
	r := listen(t, status(http.StatusInternalServerError))
	w := s.webhook(r, "instaview", 5)
	s.publishAtOnce("interview.started", total)
	s.openCircuit(w["id"])
	s.eventually(func() bool { return s.statuses(w["id"])["paused"] == total }, "all wait: %v", s.statuses(w["id"]))
	r.turn(nil)
	s.eventually(func() bool { return s.statuses(w["id"])["succeeded"] == total }, "a probe succeeds and the rest follows")
	_, extra := r.acceptedOnce()
	require.Zero(t, extra)
}

func TestDeactivatedWebhookPausesItsDeliveries(t *testing.T) {
	s := setup(t)
	r := listen(t, status(http.StatusInternalServerError))
	w := s.webhook(r, "instaview", 5)
	s.publish("interview.started", 3)
	s.eventually(func() bool { return s.statuses(w["id"])["retrying"] == 3 }, "all wait for their second attempt")
	path := fmt.Sprintf("/webhooks/%s", w["id"])
	s.must(http.MethodPatch, path, map[string]any{"isActive": false})
	s.eventually(func() bool { return s.statuses(w["id"])["paused"] == 3 }, "they become due and are paused")
	r.turn(nil)
	s.must(http.MethodPatch, path, map[string]any{"isActive": true})
	s.eventually(func() bool { return s.statuses(w["id"])["succeeded"] == 3 }, "and are delivered after the activation")
}
