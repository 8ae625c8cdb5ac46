package interviewsuite_test

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/api/apitest"
	"greenroom/db"
	"greenroom/db/catalog"
)

// row is one statement of the reference and the check that the surface fulfills it.
type row struct {
	name string
	hold func(t *testing.T, b *bundle)
}

func holds(t *testing.T, rows []row) {
	t.Helper()
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) { r.hold(t, setup(t)) })
	}
}

// TestReferenceEvents covers reference 1.4 for projects and candidates. The profile's tests cover what it renders.
func TestReferenceEvents(t *testing.T) {
	t.Parallel()
	holds(t, []row{
		{"project_changed_created", func(t *testing.T, b *bundle) {
			b.project()
			require.Equal(t, []string{catalog.JobCreated}, b.events())
		}},
		{"project_changed_modified", func(t *testing.T, b *bundle) {
			p := b.project()
			b.Do("PATCH", b.path(p), object{"name": "Cook", "internal_id": "7", "evaluators": []string{}}).
				Is(http.StatusAccepted)
			b.Do("POST", pathOf(t, p["status_update_uri"]), object{"status": "closed"}).Is(http.StatusAccepted)
			require.Equal(t, []string{catalog.JobCreated, catalog.JobUpdated, catalog.JobUpdated}, b.events())
		}},
		{"candidate_changed_created_when_invited", func(t *testing.T, b *bundle) {
			b.candidate(b.project())
			require.ElementsMatch(
				t,
				[]string{catalog.JobCreated, catalog.InterviewScheduled, catalog.CandidateInvited},
				b.events(),
			)
		}},
		{"candidate_changed_created_without_invitation", func(t *testing.T, b *bundle) {
			b.candidate(b.project(object{"invite_candidates": false}))
			require.Equal(t, []string{catalog.JobCreated, catalog.CandidateCreated}, b.events())
		}},
		{"candidate_changed_modified", func(t *testing.T, b *bundle) {
			c := b.candidate(b.project(object{"invite_candidates": false}))
			b.Do("PATCH", b.path(c), object{"last_name": "Lovelace", "phone": "+421 900 123 456"}).Is(http.StatusAccepted)
			require.Equal(t, catalog.CandidateUpdated, b.events()[2])
			require.Len(t, b.events(), 3)
		}},
		{"no_deletion_event", func(t *testing.T, b *bundle) {
			p := b.project(object{"invite_candidates": false})
			c := b.candidate(p)
			before := b.events()
			require.Equal(t, http.StatusNoContent, b.Do("DELETE", b.path(c), nil).Status)
			require.Equal(t, http.StatusNoContent, b.Do("DELETE", b.path(p), nil).Status)
			require.Equal(t, before, b.events())
		}},
	})
}

