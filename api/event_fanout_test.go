package api_test

import (
	"encoding/json"
	"maps"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/db/catalog"
	"greenroom/db/delivery"
)

// fanOut is the fan-out of an event by webhook id.
func (b *bundle) fanOut(key, event, query string) map[string]object {
	b.t.Helper()
	out := map[string]object{}
	for _, one := range b.as(key, "GET", "/events/"+event+"/fan-out"+query, nil).items() {
		out[one["webhookId"].(string)] = one
	}
	return out
}

func TestFanOut(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hook := func(key string, more object) string {
		body := object{"url": hookURL, "profile": "standard", "events": []string{"interview.scheduled"}}
		maps.Copy(body, more)
		return idOf(b.as(key, "POST", "/webhooks", body).is(201))
	}
	got := hook(b.key, nil)
	paused := hook(b.key, nil)
	_, err := b.ExecContext(b.ctx, "UPDATE webhooks SET circuit_opened_at = now() WHERE id = ?", paused)
	require.NoError(t, err)
	unsubscribed := hook(b.key, object{"events": []string{"job.created"}})
	cannot := hook(b.key, object{"profile": "wiseway", "events": []string{"interview.started"}})
	filtered := hook(b.key, object{"events": []string{"interview.*"}, "filter": object{"data": object{"n": 1}}})
	inactive := hook(b.key, nil)
	b.do("PATCH", "/webhooks/"+inactive, object{"isActive": false}).is(200)
	changed := hook(b.key, object{"events": []string{"job.created"}})
	jobs := hook(b.key, object{"companyId": b.company})
	set := uuid.New()
	_, err = b.ExecContext(b.ctx, "INSERT INTO webhook_sets (id, company_id) VALUES (?, ?)", set, b.company)
	require.NoError(t, err)
	_, err = b.ExecContext(b.ctx, "UPDATE webhooks SET set_id = ? WHERE id = ?", set, jobs)
	require.NoError(t, err)
	foreign := hook(b.otherKey, nil)
	platform := hook(b.platformKey, nil)

	event := b.do("POST", "/events", object{"type": "interview.scheduled", "data": object{}}).is(202)
	id := idOf(event)
	require.EqualValues(t, 3, event["deliveries"])
	_, err = b.ExecContext(b.ctx, "UPDATE deliveries SET status = 'paused' WHERE webhook_id = ?", paused)
	require.NoError(t, err)
	b.do("PATCH", "/webhooks/"+changed, object{"events": []string{"interview.scheduled"}}).is(200)
	b.do("PATCH", "/webhooks/"+inactive, object{"name": "x"}).is(200)
	later := hook(b.key, nil)
	deleted := hook(b.key, nil)
	require.Equal(t, 204, b.do("DELETE", "/webhooks/"+deleted, nil).Status)

	all := b.fanOut(b.key, id, "")
	t.Run("who_got_it", func(t *testing.T) {
		one := all[got]
		require.Equal(t, id, one["delivery"].(object)["eventId"])
		require.Nil(t, one["reason"])
		require.Nil(t, one["why"])
		require.Contains(t, all[paused]["why"], "the circuit of this webhook has been open since")
		first := b.do("GET", "/events/"+id+"/fan-out?limit=2", nil).items()
		require.NotNil(t, first[0]["delivery"])
		require.NotNil(t, first[1]["delivery"], "they come first")
	})
	t.Run("who_did_not_and_why", func(t *testing.T) {
		for hook, c := range map[string]struct {
			reason, why string
			changed     bool
		}{
			unsubscribed: {"not_subscribed", "the webhook is not subscribed to interview.scheduled", false},
			cannot:       {"not_subscribed", "the profile wiseway does not send interview.scheduled", false},
			filtered:     {"filtered", "the webhook's filter does not match the event", false},
			inactive:     {"inactive", "the webhook is not active", true},
			changed:      {"unknown", "the webhook would get the event now; it was changed after the event", true},
			jobs:         {"other_jobs", "the webhook follows from the settings of AI interviews and gets the events of their jobs alone", false},
		} {
			require.Equal(t, c.reason, all[hook]["reason"])
			require.Equal(t, c.why, all[hook]["why"])
			require.Nil(t, all[hook]["delivery"])
			require.Equal(t, c.changed, all[hook]["changedAt"] != nil, c.reason)
		}
		require.Equal(t, "created_later", all[later]["reason"])
		require.Len(t, all, 9)
	})
	t.Run("one_webhook", func(t *testing.T) {
		only := b.fanOut(b.key, id, "?webhookId="+inactive)
		require.Equal(t, map[string]object{inactive: all[inactive]}, only)
		require.Equal(t, "created_later", b.fanOut(b.key, id, "?webhookId="+deleted)[deleted]["reason"])
		b.do("GET", "/events/"+id+"/fan-out?webhookId="+foreign, nil).fails(403, "RESOURCE_ACCESS_DENIED")
		b.do("GET", "/events/"+id+"/fan-out?webhookId="+uuid.NewString(), nil).fails(404, "RESOURCE_NOT_FOUND")
		b.do("GET", "/events/"+id+"/fan-out?webhookId=5", nil).fails(400, "VALIDATION_ERROR", "webhookId")
		require.Equal(t, "other_company", b.fanOut(b.platformKey, id, "?webhookId="+foreign)[foreign]["reason"])
	})
	t.Run("a_company_does_not_see_the_platforms", func(t *testing.T) {
		require.NotContains(t, all, platform)
		require.NotNil(t, b.fanOut(b.platformKey, id, "")[platform]["delivery"])
		b.as(b.otherKey, "GET", "/events/"+id+"/fan-out", nil).fails(403, "RESOURCE_ACCESS_DENIED")
	})
	t.Run("deleted_since", func(t *testing.T) {
		require.Equal(t, 204, b.do("DELETE", "/webhooks/"+got, nil).Status)
		require.NotNil(t, b.fanOut(b.key, id, "")[got]["delivery"])
	})
	t.Run("a_test", func(t *testing.T) {
		b.worker(delivery.Attempt{Outcome: delivery.OutcomeSucceeded, StatusCode: ptr(200)})
		d := b.get(
			"/deliveries/" + b.do("POST", "/webhooks/"+later+"/test", object{"type": "job.created"}).is(200)["deliveryId"].(string),
		)
		test := b.fanOut(b.key, d["eventId"].(string), "")
		require.NotNil(t, test[later]["delivery"])
		require.Equal(t, "test", test[unsubscribed]["reason"])
	})
}

