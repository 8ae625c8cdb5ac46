package console_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/api"
	"greenroom/api/apitest"
	"greenroom/db"
)

func TestSignIn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	plain, key := b.NewKey(&b.Company, "console", "read:webhooks")
	b.run("a_key_with_the_scope_begins_a_session", func(t *testing.T) {
		v := &visitor{b: b}
		v.get("/console").leadsTo("/console/sign-in?next=%2Fconsole")
		v.get("/console/sign-in").is(200).has(`type="password"`)
		v.post("/console/sign-in", url.Values{"key": {" " + plain + "\n"}}).leadsTo("/console")
		require.True(t, v.cookie.HttpOnly)
		require.Equal(t, http.SameSiteStrictMode, v.cookie.SameSite)
		require.True(t, v.cookie.Secure, "the public URL is https")
		require.Equal(t, "/console", v.cookie.Path)
		require.NotContains(t, v.cookie.Value, plain)
		v.get("/console").is(200).has("Overview")
		v.post("/console/sign-out", nil).leadsTo("/console/sign-in")
		v.get("/console").is(303)
	})
	b.run("it_leads_back_to_the_page_and_never_to_another_site", func(t *testing.T) {
		for sent, want := range map[string]string{
			"/console/deliveries?status=failed": "/console/deliveries?status=failed", "": "/console",
			"https://evil.example/console": "/console", "//evil.example/console/x": "/console", "/webhooks": "/console",
			"/console/sign-in": "/console", "/consolex": "/console", `/\evil.example`: "/console", "javascript:1": "/console",
		} {
			v := &visitor{b: b}
			v.post("/console/sign-in", url.Values{"key": {plain}, "next": {sent}}).leadsTo(want)
		}
	})
	b.run("other_keys_are_refused", func(t *testing.T) {
		unscoped, _ := b.NewKey(&b.Company, "read:webhooks")
		for key, says := range map[string]string{
			"": "Enter an API key", "sk_unknown": "not known", unscoped: `does not have the scope`,
		} {
			v := &visitor{b: b}
			v.post("/console/sign-in", url.Values{"key": {key}}).is(401).has(says)
			require.Nil(t, v.cookie)
		}
	})
	b.run("a_post_from_another_site_is_refused", func(t *testing.T) {
		v := b.signedIn(plain)
		for _, path := range []string{"/console/sign-in", "/console/sign-out", "/console/webhooks/" + uuid.NewString() + "/test"} {
			v.send("POST", path, url.Values{"key": {plain}}, "Sec-Fetch-Site", "cross-site").is(403)
		}
		v.get("/console").is(200)
	})
	b.run("a_link_on_another_site_leads_to_the_page", func(t *testing.T) {
		v := &visitor{b: b} // the browser leaves the cookie out
		v.send("GET", "/console/deliveries?status=failed", nil, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate").
			is(200).has(`http-equiv="refresh" content="0; url=/console/deliveries?status=failed"`)
	})
	b.run("a_cookie_that_was_not_sealed_here_is_none", func(t *testing.T) {
		for _, value := range []string{"x", strings.Repeat("A", 100), b.signedIn(plain).cookie.Value + "A"} {
			v := &visitor{b: b, cookie: &http.Cookie{Name: "greenroom_console", Value: value}}
			v.get("/console").is(303)
		}
	})
	b.run("it_ends_with_its_key", func(t *testing.T) {
		v := b.signedIn(plain)
		v.get("/console").is(200)
		_, err := b.ExecContext(b.Ctx, "UPDATE api_keys SET suspended_at = now() WHERE id = ?", key.ID)
		require.NoError(t, err)
		v.get("/console").is(303)
		_, err = b.ExecContext(b.Ctx, "UPDATE api_keys SET suspended_at = NULL WHERE id = ?", key.ID)
		require.NoError(t, err)
		v = b.signedIn(plain)
		_, err = b.ExecContext(b.Ctx, "UPDATE api_keys SET scopes = '{read:webhooks}' WHERE id = ?", key.ID)
		require.NoError(t, err)
		v.get("/console").is(303)
		_, err = b.ExecContext(b.Ctx, "UPDATE api_keys SET scopes = '{console,read:webhooks}' WHERE id = ?", key.ID)
		require.NoError(t, err)
		v = b.signedIn(plain)
		_, err = b.ExecContext(b.Ctx, "UPDATE api_keys SET revoked_at = now() WHERE id = ?", key.ID)
		require.NoError(t, err)
		v.get("/console").leadsTo("/console/sign-in?next=%2Fconsole")
		require.Nil(t, v.cookie, "the cookie is dropped")
	})
	b.run("it_is_not_for_other_addresses", func(t *testing.T) {
		bound, row := b.NewKey(&b.Company)
		v := b.signedIn(bound)
		_, err := b.ExecContext(b.Ctx, "UPDATE api_keys SET allowed_ips = '{203.0.113.1}' WHERE id = ?", row.ID)
		require.NoError(t, err)
		v.get("/console").is(403).has("may not be used from this address")
	})
}

