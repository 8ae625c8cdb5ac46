package interviewsuite_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/api"
	"greenroom/api/apitest"
)

const session = "/api/v3/session/"

// open begins a session and returns the cookie as the browser stores it.
func (b *bundle) open(username string) *http.Cookie {
	b.T.Helper()
	r := b.As("", "POST", session, object{"username": username, "password": password, "company": b.company.Identifier})
	shown := r.Is(http.StatusOK)
	require.Equal(b.T, apitest.PublicURL+b.at, shown["company"])
	cookies := (&http.Response{Header: r.Header}).Cookies()
	require.Len(b.T, cookies, 1)
	require.NotContains(b.T, string(r.Body), cookies[0].Value, "a script never sees the token")
	return cookies[0]
}

func TestSession(t *testing.T) {
	b := setup(t, func(o *api.Options) { o.PerMinute = 1000 })
	b.user("eva", "recruiter")
	cookie := b.open("eva")
	with := func(method, path string, body any, headers ...string) apitest.Response {
		return b.As("", method, path, body, append([]string{"Cookie", cookie.Name + "=" + cookie.Value}, headers...)...)
	}
	t.Run("the_cookie_is_the_browsers_alone", func(t *testing.T) {
		require.Equal(t, "interview_suite_session", cookie.Name)
		require.Equal(t, "/api/v3/", cookie.Path)
		require.True(t, cookie.HttpOnly)
		require.True(t, cookie.Secure)
		require.Equal(t, http.SameSiteStrictMode, cookie.SameSite)
		require.Regexp(t, `^[0-9a-f]{40}$`, cookie.Value)
	})
	t.Run("is_accepted_as_a_token", func(t *testing.T) {
		with("GET", b.at, nil).Is(http.StatusOK)
		made := with("POST", b.at+"projects/", object{"name": "Cook"}, "Sec-Fetch-Site", "same-origin").Is(http.StatusCreated)
		added := with("POST", b.path(made)+"candidates/", ada()).Is(http.StatusCreated)
		require.Equal(t, "eva", added["created_by"])
	})
	t.Run("not_from_another_site", func(t *testing.T) {
		for _, header := range [][2]string{
			{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://attacker.example"},
		} {
			refused(
				with("POST", b.at+"projects/", object{"name": "Cook"}, header[0], header[1]),
				http.StatusForbidden,
				forbidden,
			)
			refused(b.As("", "POST", session, object{}, header[0], header[1]), http.StatusForbidden, forbidden)
		}
		b.Do("POST", b.at+"projects/", object{"name": "Cook"}, "Origin", "https://ats.example").Is(http.StatusCreated)
	})
	t.Run("a_token_in_a_header_comes_first", func(t *testing.T) {
		b.As("unknown", "GET", b.at, nil, "Cookie", cookie.Name+"="+cookie.Value).Is(http.StatusUnauthorized)
	})
	t.Run("nowhere_else", func(t *testing.T) {
		require.Equal(t, http.StatusUnauthorized, with("GET", "/webhooks", nil).Status)
	})
	t.Run("an_unknown_one_is_none", func(t *testing.T) {
		for _, value := range []string{"x", "", strings.Repeat("0", 40)} {
			refused(b.As("", "GET", b.at, nil, "Cookie", cookie.Name+"="+value), http.StatusUnauthorized,
				"Authentication credentials were not provided.")
		}
	})
	t.Run("wrong_credentials_begin_none", func(t *testing.T) {
		r := b.As("", "POST", session, object{"username": "eva", "password": "x", "company": b.company.Identifier})
		refusedField(r, "non_field_errors", "Unable to log in with provided credentials.")
		require.Empty(t, r.Header.Get("Set-Cookie"))
	})
	t.Run("a_key_is_no_session", func(t *testing.T) {
		refused(b.Do("DELETE", session, nil), http.StatusForbidden, forbidden)
		b.Do("GET", b.at, nil).Is(http.StatusOK)
	})
	t.Run("ends", func(t *testing.T) {
		other := b.logIn("eva")
		r := with("DELETE", session, nil)
		require.Equal(t, http.StatusNoContent, r.Status)
		require.Contains(t, r.Header.Get("Set-Cookie"), "Max-Age=0")
		require.Equal(t, http.StatusUnauthorized, with("GET", b.at, nil).Status)
		b.As(other, "GET", b.at, nil).Is(http.StatusOK)
	})
}
