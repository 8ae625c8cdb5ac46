package api_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook/profiles"
	"greenroom/api"
	"greenroom/db/delivery"
)

func TestListProfiles(t *testing.T) {
	t.Parallel()
	b := setup(t)
	byName := map[string]object{}
	for _, p := range b.do("GET", "/profiles", nil).items() {
		byName[p["name"].(string)] = p
	}
	require.Len(t, byName, len(profiles.Names()))
	t.Run("every_field", func(t *testing.T) {
		p := byName["interview-suite"]
		require.Equal(
			t,
			[]any{"project_changed", "candidate_changed", "answervideo_changed", "rating_changed", "note_changed"},
			names(p),
		)
		require.Equal(
			t,
			object{"id": nil, "name": "project_changed", "types": []any{"job.created", "job.updated"}},
			p["events"].([]any)[0],
		)
		delete(p, "events")
		require.Equal(t, object{
			"name": "interview-suite", "open": false, "success": "any 2xx", "attempts": 10.0, "scheduleFrom": "first attempt",
			"schedule": []any{0.0, 5.0, 305.0, 2105.0, 9305.0, 27305.0, 63305.0, 113705.0, 185705.0, 272105.0}, "timeout": 15.0,
			"userAgent": "interview suite webhook", "signature": nil, "reservedHeaders": []any{},
			"selfService": false,
		}, p)
	})
	t.Run("counted_from_the_event", func(t *testing.T) {
		p := byName["wise"]
		require.Equal(t, "event", p["scheduleFrom"])
		require.Equal(t, []any{0.0, 60.0, 180.0, 420.0, 900.0, 1860.0, 3780.0, 7620.0, 15300.0}, p["schedule"])
		require.Equal(t, "200 only", p["success"])
		require.Equal(t, []any{"Authorization"}, p["reservedHeaders"])
	})
	t.Run("numeric_ids", func(t *testing.T) {
		events := byName["instaview"]["events"].([]any)
		require.Equal(t, object{"id": 2.0, "name": "ping", "types": []any{"ping"}}, events[2])
		require.Nil(t, events[6].(object)["id"])
	})
	t.Run("open", func(t *testing.T) { require.Equal(t, true, byName["standard"]["open"]) })
}

func names(p object) (all []any) {
	for _, e := range p["events"].([]any) {
		all = append(all, e.(object)["name"])
	}
	return all
}

// A webhook of each profile is made with the profile's own names, and has its schedule and time-out.
func TestWebhookOfEachProfile(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *api.Options) { o.SelfService = true })
	for _, p := range profiles.All() {
		t.Run(p.Name, func(t *testing.T) {
			got := b.do("POST", "/webhooks", object{"url": hookURL, "profile": p.Name, "events": p.Names()}).is(201)
			require.Equal(t, p.Name, got["profile"])
			require.EqualValues(t, len(p.Schedule), got["maxRetries"])
			require.EqualValues(t, p.Timeout.Milliseconds(), got["timeoutMs"])
			require.Len(t, got["events"], len(p.Events))
			var types []string
			for _, e := range p.Events {
				types = append(types, e.Types...)
			}
			require.Equal(t, types, b.row(got["id"]).Events, "the row has the domain's types")
			b.do("POST", "/webhooks", object{"url": hookURL, "profile": p.Name, "events": []string{"unheard_of"}}).
				fails(400, "VALIDATION_ERROR", "events")
		})
	}
}

func TestReservedHeadersOfAProfile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for profile, name := range map[string]string{"wise": "authorization", "wiseway": "X-WiseWay-Signature"} {
		p, err := profiles.ByName(profile)
		require.NoError(t, err)
		events := p.Names()[:1]
		headers := []object{{"name": name, "value": "x"}}
		e := b.do("POST", "/webhooks", object{"url": hookURL, "profile": profile, "events": events, "headers": headers})
		e.fails(400, "VALIDATION_ERROR", "headers[0].name")
		require.Contains(t, e.Error.Message, "reserved")
		made := b.do("POST", "/webhooks", object{"url": hookURL, "profile": profile, "events": events}).is(201)
		b.do("PATCH", "/webhooks/"+made["id"].(string), object{"headers": headers}).
			fails(400, "VALIDATION_ERROR", "headers[0].name")
	}
	b.do("POST", "/webhooks", object{
		"url":     hookURL,
		"profile": "standard",
		"events":  []string{"job.created"},
		"headers": []object{{"name": "Authorization", "value": "x"}},
	}).is(201)
}

// The key that deliveries carry is learned by testing the webhook, whatever comes of the test; such a profile has no
// ping to subscribe to.
func TestTestRevealsTheKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made := b.do("POST", "/webhooks", object{"url": hookURL, "profile": "wise", "events": []string{"SessionsCreatedEvent"}}).
		is(201)
	test := "/webhooks/" + made["id"].(string) + "/test"
	b.worker(delivery.Attempt{Outcome: delivery.OutcomeFailed, StatusCode: ptr(204)})
	got := b.do("POST", test, nil).is(200)
	require.Equal(
		t,
		object{"success": false, "message": "Webhook test failed: HTTP 204", "authorizationKey": made["authorizationKey"]},
		got,
	)
	_, err := b.ExecContext(b.ctx, "UPDATE webhooks SET is_active = false WHERE id = ?", made["id"])
	require.NoError(t, err)
	got = b.do("POST", test, nil).is(200)
	require.True(t, strings.HasPrefix(got["message"].(string), "No delivery was created."))
	require.Equal(t, made["authorizationKey"], got["authorizationKey"])

	plain := b.newHook(2)["id"].(string)
	require.NotContains(t, b.do("POST", "/webhooks/"+plain+"/test", nil).is(200), "authorizationKey")
}
