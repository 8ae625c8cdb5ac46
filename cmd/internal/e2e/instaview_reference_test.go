package e2e_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestWebhooksReferenceDeliveries checks the statements of the webhooks API's reference about deliveries: §2.5, those
// of Part 1 that a receiver sees, and the choices for its open points (Part 4). Package api tests the API itself.
func TestWebhooksReferenceDeliveries(t *testing.T) {
	s := setup(t, simulate(t, true))
	body := func(t *testing.T, r received) (b map[string]any) {
		t.Helper()
		require.NoError(t, json.Unmarshal(r.Raw, &b))
		return b
	}
	held := listen(t, nil)
	s.webhook(held, "instaview", allEvents...)
	interview := s.interview("PHONE", "+421900000100")
	s.eventually(func() bool { return held.count() == 3 }, "three events of one interview arrive")
	kinds := held.kinds()
	for _, event := range []string{"interview.started", "interview.completed", "analysis.completed"} {
		t.Run("2.5_envelope_of_"+event, func(t *testing.T) {
			got := body(t, kinds[event])
			require.Len(t, got, 4)
			require.Equal(t, event, got["event"])
			require.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`, got["timestamp"])
			require.Regexp(t, `^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`, got["deliveryId"])
			data := got["data"].(map[string]any)
			require.Equal(t, interview, data["interviewId"])
			for _, field := range []string{"callAttemptId", "candidateId", "jobId", "status"} {
				require.NotEmpty(t, data[field], field)
			}
		})
	}
	t.Run("2.5_analysis_completed_carries_the_results", func(t *testing.T) {
		require.NotNil(t, at(body(t, kinds["analysis.completed"]), "data.analysis.general.overallRating"))
		require.Nil(t, at(body(t, kinds["interview.completed"]), "data.analysis"))
	})
	t.Run("1.6_custom_headers_are_sent_with_each_delivery", func(t *testing.T) {
		r := listen(t, nil)
		s.must(http.MethodPost, "/webhooks", map[string]any{"url": r.URL, "events": []int{4}, "headers": []any{
			map[string]any{
				"name":  "Authorization",
				"value": "Bearer theirs",
			},
			map[string]any{"name": "X-Source", "value": "greenroom"},
		}})
		s.publish("interview.failed", 2)
		s.eventually(func() bool { return r.count() == 2 }, "both arrive")
		for _, got := range r.all() {
			require.Equal(t, "Bearer theirs", got.Header.Get("Authorization"))
			require.Equal(t, "greenroom", got.Header.Get("X-Source"))
		}
	})
	t.Run("2.5_any_2xx_is_success_and_nothing_else_is", func(t *testing.T) {
		r := listen(t, nil)
		w := s.webhook(r, "instaview", 2)
		for _, code := range []int{200, 201, 202, 204, 299, 300, 302, 400, 404, 500, 503} {
			r.turn(status(code))
			got := s.must(http.MethodPost, "/webhooks/"+w["id"].(string)+"/test", nil)
			require.Equal(t, code < 300, got["success"], code)
			if code < 300 {
				require.EqualValues(t, code, got["httpStatus"])
			}
		}
		ping := body(t, r.all()[0])
		require.Equal(t, "ping", ping["event"])
		require.NotEmpty(t, at(ping, "data.message"))
	})
	t.Run("2.4_a_new_webhook_can_be_tested_at_once_and_the_answer_has_the_delivery", func(t *testing.T) { // 3.1, 9
		r := listen(t, nil)
		w := s.webhook(r, "instaview", 2, 3, 0)
		got := s.must(http.MethodPost, "/webhooks/"+w["id"].(string)+"/test", nil)
		require.Equal(t, r.all()[0].Body.DeliveryID, got["deliveryId"])
		require.Less(t, got["durationMs"], 30000.0)
	})
	t.Run("4_hmac_with_the_hex_secret", func(t *testing.T) {
		r := listen(t, nil)
		w := s.webhook(r, "instaview", 2)
		s.must(http.MethodPost, "/webhooks/"+w["id"].(string)+"/test", nil)
		mac := hmac.New(sha256.New, []byte(w["signingSecret"].(string)))
		mac.Write(r.all()[0].Raw)
		require.Equal(t, "sha256="+hex.EncodeToString(mac.Sum(nil)), r.all()[0].Header.Get("X-Webhook-Signature"))
		at, err := strconv.ParseInt(r.all()[0].Header.Get("X-Webhook-Timestamp"), 10, 64)
		require.NoError(t, err)
		require.WithinDuration(t, time.Now(), time.Unix(at, 0), time.Minute)
	})
	t.Run("1.2_three_retries_of_the_same_delivery", func(t *testing.T) {
		r := listen(t, status(http.StatusInternalServerError))
		w := s.webhook(r, "instaview", "sourcing.failed")
		require.EqualValues(t, 3, w["maxRetries"])
		s.publish("sourcing.failed", 1)
		d := s.delivery(w, 1)
		for run := 2; run <= 4; run++ {
			require.Equal(t, "retrying", d["status"])
			s.wake(d)
			d = s.delivery(w, run)
		}
		require.Equal(t, "failed", d["status"])
		for _, got := range r.all() {
			require.Equal(t, string(r.all()[0].Raw), string(got.Raw))
			require.Equal(t, d["id"], got.Body.DeliveryID)
		}
		require.EqualValues(t, 4, s.must(http.MethodGet, fmt.Sprintf("/webhooks/%s", w["id"]), nil)["consecutiveFailures"])
	})
}