func TestFailedSignInsAreLimited(t *testing.T) {
	t.Parallel()
	b := setup(t)
	v := &visitor{b: b}
	for range 10 {
		v.post("/console/sign-in", url.Values{"key": {"sk_guess"}}).is(401)
	}
	refused := v.post("/console/sign-in", url.Values{"key": {"sk_guess"}}).is(429).has("Too many attempts")
	require.NotEmpty(t, refused.head.Get("Retry-After"))
}

func TestOneTimeLink(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, key := b.NewKey(nil)
	path := b.link(key, time.Minute)
	v := &visitor{b: b}
	for range 2 { // previews of the link
		v.get(path).is(200).has("This link works once", `method="post"`)
		v.send("HEAD", path, nil).is(200)
	}
	v.send("POST", path, url.Values{}, "Sec-Fetch-Site", "cross-site").is(403)
	v.post(path, nil).leadsTo("/console")
	v.get("/console/system").is(200)
	to := &visitor{b: b}
	to.get(b.link(key, time.Minute) + "?next=%2Fconsole%2Fdeliveries%3Fstatus%3Dfailed").is(200).
		has(`name="next" value="/console/deliveries?status=failed"`)
	to.post(b.link(key, time.Minute), url.Values{"next": {"/console/deliveries?status=failed"}}).
		leadsTo("/console/deliveries?status=failed")
	to.post(b.link(key, time.Minute), url.Values{"next": {"https://a.example/console"}}).leadsTo("/console")
	other := &visitor{b: b}
	other.post(path, nil).is(401).has("This link has ended")
	other.get(path).is(401)
	require.Nil(t, other.cookie)
	other.post(b.link(key, -time.Second), nil).is(401)
	_, err := b.ExecContext(b.Ctx, "UPDATE api_keys SET revoked_at = now() WHERE id = ?", key.ID)
	require.NoError(t, err)
	other.post(b.link(key, time.Minute), nil).is(401)
	require.Nil(t, other.cookie)
}

