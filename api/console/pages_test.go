package console_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"greenroom/api/apitest"
	"greenroom/api/surface"
)

// target fills in the parameters of a page's path with rows of the first company.
func (b *bundle) target(path string) string {
	row := map[string]string{
		"/webhooks/": b.webhook, "/deliveries/": b.delivery, "/events/": b.event, "/interviews/": b.interview,
		"/event-types/": b.custom,
	}
	for at, id := range row {
		path = strings.Replace(path, at+":id", at+id, 1)
		path = strings.Replace(path, at+":name", at+id, 1)
	}
	return strings.NewReplacer(":rid", b.replay, ":change", "pause", ":file", "console.css").Replace(path)
}

// own reports whether a page shows what the visitor has, and no row that its path names.
func own(r surface.Route) bool {
	return !strings.ContainsAny(strings.TrimPrefix(r.Path, "/portal/:token"), ":")
}

func isPage(r surface.Route) bool {
	for _, open := range []string{"/console/sign-in", "/console/sign-out", "/console/enter/:link", "/console/assets/:file", "/console/", "/console/oidc/start", "/console/oidc/callback"} {
		if r.Path == open {
			return false
		}
	}
	return true
}

// TestEveryPage calls every page and action as nobody, as another company and as an operator.
func TestEveryPage(t *testing.T) {
	t.Parallel()
	b := setup(t).plant()
	b.openCircuit()
	nobody, foreign, operator := &visitor{b: b}, b.signedIn(b.OtherKey), b.signedIn(b.PlatformKey)
	ownCompany := b.signedIn(b.Key)
	made := b.As(b.OtherKey, "POST", "/companies/"+b.Other.String()+"/portal-links", nil).Is(201)
	foreignPortal := strings.TrimPrefix(made["data"].(apitest.Object)["url"].(string), apitest.PublicURL)
	pages := b.Handler.Pages()
	require.Greater(t, len(pages), 40)
	before := b.rows()
	var later []surface.Route
	for _, r := range pages {
		if !isPage(r) {
			continue
		}
		b.run(r.Method+" "+r.Path, func(t *testing.T) {
			path := b.target(r.Path)
			portal := strings.HasPrefix(path, "/portal/:token")
			form := url.Values(nil)
			if r.Method == http.MethodPost {
				form = url.Values{}
			}
			switch {
			case portal:
				nobody.send(r.Method, strings.Replace(path, ":token", "none", 1), form).is(401).hasNot(apitest.Marker)
				path = strings.Replace(path, "/portal/:token", foreignPortal, 1)
			case r.Method == http.MethodGet:
				nobody.send(r.Method, path, form).is(303).hasNot(apitest.Marker)
			default:
				nobody.send(r.Method, path, form).is(401)
			}
			if own(r) {
				page := foreign.send(r.Method, path, form)
				switch {
				case strings.HasPrefix(path, "/console/system"):
					page.is(404)
				case r.Method == http.MethodPost: // the form is empty
					page.is(400)
				default:
					page.is(200)
				}
				page.hasNot(apitest.Marker)
			} else {
				foreign.send(r.Method, path, form).is(404).hasNot(apitest.Marker)
			}
			if r.Method == http.MethodPost {
				later = append(later, r)
				return
			}
			if r.Path == "/console/replays/:rid" {
				operator.get(path).leadsTo("/console/webhooks/" + b.webhook + "/replays/" + b.replay)
				return
			}
			if !portal {
				page := operator.send(r.Method, path+"?companyId="+b.Company.String(), form).is(200)
				require.Contains(t, page.head.Get("Content-Security-Policy"), "script-src 'self'; style-src 'self'")
				require.NotContains(t, page.body, "style=", "the policy forbids it")
				require.NotContains(t, page.body, "<no value>")
				require.NotContains(t, page.body, "0xc0", "a pointer is shown")
				if !own(r) && r.Path != "/console/webhooks/:id/replays/:rid" {
					ownCompany.send(r.Method, path, form).is(200).has(apitest.Marker)
				}
			}
		})
	}
	require.Equal(t, before, b.rows(), "nobody and the other company changed something")
	for _, r := range later {
		if strings.HasPrefix(r.Path, "/console") && !strings.HasSuffix(r.Path, "/test") {
			b.run("operator "+r.Path, func(t *testing.T) {
				path, form := b.target(r.Path), url.Values{}
				switch r.Path {
				case "/console/deliveries/:id/retry":
					path = strings.Replace(path, b.delivery, b.failed, 1)
				case "/console/webhooks/:id/replays":
					form.Set("since", time.Now().Add(-time.Hour).UTC().Format(time.RFC3339))
				case "/console/events/new":
					form = url.Values{"type": {b.custom}, "data": {"{}"}, "companyId": {b.Company.String()}}
				case "/console/system/examination":
					operator.post(path, form).is(200).has("✕", "it does not answer", "→ start it", "it is right", "greenroom doctor")
					return
				case "/console/webhooks/:id/rotate-secret":
					operator.post(path, form).is(200).has("whsec_")
					return
				}
				operator.post(path, form).is(303)
			})
		}
	}
}

