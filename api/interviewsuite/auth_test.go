package interviewsuite_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"greenroom/api/apitest"
	"greenroom/db"
)

const (
	tokens = "/api/v3/api-token-auth/"
	whoAmI = "/api/v3/whoami/candidate/"
)

// tokenRow returns the stored row of a token.
func (b *bundle) tokenRow(plain string) *db.APIKey {
	b.T.Helper()
	k, err := db.FindAPIKey(b.Ctx, b, db.HashKey(apitest.Secret, plain))
	require.NoError(b.T, err)
	return k
}

// TestReferenceAuthentication covers reference 2.2.
func TestReferenceAuthentication(t *testing.T) {
	t.Parallel()
	holds(t, []row{
		{"answers_200_with_a_token_of_40_hex_characters", func(t *testing.T, b *bundle) {
			b.user("eva", "recruiter")
			token := b.logIn("eva")
			require.Regexp(t, "^[0-9a-f]{40}$", token)
			require.NotEqual(t, token, b.logIn("eva"))
		}},
		{"username_or_email", func(_ *testing.T, b *bundle) {
			b.user("eva", "recruiter")
			b.logIn("EVA")
			b.logIn("eva@example.test")
		}},
		{"missing_fields_are_400", func(_ *testing.T, b *bundle) {
			all := object{"username": "eva", "password": password, "company": "acme"}
			for field := range all {
				body := with(object{}, all)
				delete(body, field)
				refusedField(b.As("", "POST", tokens, body), field, "This field is required.")
				body[field] = nil
				refusedField(b.As("", "POST", tokens, body), field, "This field is required.")
			}
		}},
		{"bad_json_is_400_with_detail", func(t *testing.T, b *bundle) {
			for _, body := range []string{"{", `{"username": }`, "nonsense"} {
				got := b.As("", "POST", tokens, body).Is(http.StatusBadRequest)
				require.True(t, strings.HasPrefix(got["detail"].(string), "JSON parse error - "), "%v", got)
			}
		}},
		{"wrong_credentials_are_400_and_say_not_which", func(_ *testing.T, b *bundle) {
			b.user("eva", "recruiter")
			b.customer("nopassword", "recruiter")
			gone := b.user("gone", "recruiter")
			b.Do("PATCH", b.path(b.user("off", "recruiter")), object{"is_active": false}).Is(http.StatusAccepted)
			b.Do("DELETE", b.path(gone), nil)
			for name, body := range map[string]object{
				"password": {"password": password + "x"}, "user": {"username": "adam"}, "company": {"company": "other"}, "unknown": {"company": "?"},
				"no password": {"username": "nopassword"}, "deleted": {"username": "gone"}, "inactive": {"username": "off"},
				"long": {"password": strings.Repeat("x", 1024)}, "hostile": {"username": "' OR 1=1 --"},
			} {
				r := b.As("", "POST", tokens, with(object{"username": "eva", "password": password, "company": "acme"}, body))
				b.T.Log(name)
				refusedField(r, "non_field_errors", "Unable to log in with provided credentials.")
			}
		}},
		{"extended_expiration_period_in_days_at_most_30", func(t *testing.T, b *bundle) {
			b.user("eva", "recruiter")
			row := b.tokenRow(b.logIn("eva", object{"extended_expiration_period": 30}))
			require.Equal(t, 30, *row.IdleDays)
			require.WithinDuration(t, time.Now().AddDate(0, 0, 30), *row.ExpiresAt, time.Minute)
			for _, bad := range []any{31, 0, -1, "30", 1.5} {
				body := object{"username": "eva", "password": password, "company": "acme", "extended_expiration_period": bad}
				refusedField(b.As("", "POST", tokens, body), "extended_expiration_period")
			}
		}},
		{"expiring_dies_after_inactivity", func(t *testing.T, b *bundle) {
			b.user("eva", "recruiter")
			token := b.logIn("eva")
			b.ends(token, 3*24*time.Hour)
			b.As(token, "GET", b.at, nil).Is(http.StatusOK)
			require.WithinDuration(
				t,
				time.Now().AddDate(0, 0, 14),
				*b.tokenRow(token).ExpiresAt,
				time.Minute,
				"each use extends it",
			)
			b.ends(token, -time.Second)
			refused(b.As(token, "GET", b.at, nil), http.StatusUnauthorized, "Invalid token.")
		}},
		{"a_use_on_any_surface_keeps_it", func(t *testing.T, b *bundle) {
			b.user("eva", "hiring-manager")
			token := b.logIn("eva")
			p := b.project()
			c := b.path(b.candidate(p))
			for _, use := range []struct {
				method, path, header, scheme string
				status                       int
			}{
				{"GET", "/v1/jobs", "Authorization", "Bearer ", http.StatusOK},
				{"GET", "/api/app/positions", "X-Api-Key", "", http.StatusOK},
				{"GET", "/ai-interviews/settings/general", "apiKey", "", http.StatusOK},
				{"POST", "/v1/jobs", "Authorization", "Bearer ", http.StatusForbidden},
				{"POST", "/v1/events", "Authorization", "Bearer ", http.StatusForbidden},
				{"POST", c + "answervideos/", "Authorization", "Token ", http.StatusForbidden},
			} {
				b.ends(token, 3*24*time.Hour)
				req := httptest.NewRequestWithContext(b.Ctx, use.method, use.path, strings.NewReader("{}"))
				req.Header.Set("Content-Type", "application/json")
				req.Header.Set(use.header, use.scheme+token)
				require.Equal(t, use.status, b.Send(req).Status, use.path)
				require.WithinDuration(t, time.Now().AddDate(0, 0, 14), *b.tokenRow(token).ExpiresAt, time.Minute, use.path)
			}
		}},
		{"permanent_keys_of_the_company_work_too", func(_ *testing.T, b *bundle) {
			b.As("", "GET", b.at, nil, "Authorization", "Token "+b.Key).Is(http.StatusOK)
			b.As("", "GET", b.at, nil, "Authorization", "token "+b.Key).Is(http.StatusOK)
		}},
		{"a_token_belongs_to_one_user", func(t *testing.T, b *bundle) {
			eva := b.user("eva", "recruiter")
			token := b.logIn("eva")
			made := b.As(token, "POST", b.at+"customers/", object{"username": "made"}).Is(http.StatusCreated)
			require.Equal(t, eva["resource_uri"], made["created_by"])
			c := b.As(token, "POST", b.path(b.project())+"candidates/", ada()).Is(http.StatusCreated)
			require.Equal(t, "eva", c["created_by"])
			require.Equal(t, http.StatusNoContent, b.Do("DELETE", b.path(eva), nil).Status)
			refused(b.As(token, "GET", b.at, nil), http.StatusUnauthorized, "Invalid token.")
		}},
		{"account_types_have_their_scopes", func(_ *testing.T, b *bundle) {
			p := b.project()
			for _, kind := range []string{"hiring-manager", "recruiter", "admin", "owner"} {
				b.user(kind, kind)
				token, writes := b.logIn(kind), http.StatusAccepted
				b.As(token, "GET", b.path(p), nil).Is(http.StatusOK)
				b.As(token, "GET", b.at+"customers/", nil).Is(http.StatusOK)
				if kind == "hiring-manager" {
					writes = http.StatusForbidden
				}
				b.As(token, "PATCH", b.path(p), object{"name": kind}).Is(writes)
			}
		}},
	})
}

