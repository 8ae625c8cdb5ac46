package e2e_test

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"greenroom/activities/webhook"
)

func TestHappyPath(t *testing.T) {
	s := setup(t)
	instaview, standard := listen(t, nil), listen(t, nil)
	w := s.webhook(instaview, "instaview", 3, "interview.started", "PING")
	s.webhook(standard, "standard", "interview.started")
	require.Equal(t, true, s.must(http.MethodPost, fmt.Sprintf("/webhooks/%s/test", w["id"]), nil)["success"])
	s.publish("interview.started", 1)
	s.eventually(func() bool { return instaview.count() == 2 && standard.count() == 1 }, "both profiles arrive")

	got := instaview.all()[1]
	require.Equal(t, "interview.started", got.Body.Event)
	require.Equal(t, got.ID(), got.Body.DeliveryID)
	secret, err := hex.DecodeString(w["signingSecret"].(string))
	require.NoError(t, err)
	verifier, err := standardwebhooks.NewWebhook(webhook.SecretWhsec(secret))
	require.NoError(t, err)
	require.NoError(t, verifier.Verify(got.Raw, got.Header))
	require.Equal(t, "interview.started", standard.all()[0].Body.Type)

	s.eventually(func() bool { return s.statuses(w["id"])["succeeded"] == 2 }, "both are recorded")
	d := s.must(http.MethodGet, "/deliveries/"+got.ID(), nil)
	require.Equal(t, "succeeded", d["status"])
	require.Len(t, d["attempts"], 1)
	s.record("DeliverWebhook-succeeds", "delivery:"+got.ID()+":0")
}

func TestReceiverDownThenUp(t *testing.T) {
	s := setup(t)
	r := listen(t, func(n int, _ received) (int, http.Header) {
		if n == 1 {
			return http.StatusServiceUnavailable, nil
		}
		return http.StatusOK, nil
	})
	w := s.webhook(r, "instaview", 5)
	s.publish("interview.started", 1)
	s.eventually(func() bool { return s.statuses(w["id"])["succeeded"] == 1 }, "the second attempt succeeds")
	got := r.all()
	require.Len(t, got, 2)
	require.Equal(t, got[0].ID(), got[1].ID())
	require.Equal(t, got[0].Raw, got[1].Raw, "every attempt sends the same bytes")
	require.GreaterOrEqual(t, got[1].At.Sub(got[0].At), 4*time.Second, "5 s less 20 % jitter")
	d := s.must(http.MethodGet, "/deliveries/"+got[0].ID(), nil)
	attempts := d["attempts"].([]any)
	require.Len(t, attempts, 2)
	s.record("DeliverWebhook-retries", "delivery:"+got[0].ID()+":0")
	require.EqualValues(t, 503, attempts[0].(map[string]any)["statusCode"])
	require.EqualValues(t, 0, s.must(http.MethodGet, fmt.Sprintf("/webhooks/%s", w["id"]), nil)["consecutiveFailures"])
}

func TestRetryAfterIsHonoured(t *testing.T) {
	s := setup(t)
	r := listen(t, func(n int, _ received) (int, http.Header) {
		if n == 1 {
			return http.StatusTooManyRequests, http.Header{"Retry-After": {"9"}}
		}
		return http.StatusOK, nil
	})
	w := s.webhook(r, "instaview", 5)
	s.publish("interview.started", 1)
	s.eventually(func() bool { return s.statuses(w["id"])["succeeded"] == 1 }, "it arrives in the end")
	got := r.all()
	require.GreaterOrEqual(t, got[1].At.Sub(got[0].At), 9*time.Second)
}