// rows is what actions change.
func (b *bundle) rows() (all []string) {
	b.t.Helper()
	for _, table := range []string{"webhooks", "deliveries", "replays", "delivery_queue", "audit_log"} {
		var rows []string
		require.NoError(b.t, b.NewRaw("SELECT to_jsonb(t)::text FROM "+table+" t ORDER BY 1").Scan(b.Ctx, &rows))
		all = append(all, rows...)
	}
	return all
}

func TestDeliveries(t *testing.T) {
	t.Parallel()
	b := setup(t).plant()
	v := b.signedIn(b.Key)
	b.run("filters_are_those_of_the_api", func(t *testing.T) {
		failed, waiting := "/console/deliveries/"+b.failed, "/console/deliveries/"+b.delivery
		v.get("/console/deliveries").is(200).has(failed, waiting)
		v.get("/console/deliveries?status=failed&webhookId=" + b.webhook + "&eventType=&since=").
			is(200).
			has(failed).
			hasNot(waiting)
		v.get("/console/deliveries?period=1h&eventType="+started).is(200).has(failed, waiting)
		v.get("/console/deliveries?since=2020-01-01T00:00&until=2020-01-02T00:00").is(200).has("No delivery matches")
		v.get("/console/deliveries?status=nothing").is(400).has("status must be one of the allowed values")
		v.get("/console/deliveries?cursor=x").is(400)
	})
	b.run("an_id_leads_to_what_it_names", func(t *testing.T) {
		v.get("/console/deliveries?id=" + b.failed).leadsTo("/console/deliveries/" + b.failed)
		v.get("/console/deliveries?id=" + b.event).leadsTo("/console/events/" + b.event)
		v.get("/console/deliveries?id=nothing").is(404)
	})
	b.run("one_says_why_and_what_next", func(t *testing.T) {
		v.get("/console/deliveries/"+b.failed).
			is(200).
			has("its only attempt failed: "+apitest.Marker, "HTTP 503", "Send again",
				"greenroom deliveries retry "+b.failed, "curl -X POST "+apitest.PublicURL+"/deliveries/"+b.failed+"/retry",
				"http://temporal.test/namespaces/default/workflows/delivery:"+b.failed+":0")
	})
	b.run("its_request_is_shown_and_its_signature_checked", func(t *testing.T) {
		v.get("/console/deliveries/" + b.delivery).is(200).has("The request is made with the first attempt")
		page := v.get("/console/deliveries/"+b.failed).is(200).
			has("Webhook-Id: "+b.failed, "X-Webhook-Event: interview.started", "derived again", "Signature check", "current secret")
		signature := regexp.MustCompile(`<br><code>(v1,[^<]+)</code>`).FindStringSubmatch(page.body)
		require.NotNil(t, signature)
		sent := url.Values{"signature": {html.UnescapeString(signature[1])}}
		v.get("/console/deliveries/"+b.failed+"?"+sent.Encode()).is(200).has("It matches:", "the current secret made it")
		sent.Set("timestamp", "1")
		v.get("/console/deliveries/"+b.failed+"?"+sent.Encode()).is(200).has("It does not match:", "no attempt was made then")
		sent.Set("timestamp", "now")
		v.get("/console/deliveries/"+b.failed+"?"+sent.Encode()).is(200).has("timestamp must be whole seconds", `value="now"`)
	})
	b.run("it_is_sent_again", func(t *testing.T) {
		v.post("/console/deliveries/"+b.failed+"/retry", nil).leadsTo("/console/deliveries/" + b.failed + "?done=retry")
		v.get("/console/deliveries/"+b.failed+"?done=retry").is(200).has("The delivery is sent again", "pending")
		v.post("/console/deliveries/"+b.failed+"/retry", nil).is(409).has("it is under way already")
		var action string
		require.NoError(t, b.NewRaw("SELECT action FROM audit_log WHERE target_id = ?", b.failed).Scan(b.Ctx, &action))
		require.Equal(t, "replayed", action, "an action in the console is in the audit log")
	})
	b.run("what_a_row_says_is_text", func(t *testing.T) {
		_, err := b.ExecContext(b.Ctx, "UPDATE webhooks SET name = '<script>alert(1)</script>' WHERE id = ?", b.webhook)
		require.NoError(t, err)
		for _, path := range []string{"", "/deliveries", "/webhooks", "/webhooks/" + b.webhook, "/deliveries/" + b.failed} {
			v.get("/console" + path).is(200).has("&lt;script&gt;").hasNot("<script>alert")
		}
	})
}

