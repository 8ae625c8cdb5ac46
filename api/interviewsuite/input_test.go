package interviewsuite_test

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// hostile lists values that a client may send in any field.
var hostile = []string{
	`null`,
	`""`,
	`"\u0000"`,
	`"\ud800"`,
	"\"\xff\"",
	`0`,
	`-1`,
	`1e400`,
	`9223372036854775808`,
	`true`,
	`[]`,
	`{}`,
	`[null]`,
	`[[[]]]`,
	`{"a":{"b":[1]}}`,
	`"2026-13-40"`,
	`"' OR 1=1 --"`,
	`"` + strings.Repeat("ü", 5000) + `"`,
	`[` + strings.Repeat(`"x",`, 500) + `"x"]`,
	`"https://[::1"`,
	`1.5`,
}

// TestBadInputIsRefusedAndLeavesNothing sends every hostile value in every field of every body. It must be accepted or
// refused in the surface's format, never with a 5xx, and a refused request changes nothing.
func TestBadInputIsRefusedAndLeavesNothing(t *testing.T) {
	b := setup(t)
	p := b.project()
	c := b.candidate(p)
	eva := b.customer("eva", "recruiter")
	for name, kind := range map[string]struct {
		path   string
		fields string
	}{
		"company": {b.at, "name city country address state_province division phone postcode"},
		"project": {b.path(p), `name job_url email_alias mode maximum_score support_lang internal_id allow_hash_login max_interview_time
			invite_candidates default_interview_period closedate activationdate contact_person veto_enabled evaluators interview_managers reviewers labels`},
		"candidate": {b.path(c), "first_name last_name email username phone gender address deadline partner_data"},
		"customer": {b.path(eva), `username email password current_password first_name last_name account_type is_active preferred_language phone gender role position
			receive_interview_notifications seen_welcome`},
	} {
		t.Run(name, func(t *testing.T) {
			for _, field := range strings.Fields(kind.fields) {
				for _, value := range hostile {
					before := b.Do("GET", kind.path, nil).Is(http.StatusOK)
					r := b.Do("PATCH", kind.path, fmt.Sprintf(`{%q: %s}`, field, value))
					require.Contains(
						t,
						[]int{http.StatusAccepted, http.StatusBadRequest},
						r.Status,
						"%s: %s answered %s",
						field,
						value,
						r.Body,
					)
					if r.Status == http.StatusBadRequest {
						require.Equal(t, before, b.Do("GET", kind.path, nil).Is(http.StatusOK), "%s: %s", field, value)
					}
				}
			}
		})
	}
	t.Run("log_in", func(t *testing.T) {
		for _, field := range []string{"username", "password", "company", "extended_expiration_period"} {
			for _, value := range hostile {
				body := `{"username": "u", "password": "p", "company": "c", "extended_expiration_period": 1}`
				sent := regexp.MustCompile(`"`+field+`": ("[a-z]"|1)`).
					ReplaceAllLiteralString(body, fmt.Sprintf(`%q: %s`, field, value))
				r := b.As("", "POST", tokens, sent)
				require.Contains(t, []int{http.StatusBadRequest, http.StatusTooManyRequests}, r.Status)
			}
		}
	})
	t.Run("bodies", func(t *testing.T) {
		for body, status := range map[string]int{
			"": 400, "[]": 400, "null": 400, "{": 400, `{"name": "x", "name": "y"}`: 400, `"x"`: 400, "{\"name\": \"\xff\"}": 400,
			strings.Repeat(`{"a":`, 70) + "1" + strings.Repeat("}", 70): 400, `{"name": "` + strings.Repeat("x", 1<<20) + `"}`: 413,
		} {
			require.Equal(t, status, b.Do("POST", b.at+"projects/", body).Status, "%.40s", body)
		}
		r := b.Do("POST", b.at+"projects/", "name=x", "Content-Type", "application/x-www-form-urlencoded")
		refused(r, http.StatusUnsupportedMediaType, `Unsupported media type "application/x-www-form-urlencoded" in request.`)
	})
	t.Run("queries", func(t *testing.T) {
		for _, query := range []string{"page=x", "page=-1", "page_size=0", "page=99999999999999999999", "page_size=1.5"} {
			b.Do("GET", b.at+"projects/?"+query, nil).Is(http.StatusBadRequest)
		}
		refused(b.Do("GET", b.at+"projects/?page=1000000", nil), http.StatusNotFound, "Invalid page.")
	})
	t.Run("identifiers", func(t *testing.T) {
		for _, identifier := range []string{"%00", "%ff", "%20", strings.Repeat("x", 300), "acme%00"} {
			refused(b.Do("GET", "/api/v3/company-by-identifier/"+identifier+"/", nil), http.StatusForbidden, forbidden)
			refused(
				b.As(b.PlatformKey, "GET", "/api/v3/company-by-identifier/"+identifier+"/", nil),
				http.StatusNotFound,
				notFound,
			)
		}
	})
}

// As the original's framework does: each field has the list of its faults.
func TestBodies_have_all_faults_named(t *testing.T) {
	b := setup(t)
	r := b.Do("PATCH", b.path(b.project()), `{"maximum_score": "x", "labels": [1, 2], "name": 5}`)
	faults := r.Is(http.StatusBadRequest)
	require.ElementsMatch(t, []string{"maximum_score", "labels", "name"}, slices.Collect(maps.Keys(faults)))
	for field, sentences := range faults {
		require.NotEmpty(t, sentences, field)
	}
}
