package api_test

import (
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook"
	"greenroom/activities/webhook/profiles"
	"greenroom/db/delivery"
)

// TestDeliveryRequest: a delivery's request is derived again as it was sent, and its signature is checked with the
// secrets in use.
func TestDeliveryRequest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made := b.do("POST", "/webhooks", object{
		"url": "https://acme.example/hooks", "events": []string{"interview.started"}, "profile": "standard",
		"headers": []object{{"name": "X-Team", "value": "secret words"}},
	}).is(201)
	hook := made["id"].(string)
	secret, err := webhook.ParseSecret(made["signingSecret"].(string))
	require.NoError(t, err)
	event := b.do("POST", "/events", object{"type": "interview.started", "data": object{"n": 1}}).is(202)["id"]
	var id string
	require.NoError(t, b.NewRaw("SELECT id FROM deliveries WHERE event_id = ?", event).Scan(b.ctx, &id))
	path := "/deliveries/" + id + "/request"
	b.do("GET", path, nil).fails(409, "INVALID_STATE")

	at := time.Now().Truncate(time.Millisecond)
	body, status := `{"type":"interview.started","data":{"n":1,"s":"<&>"}}`, 204
	_, err = delivery.RecordAttempt(b.ctx, b, delivery.AttemptRecord{
		WebhookID: uuid.MustParse(hook), Body: []byte(body), Threshold: 10,
		Attempt: delivery.Attempt{
			DeliveryID: uuid.MustParse(id), RunID: uuid.New(), Attempt: 1, WorkflowID: "delivery:" + id, StartedAt: at,
			Outcome: delivery.OutcomeSucceeded, StatusCode: &status,
		},
	})
	require.NoError(t, err)
	standard, err := profiles.ByName("standard")
	require.NoError(t, err)
	sign := func(secret []byte, at time.Time) string {
		r := webhook.Request{
			Profile: standard, Message: webhook.Message{DeliveryID: id}, Body: []byte(body),
			Secrets: webhook.Secrets{secret},
		}
		h, err := r.Header(at)
		require.NoError(t, err)
		return h.Get(webhook.HeaderSignature)
	}
	check := func(query string) object { return b.do("GET", path+"?"+query, nil).is(200) }
	first := check("")
	require.Equal(t, body, first["body"], "byte for byte")
	require.Equal(t, "https://acme.example/hooks", first["url"])
	require.EqualValues(t, at.Unix(), first["timestamp"])
	require.EqualValues(t, 1, first["attempt"].(object)["attempt"])
	require.Nil(t, first["check"])
	headers := map[string]any{}
	for _, h := range first["headers"].([]any) {
		headers[h.(object)["name"].(string)] = h.(object)["value"]
	}
	require.Equal(t, map[string]any{
		"Content-Type": "application/json", "User-Agent": webhook.UserAgent, "Webhook-Id": id,
		"Webhook-Timestamp": strconv.FormatInt(at.Unix(), 10), "Webhook-Signature": sign(secret, at), "X-Team": nil,
	}, headers, "the value of a custom header is not shown")

	signature := func(s string) string { return "signature=" + url.QueryEscape(s) }
	require.Equal(t, true, check(signature(sign(secret, at)))["check"].(object)["matches"])
	other := append([]byte{}, secret...)
	other[0]++
	refused := check(signature(sign(other, at)))
	require.Equal(t, false, refused["check"].(object)["matches"])
	require.Contains(t, refused["check"].(object)["why"], "no secret that is in use")
	later := at.Add(time.Hour)
	require.Equal(t, false, check(signature(sign(secret, later)))["check"].(object)["matches"], "another time")
	moved := check(signature(sign(secret, later)) + "&timestamp=" + strconv.FormatInt(later.Unix(), 10))
	require.Equal(t, true, moved["check"].(object)["matches"])
	require.Nil(t, moved["attempt"], "none was made then")

	b.do("POST", "/webhooks/"+hook+"/rotate-secret", nil).is(200)
	rotated := check(signature(sign(secret, at)))
	require.Equal(t, "an earlier secret made it, which signs until it expires", rotated["check"].(object)["why"])
	both := rotated["signatures"].([]any)
	require.Len(t, both, 2)
	require.Equal(t, []any{true, false, false}, []any{
		both[0].(object)["isCurrent"], both[0].(object)["signs"], both[0].(object)["matches"],
	}, "the new secret did not sign the request")
	require.Equal(t, []any{false, true, true}, []any{
		both[1].(object)["isCurrent"], both[1].(object)["signs"], both[1].(object)["matches"],
	})

	for _, bad := range []string{"now", "-1", "1e9", "99999999999999999999"} {
		b.do("GET", path+"?timestamp="+bad, nil).fails(400, "VALIDATION_ERROR", "timestamp")
	}
	b.as(b.otherKey, "GET", path, nil).fails(403, "RESOURCE_ACCESS_DENIED")
	b.do("GET", "/deliveries/"+uuid.NewString()+"/request", nil).fails(404, "RESOURCE_NOT_FOUND")
	b.do("DELETE", "/webhooks/"+hook, nil)
	b.do("GET", path, nil).fails(409, "INVALID_STATE")
}
