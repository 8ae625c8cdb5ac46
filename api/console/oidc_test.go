package console_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/oauth2-proxy/mockoidc"
	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook"
	"greenroom/api"
	"greenroom/api/console"
	"greenroom/db"
)

// claimant is a person whose identity a provider signs as it says.
type claimant struct {
	mockoidc.MockUser
	change func(*mockoidc.IDTokenClaims)
}

func (c *claimant) Claims(scope []string, claims *mockoidc.IDTokenClaims) (jwt.Claims, error) {
	if c.change != nil {
		c.change(claims)
	}
	return c.MockUser.Claims(scope, claims)
}

// login is a console with an OpenID provider, which signs with RSA and is reached over HTTP.
type login struct {
	*bundle
	provider *mockoidc.MockOIDC
	base     string
	company  *db.APIKey
	rules    []console.AccessRule
	// instead, when set, answers a request to the provider, or leaves it to next.
	instead func(w http.ResponseWriter, r *http.Request, next http.Handler)
}

// start starts the provider.
func (l *login) start(t *testing.T) {
	t.Helper()
	var err error
	l.provider, err = mockoidc.NewServer(nil)
	require.NoError(t, err)
	require.NoError(t, l.provider.AddMiddleware(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if l.instead == nil {
				next.ServeHTTP(w, r)
				return
			}
			l.instead(w, r, next)
		})
	}))
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.provider.Start(ln, nil))
	t.Cleanup(func() { _ = l.provider.Shutdown() })
}

