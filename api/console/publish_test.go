package console_test

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/api/apitest"
)

func TestPublish(t *testing.T) {
	t.Parallel()
	b := setup(t).plant()
	v := b.signedIn(b.Key)
	form := func(change ...string) url.Values {
		f := url.Values{"type": {string(started)}, "data": {`{"note": "it's <new>"}`}, "form": {"one"}}
		for i := 0; i+1 < len(change); i += 2 {
			f.Set(change[i], change[i+1])
		}
		return f
	}
	events := func() (n int) {
		require.NoError(t, b.NewRaw("SELECT count(*) FROM events").Scan(b.Ctx, &n))
		return n
	}
	b.run("the_form_has_the_sample", func(t *testing.T) {
		v.get("/console/events").is(200).has(`href="/console/events/new"`)
		v.get("/console/event-types/"+string(started)).
			is(200).
			has("/console/events/new?type=interview.started", "Sample of its data",
				"Profile standard", "Webhook-Id: 550e8400", "depends on the webhook's secret")
		v.get("/console/events/new").is(200).has("choose one", "interview.started").hasNot("<textarea")
		v.get("/console/events/new?type="+string(started)).is(200).
			has("<textarea", "interviewId", "curl -X POST "+apitest.PublicURL+"/events", "greenroom trigger interview.started").
			hasNot("Company id")
		v.get("/console/events/new?type=none").is(404)
	})
	b.run("it_is_published_once", func(t *testing.T) {
		before := events()
		first := v.post("/console/events/new", form()).is(303)
		to := first.head.Get("Location")
		require.Regexp(t, `^/console/events/[0-9a-f-]{36}\?done=publish$`, to)
		v.get(to).is(200).has("The event is accepted", "it&#39;s", apitest.Marker)
		require.Equal(t, to, v.post("/console/events/new", form()).is(303).head.Get("Location"), "a second click")
		require.Equal(t, before+1, events())
	})
	b.run("a_refusal_is_at_its_field_and_nothing_is_lost", func(t *testing.T) {
		before := events()
		v.post("/console/events/new", form("data", `{"note": `)).is(400).
			has(`id="data-problem">data must be JSON`, `aria-describedby="data-problem"`, `{&#34;note&#34;: </textarea>`)
		v.post("/console/events/new", form("data", " ")).is(400).has("data is required")
		v.post("/console/events/new", form("data", `5`)).is(400).has(`id="data-problem">data must be`)
		v.post("/console/events/new", form("data", `{},"companyId":"`+b.Other.String()+`"`)).is(400).has("data must be JSON")
		v.post("/console/events/new", form("type", "no such")).is(400).has("role=\"alert\"", "no such")
		v.post("/console/events/new", form("type", b.custom, "data", `{"a": 1}`)).is(303)
		require.Equal(t, before+1, events())
	})
	b.run("an_operator_names_the_company", func(t *testing.T) {
		o := b.signedIn(b.PlatformKey)
		o.get("/console/events/new?companyId="+b.Company.String()+"&type="+b.custom).is(200).
			has("Company id", `value="`+b.Company.String()+`"`, "--company "+b.Company.String())
		o.post("/console/events/new", form("form", "two")).is(400).has(`id="company-problem"`)
		o.post("/console/events/new", form("form", "three", "companyId", "018f0000-0000-7000-8000-000000000000")).is(404).
			has(`id="company-problem"`)
		o.post("/console/events/new", form("form", "four", "companyId", b.Company.String())).is(303)
	})
	b.run("it_needs_the_scope", func(t *testing.T) {
		reader, _ := b.NewKey(&b.Company, "console", "read:events", "read:webhooks")
		r := b.signedIn(reader)
		r.get("/console/events").is(200).hasNot("/console/events/new")
		r.get("/console/events/new").is(403).has("write:events")
		r.post("/console/events/new", form("form", "five")).is(403)
	})
	b.run("programs_get_the_same_words", func(t *testing.T) {
		page := v.post("/console/events/new", form("data", `{"it's": 1} x`)).is(400)
		require.Contains(t, page.body, "it&#39;\\&#39;&#39;s", "the data is one word of a shell")
	})
}

func TestTestOfAWebhook(t *testing.T) {
	t.Parallel()
	b := setup(t).plant()
	v := b.signedIn(b.Key)
	page := "/console/webhooks/" + b.webhook
	v.get(page).
		is(200).
		has("Event of the test", "<option>interview.started</option>", "greenroom webhooks test "+b.webhook)
	v.post(page+"/active", url.Values{"active": {"false"}}).is(303)
	sent := v.post(page+"/test", url.Values{"type": {string(started)}}).is(200).
		has("No delivery was created", "<option selected>interview.started</option>",
			"greenroom trigger interview.started --webhook "+b.webhook)
	sent.has(`{&#34;type&#34;:&#34;interview.started&#34;}`)
	v.post(page+"/test", url.Values{"type": {"none"}}).is(400).has("type must be an event type")
}
