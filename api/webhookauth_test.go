package api_test

import (
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/db/delivery"
)

var (
	basicAuth  = object{"type": "basic", "username": "acme", "password": "sealed-4711"}
	bearerAuth = object{"type": "bearer", "token": "sealed-4711"}
	oauth2Auth = object{
		"type": "oauth2", "tokenUrl": "https://login.partner.example/token", "clientId": "acme",
		"clientSecret": "sealed-4711", "scopes": []string{"hooks", "https://partner.example/.default"},
	}
)

// but returns a copy of an object without a field, or with another value.
func but(o object, field string, value ...any) object {
	o = maps.Clone(o)
	delete(o, field)
	for _, v := range value {
		o[field] = v
	}
	return o
}

func TestWebhookAuth(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shown := map[string]object{
		"basic":  {"type": "basic", "username": "acme", "hasSecret": true},
		"bearer": {"type": "bearer", "hasSecret": true},
		"oauth2": {
			"type": "oauth2", "tokenUrl": "https://login.partner.example/token", "clientId": "acme", "hasSecret": true,
			"scopes": []any{"hooks", "https://partner.example/.default"},
		},
	}
	for _, auth := range []object{basicAuth, bearerAuth, oauth2Auth} {
		kind := auth["type"].(string)
		t.Run(kind+"_is_sealed_and_never_shown", func(t *testing.T) {
			w, path := b.hook(object{"auth": auth})
			require.Equal(t, shown[kind], w["auth"])
			require.Equal(t, shown[kind], b.do("GET", path, nil).is(http.StatusOK)["auth"])
			require.NotContains(t, string(b.do("GET", "/webhooks", nil).Body), "4711")
			require.NotContains(t, string(b.do("GET", "/audit", nil).Body), "4711")
			require.NotContains(t, string(b.do("GET", "/audit", nil).Body), "acme", "user names may be credentials")
			row := b.row(w["id"])
			plain, err := b.box.Open(row.Auth.Sealed, row.ID, delivery.AuthField)
			require.NoError(t, err)
			require.Equal(t, "sealed-4711", string(plain))
			var found bool
			require.NoError(t, b.NewRaw("SELECT bool_or(w::text LIKE '%4711%') FROM webhooks w").Scan(b.ctx, &found))
			require.False(t, found)
		})
	}
	t.Run("changes_as_a_whole", func(t *testing.T) {
		w, path := b.hook(object{"auth": basicAuth})
		require.Equal(
			t,
			shown["basic"],
			b.do("PATCH", path, object{"name": "N"}).is(http.StatusOK)["auth"],
			"absent: unchanged",
		)
		require.Equal(t, shown["oauth2"], b.do("PATCH", path, object{"auth": oauth2Auth}).is(http.StatusOK)["auth"])
		b.do("PATCH", path, object{"auth": but(but(oauth2Auth, "tokenUrl", "https://attacker.example/"), "clientSecret")}).
			fails(http.StatusBadRequest, "MISSING_REQUIRED_FIELD")
		require.Equal(t, "https://login.partner.example/token", b.row(w["id"]).Auth.TokenURL)
		require.Nil(t, b.do("PATCH", path, object{"auth": nil}).is(http.StatusOK)["auth"])
		require.Nil(t, b.row(w["id"]).Auth)
	})
	t.Run("ends_with_its_webhook", func(t *testing.T) {
		w, path := b.hook(object{"auth": basicAuth})
		require.Equal(t, http.StatusNoContent, b.do("DELETE", path, nil).Status)
		var gone bool
		require.NoError(t, b.NewRaw("SELECT auth IS NULL FROM webhooks WHERE id = ?", w["id"]).Scan(b.ctx, &gone))
		require.True(t, gone)
	})
	t.Run("the_audit_log_says_what_changed", func(t *testing.T) {
		w, path := b.hook(object{})
		b.do("PATCH", path, object{"auth": oauth2Auth}).is(http.StatusOK)
		e := b.do("GET", "/audit?action=updated&targetId="+w["id"].(string), nil).items()[0]
		require.Equal(t, object{"type": "oauth2", "token_url": "https://login.partner.example"}, e["after"].(object)["auth"])
		require.Nil(t, e["before"].(object)["auth"])
	})
}