// The webhooks of a set get the events of its jobs, which the event's context names.
func TestFanOutOfASet(t *testing.T) {
	t.Parallel()
	b := setup(t)
	job := b.job()
	set := uuid.New()
	hook := b.made(
		"/webhooks",
		object{"url": hookURL, "profile": "standard", "events": []string{"job.updated"}, "companyId": b.company},
	)
	for _, change := range []string{
		"INSERT INTO webhook_sets (id, company_id) VALUES (?0, ?1)", "UPDATE jobs SET webhook_set_id = ?0 WHERE id = ?2",
		"UPDATE webhooks SET set_id = ?0 WHERE id = ?3",
	} {
		_, err := b.ExecContext(b.ctx, change, set, b.company, idOf(job), idOf(hook))
		require.NoError(t, err)
	}
	b.do("PATCH", "/jobs/"+idOf(job), object{"title": "Other"}).is(200)
	e := new(delivery.Event)
	require.NoError(t, b.NewSelect().Model(e).Where("e.type = ?", catalog.JobUpdated).Scan(b.ctx))
	require.True(t, json.Valid(e.Context))
	require.NotNil(t, b.fanOut(b.key, e.ID.String(), "")[idOf(hook)]["delivery"])
	other := b.job()
	b.do("PATCH", "/jobs/"+idOf(other), object{"title": "Third"}).is(200)
	e = new(delivery.Event)
	require.NoError(
		t,
		b.NewSelect().Model(e).Where("e.type = ?", catalog.JobUpdated).Order("e.id DESC").Limit(1).Scan(b.ctx),
	)
	require.Equal(t, "other_jobs", b.fanOut(b.key, e.ID.String(), "")[idOf(hook)]["reason"])
}