func TestCircuit(t *testing.T) {
	t.Parallel()
	b := setup(t).plant()
	b.openCircuit()
	v := b.signedIn(b.Key)
	page := "/console/webhooks/" + b.webhook + "/circuit"
	v.get("/console").is(200).has("Needs you", "Circuit open since", page)
	v.get(page).
		is(200).
		has("10 attempts failed in a row, the last one: "+apitest.Marker, "What failed before", "Reset the circuit",
			"greenroom webhooks reset-circuit "+b.webhook, "http://temporal.test/namespaces/default/workflows/circuit:"+b.webhook)
	v.post("/console/webhooks/"+b.webhook+"/reset-circuit", nil).leadsTo(page + "?done=reset")
	v.get(page+"?done=reset").
		is(200).
		has("The circuit is closed", "releasing", "increasing rate").
		hasNot("Reset the circuit")
	_, err := b.ExecContext(b.Ctx, "UPDATE deliveries SET status = 'succeeded' WHERE id = ?", b.delivery)
	require.NoError(t, err)
	v.get(page).is(200).has("closed", "nothing waits")
}

func TestReplay(t *testing.T) {
	t.Parallel()
	b := setup(t).plant()
	v := b.signedIn(b.Key)
	page := "/console/webhooks/" + b.webhook + "/replays"
	v.get(page).is(200).has("Count first", "interview.started", "Earlier replays")
	since := url.QueryEscape(time.Now().Add(-time.Hour).UTC().Format(time.RFC3339))
	counted := v.get(page+"?since="+since+"&status=failed").
		is(200).
		has("1 delivery matches", "takes about 1 s", "Send 1 again",
			"greenroom deliveries replay --webhook "+b.webhook)
	require.Equal(t, 1, b.replays(), "counting starts nothing")
	v.get(page+"?since="+since+"&status=succeeded").is(200).has("0 deliveries match", "nothing to send again")
	v.get(page + "?since=never").is(200).has("since")
	v.get(page + "?since=2999-01-01T00:00:00Z").is(200).has("since must be before until")
	require.Contains(t, counted.body, `name="until" value="2`, "what was counted is what is sent")
	started := v.post(page, url.Values{"since": {time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)}, "status": {"failed"}, "of": {"1"}}).
		is(303)
	require.Contains(t, started.head.Get("Location"), "?of=1&done=replay")
	to, _, _ := strings.Cut(started.head.Get("Location"), "?")
	v.get(to+"?of=3").is(200).has("of about 3", `max="3"`)
	v.get(to).is(200).has("running", "Pause", "Cancel")
	v.post(to+"/pause", nil).leadsTo(to + "?done=pause")
	v.get(to).is(200).has("paused", "Resume")
	v.post(to+"/pause", nil).is(409)
	v.post(to+"/resume", nil).is(303)
	v.post(to+"/cancel", nil).leadsTo(to + "?done=canceled")
	v.get(to).is(200).has("canceled").hasNot("Resume")
	v.post(to+"/nothing", nil).is(404)
}