// TestReferenceBasics covers reference 2.1.
func TestReferenceBasics(t *testing.T) {
	t.Parallel()
	holds(t, []row{
		{"another_companys_data_cannot_be_reached", func(t *testing.T, b *bundle) {
			p := b.project()
			for _, path := range []string{b.at, b.at + "projects/", b.at + "customers/", b.path(p), "/api/v3/companies/999999/"} {
				refused(b.As(b.OtherKey, "GET", path, nil), http.StatusForbidden, forbidden)
			}
			other, err := db.GetCompany(b.Ctx, b, b.Other)
			require.NoError(t, err)
			refused(
				b.As(b.OtherKey, "GET", fmt.Sprintf("%sprojects/%d/", pathOfCompany(other), last(b.path(p))), nil),
				http.StatusNotFound,
				notFound,
			)
		}},
		{"list_takes_get_and_post_object_takes_get_patch_delete", func(_ *testing.T, b *bundle) {
			p := b.project()
			b.Do("GET", b.at+"projects/", nil).Is(http.StatusOK)
			b.Do("GET", b.path(p), nil).Is(http.StatusOK)
			b.Do("PATCH", b.path(p), object{"name": "Cook"}).Is(http.StatusAccepted)
			refused(b.Do("PUT", b.path(p), object{"name": "Cook"}), http.StatusMethodNotAllowed, `Method "PUT" not allowed.`)
			require.Equal(b.T, http.StatusNoContent, b.Do("DELETE", b.path(p), nil).Status)
		}},
		{"patch_changes_and_validates_only_what_is_sent", func(t *testing.T, b *bundle) {
			p := b.project(object{"internal_id": "R-1", "maximum_score": 7})
			got := b.Do("PATCH", b.path(p), object{"name": "Cook"}).Is(http.StatusAccepted)
			p["name"] = "Cook"
			require.Equal(t, p, got)
			require.Equal(t, p, b.Do("GET", b.path(p), nil).Is(http.StatusOK))
			require.Equal(t, p, b.Do("PATCH", b.path(p), p).Is(http.StatusAccepted), "an object can be sent back as it was read")
			refusedField(b.Do("PATCH", b.path(p), object{"name": ""}), "name")
			refusedField(b.Do("PATCH", b.path(p), object{"name": nil}), "name")
		}},
		{"delete_is_final", func(_ *testing.T, b *bundle) {
			p := b.project()
			c := b.candidate(p)
			require.Equal(b.T, http.StatusNoContent, b.Do("DELETE", b.path(c), nil).Status)
			for _, method := range []string{"GET", "PATCH", "DELETE"} {
				refused(b.Do(method, b.path(c), object{}), http.StatusNotFound, notFound)
			}
		}},
		{"400_invalid_attributes", func(_ *testing.T, b *bundle) {
			refusedField(b.Do("POST", b.at+"projects/", object{}), "name", "This field is required.")
		}},
		{"401_not_authenticated", func(_ *testing.T, b *bundle) {
			r := b.As("", "GET", b.at, nil)
			refused(r, http.StatusUnauthorized, "Authentication credentials were not provided.")
			require.Equal(b.T, "Token", r.Header.Get("WWW-Authenticate"))
			refused(b.As(strings.Repeat("a", 40), "GET", b.at, nil), http.StatusUnauthorized, "Invalid token.")
		}},
		{"403_valid_token_without_access", func(_ *testing.T, b *bundle) {
			key, _ := b.NewKey(&b.Company, "read:jobs")
			refused(b.As(key, "GET", b.at, nil), http.StatusForbidden, forbidden)
		}},
		{"lists_have_meta_and_objects_and_full_urls_of_pages", func(t *testing.T, b *bundle) {
			for i := range 3 {
				b.project(object{"name": fmt.Sprint("P", i)})
			}
			list := b.at + "projects/"
			first := b.Do("GET", list+"?page_size=2", nil).Is(http.StatusOK)
			require.Equal(
				t,
				object{"total_count": 3.0, "previous": nil, "next": apitest.PublicURL + list + "?page=2&page_size=2"},
				first["meta"],
			)
			require.Len(t, first["objects"], 2)
			second := b.Do("GET", pathOf(t, first["meta"].(object)["next"]), nil).Is(http.StatusOK)
			require.Equal(
				t,
				object{"total_count": 3.0, "previous": apitest.PublicURL + list + "?page=1&page_size=2", "next": nil},
				second["meta"],
			)
			require.Len(t, second["objects"], 1)
			refused(b.Do("GET", list+"?page=3&page_size=2", nil), http.StatusNotFound, "Invalid page.")
			require.Len(t, b.Do("GET", list+"?page_size=1000", nil).Is(http.StatusOK)["objects"], 3)
			refusedField(b.Do("GET", list+"?page=0", nil), "page")
			require.Equal(t, object{"total_count": 0.0, "previous": nil, "next": nil},
				b.Do("GET", b.at+"customers/", nil).Is(http.StatusOK)["meta"])
		}},
		{"references_are_absolute_urls_that_resolve", func(t *testing.T, b *bundle) {
			p := b.project(object{"evaluators": []any{b.customer("eva", "recruiter")["resource_uri"]}})
			c := b.candidate(p)
			for _, o := range []object{b.Do("GET", b.at, nil).Is(http.StatusOK), p, c} {
				for field, v := range o {
					address, is := v.(string)
					if is && strings.HasPrefix(address, apitest.PublicURL+"/api/") && field != "status_update_uri" {
						b.Do("GET", pathOf(t, address), nil).Is(http.StatusOK)
					}
				}
			}
		}},
		{"every_url_ends_with_a_slash", func(_ *testing.T, b *bundle) { // 2.9
			p := b.project()
			for _, path := range []string{b.at, b.at + "projects/", b.path(p), b.path(p) + "candidates/", b.at + "customers/"} {
				b.Do("GET", path, nil).Is(http.StatusOK)
				refused(b.Do("GET", strings.TrimSuffix(path, "/"), nil), http.StatusNotFound, notFound)
			}
		}},
		{"ids_are_integers", func(_ *testing.T, b *bundle) { // 2.9
			for _, id := range []string{"x", "0", "-1", "01", "9223372036854775808", "%00", b.Company.String()} {
				refused(b.Do("GET", b.at+"projects/"+id+"/", nil), http.StatusNotFound, notFound)
				refused(b.Do("GET", "/api/v3/companies/"+id+"/", nil), http.StatusNotFound, notFound)
			}
		}},
	})
}