func TestGoneDisablesTheWebhook(t *testing.T) {
	s := setup(t)
	r := listen(t, status(http.StatusGone))
	w := s.webhook(r, "instaview", 5, 2)
	s.publish("interview.started", 1)
	s.eventually(func() bool { return s.statuses(w["id"])["failed"] == 1 }, "410 ends the delivery")
	require.Equal(t, false, s.must(http.MethodGet, fmt.Sprintf("/webhooks/%s", w["id"]), nil)["isActive"])
	s.publish("interview.started", 1)
	test := s.must(http.MethodPost, fmt.Sprintf("/webhooks/%s/test", w["id"]), nil)
	require.Equal(t, false, test["success"])
	require.Equal(t, 1, r.count(), "a disabled webhook gets no attempts")
}

func TestRetryOnRequestMakesTheAttemptNowAndReplaysAnEndedDelivery(t *testing.T) {
	s := setup(t)
	r := listen(t, status(http.StatusInternalServerError))
	w := s.webhook(r, "standard", "interview.started")
	s.publish("interview.started", 1)
	s.eventually(func() bool { return s.statuses(w["id"])["retrying"] == 1 }, "it waits")
	id := r.all()[0].ID()
	// The second wait is 5 minutes, so an attempt within the test is caused by the request.
	s.eventually(func() bool { return r.count() == 2 }, "the second attempt follows after 5 s")
	r.turn(nil)
	s.eventually(func() bool { return s.deliveries(w["id"])[0]["attemptCount"] == float64(2) }, "it is recorded")
	require.Equal(t, http.StatusAccepted, s.do(http.MethodPost, "/deliveries/"+id+"/retry", nil).Status)
	s.eventually(func() bool { return s.statuses(w["id"])["succeeded"] == 1 }, "it is made at once")
	require.Equal(t, 3, r.count())

	require.Equal(t, http.StatusAccepted, s.do(http.MethodPost, "/deliveries/"+id+"/retry", nil).Status)
	s.eventually(func() bool { return r.count() == 4 }, "an ended one is sent again")
	require.Equal(t, id, r.all()[3].ID(), "with the same id")
	require.Equal(t, r.all()[0].Raw, r.all()[3].Raw, "and the same bytes")
}

// TestReplayDeliveryInTemporal: an operator starts the workflow in the Temporal UI, and the delivery is sent again.
func TestReplayDeliveryInTemporal(t *testing.T) {
	s := setup(t)
	r := listen(t, nil)
	w := s.webhook(r, "standard", "interview.started")
	s.publish("interview.started", 1)
	s.eventually(func() bool { return s.statuses(w["id"])["succeeded"] == 1 }, "it is delivered")
	id := r.all()[0].ID()
	run, err := s.temporal().ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: "by-hand:" + id, TaskQueue: s.cfg.Temporal.TaskQueue,
	}, "ReplayDelivery", map[string]string{"deliveryId": id})
	require.NoError(t, err)
	var sent map[string]string
	require.NoError(t, run.Get(t.Context(), &sent))
	require.Equal(t, "delivery:"+id+":1", sent["workflowId"])
	s.eventually(func() bool { return r.count() == 2 }, "it arrives again")
	require.Equal(t, id, r.all()[1].ID())
	s.record("ReplayDelivery-by_hand", run.GetID())
}

func TestDeletingAWebhookCancels(t *testing.T) {
	s := setup(t)
	r := listen(t, status(http.StatusInternalServerError))
	w := s.webhook(r, "instaview", 5)
	s.publish("interview.started", 5)
	s.eventually(func() bool { return s.statuses(w["id"])["retrying"] == 5 }, "all wait for their second attempt")
	require.Equal(t, http.StatusNoContent, s.do(http.MethodDelete, fmt.Sprintf("/webhooks/%s", w["id"]), nil).Status)
	require.Equal(t, map[string]int{"canceled": 5}, s.statuses(w["id"]))
	sent := r.count()
	for _, d := range s.deliveries(w["id"]) {
		s.workflowEnds(fmt.Sprintf("delivery:%s:0", d["id"]))
		s.record("DeliverWebhook-canceled", fmt.Sprintf("delivery:%s:0", d["id"]))
	}
	require.Equal(t, sent, r.count(), "nothing more is sent")
}
