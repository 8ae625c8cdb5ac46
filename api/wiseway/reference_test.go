package wiseway_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/api/apitest"
)

// row is one statement of the reference and how it is held.
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

// TestReferenceGeneral is 1.1 and 1.5.
func TestReferenceGeneral(t *testing.T) {
	t.Parallel()
	holds(t, []row{
		{"every_request_needs_the_header_x_api_key", func(_ *testing.T, b *bundle) {
			for _, path := range []string{positions, webhooks, positions + "/" + idOf(b.position())} {
				e := refused(b.As("", "GET", path, nil), http.StatusUnauthorized, "INVALID_API_KEY")
				require.Contains(b.T, e["message"], "x-api-key: ")
				refused(b.As("sk_unknown", "GET", path, nil), http.StatusUnauthorized, "INVALID_API_KEY")
			}
		}},
		{"the_key_is_taken_from_x_api_key", func(_ *testing.T, b *bundle) {
			b.As("", "GET", positions, nil, "x-api-key", b.Key).Is(http.StatusOK)
		}},
		{"header_names_ignore_case", func(_ *testing.T, b *bundle) { // Part 3, 4
			b.As("", "GET", positions, nil, "X-API-KEY", b.Key).Is(http.StatusOK)
		}},
		{"paths_start_with_api_app_not_api_api", func(_ *testing.T, b *bundle) { // Part 3, 1
			b.Do("GET", "/api/app/positions", nil).Is(http.StatusOK)
			require.Equal(b.T, http.StatusNotFound, b.Do("GET", "/api/api/app/positions", nil).Status)
			refused(b.Do("GET", "/api/app/nothing", nil), http.StatusNotFound, "RESOURCE_NOT_FOUND")
		}},
		{"requests_are_limited_and_429_says_when_to_retry", func(t *testing.T, b *bundle) {
			key, limited := b.NewKey(&b.Company)
			limited.RatePerMinute = 2
			b.Tx(func(tx bun.Tx) error {
				_, err := tx.NewUpdate().Model(limited).Column("rate_per_minute").WherePK().Exec(b.Ctx)
				return err
			})
			for range 2 {
				b.As(key, "GET", positions, nil).Is(http.StatusOK)
			}
			r := b.As(key, "GET", positions, nil)
			refused(r, http.StatusTooManyRequests, "RATE_LIMITED")
			seconds, err := strconv.Atoi(r.Header.Get("Retry-After"))
			require.NoError(t, err)
			require.Positive(t, seconds)
			require.LessOrEqual(t, seconds, 60)
		}},
		{"higher_limits_are_set_on_the_key", func(_ *testing.T, b *bundle) {
			r := b.Do("GET", positions, nil)
			require.Equal(b.T, "100000", r.Header.Get("X-RateLimit-Limit-Minute"))
		}},
	})
}