func (b *bundle) replays() (n int) {
	b.t.Helper()
	require.NoError(b.t, b.NewRaw("SELECT count(*) FROM replays").Scan(b.Ctx, &n))
	return n
}

func TestEvents(t *testing.T) {
	t.Parallel()
	b := setup(t).plant()
	left := b.Do("POST", "/webhooks", apitest.Object{"url": "https://b.example/", "name": "Later", "events": []string{"interview.started"}}).
		Is(201)["data"].(apitest.Object)["id"].(string)
	for name, body := range map[string]apitest.Object{
		"All words": {"events": []string{"interview.*"}},
		"Filtered":  {"events": []string{"interview.*"}, "filter": apitest.Object{"data": apitest.Object{"n": 1}}},
	} {
		body["url"], body["name"], body["profile"] = "https://b.example/", name, "standard"
		id := b.Do("POST", "/webhooks", body).Is(201)["data"].(apitest.Object)["id"]
		_, err := b.ExecContext(b.Ctx, "UPDATE webhooks SET created_at = created_at - interval '1 hour' WHERE id = ?", id)
		require.NoError(t, err)
	}
	v := b.signedIn(b.Key)
	v.get("/console/events").is(200).has("interview.completed", "order.shipped")
	v.get("/console/event-types/interview.completed").is(200).has("Schema of its data")
	v.get("/console/event-types/nothing.here").is(404)
	v.get("/console/events/"+b.event).
		is(200).
		has("Who got it", "/console/deliveries/"+b.delivery, left,
			"the webhook was created at", ", after the event", "All words</a>: the webhook would get the event now",
			"Filtered</a>: the webhook&#39;s filter does not match the event")
	v.get("/console/events/" + b.event).hasNot("/console/deliveries/" + b.failed)
}

func TestWebhook(t *testing.T) {
	t.Parallel()
	b := setup(t).plant()
	v := b.signedIn(b.Key)
	page := "/console/webhooks/" + b.webhook
	secret := v.post(page+"/rotate-secret", nil).is(200).has("shown once", "whsec_").body
	require.NotContains(t, v.get(page).is(200).has("signs until").body, secret[strings.Index(secret, "whsec_"):][:40])
	v.post(page+"/active", url.Values{"active": {"false"}}).leadsTo(page + "?done=deactivate")
	v.get(page).is(200).has("inactive", "Activate")
	v.post(page+"/test", nil).is(200).has("not subscribed to ping")
	v.post(page+"/active", url.Values{"active": {"true"}}).leadsTo(page + "?done=activate")
	reader, _ := b.NewKey(&b.Company, "console", "read:webhooks")
	r := b.signedIn(reader)
	r.get(page).is(200).has("this key may not")
	r.post(page+"/rotate-secret", nil).is(403).has("write:webhooks")
	r.get("/console/keys").is(403).has("read:api-keys")
	r.get("/console").is(200).hasNot(`href="/console/keys"`)
}

// TestSealedSecret: a webhook whose secret was sealed with a lost key still has a page.
func TestSealedSecret(t *testing.T) {
	t.Parallel()
	b := setup(t).plant()
	_, err := b.ExecContext(b.Ctx, "UPDATE webhooks SET secret = 'lost' WHERE id = ?", b.webhook)
	require.NoError(t, err)
	b.signedIn(b.Key).get("/console/webhooks/"+b.webhook).is(200).has("They cannot be opened", apitest.Marker)
}

// TestSystem: operators see what runs, with the origin of each setting; a company's key has no such page.
func TestSystem(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.ExecContext(b.Ctx, `INSERT INTO leases (name, holder, expires_at, version, host, since) VALUES
		('process:worker:one', gen_random_uuid(), now() + interval '1 hour', 'v9.8.7', 'machine-7', now()),
		('process:worker:old', gen_random_uuid(), now() + interval '1 hour', NULL, NULL, NULL)`)
	require.NoError(t, err)
	b.signedIn(b.PlatformKey).get("/console/system").is(200).
		has("machine-7", "v9.8.7", "an earlier one", "log.level", "default", "Examine now", "partition")
	v := b.signedIn(b.Key)
	v.get("/console/system").is(404).hasNot("machine-7")
	v.post("/console/system/examination", nil).is(404)
}