// TestReferenceCompany covers reference 2.3.
func TestReferenceCompany(t *testing.T) {
	t.Parallel()
	fields := strings.Fields(
		`name city country address state_province division phone postcode billing_settings design_settings
		account_settings security_settings features resource_uri identifier`,
	)
	holds(t, []row{
		{"GET_by_id_and_by_identifier", func(t *testing.T, b *bundle) {
			got := b.Do("GET", b.at, nil).Is(http.StatusOK)
			require.ElementsMatch(t, fields, keys(got))
			require.Equal(t, apitest.PublicURL+b.at, got["resource_uri"])
			require.Equal(t, got, b.Do("GET", "/api/v3/company-by-identifier/acme/", nil).Is(http.StatusOK))
			refused(b.Do("GET", "/api/v3/company-by-identifier/other/", nil), http.StatusForbidden, forbidden)
		}},
		{"PATCH_by_id_and_by_identifier", func(t *testing.T, b *bundle) {
			sent := object{
				"name":           "Acme GmbH",
				"city":           "Berlin",
				"country":        "https://interview-suite.com/api/v3/countries/1/",
				"address":        "Straße 1",
				"state_province": "BE",
				"division":       "HR",
				"phone":          "+49 30 123",
				"postcode":       "10115",
			}
			got := b.Do("PATCH", b.at, sent).Is(http.StatusAccepted)
			for field, want := range sent {
				require.Equal(t, want, got[field], field)
			}
			got = b.Do("PATCH", "/api/v3/company-by-identifier/acme/", object{"city": "Wien", "division": nil}).
				Is(http.StatusAccepted)
			require.Equal(t, []any{"Wien", "", "BE"}, []any{got["city"], got["division"], got["state_province"]})
			require.Equal(t, got, b.Do("GET", b.at, nil).Is(http.StatusOK))
		}},
		{"settings_and_features_are_read_only", func(t *testing.T, b *bundle) {
			before := b.Do("GET", b.at, nil).Is(http.StatusOK)
			require.Equal(
				t,
				before,
				b.Do("PATCH", b.at, object{"billing_settings": "x", "features": []string{"x"}}).Is(http.StatusAccepted),
			)
		}},
		{"no_listing", func(_ *testing.T, b *bundle) {
			refused(b.Do("GET", "/api/v3/companies/", nil), http.StatusNotFound, notFound)
			refused(b.Do("DELETE", b.at, nil), http.StatusMethodNotAllowed, `Method "DELETE" not allowed.`)
		}},
		{"a_platform_key_reads_each", func(_ *testing.T, b *bundle) {
			b.As(b.PlatformKey, "GET", b.at, nil).Is(http.StatusOK)
			b.As(b.PlatformKey, "GET", "/api/v3/company-by-identifier/other/", nil).Is(http.StatusOK)
			refused(b.As(b.PlatformKey, "GET", "/api/v3/company-by-identifier/none/", nil), http.StatusNotFound, notFound)
			refused(b.As(b.PlatformKey, "GET", "/api/v3/companies/999999/", nil), http.StatusNotFound, notFound)
		}},
	})
}