func (b *bundle) ends(token string, in time.Duration) {
	b.T.Helper()
	_, err := b.ExecContext(
		b.Ctx,
		"UPDATE api_keys SET expires_at = ? WHERE id = ?",
		time.Now().Add(in),
		b.tokenRow(token).ID,
	)
	require.NoError(b.T, err)
}

func TestLogInsAreLimited(t *testing.T) {
	wrong := func(b *bundle, username string) apitest.Response {
		return b.As("", "POST", tokens, object{"username": username, "password": "wrong", "company": "acme"})
	}
	t.Run("per_user", func(t *testing.T) {
		b := setup(t)
		b.user("eva", "recruiter")
		b.user("adam", "recruiter")
		for range 19 {
			wrong(b, "eva").Is(http.StatusBadRequest)
		}
		b.logIn("eva") // a successful log-in resets the count
		for range 20 {
			wrong(b, "eva").Is(http.StatusBadRequest)
		}
		r := b.As("", "POST", tokens, object{"username": "Eva@example.test", "password": password, "company": "acme"})
		require.Equal(t, http.StatusTooManyRequests, r.Status, "also with the right password")
		seconds, err := strconv.Atoi(r.Header.Get("Retry-After"))
		require.NoError(t, err)
		require.Equal(
			t,
			object{"detail": "Request was throttled. Expected available in " + r.Header.Get("Retry-After") + " seconds."},
			r.Is(http.StatusTooManyRequests),
		)
		require.InDelta(t, 450, seconds, 450)
		b.logIn("adam")
	})
}