func TestWebhookAuthRefusals(t *testing.T) {
	t.Parallel()
	b := setup(t)
	long := strings.Repeat("x", 4097)
	for name, tt := range map[string]struct {
		auth    object
		message string
	}{
		"no_type":               {object{}, "auth.type is required"},
		"unknown_type":          {object{"type": "digest"}, "auth.type must be one of: basic, bearer, oauth2"},
		"no_password":           {but(basicAuth, "password"), "auth.password is required"},
		"no_username":           {but(basicAuth, "username"), "auth.username is required"},
		"empty_token":           {but(bearerAuth, "token", ""), "auth.token is required"},
		"no_token_url":          {but(oauth2Auth, "tokenUrl"), "auth.tokenUrl is required"},
		"no_client_id":          {but(oauth2Auth, "clientId"), "auth.clientId is required"},
		"field_of_another_type": {but(basicAuth, "token", "x"), "auth.token is not a field of the type basic"},
		"scopes_of_basic":       {but(basicAuth, "scopes", []string{"x"}), "auth.scopes is not a field of the type basic"},
		"unknown_field":         {but(basicAuth, "realm", "x"), "auth.realm is not a known field"},
		"long":                  {but(bearerAuth, "token", long), "auth.token must be at most 4096 characters"},
		"colon":                 {but(basicAuth, "username", "a:b"), "auth.username must not contain colons and control characters"},
		"line_break":            {but(bearerAuth, "token", "a\r\nX: b"), "auth.token must be visible ASCII characters without spaces"},
		"scope": {
			but(oauth2Auth, "scopes", []string{"a b"}),
			"auth.scopes must be visible ASCII characters without spaces, quotes and backslashes",
		},
		"private_token_url": {
			but(oauth2Auth, "tokenUrl", "https://169.254.169.254/token"),
			"auth.tokenUrl must not point to a private, local or reserved address",
		},
		"plain_token_url": {but(oauth2Auth, "tokenUrl", "http://login.example/"), "auth.tokenUrl must use https"},
	} {
		t.Run(name, func(t *testing.T) {
			for method, path := range map[string]string{"POST": "/webhooks", "PATCH": ""} {
				body := object{"auth": tt.auth}
				if method == "POST" {
					body["url"], body["events"] = hookURL, []int{0}
				} else {
					_, path = b.hook(object{})
				}
				r := b.do(method, path, body)
				require.Equal(t, http.StatusBadRequest, r.Status, "%s", r.Body)
				require.Contains(t, string(r.Body), `"`+tt.message+`"`)
			}
		})
	}
	const beside = "auth cannot be set beside the custom header Authorization: remove one of them"
	header := []object{{"name": "authorization", "value": "x"}}
	refuses := func(t *testing.T, r response, message string) {
		t.Helper()
		require.Equal(t, http.StatusBadRequest, r.Status, "%s", r.Body)
		require.Contains(t, string(r.Body), message)
	}
	t.Run("beside_a_header", func(t *testing.T) {
		refuses(
			t,
			b.do("POST", "/webhooks", object{"url": hookURL, "events": []int{0}, "auth": basicAuth, "headers": header}),
			beside,
		)
		w, path := b.hook(object{"auth": basicAuth})
		refuses(t, b.do("PATCH", path, object{"headers": header}), beside)
		require.Empty(t, b.row(w["id"]).Headers)
		b.do("PATCH", path, object{"headers": header, "auth": nil}).is(http.StatusOK)
		refuses(t, b.do("PATCH", path, object{"auth": basicAuth}), beside)
		b.do("PATCH", path, object{"headers": []object{}, "auth": basicAuth}).is(http.StatusOK)
	})
	t.Run("of_a_profile_with_its_own_header", func(t *testing.T) {
		const own = "auth cannot be set: deliveries of the profile wise have their own Authorization header"
		body := object{"url": hookURL, "profile": "wise", "events": []string{"MeetingStartedEvent"}}
		refuses(t, b.do("POST", "/webhooks", but(body, "auth", bearerAuth)), own)
		made := b.do("POST", "/webhooks", body).is(http.StatusCreated)
		refuses(t, b.do("PATCH", "/webhooks/"+made["id"].(string), object{"auth": bearerAuth}), own)
	})
}

// TestWebhookAuthStaysWithItsReceiver: another scheme, host or port gets no credentials of the receiver before.
func TestWebhookAuthStaysWithItsReceiver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for to, keeps := range map[string]bool{
		"https://partner.example/other": true, "https://partner.example:8443/hooks": false, "https://attacker.example/": false,
	} {
		w, path := b.hook(object{"url": "https://partner.example/hooks", "auth": oauth2Auth})
		got := b.do("PATCH", path, object{"url": to}).is(http.StatusOK)
		require.Equal(t, keeps, got["auth"] != nil, to)
		require.Equal(t, keeps, b.row(w["id"]).Auth != nil, to)
		again := b.do("PATCH", path, object{"url": "https://third.example/", "auth": basicAuth}).is(http.StatusOK)
		require.Equal(t, "basic", again["auth"].(object)["type"], "sent again they stay")
	}
	t.Run("of_positions", func(t *testing.T) {
		made := b.do("POST", "/webhooks", object{
			"url": hookURL, "profile": "wiseway", "events": []string{"interview.completed"}, "auth": basicAuth,
		}).is(http.StatusCreated)
		r := b.As(b.key, "PUT", "/api/app/webhooks/"+made["id"].(string), object{"url": "https://attacker.example/"})
		require.Equal(t, http.StatusOK, r.Status, "%s", r.Body)
		require.Nil(t, b.row(made["id"]).Auth)
	})
}