// TestReferenceProjects covers reference 2.4.
func TestReferenceProjects(t *testing.T) {
	t.Parallel()
	fields := strings.Fields(
		`resource_uri id company name job_url email_alias mode maximum_score support_lang language status internal_id
		allow_hash_login max_interview_time invite_candidates default_interview_period closedate activationdate contact_person creationdate
		veto_enabled status_update_uri evaluators interview_managers reviewers labels questions candidates results roles criteria videos`,
	)
	holds(t, []row{
		{"fields_and_defaults", func(t *testing.T, b *bundle) {
			p := b.project()
			require.ElementsMatch(t, fields, keys(p))
			uri := p["resource_uri"].(string)
			require.Regexp(t, "^"+regexp.QuoteMeta(apitest.PublicURL+b.at)+`projects/[1-9][0-9]*/$`, uri)
			for field, want := range (object{
				"company": apitest.PublicURL + b.at, "status": "active", "invite_candidates": true, "allow_hash_login": true, "veto_enabled": false,
				"support_lang": "en", "language": "en-GB", "evaluators": []any{}, "labels": []any{}, "videos": []any{}, "maximum_score": 5.0,
				"questions": uri + "questions/", "candidates": uri + "candidates/", "results": uri + "results/", "roles": uri + "roles/",
				"criteria": uri + "criteria/", "status_update_uri": uri + "status/", "closedate": nil, "activationdate": p["creationdate"],
			}) {
				require.Equal(t, want, p[field], field)
			}
		}},
		{"all_that_can_be_written", func(t *testing.T, b *bundle) {
			eva, max := b.customer("eva", "recruiter")["resource_uri"], b.customer("max", "hiring-manager")["resource_uri"]
			sent := object{
				"name":                     "Cook",
				"job_url":                  "https://example.test/cook",
				"email_alias":              "HR",
				"mode":                     "live",
				"maximum_score":            10.0,
				"support_lang":             "de",
				"internal_id":              "R-1",
				"allow_hash_login":         false,
				"max_interview_time":       45.0,
				"invite_candidates":        false,
				"default_interview_period": 7.0,
				"closedate":                "2031-01-02",
				"activationdate":           "2030-01-02",
				"contact_person":           "Eva",
				"veto_enabled":             true,
				"evaluators":               []any{eva, max},
				"interview_managers":       []any{eva},
				"reviewers":                []any{max},
				"labels":                   []any{"https://interview-suite.com/api/v3/companies/1/labels/1/"},
			}
			p := b.project(sent)
			for field, want := range sent {
				require.Equal(t, want, p[field], field)
			}
			require.Equal(t, "de-DE", p["language"])
			require.Equal(t, p, b.Do("GET", b.path(p), nil).Is(http.StatusOK))
			empty := b.Do("PATCH", b.path(p), object{"job_url": nil, "closedate": nil, "max_interview_time": nil, "evaluators": []any{}}).
				Is(http.StatusAccepted)
			require.Equal(t, []any{"", nil, nil, []any{}},
				[]any{empty["job_url"], empty["closedate"], empty["max_interview_time"], empty["evaluators"]})
		}},
		{"people_by_url_or_id_and_only_the_companys", func(t *testing.T, b *bundle) {
			eva := b.customer("eva", "recruiter")
			p := b.project(object{"evaluators": []any{eva["user"], eva["resource_uri"], b.path(eva)}})
			require.Equal(t, []any{eva["resource_uri"]}, p["evaluators"], "without duplicates")
			for _, bad := range []any{0, 999999, "x", b.at + "projects/1/", "/api/v3/companies/999/customers/1/", true, object{}} {
				refusedField(
					b.Do("PATCH", b.path(p), object{"evaluators": []any{bad}}),
					"evaluators",
					"Invalid hyperlink - Object does not exist.",
				)
			}
			require.Equal(t, http.StatusNoContent, b.Do("DELETE", b.path(eva), nil).Status)
			require.Empty(t, b.Do("GET", b.path(p), nil).Is(http.StatusOK)["evaluators"], "deleted users are left out")
		}},
		{"status_is_read_only_and_has_an_action_of_its_own", func(t *testing.T, b *bundle) {
			p := b.project(object{"status": "closed"})
			require.Equal(t, "active", p["status"])
			action := pathOf(t, p["status_update_uri"])
			for _, status := range []string{"closed", "archived", "draft", "active"} {
				require.Equal(t, status, b.Do("POST", action, object{"status": status}).Is(http.StatusAccepted)["status"])
			}
			require.NotNil(t, b.Do("GET", b.path(p), nil).Is(http.StatusOK)["closedate"])
			refusedField(b.Do("POST", action, object{"status": "OPEN"}), "status")
			refusedField(b.Do("POST", action, object{}), "status", "This field is required.")
		}},
		{"dates_can_be_times", func(t *testing.T, b *bundle) {
			require.Equal(t, "2030-01-02", b.project(object{"closedate": "2030-01-01T23:30:00-01:00"})["closedate"])
			for _, bad := range []string{"soon", "2030-02-30", "1969-01-01", "0000-00-00T", ""} {
				refusedField(b.Do("POST", b.at+"projects/", object{"name": "x", "closedate": bad}), "closedate")
			}
		}},
		{"roles_and_criteria", func(t *testing.T, b *bundle) {
			eva := b.customer("eva", "recruiter")["resource_uri"]
			p := b.project(object{"evaluators": []any{eva}, "reviewers": []any{eva}})
			require.Equal(t, []object{{"role": "evaluator", "customer": eva}, {"role": "reviewer", "customer": eva}},
				objects(t, b.Do("GET", pathOf(t, p["roles"]), nil)))
			c := b.candidate(p)
			for range 2 {
				b.Do("POST", b.path(c)+"ratings/", object{"criterion": "clarity", "value": 3}).Is(http.StatusCreated)
			}
			require.Equal(t, []object{{"name": "clarity"}}, objects(t, b.Do("GET", pathOf(t, p["criteria"]), nil)))
		}},
		{"a_project_of_another_surface_is_shown", func(t *testing.T, b *bundle) {
			b.Do("POST", "/jobs", object{"title": "Elsewhere", "status": "ON_HOLD"}).Is(http.StatusCreated)
			p := objects(t, b.Do("GET", b.at+"projects/", nil))[0]
			require.Equal(t, []any{"Elsewhere", "on_hold"}, []any{p["name"], p["status"]})
			require.Equal(t, p, b.Do("PATCH", b.path(p), object{}).Is(http.StatusAccepted))
		}},
	})
}

func keys(o object) []string {
	names := make([]string, 0, len(o))
	for name := range o {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