func TestActivationKey(t *testing.T) {
	b := setup(t)
	p := b.project(object{"support_lang": "de"})
	c := b.candidate(p, object{"gender": "mrs"})
	key := c["interview_key"].(string)
	as := func(key string) apitest.Response {
		return b.As("", "GET", whoAmI, nil, "Authorization", "ActivationKey "+key)
	}
	t.Run("is_32_characters_and_the_same_each_time", func(t *testing.T) {
		require.Regexp(t, "^[0-9a-f]{32}$", key)
		require.Equal(t, key, b.Do("GET", b.path(c), nil).Is(http.StatusOK)["interview_key"])
		other := b.candidate(p, object{"email": "other@example.test"})["interview_key"].(string)
		require.NotEqual(t, key[10:], other[10:])
	})
	t.Run("shows_the_candidate_the_interview", func(t *testing.T) {
		got := as(key).Is(http.StatusOK)
		left := got["seconds_until_deadline"].(float64)
		require.InDelta(t, 7*24*3600, left, 60)
		delete(got, "seconds_until_deadline")
		require.Equal(t, object{
			"resource_uri":     c["resource_uri"],
			"photo":            "",
			"first_name":       "Ada",
			"last_name":        "Byron",
			"gender":           "mrs",
			"email":            "ada@example.test",
			"status":           "invited",
			"invitationdate":   c["invitationdate"],
			"confirmationdate": nil,
			"interviewdate":    nil,
			"deadline":         c["deadline"],
			"activation_key":   key,
			"company": object{
				"resource_uri":    apitest.PublicURL + b.at,
				"name":            "Acme",
				"division":        "",
				"address":         "",
				"postcode":        "",
				"city":            "",
				"state_province":  "",
				"country":         nil,
				"phone":           "",
				"design_settings": apitest.PublicURL + b.at + "design/",
			},
			"project": object{
				"resource_uri": p["resource_uri"],
				"name":         "Receptionist",
				"videos":       []any{},
				"questions":    p["questions"],
				"support_lang": "de",
				"language":     "de-DE",
			},
		}, got)
	})
	t.Run("redirects_to_the_interview", func(t *testing.T) {
		r := b.As("", "GET", "/cfev3/register/"+key, nil)
		require.Equal(t, http.StatusFound, r.Status)
		require.Equal(t, c["interview_suite_url"], r.Header.Get("Location"))
		refused(b.As("", "GET", "/cfev3/register/"+strings.Repeat("0", 32), nil), http.StatusNotFound, notFound)
	})
	t.Run("is_refused_when_malformed", func(t *testing.T) {
		flipped := key[:31] + map[bool]string{true: "1", false: "0"}[key[31] == '0']
		for _, bad := range []string{flipped, "", "x", key[:30], key + "00", strings.Repeat("0", 32), strings.Repeat("f", 32), "\xff"} {
			refused(as(bad), http.StatusUnauthorized, "Invalid activation key.")
		}
		refused(b.As("", "GET", whoAmI, nil), http.StatusUnauthorized, "Authentication credentials were not provided.")
		b.Do("GET", whoAmI, nil).Is(http.StatusUnauthorized)
	})
	t.Run("opens_nothing_else", func(t *testing.T) {
		refused(
			b.As("", "GET", b.at, nil, "Authorization", "ActivationKey "+key),
			http.StatusUnauthorized,
			"Authentication credentials were not provided.",
		)
		b.As(key, "GET", b.at, nil).Is(http.StatusUnauthorized)
	})
	t.Run("ends_with_the_candidate", func(t *testing.T) {
		require.Equal(t, http.StatusNoContent, b.Do("DELETE", b.path(c), nil).Status)
		require.Contains(t, []int{http.StatusUnauthorized, http.StatusNotFound}, as(key).Status)
	})
}
