package api_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestFilterTest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	stored := object{"data": object{"rating": object{"$gte": 80}, "status": "COMPLETED"}}
	hook := idOf(b.made("/webhooks", object{
		"url": hookURL, "profile": "standard", "events": []string{"interview.*"}, "filter": stored,
	}))
	path := "/webhooks/" + hook + "/filter/test"
	publish := func(key, eventType string, data object) string {
		return idOf(b.as(key, "POST", "/events", object{"type": eventType, "data": data}).is(202))
	}
	good := publish(b.key, "interview.completed", object{"rating": 80, "status": "COMPLETED"})
	low := publish(b.key, "interview.completed", object{"rating": 79, "status": "FAILED"})
	other := publish(b.key, "job.created", object{"rating": 90, "status": "COMPLETED"})
	publish(b.otherKey, "interview.completed", object{"rating": 99, "status": "COMPLETED"})
	before := b.count("deliveries")

	try := func(body object) (out object, byEvent map[string]object) {
		t.Helper()
		out, byEvent = b.do("POST", path, body).is(200), map[string]object{}
		for _, e := range out["events"].([]any) {
			byEvent[e.(object)["id"].(string)] = e.(object)
		}
		return out, byEvent
	}
	out, events := try(object{})
	require.EqualValues(t, 1, out["matched"])
	require.Equal(t, true, out["complete"])
	require.Len(t, events, 3, "of its company alone")
	require.Equal(t, true, events[good]["isSent"])
	require.Nil(t, events[good]["reason"])
	require.Equal(t, "filtered", events[low]["reason"])
	require.Equal(t, []any{"data.rating.$gte", "data.status"}, events[low]["clauses"])
	require.Equal(t, "the event does not match data.rating.$gte, data.status", events[low]["why"])
	require.Equal(t, "not_subscribed", events[other]["reason"])
	require.Empty(t, events[other]["clauses"])

	out, events = try(object{"filter": object{"data": object{"$or": []object{{"rating": 79}, {"rating": 1}}}}})
	require.EqualValues(t, 1, out["matched"])
	require.Equal(t, true, events[low]["isSent"])
	require.Equal(t, []any{"data.$or"}, events[good]["clauses"])

	out, _ = try(object{"filter": nil})
	require.Nil(t, out["filter"])
	require.EqualValues(t, 2, out["matched"], "without a filter")

	out, events = try(object{"limit": 1})
	require.Len(t, out["events"], 1)
	require.Contains(t, events, other, "the newest")

	require.Equal(t, before, b.count("deliveries"), "nothing is sent")
	require.EqualValues(t, 80, b.get("/webhooks/" + hook)["filter"].(object)["data"].(object)["rating"].(object)["$gte"],
		"nothing is stored")

	t.Run("refusals", func(t *testing.T) {
		bad := object{"filter": object{"data": object{"rating": object{"$gt": nil}}}}
		answer := b.do("POST", path, bad)
		answer.fails(400, "VALIDATION_ERROR", "filter")
		registered := b.do("PATCH", "/webhooks/"+hook, bad)
		require.Equal(t, registered.Error, answer.Error, "as at registration")
		b.do("POST", path, object{"limit": 101}).fails(400, "VALIDATION_ERROR", "limit")
		b.do("POST", path, object{"other": 1}).fails(400, "VALIDATION_ERROR", "other")
		require.Equal(t, 404, b.do("POST", "/webhooks/"+uuid.NewString()+"/filter/test", object{}).Status)
		require.Equal(t, b.as(b.otherKey, "GET", "/webhooks/"+hook, nil).Status,
			b.as(b.otherKey, "POST", path, object{}).Status, "as to read it")
		for _, scope := range []string{"read:webhooks", "read:events"} {
			key := b.made("/api-keys", object{"name": "half", "scopes": []string{scope}})["key"].(string)
			require.Equal(t, 403, b.as(key, "POST", path, object{}).Status, scope)
		}
	})
	t.Run("operational_events_about_itself", func(t *testing.T) {
		watcher := idOf(b.made("/webhooks", object{
			"url": hookURL, "profile": "standard", "events": []string{"secret.rotated", "webhook.*"},
		}))
		b.do("POST", "/webhooks/"+watcher+"/rotate-secret", nil).is(200)
		b.do("POST", "/webhooks/"+hook+"/rotate-secret", nil).is(200)
		out := b.do("POST", "/webhooks/"+watcher+"/filter/test", object{"limit": 2}).is(200)["events"].([]any)
		require.Equal(t, true, out[0].(object)["isSent"])
		require.Equal(t, "about_itself", out[1].(object)["reason"])
	})
	t.Run("of_the_platform_sees_all_companies", func(t *testing.T) {
		platform := idOf(b.as(b.platformKey, "POST", "/webhooks", object{
			"url": hookURL, "profile": "standard", "events": []string{"interview.*"},
		}).is(201))
		out := b.as(b.platformKey, "POST", "/webhooks/"+platform+"/filter/test", object{}).is(200)
		require.EqualValues(t, 3, out["matched"])
	})
}
