package interviewsuite_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/api/apitest"
	"greenroom/db"
)

// TestReferenceCustomers covers reference 2.6.
func TestReferenceCustomers(t *testing.T) {
	t.Parallel()
	fields := strings.Fields(
		`resource_uri company preferred_language account_type user username first_name last_name phone status confirmationdate
		gender activation_key created_by role receive_interview_notifications photo position invitationdate email projects seen_welcome is_active`,
	)
	holds(t, []row{
		{"fields_and_defaults", func(t *testing.T, b *bundle) {
			c := b.Do("POST", b.at+"customers/", object{"username": "eva"}).Is(http.StatusCreated)
			require.ElementsMatch(t, fields, keys(c))
			for field, want := range (object{
				"company": apitest.PublicURL + b.at, "account_type": "recruiter", "username": "eva", "status": "invited", "is_active": true,
				"confirmationdate": nil, "created_by": nil, "receive_interview_notifications": true, "seen_welcome": false,
				"projects": apitest.PublicURL + b.at + "projects/", "email": "", "gender": "",
			}) {
				require.Equal(t, want, c[field], field)
			}
			c["activation_key"] = nil // only in the answer to the creation
			require.Equal(t, c, b.Do("GET", b.path(c), nil).Is(http.StatusOK))
		}},
		{"all_that_can_be_written", func(t *testing.T, b *bundle) {
			sent := object{
				"username":                        "eva",
				"email":                           "eva@example.test",
				"first_name":                      "Eva",
				"last_name":                       "Nová",
				"account_type":                    "admin",
				"is_active":                       true,
				"preferred_language":              "sk",
				"phone":                           "+421 2 123",
				"gender":                          "mrs",
				"role":                            "HR",
				"position":                        "Head",
				"seen_welcome":                    true,
				"receive_interview_notifications": false,
			}
			c := b.Do("POST", b.at+"customers/", sent).Is(http.StatusCreated)
			for field, want := range sent {
				require.Equal(t, want, c[field], field)
			}
			got := b.Do("PATCH", b.path(c), object{"phone": nil, "position": "Chief", "is_active": false}).
				Is(http.StatusAccepted)
			require.Equal(
				t,
				[]any{"", "Chief", "inactive", "HR"},
				[]any{got["phone"], got["position"], got["status"], got["role"]},
			)
		}},
		{"filter_by_username", func(t *testing.T, b *bundle) {
			b.customer("eva", "recruiter")
			adam := b.user("adam", "recruiter")
			require.Len(t, objects(t, b.Do("GET", b.at+"customers/", nil)), 2)
			require.Equal(t, []object{adam}, objects(t, b.Do("GET", b.at+"customers/?username=Adam", nil)))
			require.Empty(t, objects(t, b.Do("GET", b.at+"customers/?username=none", nil)))
			refusedField(b.Do("GET", b.at+"customers/?username=%00", nil), "username")
		}},
		{"username_is_unique_in_the_company", func(_ *testing.T, b *bundle) {
			b.customer("eva", "recruiter")
			refusedField(
				b.Do("POST", b.at+"customers/", object{"username": "EVA"}),
				"username",
				"A user with that username already exists.",
			)
			adam := b.customer("adam", "recruiter")
			refusedField(
				b.Do("PATCH", b.path(adam), object{"username": "eva"}),
				"username",
				"A user with that username already exists.",
			)
			refusedField(b.Do("POST", b.at+"customers/", object{}), "username", "This field is required.")
		}},
		{"status_follows_the_first_log_in", func(t *testing.T, b *bundle) {
			eva := b.user("eva", "recruiter")
			b.logIn("eva")
			got := b.Do("GET", b.path(eva), nil).Is(http.StatusOK)
			require.Equal(t, "confirmed", got["status"])
			require.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`, got["confirmationdate"])
		}},
	})
}

func TestPasswordIsNeverShownAndEndsTokens(t *testing.T) {
	b := setup(t)
	eva := b.user("eva", "recruiter")
	require.NotContains(t, eva, "password")
	token := b.logIn("eva")
	for _, bad := range []string{"short", strings.Repeat("x", 73)} {
		refusedField(b.Do("PATCH", b.path(eva), object{"password": bad}), "password")
	}
	b.As(token, "GET", b.at, nil).Is(http.StatusOK)
	b.Do("PATCH", b.path(eva), object{"password": "another password"}).Is(http.StatusAccepted)
	b.As(token, "GET", b.at, nil).Is(http.StatusUnauthorized)
	refusedField(
		b.As("", "POST", tokens, object{"username": "eva", "password": password, "company": "acme"}),
		"non_field_errors",
	)
}

func TestAccountAboveOnesOwnIsDenied(t *testing.T) {
	b := setup(t)
	owner := b.user("owner", "owner")
	eva := b.user("eva", "recruiter")
	token := b.logIn("eva")
	list := b.at + "customers/"
	refused(b.As(token, "POST", list, object{"username": "x", "account_type": "admin"}), http.StatusForbidden, forbidden)
	refused(b.As(token, "PATCH", b.path(owner), object{"password": "a stolen account"}), http.StatusForbidden, forbidden)
	refused(b.As(token, "DELETE", b.path(owner), nil), http.StatusForbidden, forbidden)
	made := b.As(token, "POST", list, object{"username": "x"}).Is(http.StatusCreated)
	for _, change := range []object{{"account_type": "owner"}, {"password": "a stolen account"}, {"email": "mine@example.test"}} {
		refused(b.As(token, "PATCH", b.path(made), change), http.StatusForbidden, forbidden)
	}
	refused(b.As(token, "DELETE", b.path(made), nil), http.StatusForbidden, forbidden)
	refused(b.As(token, "PATCH", b.path(eva), object{"account_type": "admin"}), http.StatusForbidden, forbidden)
	b.As(token, "PATCH", b.path(eva), object{"phone": "1"}).Is(http.StatusAccepted)
	reset := object{"password": "forgotten once", "current_password": password}
	b.As(token, "PATCH", b.path(b.user("reader", "hiring-manager")), reset).Is(http.StatusAccepted)
	b.user("one", "admin")
	b.As(b.logIn("one"), "PATCH", b.path(b.user("two", "admin")), object{"phone": "1"}).Is(http.StatusAccepted)
	require.Equal(t, "recruiter", b.Do("GET", b.path(made), nil).Is(http.StatusOK)["account_type"])
	b.As(b.logIn("owner"), "PATCH", b.path(made), object{"account_type": "owner"}).Is(http.StatusAccepted)
}

// A token alone must not become an account: it ends, a password does not.
func TestATokenSetsNoPassword(t *testing.T) {
	b := setup(t)
	owner := b.user("owner", "owner")
	reader := b.user("reader", "hiring-manager")
	token, second := b.logIn("owner"), b.logIn("owner")
	list := b.at + "customers/"
	for name, with := range map[string]object{"none": {}, "a_wrong_one": {"current_password": "a guess 123"}} {
		t.Run(name, func(t *testing.T) {
			body := object{"password": "the thief's 1"}
			for k, v := range with {
				body[k] = v
			}
			refusedField(b.As(token, "PATCH", b.path(owner), body), "current_password")
			refusedField(b.As(token, "PATCH", b.path(reader), body), "current_password")
			body["username"] = "accomplice"
			refusedField(b.As(token, "POST", list, body), "current_password")
		})
	}
	b.logIn("owner")
	b.As(token, "POST", list, object{"username": "x", "password": "another one", "current_password": password}).
		Is(http.StatusCreated)
	b.As(token, "PATCH", b.path(owner), object{"password": "another one", "current_password": password}).
		Is(http.StatusAccepted)
	b.As(second, "GET", b.at, nil).Is(http.StatusUnauthorized)
}

func TestAKeyGivesNoAccountMoreThanItHas(t *testing.T) {
	b := setup(t)
	reader := b.user("reader", "hiring-manager")
	list := b.at + "customers/"
	narrow, _ := b.NewKey(&b.Company, "read:companies", "write:companies")
	reading, _ := b.NewKey(&b.Company, append(db.HiringManager.Scopes(), "write:companies")...)
	for _, body := range []object{
		{"username": "x", "account_type": "owner"}, {"username": "x"}, {"username": "x", "account_type": "hiring-manager"},
	} {
		refused(b.As(narrow, "POST", list, body), http.StatusForbidden, forbidden)
	}
	for _, change := range []object{{"account_type": "recruiter"}, {"password": "a stolen account"}} {
		refused(b.As(narrow, "PATCH", b.path(reader), change), http.StatusForbidden, forbidden)
	}
	b.As(narrow, "PATCH", b.path(reader), object{"phone": "1"}).Is(http.StatusAccepted)
	b.As(reading, "POST", list, object{"username": "y", "account_type": "hiring-manager"}).Is(http.StatusCreated)
	refused(b.As(reading, "PATCH", b.path(reader), object{"account_type": "owner"}), http.StatusForbidden, forbidden)

	bound, row := b.NewKey(&b.Company)
	_, err := b.ExecContext(b.Ctx, "UPDATE api_keys SET allowed_ips = '{192.0.2.0/24}' WHERE id = ?", row.ID)
	require.NoError(t, err)
	refused(b.As(bound, "PATCH", b.path(reader), object{"password": "from anywhere"}), http.StatusForbidden, forbidden)
	b.As(bound, "POST", list, object{"username": "z"}).Is(http.StatusCreated)
}

func TestOnlyThePlatformActivatesWhatItDeactivated(t *testing.T) {
	b := setup(t)
	eva := b.user("eva", "recruiter")
	b.As(b.PlatformKey, "PATCH", b.path(eva), object{"is_active": false}).Is(http.StatusAccepted)
	b.Do("PATCH", b.path(eva), object{"is_active": true}).Is(http.StatusConflict)
	b.Do("PATCH", b.path(eva), object{"is_active": false}).Is(http.StatusAccepted)
	b.Do("PATCH", b.path(eva), object{"is_active": true}).Is(http.StatusConflict)
	b.As(b.PlatformKey, "PATCH", b.path(eva), object{"is_active": true}).Is(http.StatusAccepted)
	b.Do("PATCH", b.path(eva), object{"is_active": false}).Is(http.StatusAccepted)
	b.Do("PATCH", b.path(eva), object{"is_active": true}).Is(http.StatusAccepted)
}

func TestAPromotionEndsTokens(t *testing.T) {
	b := setup(t)
	eva := b.user("eva", "hiring-manager")
	token := b.logIn("eva")
	b.Do("PATCH", b.path(eva), object{"account_type": "owner"}).Is(http.StatusAccepted)
	b.As(token, "GET", b.at, nil).Is(http.StatusUnauthorized)
}
