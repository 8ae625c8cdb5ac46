package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestCompanies(t *testing.T) {
	t.Parallel()
	b := setup(t)
	full := object{
		"name": "Initech", "description": "Software", "metadata": object{"tier": "gold"}, "ownerEmail": "owner@initech.test",
		"website": "https://initech.test", "industry": "IT", "size": "50", "location": "Austin",
		"settings": object{"timezone": "Europe/Bratislava", "locale": "sk-SK"},
	}
	t.Run("2.15_platform_key_creates_with_all_fields", func(t *testing.T) {
		got := b.as(b.platformKey, "POST", "/companies", full).is(http.StatusCreated)
		for field, value := range full {
			require.Equal(t, value, got[field], field)
		}
		again := b.as(b.platformKey, "GET", "/v1/company/"+got["id"].(string), nil).is(http.StatusOK)
		require.Equal(t, got, again, "read is what was created, under the other path too")
		require.Positive(t, again["number"])
		require.Equal(t, "initech", again["identifier"])
	})
	t.Run("2.15_company_key_may_not_create", func(t *testing.T) {
		b.do("POST", "/companies", full).fails(403, "INSUFFICIENT_PERMISSIONS")
	})
	t.Run("2.15_limits", func(t *testing.T) {
		deep := `{"name":"ok","metadata":` + strings.Repeat(`{"a":`, 6) + "1" + strings.Repeat("}", 6) + "}"
		many := object{}
		for i := range 51 {
			many[fmt.Sprint("k", i)] = i
		}
		for field, body := range map[string]any{
			"name":        object{"name": "x"},
			"description": object{"name": "ok", "description": strings.Repeat("x", 1001)},
			"ownerEmail":  object{"name": "ok", "ownerEmail": "nobody"},
			"metadata":    deep,
			"website":     object{"name": "ok", "website": "initech"},

			"settings.timezone": object{"name": "ok", "settings": object{"timezone": "Mars/Base"}},
		} {
			b.as(b.platformKey, "POST", "/companies", body).fails(400, "VALIDATION_ERROR", field)
		}
		b.as(b.platformKey, "POST", "/companies", object{"name": "ok", "metadata": many}).
			fails(400, "VALIDATION_ERROR", "metadata")
		b.as(b.platformKey, "POST", "/companies", object{"name": "ok", "metadata": object{"a": strings.Repeat("x", 10<<10)}}).
			fails(400, "VALIDATION_ERROR", "metadata")
		b.as(b.platformKey, "POST", "/companies", object{}).fails(400, "MISSING_REQUIRED_FIELD", "name")
	})
	t.Run("update_changes_only_what_is_sent", func(t *testing.T) {
		id := b.as(b.platformKey, "POST", "/companies", full).is(201)["id"].(string)
		got := b.as(b.platformKey, "PATCH", "/companies/"+id, object{"name": "Initrode", "website": nil}).is(200)
		require.Equal(t, "Initrode", got["name"])
		require.Nil(t, got["website"], "null empties")
		require.Equal(t, "Software", got["description"], "absent keeps")
		require.Equal(t, full["metadata"], got["metadata"])
		b.as(b.platformKey, "PATCH", "/companies/"+id, object{"name": nil}).fails(400, "VALIDATION_ERROR", "name")
	})
	t.Run("the_platform_limits_invitations", func(t *testing.T) {
		path := "/companies/" + b.company.String()
		require.Nil(t, b.do("GET", path, nil).is(200)["invitesLeft"], "no limit")
		b.do("PATCH", path, object{"invitesLeft": 5}).fails(403, "INSUFFICIENT_PERMISSIONS")
		require.EqualValues(t, 5, b.as(b.platformKey, "PATCH", path, object{"invitesLeft": 5}).is(200)["invitesLeft"])
		b.as(b.platformKey, "PATCH", path, object{"invitesLeft": -1}).fails(400, "VALIDATION_ERROR", "invitesLeft")
		require.Nil(t, b.as(b.platformKey, "PATCH", path, object{"invitesLeft": nil}).is(200)["invitesLeft"])
	})
	t.Run("a_company_sees_itself_alone", func(t *testing.T) {
		items := b.do("GET", "/companies", nil).items()
		require.Len(t, items, 1)
		require.Equal(t, "Acme", items[0]["name"])
		b.do("GET", "/companies/"+b.other.String(), nil).fails(403, "RESOURCE_ACCESS_DENIED")
		b.do("PATCH", "/companies/"+b.other.String(), object{"name": "Mine"}).fails(403, "RESOURCE_ACCESS_DENIED")
		unknown := uuid.NewString()
		e := b.do("GET", "/companies/"+unknown, nil).fails(404, "RESOURCE_NOT_FOUND")
		require.Equal(t, object{"resourceType": "Company", "resourceId": unknown}, e.Error.Details)
	})
}

func TestPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := range 5 {
		b.newCompany(fmt.Sprint("Company ", i))
	}
	t.Run("2.10_both_published_shapes", func(t *testing.T) {
		got := b.as(b.platformKey, "GET", "/companies?page=2&limit=3", nil).is(200)
		require.Len(t, got["data"], 3)
		require.EqualValues(t, 7, got["total"])
		require.EqualValues(t, 3, got["totalPages"])
		require.Equal(t, object{
			"total": 7.0, "page": 2.0, "limit": 3.0, "totalPages": 3.0, "hasNextPage": true, "hasPreviousPage": true,
		}, got["pagination"])
	})
	t.Run("2.10_default_limit_is_20", func(t *testing.T) {
		require.EqualValues(t, 20, b.as(b.platformKey, "GET", "/companies", nil).is(200)["limit"])
	})
	t.Run("2.10_bad_page_or_limit_is_refused", func(t *testing.T) {
		for _, q := range []string{"page=0", "page=-1", "page=x", "page=", "page=99999999999999999999", "page=1.5"} {
			b.do("GET", "/companies?"+q, nil).fails(400, "VALIDATION_ERROR", "page")
		}
		for _, q := range []string{"limit=0", "limit=101", "limit=all"} {
			b.do("GET", "/companies?"+q, nil).fails(400, "VALIDATION_ERROR", "limit")
		}
	})
}
