package api_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook/profiles"
	"greenroom/api/eventschema"
	"greenroom/db/catalog"
	"greenroom/db/delivery"
)

// samples is the answer to GET /event-types/{name}/samples.
type samples struct {
	Type    string
	Data    json.RawMessage
	Reason  *string
	Samples []struct {
		Profile, Event   string
		Headers          map[string]string
		SignatureHeaders []string
		Body             json.RawMessage
	}
}

func (b *bundle) samples(query string) (got samples) {
	b.t.Helper()
	r := b.do("GET", "/event-types/"+query, nil)
	require.Equal(b.t, 200, r.Status, "%s", r.Body)
	require.NoError(b.t, json.Unmarshal(r.Data, &got))
	return got
}

func TestSamples(t *testing.T) {
	t.Parallel()
	b := setup(t)
	t.Run("of_every_type_and_profile", func(t *testing.T) {
		for _, typ := range profiles.Types() {
			got := b.samples(typ.Name + "/samples")
			require.Equal(t, typ.Name, got.Type)
			require.Nil(t, got.Reason)
			require.True(t, json.Valid(got.Data))
			var senders []string
			for _, p := range profiles.All() {
				if p.Takes(typ.Name) || typ.Name == catalog.Ping {
					senders = append(senders, p.Name)
				}
			}
			var shown []string
			for _, one := range got.Samples {
				shown = append(shown, one.Profile)
			}
			require.Equal(t, senders, shown, typ.Name)
			if typ.Schema != nil {
				s, err := eventschema.Compile(typ.Schema)
				require.NoError(t, err)
				require.NoError(t, s.Validate(got.Data), typ.Name)
			}
		}
	})
	t.Run("is_what_a_receiver_gets", func(t *testing.T) {
		for _, c := range []struct{ typ, profile, event, golden string }{
			{"interview.completed", "standard", "interview.completed", "interview.completed"},
			{"interview.started", "wise", "MeetingStartedEvent", "MeetingStartedEvent.interview.started"},
			{"job.created", "interview-suite", "project_changed", "project_changed.job.created"},
			{"interview.completed", "ai-interviews", "submission", "submission"},
			{"ping", "wiseway", "ping", "ping"},
		} {
			got := b.samples(c.typ + "/samples?profile=" + c.profile)
			require.Len(t, got.Samples, 1)
			require.Equal(t, c.event, got.Samples[0].Event)
			golden, err := os.ReadFile(
				filepath.Join("../activities/webhook/profiles/testdata/golden", c.profile, c.golden+".body"))
			require.NoError(t, err)
			require.JSONEq(t, string(golden), string(got.Samples[0].Body))
		}
	})
	t.Run("has_headers_and_no_signature", func(t *testing.T) {
		got := b.samples("interview.started/samples?profile=wise").Samples[0]
		require.Equal(t, "application/json", got.Headers["Content-Type"])
		require.Equal(t, []string{"Authorization", "Webhook-Signature"}, got.SignatureHeaders)
		for _, name := range got.SignatureHeaders {
			require.NotContains(t, got.Headers, name)
		}
		require.Contains(t, b.samples("ping/samples?profile=instaview").Samples[0].Headers, "X-Webhook-Event")
	})
	t.Run("refusals", func(t *testing.T) {
		e := b.do("GET", "/event-types/job.created/samples?profile=ai-interviews", nil).
			fails(400, "VALIDATION_ERROR", "profile").Error
		require.Contains(t, e.Details["allowed"], "wiseway")
		require.NotContains(t, e.Details["allowed"], "ai-interviews")
		b.do("GET", "/event-types/job.created/samples?profile=none", nil).fails(400, "VALIDATION_ERROR", "profile")
		b.do("GET", "/event-types/job.created/samples?profiles=wise", nil).fails(400, "VALIDATION_ERROR", "profiles")
		b.do("GET", "/event-types/order.shipped/samples", nil).fails(404, "RESOURCE_NOT_FOUND")
		b.do("GET", "/event-types/job.created/samples?profile=", nil).fails(400, "VALIDATION_ERROR", "profile")
	})
}

