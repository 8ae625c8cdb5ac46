package wiseway_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// refuses sends bodies that must be refused, with the field that each is refused for, and leave nothing behind.
func (b *bundle) refuses(method, path string, bodies map[string]any) {
	b.T.Helper()
	b.leaves(func() {
		for name, body := range bodies {
			field, _, _ := strings.Cut(name, ":")
			r := b.Do(method, path, body)
			var answer struct{ Error struct{ Code, Field string } }
			r.Into(http.StatusBadRequest, &answer)
			require.Contains(b.T, []string{"VALIDATION_ERROR", "MISSING_REQUIRED_FIELD"}, answer.Error.Code, name)
			require.Equal(b.T, field, answer.Error.Field, "%s: %s", name, r.Body)
		}
	})
}

func TestBadPositions(t *testing.T) {
	b := setup(t)
	path := positions + "/" + idOf(b.position())
	long := strings.Repeat("x", 201)
	both := map[string]any{
		":no JSON": "{", ":an array": "[]", ":empty": " ", "unknown": object{"title": "x", "unknown": 1},
		"title:null": object{"title": nil}, "title:empty": object{"title": ""}, "title:long": object{"title": long},
		"title:a number": object{"title": 1}, "description": object{"title": "x", "description": strings.Repeat("x", 10001)},
		"status:form": object{"title": "x", "status": "not a word"}, "status:empty": object{"title": "x", "status": ""},
		"requiredSkills":       object{"title": "x", "requiredSkills": "Go"},
		"requiredSkills[1]":    object{"title": "x", "requiredSkills": []string{"Go", ""}},
		"location.countryCode": object{"title": "x", "location": object{"countryCode": "Slovakia"}},
		"location.planet":      object{"title": "x", "location": object{"planet": "Mars"}},
		"salary.currency":      object{"title": "x", "salary": object{"currency": "crowns"}},
		"salary.max:less":      object{"title": "x", "salary": object{"min": 2, "max": 1}},
		"salary.min:negative":  object{"title": "x", "salary": object{"min": -1}},
		"metadata":             object{"title": "x", "metadata": []int{1}},
	}
	b.refuses("PUT", path, both)
	both["title:missing"] = object{}
	b.refuses("POST", positions, both)
	for _, query := range []string{"?page=0", "?limit=101", "?page=x", "?status=a%20b"} {
		refused(
			b.Do("GET", positions+query, nil),
			http.StatusBadRequest,
			"VALIDATION_ERROR",
			query[1:strings.Index(query, "=")],
		)
	}
	refused(b.Do("GET", positions+"/1", nil), http.StatusNotFound, "RESOURCE_NOT_FOUND")
	refused(b.Do("POST", positions, strings.Repeat("x", 1<<20+1)), http.StatusRequestEntityTooLarge, "PAYLOAD_TOO_LARGE")
	refused(b.Do("POST", positions, "title=x", "Content-Type", "application/x-www-form-urlencoded"),
		http.StatusUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE")
	refused(b.Do("POST", positions, object{"title": "x"}, "Idempotency-Key", strings.Repeat("x", 256)),
		http.StatusBadRequest, "VALIDATION_ERROR", "Idempotency-Key")
}

func TestBadCandidates(t *testing.T) {
	b := setup(t)
	p := b.position()
	b.refuses("POST", candidatesOf(p), map[string]any{
		":null":         "null",
		"unknown":       ada(object{"unknown": 1}),
		"email:missing": object{"name": "Ada Byron"},
		"email:form":    ada(object{"email": "ada"}),
		":NUL":          "{\"name\":\"A\",\"email\":\"a\\u0000@b.c\"}",
		"name:missing":  object{"email": "a@example.com"},
		"name:blank":    object{"email": "a@example.com", "name": " "},
		"name:both": ada(
			object{"name": "Ada Byron"},
		),
		"name:long": object{"email": "a@example.com", "name": strings.Repeat("x", 101)},
		"firstName": object{
			"email":    "a@example.com",
			"lastName": "Byron",
		},
		"lastName": object{"email": "a@example.com", "firstName": "Ada"},
		"phone": ada(
			object{"phone": "0900123456"},
		),
		"metadata": ada(object{"metadata": "x"}),
		"invite":   ada(object{"invite": "yes"}),
		"expiresAt:past": ada(
			object{"expiresAt": time.Now().Add(-time.Second)},
		),
		"expiresAt:form":    ada(object{"expiresAt": "tomorrow"}),
		"expiresAt:far":     ada(object{"expiresAt": time.Now().AddDate(2, 0, 0)}),
		"expiresAt:without": ada(object{"expiresAt": time.Now().Add(time.Hour), "invite": false}),
	})
	for _, path := range []string{"/api/app/positions/1/candidates", "/api/app/positions/01939f53-0000-7000-8000-000000000000/candidates"} {
		refused(b.Do("POST", path, ada()), http.StatusNotFound, "RESOURCE_NOT_FOUND")
		refused(b.Do("GET", path, nil), http.StatusNotFound, "RESOURCE_NOT_FOUND")
	}
	refused(b.Do("DELETE", candidatesOf(p)+"/x", nil), http.StatusNotFound, "RESOURCE_NOT_FOUND")
	refused(b.Do("GET", candidatesOf(p)+"?search=%00", nil), http.StatusBadRequest, "VALIDATION_ERROR", "search")
}

func TestBadWebhooks(t *testing.T) {
	b := setup(t)
	hook := object{"url": "https://example.com/hook", "events": []string{"position.created"}}
	path := webhooks + "/" + idOf(b.Do("POST", webhooks, hook).Is(http.StatusCreated))
	both := map[string]any{
		":array":  "[]",
		"unknown": with(object{"unknown": 1}, hook),
		"secret":  with(object{"secret": "mine"}, hook),
		"profile": with(object{"profile": "standard"}, hook),
		"url:scheme": with(
			object{},
			hook,
			object{"url": "ftp://example.com"},
		),
		"url:empty":      with(object{}, hook, object{"url": ""}),
		"url:private":    with(object{}, hook, object{"url": "https://10.0.0.1/hook"}),
		"events:unknown": with(object{}, hook, object{"events": []string{"position.deleted"}}),
		"events:numbers": with(
			object{},
			hook,
			object{"events": []int{1}},
		),
		"events:none": with(object{}, hook, object{"events": []string{}}),
		"events:text": with(
			object{},
			hook,
			object{"events": "position.created"},
		),
		"name":     with(object{"name": strings.Repeat("x", 256)}, hook),
		"isActive": with(object{"isActive": "no"}, hook),
	}
	b.refuses("PUT", path, both)
	both["url:missing"], both["events:missing"] = object{"events": allEvents}, object{"url": "https://example.com"}
	b.refuses("POST", webhooks, both)
	e := refused(b.Do("POST", webhooks, with(object{}, hook, object{"events": []string{"position.deleted"}})),
		http.StatusBadRequest, "VALIDATION_ERROR", "events")
	details := e["details"].(object)
	require.Equal(t, []any{"position.deleted"}, details["provided"])
	require.ElementsMatch(t, allEvents, details["allowed"])
}

// TestReadBack: what was read can be sent back in a PUT, and is the same then.
func TestReadBack(t *testing.T) {
	b := setup(t)
	p := b.position(object{"description": "Greets", "salary": object{"min": 1}, "metadata": object{"a": "b"}})
	w := b.webhook("https://example.com/hook", "position.created")
	delete(w, "secret")
	for path, row := range map[string]object{positions + "/" + idOf(p): p, webhooks + "/" + idOf(w): w} {
		got := b.Do("PUT", path, row).Is(http.StatusOK)
		got["updatedAt"] = row["updatedAt"]
		require.Equal(t, row, got)
	}
	got := b.Do("PUT", positions+"/"+idOf(p), object{"description": nil, "salary": nil, "metadata": nil}).Is(http.StatusOK)
	require.Equal(t, []any{nil, nil, object{}}, []any{got["description"], got["salary"], got["metadata"]})
}

func TestLists(t *testing.T) {
	b := setup(t)
	b.position(object{"title": "A"})
	b.position(object{"title": "B", "status": "closed"})
	b.position(object{"title": "C"})
	var list object
	b.Do("GET", positions+"?limit=2&page=2", nil).Into(http.StatusOK, &list)
	require.Equal(t, "A", list["data"].([]any)[0].(object)["title"])
	require.Equal(t, []any{3.0, 2.0, 2.0, 2.0}, []any{list["total"], list["page"], list["limit"], list["totalPages"]})
	require.Len(t, b.items(positions+"?status=closed"), 1)
	require.Empty(t, b.items(positions+"?page=9"))

	p := b.position()
	b.invited(p)
	b.invited(p, object{"email": "grace@example.com", "firstName": "Grace", "lastName": "Hopper", "invite": false})
	require.Len(t, b.items(candidatesOf(p)), 2)
	require.Len(t, b.items(candidatesOf(p)+"?search=hopper"), 1)
	require.Len(t, b.items(candidatesOf(p)+"?status=applied&limit=1&page=2"), 1)
	require.Empty(t, b.items(candidatesOf(p)+"?status=hired"))
}

// TestWebhooksOfOtherProfiles: only this product's are seen here; these are also seen in the webhooks API.
func TestWebhooksOfOtherProfiles(t *testing.T) {
	b := setup(t)
	ours := b.webhook("https://example.com/hook", "position.created")
	theirs := b.Do("POST", "/webhooks", object{"url": "https://example.com/hook", "events": []string{"interview.started"}}).
		Is(http.StatusCreated)["data"].(object)
	made := b.Do("POST", "/webhooks", object{
		"url": "https://example.com/hook", "profile": "wiseway", "events": []string{"interview.started"},
	}).Is(http.StatusCreated)["data"].(object)
	var ids []any
	for _, w := range b.items(webhooks) {
		ids = append(ids, w["id"])
	}
	require.Equal(t, []any{made["id"], ours["id"]}, ids)
	refused(b.Do("PUT", webhooks+"/"+idOf(theirs), object{"name": "x"}), http.StatusNotFound, "RESOURCE_NOT_FOUND")
	refused(b.Do("DELETE", webhooks+"/"+idOf(theirs), nil), http.StatusNotFound, "RESOURCE_NOT_FOUND")
	seen := b.Do("GET", "/webhooks/"+idOf(ours), nil).Is(http.StatusOK)["data"].(object)
	require.Equal(t, "wiseway", seen["profile"])
	require.Equal(t, []any{"position.created"}, seen["events"])
}

// TestSwitchingOn releases what waited; sent back as it was read it is no switch.
func TestSwitchingOn(t *testing.T) {
	b := setup(t)
	w := b.webhook("https://example.com/hook", "position.created")
	commands := b.rows()["commands"]
	put := func(active bool) { b.Do("PUT", webhooks+"/"+idOf(w), object{"isActive": active}).Is(http.StatusOK) }
	put(true)
	require.Equal(t, commands, b.rows()["commands"])
	put(false)
	put(true)
	require.Equal(t, commands+1, b.rows()["commands"])
}

func TestBodies_have_all_faults_named(t *testing.T) {
	b := setup(t)
	e := refused(b.Do("POST", webhooks, object{"url": "ftp://example.com", "events": []string{"position.deleted"}}),
		http.StatusBadRequest, "VALIDATION_ERROR", "events")
	faults := e["details"].(object)["errors"].([]any)
	require.Len(t, faults, 2)
	require.Equal(t, "url", faults[1].(object)["field"])
}