func TestPortal(t *testing.T) {
	t.Parallel()
	b := setup(t).plant()
	portal := func(key string, body any) string {
		r := b.As(key, "POST", "/companies/"+b.Company.String()+"/portal-links", body).Is(201)
		return strings.TrimPrefix(r["data"].(apitest.Object)["url"].(string), apitest.PublicURL)
	}
	v := &visitor{b: b}
	b.run("shows_one_company_without_a_cookie", func(t *testing.T) {
		for _, key := range []string{b.PlatformKey, b.Key} {
			base := portal(key, nil)
			page := v.get(base).is(200).has("Overview", apitest.Marker, base+"/webhooks").hasNot("Sign out").hasNot("/system")
			require.Contains(t, page.head.Get("Content-Security-Policy"), "frame-ancestors 'none'")
			require.Equal(t, "no-referrer", page.head.Get("Referrer-Policy"))
			v.get(base + "/webhooks/" + b.webhook).is(200)
			v.get(base + "/deliveries/" + b.delivery).is(200).hasNot("temporal.test")
			v.post(base+"/deliveries/"+b.failed+"/retry", nil)
			require.Nil(t, v.cookie)
		}
	})
	b.run("has_no_pages_of_the_operator", func(t *testing.T) {
		base := portal(b.PlatformKey, nil)
		for _, path := range []string{"/system", "/keys", "/audit", "/interviews", "/interviews/" + b.interview} {
			v.get(base + path).is(404)
		}
	})
	b.run("shows_no_other_company", func(t *testing.T) {
		r := b.As(b.PlatformKey, "POST", "/companies/"+b.Other.String()+"/portal-links", nil).Is(201)
		base := strings.TrimPrefix(r["data"].(apitest.Object)["url"].(string), apitest.PublicURL)
		v.get(base + "/webhooks/" + b.webhook).is(404).hasNot(apitest.Marker)
		v.get(base + "/deliveries?companyId=" + b.Company.String()).is(200).hasNot(apitest.Marker)
		v.get(base).is(200).hasNot(apitest.Marker)
	})
	b.run("may_be_framed_by_the_named_origins", func(t *testing.T) {
		base := portal(b.Key, apitest.Object{"frameAncestors": []string{"https://app.example.com", "http://localhost:3000"}})
		policy := v.get(base).is(200).head.Get("Content-Security-Policy")
		require.Contains(t, policy, "frame-ancestors https://app.example.com http://localhost:3000")
		for _, bad := range []string{"*", "https://a.example/path", "app.example.com", "https://a.example; script-src *", "https://u@a.example", "https://a b"} {
			b.Do("POST", "/companies/"+b.Company.String()+"/portal-links", apitest.Object{"frameAncestors": []string{bad}}).
				Is(400)
		}
	})
	b.run("ends_with_its_key_and_is_no_session_of_the_console", func(t *testing.T) {
		plain, key := b.NewKey(&b.Company)
		base := portal(plain, nil)
		cookie := &visitor{b: b, cookie: &http.Cookie{Name: "greenroom_console", Value: strings.TrimPrefix(base, "/portal/")}}
		cookie.get("/console").is(303)
		v.get("/portal/" + b.signedIn(plain).cookie.Value).is(401)
		_, err := b.ExecContext(b.Ctx, "UPDATE api_keys SET revoked_at = now() WHERE id = ?", key.ID)
		require.NoError(t, err)
		v.get(base).is(401)
	})
	b.run("needs_the_scope_and_the_company", func(t *testing.T) {
		plain, _ := b.NewKey(&b.Company, "read:webhooks")
		b.As(plain, "POST", "/companies/"+b.Company.String()+"/portal-links", nil).Is(403)
		b.As(b.OtherKey, "POST", "/companies/"+b.Company.String()+"/portal-links", nil).Is(403)
		b.As(b.PlatformKey, "POST", "/companies/"+uuid.NewString()+"/portal-links", nil).Is(404)
	})
	b.run("hands_on_no_scope_that_its_key_lacks", func(t *testing.T) {
		plain, _ := b.NewKey(&b.Company, "console", "read:webhooks")
		base := portal(plain, nil)
		v.get(base + "/webhooks/" + b.webhook).is(200).has("this key may not")
		v.post(base+"/webhooks/"+b.webhook+"/reset-circuit", nil).is(403)
		v.get(base + "/event-types/" + started).is(200)
		v.get(base + "/events/" + b.event).is(403)
	})
}

// TestSwitchedOff: nothing of the console is left, and no link to it is made.
func TestSwitchedOff(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *api.Options) { o.Console.Disabled = true })
	v := &visitor{b: b}
	for _, path := range []string{"/console", "/console/sign-in", "/console/assets/console.css", "/portal/x"} {
		v.get(path).is(404)
	}
	b.Do("POST", "/companies/"+b.Company.String()+"/portal-links", nil).Is(409)
}

// TestRotatedKeyEndsItsSessions: a key is rotated because it leaked, perhaps into a browser.
func TestRotatedKeyEndsItsSessions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	plain, key := b.NewKey(&b.Company)
	v := b.signedIn(plain)
	v.get("/console").is(200)
	b.inTx(func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.ExecContext(
			ctx,
			"UPDATE api_keys SET hash = ? WHERE id = ?",
			db.HashKey(apitest.Secret, "sk_new"),
			key.ID,
		)
		return err
	})
	v.get("/console").is(303)
}

// TestPagesUseNoBudgetOfTheKey: who looks at pages takes no requests from who uses the key, and has a limit too.
func TestPagesUseNoBudgetOfTheKey(t *testing.T) {
	t.Parallel()
	b := setup(t).plant()
	plain, key := b.NewKey(&b.Company)
	_, err := b.ExecContext(b.Ctx, "UPDATE api_keys SET rate_per_minute = 1, rate_per_hour = 1 WHERE id = ?", key.ID)
	require.NoError(t, err)
	v := b.signedIn(plain)
	for range 3 {
		v.get("/console/webhooks/" + b.webhook).is(200)
	}
	require.Equal(t, 200, b.As(plain, "GET", "/webhooks", nil).Status)
	require.Equal(t, 429, b.As(plain, "GET", "/webhooks", nil).Status)
	for range 600 {
		v.get("/console/replays/none")
	}
	limited := v.get("/console/webhooks").is(429).has("too many requests")
	require.NotEmpty(t, limited.head.Get("Retry-After"))
	b.signedIn(b.Key).get("/console/webhooks").is(200)
}