func withProvider(t *testing.T) *login {
	t.Helper()
	l := &login{}
	l.start(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.Handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	l.base = server.URL
	rules := &[]console.AccessRule{}
	l.bundle = setup(t, func(o *api.Options) {
		o.PublicURL = l.base
		o.Console.OIDC = console.OIDC{
			Issuer: l.provider.Issuer(), ClientID: l.provider.ClientID, ClientSecret: l.provider.ClientSecret,
			Client: webhook.NewClient(webhook.ClientOptions{AllowHTTP: true, AllowLoopback: true}).HTTPClient(),
			Access: make([]console.AccessRule, 4),
		}
		*rules = o.Console.OIDC.Access
	}).plant()
	_, operator := l.NewKey(nil)
	_, l.company = l.NewKey(&l.Company, "console", "read:webhooks", "write:webhooks", "read:deliveries")
	_, useless := l.NewKey(&l.Company, "read:webhooks")
	l.rules = *rules
	copy(l.rules, []console.AccessRule{
		{"ann@example.com", operator.ID},
		{"group:support", l.company.ID},
		{"@example.org", l.company.ID},
		{"without@example.com", useless.ID},
	})
	return l
}

// browser follows no redirect by itself.
func (l *login) browser() *http.Client {
	jar, err := cookiejar.New(nil)
	require.NoError(l.t, err)
	return &http.Client{
		Jar:           jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// get returns status, body and where it leads.
func (l *login) get(b *http.Client, address string) (status int, body, to string) {
	l.t.Helper()
	req, err := http.NewRequestWithContext(l.Ctx, http.MethodGet, address, nil)
	require.NoError(l.t, err)
	answer, err := b.Do(req)
	require.NoError(l.t, err)
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	require.NoError(l.t, err)
	return answer.StatusCode, string(raw), answer.Header.Get("Location")
}

// callback signs a person in at the provider and returns the address that the provider leads back to.
func (l *login) callback(b *http.Client, who mockoidc.User, change ...string) string {
	l.t.Helper()
	status, body, to := l.get(b, l.base+"/console/oidc/start?next="+url.QueryEscape("/console/webhooks?page=1"))
	require.Equal(l.t, 303, status, body)
	asked, err := url.Parse(to)
	require.NoError(l.t, err)
	q := asked.Query()
	require.Equal(l.t, "S256", q.Get("code_challenge_method"))
	for _, name := range []string{"state", "nonce", "code_challenge"} {
		require.GreaterOrEqual(l.t, len(q.Get(name)), 32, name)
	}
	require.NotContains(l.t, to, l.provider.ClientSecret)
	for i := 0; i+1 < len(change); i += 2 {
		q.Set(change[i], change[i+1])
	}
	asked.RawQuery = q.Encode()
	l.provider.QueueUser(who)
	status, body, to = l.get(b, asked.String())
	require.Equal(l.t, 302, status, body)
	require.True(l.t, strings.HasPrefix(to, l.base+"/console/oidc/callback?"), to)
	return to
}

func user(email string, groups ...string) *claimant {
	return &claimant{MockUser: mockoidc.MockUser{Subject: email, Email: email, EmailVerified: true, Groups: groups}}
}

func TestOIDC(t *testing.T) {
	t.Parallel()
	l := withProvider(t)
	l.run("a_person_with_a_rule_gets_the_rights_of_its_key", func(t *testing.T) {
		b := l.browser()
		status, body, _ := l.get(b, l.base+"/console/sign-in?next=%2Fconsole%2Fkeys")
		require.Equal(t, 200, status)
		require.Contains(t, body, `href="/console/oidc/start?next=%2fconsole%2fkeys"`)
		status, body, _ = l.get(b, l.callback(b, user("Ann@Example.com")))
		require.Equal(t, 200, status, body)
		require.Contains(t, body, `content="0; url=/console/webhooks?page=1"`)
		status, body, _ = l.get(b, l.base+"/console/system")
		require.Equal(t, 200, status)
		require.Contains(t, body, "Ann@Example.com · all companies")
	})
	l.run("by_group_and_by_domain_too", func(t *testing.T) {
		for _, who := range []*claimant{user("bo@example.com", "sales", "support"), user("cy@EXAMPLE.org")} {
			b := l.browser()
			status, body, _ := l.get(b, l.callback(b, who))
			require.Equal(t, 200, status, body)
			status, _, _ = l.get(b, l.base+"/console/webhooks/"+l.webhook)
			require.Equal(t, 200, status)
			status, _, _ = l.get(b, l.base+"/console/system")
			require.Equal(t, 404, status, "the key is a company's")
		}
	})
	l.run("what_a_person_does_is_in_the_audit_log_by_name", func(t *testing.T) {
		b := l.browser()
		l.get(b, l.callback(b, user("cy@example.org")))
		req, err := http.NewRequestWithContext(
			l.Ctx,
			http.MethodPost,
			l.base+"/console/webhooks/"+l.webhook+"/rotate-secret",
			nil,
		)
		require.NoError(t, err)
		req.Header.Set("Sec-Fetch-Site", "same-origin")
		answer, err := b.Do(req)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		require.Equal(t, 200, answer.StatusCode)
		var actor string
		require.NoError(t, l.NewRaw("SELECT actor FROM audit_log WHERE target_id = ? ORDER BY id DESC LIMIT 1", l.webhook).
			Scan(l.Ctx, &actor))
		require.Equal(t, "person:cy@example.org", actor)
	})
	l.run("it_ends_with_its_key", func(t *testing.T) {
		b := l.browser()
		l.get(b, l.callback(b, user("cy@example.org")))
		status, _, _ := l.get(b, l.base+"/console")
		require.Equal(t, 200, status)
		_, err := l.ExecContext(l.Ctx, "UPDATE api_keys SET suspended_at = now() WHERE id = ?", l.company.ID)
		require.NoError(t, err)
		status, _, _ = l.get(b, l.base+"/console")
		require.Equal(t, 303, status)
		_, err = l.ExecContext(l.Ctx, "UPDATE api_keys SET suspended_at = NULL WHERE id = ?", l.company.ID)
		require.NoError(t, err)
	})
}

// TestOIDCRefuses: an answer that proves nothing begins no session.
func TestOIDCRefuses(t *testing.T) {
	t.Parallel()
	l := withProvider(t)
	refused := func(t *testing.T, b *http.Client, address, why string) {
		t.Helper()
		status, body, _ := l.get(b, address)
		require.Equal(t, 401, status, body)
		require.Contains(t, body, why)
		status, _, _ = l.get(b, l.base+"/console")
		require.Equal(t, 303, status, "no session")
	}
	claims := func(change func(*mockoidc.IDTokenClaims)) *claimant {
		u := user("ann@example.com")
		u.change = change
		return u
	}
	unverified := user("ann@example.com")
	unverified.EmailVerified = false
	for name, one := range map[string]struct {
		who *claimant
		why string
	}{
		"unlisted":        {user("eve@example.net", "marketing"), "eve@example.net has no access"},
		"similar_domain":  {user("eve@evil-example.org"), "has no access"},
		"unverified":      {unverified, "has not verified an email address"},
		"no_email":        {user(""), "has not verified an email address"},
		"key_of_no_scope": {user("without@example.com"), "does not have the scope"},
		"wrong_audience":  {claims(func(c *mockoidc.IDTokenClaims) { c.Audience = jwt.ClaimStrings{"other"} }), "is not valid"},
		"wrong_issuer":    {claims(func(c *mockoidc.IDTokenClaims) { c.Issuer = "https://evil.example" }), "is not valid"},
		"expired": {claims(func(c *mockoidc.IDTokenClaims) {
			c.ExpiresAt = jwt.NewNumericDate(time.Now().Add(-time.Minute))
		}), "is not valid"},
		"wrong_nonce": {claims(func(c *mockoidc.IDTokenClaims) { c.Nonce = "other" }), "is not valid"},
	} {
		l.run(name, func(t *testing.T) {
			b := l.browser()
			refused(t, b, l.callback(b, one.who), one.why)
		})
	}
	l = withProvider(t) // failures of one network are limited
	l.run("another_state", func(t *testing.T) {
		b := l.browser()
		refused(t, b, l.callback(b, user("ann@example.com"), "state", strings.Repeat("x", 43)), "not begun in this browser")
	})
	l.run("another_browser", func(t *testing.T) {
		refused(t, l.browser(), l.callback(l.browser(), user("ann@example.com")), "not begun in this browser")
	})
	l.run("an_answer_twice", func(t *testing.T) {
		b := l.browser()
		to := l.callback(b, user("ann@example.com"))
		status, _, _ := l.get(b, to)
		require.Equal(t, 200, status)
		refused(t, l.browser(), to, "not begun in this browser")
	})
	l.run("another_challenge", func(t *testing.T) {
		b := l.browser()
		refused(t, b, l.callback(b, user("ann@example.com"), "code_challenge", strings.Repeat("x", 43)), "is not valid")
	})
	l.run("a_forged_signature", func(t *testing.T) {
		b := l.browser()
		to := l.callback(b, user("ann@example.com"))
		own := l.provider.Keypair
		forged, err := mockoidc.RandomKeypair(2048)
		require.NoError(t, err)
		l.provider.Keypair = &mockoidc.Keypair{PrivateKey: forged.PrivateKey, PublicKey: own.PublicKey, Kid: own.Kid}
		refused(t, b, to, "is not valid")
		l.provider.Keypair = own
	})
	l.run("the_provider_refuses", func(t *testing.T) {
		b := l.browser()
		to, err := url.Parse(l.callback(b, user("ann@example.com")))
		require.NoError(t, err)
		refused(t, b, l.base+"/console/oidc/callback?error=access_denied&state="+to.Query().Get("state"), "access_denied")
	})
	l.run("too_many_failures_are_limited", func(t *testing.T) {
		for range 10 {
			l.get(l.browser(), l.base+"/console/oidc/callback?state=x&code=y")
		}
		status, _, _ := l.get(l.browser(), l.base+"/console/oidc/callback?state=x&code=y")
		require.Equal(t, 429, status)
	})
	l.run("a_provider_that_is_away_is_no_fault_of_the_person", func(t *testing.T) {
		away := setup(t, func(o *api.Options) {
			o.Console.OIDC = console.OIDC{Issuer: "http://127.0.0.1:1", ClientID: "x", Client: http.DefaultClient}
		})
		v := &visitor{b: away}
		v.get("/console/oidc/start").is(502).has("does not answer as it should")
	})
	l.run("without_a_provider_there_is_no_such_page", func(t *testing.T) {
		v := &visitor{b: setup(t)}
		v.get("/console/oidc/start").is(404)
		v.get("/console/oidc/callback?state=x").is(404)
		v.get("/console/sign-in").is(200).hasNot("oidc")
	})
}

// rewritten changes the answer of the provider to requests whose path has this end.
func rewritten(end string, change func(map[string]any)) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if !strings.HasSuffix(r.URL.Path, end) {
			next.ServeHTTP(w, r)
			return
		}
		got := httptest.NewRecorder()
		next.ServeHTTP(got, r)
		body := map[string]any{}
		if json.Unmarshal(got.Body.Bytes(), &body) == nil {
			change(body)
			got.Body = &bytes.Buffer{}
			_ = json.NewEncoder(got.Body).Encode(body)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(got.Code)
		_, _ = got.Body.WriteTo(w)
	}
}

// tokenOf changes the claims of an identity, and signs it as sign says.
func tokenOf(change func(map[string]any), alg string, sign func(string) []byte) func(map[string]any) {
	return func(answer map[string]any) {
		raw, is := answer["id_token"].(string)
		if !is {
			return
		}
		claims := map[string]any{}
		plain, _ := base64.RawURLEncoding.DecodeString(strings.Split(raw, ".")[1])
		_ = json.Unmarshal(plain, &claims)
		change(claims)
		encoded, _ := json.Marshal(claims)
		text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"`+alg+`","typ":"JWT"}`)) + "." +
			base64.RawURLEncoding.EncodeToString(encoded)
		answer["id_token"] = text + "." + base64.RawURLEncoding.EncodeToString(sign(text))
	}
}

// TestOIDCForged: an identity that the provider's keys did not sign, that is of another time, or that somebody else than
// the provider answers, begins no session.
func TestOIDCForged(t *testing.T) {
	t.Parallel()
	l := withProvider(t)
	none := func(map[string]any) {}
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		t.Error("a request went elsewhere", r.URL, string(body))
	}))
	t.Cleanup(elsewhere.Close)
	for name, one := range map[string]struct {
		instead func(http.ResponseWriter, *http.Request, http.Handler)
		status  int
	}{
		"no_algorithm": {rewritten("/token", tokenOf(none, "none", func(string) []byte { return nil })), 401},
		"signed_with_the_clients_secret": {rewritten("/token", tokenOf(none, "HS256", func(text string) []byte {
			h := hmac.New(sha256.New, []byte(l.provider.ClientSecret))
			h.Write([]byte(text))
			return h.Sum(nil)
		})), 401},
		"no_identity": {rewritten("/token", func(a map[string]any) { delete(a, "id_token") }), 401},
		"redirected": {func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if strings.HasSuffix(r.URL.Path, "/token") {
				http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
				return
			}
			next.ServeHTTP(w, r)
		}, 401},
		"a_provider_with_faults": {func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if strings.HasSuffix(r.URL.Path, "/token") {
				w.WriteHeader(500)
				return
			}
			next.ServeHTTP(w, r)
		}, 502},
	} {
		l.run(name, func(t *testing.T) {
			l.instead = one.instead
			defer func() { l.instead = nil }()
			b := l.browser()
			status, body, _ := l.get(b, l.callback(b, user("ann@example.com")))
			require.Equal(t, one.status, status, body)
			status, _, _ = l.get(b, l.base+"/console")
			require.Equal(t, 303, status, "no session")
		})
	}
	l.run("not_yet_valid", func(t *testing.T) {
		b, u := l.browser(), user("ann@example.com")
		u.change = func(c *mockoidc.IDTokenClaims) { c.NotBefore = jwt.NewNumericDate(time.Now().Add(time.Hour)) }
		status, body, _ := l.get(b, l.callback(b, u))
		require.Equal(t, 401, status, body)
	})
	l.run("letters_that_fold_to_others", func(t *testing.T) {
		for _, email := range []string{"\u017fam@example.com", "an\u212a@example.com"} {
			rule := map[string]string{"\u017fam@example.com": "sam@example.com", "an\u212a@example.com": "ank@example.com"}[email]
			l.rules[0].Who = rule
			b := l.browser()
			status, body, _ := l.get(b, l.callback(b, user(email)))
			require.Equal(t, 401, status, body)
		}
	})
}

// TestOIDCOfProviders: providers differ in where and how they tell who somebody is.
func TestOIDCOfProviders(t *testing.T) {
	t.Parallel()
	l := withProvider(t)
	enters := func(t *testing.T, who *claimant) (int, string) {
		t.Helper()
		b := l.browser()
		status, body, _ := l.get(b, l.callback(b, who))
		if status != 200 {
			return status, body
		}
		status, _, _ = l.get(b, l.base+"/console")
		return status, body
	}
	onlyAsked := func(told map[string]any) *claimant {
		l.instead = rewritten("/userinfo", func(a map[string]any) {
			for name, value := range told {
				a[name] = value
			}
		})
		return &claimant{MockUser: mockoidc.MockUser{Subject: "42"}}
	}
	l.run("keys_are_rotated", func(t *testing.T) {
		status, body := enters(t, user("ann@example.com"))
		require.Equal(t, 200, status, body)
		pair, err := mockoidc.RandomKeypair(2048)
		require.NoError(t, err)
		l.provider.Keypair = pair
		status, body = enters(t, user("ann@example.com"))
		require.Equal(t, 200, status, body)
	})
	l.run("one_group_as_a_text", func(t *testing.T) {
		who := onlyAsked(map[string]any{"email": "bo@example.com", "email_verified": true, "groups": "support"})
		status, body := enters(t, who)
		require.Equal(t, 200, status, body)
	})
	l.run("groups_of_another_form_name_none", func(t *testing.T) {
		who := onlyAsked(
			map[string]any{"email": "ann@example.com", "email_verified": "true", "groups": []any{map[string]any{"id": 1}}},
		)
		status, body := enters(t, who)
		require.Equal(t, 200, status, body)
	})
	l.run("an_email_address_that_is_told_when_asked", func(t *testing.T) {
		status, body := enters(t, onlyAsked(map[string]any{"email": "ann@example.com", "email_verified": true}))
		require.Equal(t, 200, status, body)
		status, body = enters(t, onlyAsked(map[string]any{"email": "ann@example.com"}))
		require.Equal(t, 401, status, "not verified")
		require.Contains(t, body, "has not verified")
		status, body = enters(t, onlyAsked(map[string]any{"sub": "43", "email": "ann@example.com", "email_verified": true}))
		require.Equal(t, 401, status, "of another user")
		require.Contains(t, body, "is not valid")
	})
	l.run("a_provider_that_is_away_ends_no_session", func(t *testing.T) {
		b := l.browser()
		l.get(b, l.callback(b, user("ann@example.com")))
		require.NoError(t, l.provider.Shutdown())
		status, _, _ := l.get(b, l.base+"/console")
		require.Equal(t, 200, status)
	})
}

func TestParseAccess(t *testing.T) {
	t.Parallel()
	const id = "01a1fda2-6eca-76fc-b9e3-1d258da1bd8d"
	rules, err := console.ParseAccess(" ann@example.com = " + id + ", @example.org=" + id + ",group:a=b=" + id)
	require.NoError(t, err)
	require.Len(t, rules, 3)
	require.Equal(
		t,
		[]string{"ann@example.com", "@example.org", "group:a=b"},
		[]string{rules[0].Who, rules[1].Who, rules[2].Who},
	)
	for _, bad := range []string{"", "ann@example.com", "ann=" + id, "@=" + id, "group:=" + id, "ann@example.com=5", "ann@example.com=" + id + ","} {
		_, err := console.ParseAccess(bad)
		require.Error(t, err, bad)
	}
}