// TestReferenceEndpoints is the table of 1.2, row by row.
func TestReferenceEndpoints(t *testing.T) {
	t.Parallel()
	holds(t, []row{
		{"GET_positions", func(t *testing.T, b *bundle) {
			first, second := b.position(), b.position(object{"title": "Cook"})
			var list object
			b.Do("GET", positions, nil).Into(http.StatusOK, &list)
			require.Equal(
				t,
				object{"data": []any{second, first}, "total": 2.0, "page": 1.0, "limit": 20.0, "totalPages": 1.0},
				list,
			)
		}},
		{"POST_positions", func(t *testing.T, b *bundle) {
			p := b.position(object{
				"description":      "Greets guests",
				"status":           "open",
				"requiredSkills":   []string{"Slovak"},
				"niceToHaveSkills": []string{"German"},
				"contractType":     "full_time",
				"metadata":         object{"ref": "R-1"},
				"location":         object{"workMode": "onsite", "city": "Bratislava"},
				"salary":           object{"min": 1000, "max": 1500, "currency": "EUR", "period": "monthly"},
			})
			require.Equal(t, "Receptionist", p["title"])
			require.Equal(t, "OPEN", p["status"])
			require.Equal(t, "FULL_TIME", p["contractType"])
			require.Equal(
				t,
				object{"workMode": "ONSITE", "city": "Bratislava", "street": nil, "postalCode": nil, "countryCode": nil},
				p["location"],
			)
			require.Equal(t, object{"min": 1000.0, "max": 1500.0, "currency": "EUR", "period": "MONTHLY"}, p["salary"])
			require.Equal(t, object{"ref": "R-1"}, p["metadata"])
		}},
		{"GET_positions_id", func(t *testing.T, b *bundle) {
			p := b.position()
			require.Equal(t, p, b.Do("GET", positions+"/"+idOf(p), nil).Is(http.StatusOK))
		}},
		{"PUT_positions_id", func(t *testing.T, b *bundle) {
			p := b.position(object{"description": "Greets"})
			got := b.Do("PUT", positions+"/"+idOf(p), object{"title": "Concierge"}).Is(http.StatusOK)
			require.Equal(t, "Concierge", got["title"])
			require.Equal(t, "Greets", got["description"], "a missing field is kept (Part 3, 2)")
		}},
		{"DELETE_positions_id", func(_ *testing.T, b *bundle) {
			path := positions + "/" + idOf(b.position())
			require.Equal(b.T, http.StatusNoContent, b.Do("DELETE", path, nil).Status)
			refused(b.Do("GET", path, nil), http.StatusNotFound, "RESOURCE_NOT_FOUND")
			refused(b.Do("DELETE", path, nil), http.StatusNotFound, "RESOURCE_NOT_FOUND")
		}},
		{"GET_positions_id_candidates", func(t *testing.T, b *bundle) {
			p := b.position()
			c := b.invited(p)
			delete(c, "existing")
			require.Equal(t, []object{c}, b.items(candidatesOf(p)))
		}},
		{"POST_positions_id_candidates", func(t *testing.T, b *bundle) {
			p := b.position()
			c := b.invited(p, object{"phone": "+421900123456"})
			require.Equal(t, "Ada Byron", c["name"])
			require.Equal(t, "+421900123456", c["phone"])
			require.Equal(t, idOf(p), c["positionId"])
			require.Equal(t, "SCHEDULED", c["interviewStatus"])
			require.True(t, strings.HasPrefix(c["inviteUrl"].(string), apitest.PublicURL+"/i/"+c["interviewId"].(string)+"."))
			require.NotNil(t, c["invitationExpiresAt"])
		}},
		{"DELETE_positions_id_candidates_candidateId", func(t *testing.T, b *bundle) {
			p := b.position()
			path := candidatesOf(p) + "/" + idOf(b.invited(p))
			require.Equal(t, http.StatusNoContent, b.Do("DELETE", path, nil).Status)
			require.Empty(t, b.items(candidatesOf(p)))
			refused(b.Do("DELETE", path, nil), http.StatusNotFound, "RESOURCE_NOT_FOUND")
		}},
		{"GET_webhooks", func(t *testing.T, b *bundle) {
			w := b.webhook("https://example.com/hook", "position.created")
			delete(w, "secret")
			require.Equal(t, []object{w}, b.items(webhooks))
		}},
		{"POST_webhooks", func(t *testing.T, b *bundle) {
			w := b.Do("POST", webhooks, object{
				"url":      "https://example.com/hook",
				"events":   []string{"position.created", "interview.completed"},
				"name":     "HR",
				"isActive": false,
			}).Is(http.StatusCreated)
			require.Equal(t, []any{"position.created", "interview.completed"}, w["events"])
			require.Equal(t, "HR", w["name"])
			require.Equal(t, false, w["isActive"])
			require.Len(t, w["secret"], 64)
		}},
		{"PUT_webhooks_id", func(t *testing.T, b *bundle) {
			w := b.webhook("https://example.com/hook", "position.created")
			got := b.Do("PUT", webhooks+"/"+idOf(w), object{"events": []string{"candidate.invited"}, "isActive": false}).
				Is(http.StatusOK)
			require.Equal(t, []any{"candidate.invited"}, got["events"])
			require.Equal(t, false, got["isActive"])
			require.Equal(t, w["url"], got["url"], "a missing field is kept (Part 3, 2)")
		}},
		{"DELETE_webhooks_id", func(_ *testing.T, b *bundle) {
			path := webhooks + "/" + idOf(b.webhook("https://example.com/hook", "position.created"))
			require.Equal(b.T, http.StatusNoContent, b.Do("DELETE", path, nil).Status)
			refused(b.Do("DELETE", path, nil), http.StatusNotFound, "RESOURCE_NOT_FOUND")
		}},
		{"not_in_the_table", func(_ *testing.T, b *bundle) {
			p := b.position()
			candidate := candidatesOf(p) + "/" + idOf(b.invited(p))
			hook := webhooks + "/" + idOf(b.webhook("https://example.com/hook", "position.created"))
			for _, call := range [][2]string{
				{"GET", hook}, {"GET", candidate}, {"PUT", candidate}, {"PATCH", positions + "/" + idOf(p)}, {"PATCH", hook},
			} {
				refused(b.Do(call[0], call[1], nil), http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED")
			}
			refused(b.Do("POST", hook+"/test", nil), http.StatusNotFound, "RESOURCE_NOT_FOUND")
		}},
		{"a_candidate_is_addressed_under_its_position", func(_ *testing.T, b *bundle) { // Part 3, 5
			p, other := b.position(), b.position()
			c := b.invited(p)
			refused(b.Do("DELETE", candidatesOf(other)+"/"+idOf(c), nil), http.StatusNotFound, "RESOURCE_NOT_FOUND")
			require.Len(b.T, b.items(candidatesOf(p)), 1)
		}},
	})
}
