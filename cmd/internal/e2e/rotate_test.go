package e2e_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook"
	"greenroom/db"
	"greenroom/db/seal"
)

// TestRotationOfASecretUnderLoad: a receiver that knows one secret at a time, the old one for a while after each
// rotation, refuses no delivery: first attempts by a stream, and retries.
func TestRotationOfASecretUnderLoad(t *testing.T) {
	const rotations, each = 4, 60
	s := setup(t, inBatches)
	var known atomic.Pointer[standardwebhooks.Webhook]
	var refused atomic.Int32
	know := func(text any) {
		secret, err := webhook.ParseSecret(text.(string))
		require.NoError(t, err)
		verifier, err := standardwebhooks.NewWebhookRaw(secret)
		require.NoError(t, err)
		known.Store(verifier)
	}
	r := listen(t, func(n int, r received) (int, http.Header) {
		if known.Load().Verify(r.Raw, r.Header) != nil {
			refused.Add(1)
			return http.StatusUnauthorized, nil
		}
		if n%20 == 0 {
			return http.StatusServiceUnavailable, nil
		}
		return http.StatusOK, nil
	})
	w := s.webhook(r, "instaview", 5)
	know(w["signingSecret"])
	s.stream()
	for range rotations {
		rotated := s.must(http.MethodPost, "/webhooks/"+w["id"].(string)+"/rotate-secret", map[string]any{})
		s.publishSteadily(each / 2)
		time.Sleep(2 * time.Second) // requests that were signed before the rotation arrive
		know(rotated["signingSecret"])
		s.publishSteadily(each / 2)
	}
	const total = 2 + rotations*each
	s.arriveOnce(r, w["id"], total)
	require.Zero(t, refused.Load())
	require.Greater(t, r.count(), total, "some were retried")
}

// TestRotationOfTheKeysetUnderLoad takes the steps of `greenroom keyset` one after the other. New processes start before
// the former ones stop. Each step makes a webhook, rotates a secret and publishes, and all that was sealed before can be
// used.
func TestRotationOfTheKeysetUnderLoad(t *testing.T) {
	const each = 40
	s := prepare(t, inBatches)
	first := s.cfg.Keyset
	added, _, err := seal.AddKey(first)
	require.NoError(t, err)
	promoted, _, err := seal.PromoteNewest(added)
	require.NoError(t, err)
	kept, _, err := seal.KeepPrimary(promoted)
	require.NoError(t, err)
	start := func(keyset string) (stop func()) {
		s.cfg.Keyset = keyset
		stopAPI, stopWorker := s.serve(), s.work()
		return func() { stopAPI(); stopWorker() }
	}

	var known []*standardwebhooks.Webhook // by step
	var refused atomic.Int32
	var receivers []*receiver
	var webhooks []any
	hook := func() {
		step := len(known)
		r := listen(t, func(n int, r received) (int, http.Header) {
			if known[step].Verify(r.Raw, r.Header) != nil {
				refused.Add(1)
				return http.StatusUnauthorized, nil
			}
			if n%20 == 0 {
				return http.StatusServiceUnavailable, nil
			}
			return http.StatusOK, nil
		})
		w := s.webhook(r, "instaview", 5)
		secret, err := webhook.ParseSecret(w["signingSecret"].(string))
		require.NoError(t, err)
		verifier, err := standardwebhooks.NewWebhookRaw(secret)
		require.NoError(t, err)
		known, receivers, webhooks = append(known, verifier), append(receivers, r), append(webhooks, w["id"])
	}
	stop := start(first)
	published := make([]int, 0, 4)
	for step, keyset := range []string{added, promoted, "", kept} {
		hook()
		// The first secret of the webhook still signs, sealed as an earlier one.
		s.must(http.MethodPost, "/webhooks/"+webhooks[step].(string)+"/rotate-secret", map[string]any{})
		published = append(published, 0)
		s.publishSteadily(each)
		if keyset == "" {
			box, err := seal.New(promoted)
			require.NoError(t, err)
			rows, err := db.Reseal(t.Context(), s.db, box)
			require.NoError(t, err)
			require.Equal(t, 2, rows, "those of the steps before the new key sealed")
		} else {
			next := start(keyset)
			s.publishSteadily(each)
			stop()
			stop = next
		}
		s.publishSteadily(each)
		for i := range published {
			published[i] += map[bool]int{true: 2, false: 3}[keyset == ""] * each
		}
	}
	for i, r := range receivers {
		s.arriveOnce(r, webhooks[i], published[i])
	}
	require.Zero(t, refused.Load())
}
