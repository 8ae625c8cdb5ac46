package interviewsuite_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/api"
	"greenroom/api/apitest"
)

// invited creates a customer without a password.
func (b *bundle) invited(key string, more ...object) object {
	b.T.Helper()
	body := object{"username": "max", "email": "max@mail.test", "account_type": "recruiter"}
	return b.As(key, "POST", b.at+"customers/", with(body, more...)).Is(http.StatusCreated)
}

// form sends the form of the page.
func (b *bundle) form(path, chosen string) apitest.Response {
	return b.As("", "POST", path, url.Values{"password": {chosen}}.Encode(), "Content-Type",
		"application/x-www-form-urlencoded")
}

// mailed reports whether the activation of that user is to be mailed, and the commands for it.
func (b *bundle) mailed(username string) (wanted bool, commands int) {
	b.T.Helper()
	err := b.NewRaw(`SELECT st.invite_mail, (SELECT count(*) FROM commands c WHERE c.subject_id = st.id) FROM staff st
		WHERE st.username = ?`, username).Scan(b.Ctx, &wanted, &commands)
	require.NoError(b.T, err)
	return wanted, commands
}

func TestActivation(t *testing.T) {
	b := setup(t, func(o *api.Options) { o.Mails, o.PerMinute, o.PublicPerMinute = true, 1000, 1000 })
	made := b.invited(b.Key)
	key, _ := made["activation_key"].(string)
	require.Regexp(t, `^[0-9a-f]{32}$`, key)
	require.Equal(t, "invited", made["status"])
	wanted, commands := b.mailed("max")
	require.True(t, wanted)
	require.Equal(t, 1, commands)
	require.Nil(t, b.Do("GET", b.path(made), nil).Is(http.StatusOK)["activation_key"], "shown once")
	path := "/cfev3/activate/" + key
	logIn := func() int {
		return b.As("", "POST", "/api/v3/api-token-auth/",
			object{"username": "max", "password": password, "company": b.company.Identifier}).Status
	}
	t.Run("the_page_has_a_form", func(t *testing.T) {
		r := b.As("", "GET", path, nil)
		require.Equal(t, http.StatusOK, r.Status)
		require.Contains(t, string(r.Body), `<form method="post">`)
		require.Contains(t, string(r.Body), "max")
		require.Equal(t, "no-referrer", r.Header.Get("Referrer-Policy"))
		require.Contains(t, r.Header.Get("Content-Security-Policy"), "default-src 'none'")
	})
	t.Run("a_short_or_long_password_is_refused", func(t *testing.T) {
		for _, bad := range []string{"", "1234567", strings.Repeat("x", 2000)} {
			r := b.form(path, bad)
			require.Equal(t, http.StatusBadRequest, r.Status, bad)
			require.Contains(t, string(r.Body), `role="alert"`)
			require.Contains(t, b.As("", "POST", path, object{"password": bad}).Is(http.StatusBadRequest), "password")
		}
		require.Equal(t, http.StatusBadRequest, logIn())
	})
	t.Run("another_key_is_none", func(t *testing.T) {
		other := "0" + key[1:31] + "0"
		if other == key {
			other = key[:31] + "1"
		}
		for _, bad := range []string{other, "x", key[:30], b.candidate(b.project())["interview_key"].(string)} {
			require.Equal(t, http.StatusNotFound, b.As("", "GET", "/cfev3/activate/"+bad, nil).Status)
			refused(b.As("", "POST", "/cfev3/activate/"+bad, object{"password": password}), http.StatusNotFound, notFound)
		}
	})
	t.Run("sets_the_password_once", func(t *testing.T) {
		r := b.form(path, password)
		require.Equal(t, http.StatusOK, r.Status, string(r.Body))
		require.Contains(t, string(r.Body), "You can log in now")
		require.Equal(t, http.StatusOK, logIn())
		require.Equal(t, http.StatusNotFound, b.As("", "GET", path, nil).Status)
		refused(b.As("", "POST", path, object{"password": "another password"}), http.StatusNotFound, notFound)
		require.Equal(t, http.StatusOK, logIn())
	})
	t.Run("json", func(t *testing.T) {
		made := b.invited(b.Key, object{"username": "json"})
		r := b.As("", "POST", "/cfev3/activate/"+made["activation_key"].(string), object{"password": password})
		require.Equal(t, http.StatusNoContent, r.Status)
	})
	t.Run("not_of_an_inactive_or_deleted_user", func(t *testing.T) {
		made := b.invited(b.Key, object{"username": "gone"})
		at := "/cfev3/activate/" + made["activation_key"].(string)
		b.Do("PATCH", b.path(made), object{"is_active": false}).Is(http.StatusAccepted)
		require.Equal(t, http.StatusNotFound, b.As("", "GET", at, nil).Status)
		b.Do("PATCH", b.path(made), object{"is_active": true}).Is(http.StatusAccepted)
		require.Equal(t, http.StatusOK, b.As("", "GET", at, nil).Status)
		require.Equal(t, http.StatusNoContent, b.Do("DELETE", b.path(made), nil).Status)
		require.Equal(t, http.StatusNotFound, b.As("", "GET", at, nil).Status)
	})
}

// TestActivation_who_may: a stolen token does not become an account, by an activation as little as by a password.
func TestActivation_who_may(t *testing.T) {
	b := setup(t, func(o *api.Options) { o.Mails, o.PerMinute = true, 1000 })
	b.user("eva", "admin")
	token := b.logIn("eva")
	none := func(made object) {
		t.Helper()
		require.Nil(t, made["activation_key"])
		wanted, commands := b.mailed(made["username"].(string))
		require.False(t, wanted)
		require.Zero(t, commands)
	}
	none(b.invited(token, object{"username": "a"}))
	r := b.As(
		token,
		"POST",
		b.at+"customers/",
		object{"username": "b", "email": "b@mail.test", "current_password": "wrong"},
	)
	refusedField(r, "current_password")
	require.NotNil(t, b.invited(token, object{"username": "c", "current_password": password})["activation_key"])
	wanted, _ := b.mailed("c")
	require.True(t, wanted)
	bound, row := b.NewKey(&b.Company)
	_, err := b.ExecContext(b.Ctx, "UPDATE api_keys SET expires_at = now() + interval '1 day' WHERE id = ?", row.ID)
	require.NoError(t, err)
	none(b.invited(bound, object{"username": "d"}))
	none(b.invited(b.Key, object{"username": "e", "password": password}))
	none(b.invited(b.Key, object{"username": "f", "is_active": false}))
	silent := b.invited(b.Key, object{"username": "g", "email": nil})
	require.NotNil(t, silent["activation_key"], "for the client to hand on")
	wanted, _ = b.mailed("g")
	require.False(t, wanted, "without an address")
}