func TestSamplesOfOwnTypes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	t.Run("made_from_the_schema", func(t *testing.T) {
		b.register("order.shipped", shipped)
		got := b.samples("order.shipped/samples")
		require.Len(t, got.Samples, 1, "open profiles alone send it")
		require.Equal(t, "standard", got.Samples[0].Profile)
		b.do("POST", "/events", publication("order.shipped", string(got.Data))).is(202)
		b.do("GET", "/event-types/order.shipped/samples?profile=wise", nil).fails(400, "VALIDATION_ERROR", "profile")
	})
	t.Run("or_its_example", func(t *testing.T) {
		b.register("order.lost", `{"required":["order"],"examples":[{"order":"o-17"}]}`)
		require.JSONEq(t, `{"order":"o-17"}`, string(b.samples("order.lost/samples").Data))
	})
	t.Run("none", func(t *testing.T) {
		b.register("order.odd", `{"required":["a"],"properties":{"a":{"type":"string","not":{"pattern":"e"}}}}`)
		got := b.samples("order.odd/samples")
		require.Equal(t, "null", string(got.Data))
		require.Empty(t, got.Samples)
		require.Contains(t, *got.Reason, "add one to the schema's examples")
		hook := b.made("/webhooks", object{"url": hookURL, "profile": "standard", "events": []string{"order.odd"}})
		b.do("POST", "/webhooks/"+idOf(hook)+"/test", object{"type": "order.odd"}).fails(409, "INVALID_STATE")
	})
	t.Run("of_another_company", func(t *testing.T) {
		b.as(b.otherKey, "GET", "/event-types/order.shipped/samples", nil).fails(404, "RESOURCE_NOT_FOUND")
		b.as(b.platformKey, "GET", "/event-types/order.shipped/samples", nil).fails(400, "MISSING_REQUIRED_FIELD")
		b.as(b.platformKey, "GET", "/event-types/order.shipped/samples?companyId="+b.company.String(), nil).is(200)
	})
}

func TestWebhookTestOfAType(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.worker(delivery.Attempt{Outcome: delivery.OutcomeSucceeded, StatusCode: ptr(200), DurationMS: 3})
	hook := b.made("/webhooks", object{"url": hookURL, "profile": "wiseway", "events": []string{"candidate.created"}})
	path := "/webhooks/" + idOf(hook) + "/test"
	tested := func(body any) *delivery.Event {
		t.Helper()
		got := b.do("POST", path, body).is(200)
		require.Equal(t, true, got["success"], got)
		d := b.get("/deliveries/" + got["deliveryId"].(string))
		require.Equal(t, true, d["isTest"])
		e := new(delivery.Event)
		require.NoError(t, b.NewSelect().Model(e).Where("e.id = ?", d["eventId"]).Scan(b.ctx))
		require.Equal(t, b.company, *e.CompanyID)
		return e
	}
	t.Run("a_type_that_it_is_not_subscribed_to", func(t *testing.T) {
		e := tested(object{"type": "interview.started"})
		require.Equal(t, "interview.started", e.Type)
		want, found := profiles.SampleOf(e.Type)
		require.True(t, found)
		require.Equal(t, string(want.Data), string(e.Data))
		about := new(catalog.Context)
		require.NoError(t, json.Unmarshal(e.Context, about))
		require.Equal(t, want.Context, about, "it is rendered as the platform's own event")
	})
	t.Run("the_profiles_name_of_a_type", func(t *testing.T) {
		require.Equal(t, "job.created", tested(object{"type": "position.created"}).Type)
	})
	t.Run("no_type", func(t *testing.T) {
		for name, body := range map[string]any{
			"nothing": nil, "other fields": object{"event": "interview.completed"}, "null": object{"type": nil},
			"ping": object{"type": "ping"},
		} {
			require.Equal(t, "ping", tested(body).Type, name)
		}
	})
	t.Run("refusals", func(t *testing.T) {
		before := len(b.do("GET", "/deliveries", nil).items())
		e := b.do("POST", path, object{"type": "note.created"}).fails(400, "VALIDATION_ERROR", "type").Error
		require.Equal(t, "note.created", e.Details["provided"])
		require.Contains(t, e.Details["allowed"], "interview.finished")
		require.Contains(t, e.Details["allowed"], "ping")
		require.NotContains(t, e.Details["allowed"], "note.created")
		b.do("POST", path, object{"type": 5}).fails(400, "VALIDATION_ERROR", "type")
		b.do("POST", path, `{"type":"interview.completed"`).fails(400, "VALIDATION_ERROR")
		reader, _ := b.newKey(&b.company, "read:webhooks")
		b.as(reader, "POST", path, object{"type": "interview.completed"}).fails(403, "INSUFFICIENT_PERMISSIONS")
		b.as(b.otherKey, "POST", path, object{"type": "interview.completed"}).fails(403, "RESOURCE_ACCESS_DENIED")
		require.Len(t, b.do("GET", "/deliveries", nil).items(), before)
	})
	t.Run("own_types_of_an_open_profile", func(t *testing.T) {
		b.register("order.shipped", shipped)
		open := b.made("/webhooks", object{"url": hookURL, "profile": "standard", "events": []string{"ping"}})
		got := b.do("POST", "/webhooks/"+idOf(open)+"/test", object{"type": "order.shipped"}).is(200)
		require.Equal(t, true, got["success"])
		b.do("POST", path, object{"type": "order.shipped"}).fails(400, "VALIDATION_ERROR", "type")
		e := b.do("POST", "/webhooks/"+idOf(open)+"/test", object{"type": "order.none"}).
			fails(400, "VALIDATION_ERROR", "type").Error
		require.True(t, slices.Contains(e.Details["allowed"].([]any), any("order.shipped")))
	})
}
