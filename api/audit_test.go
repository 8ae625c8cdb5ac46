package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/db"
)

func TestAudit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	list := func(key, query string) []object { return b.as(key, "GET", "/audit"+query, nil).items() }
	w, path := b.hook(object{"headers": []object{{"name": "X-A", "value": "sealed-4711"}}})
	b.do("PATCH", path, object{"url": "https://other.example/secret-path?token=4712"}).is(http.StatusOK)
	b.do("POST", path+"/reset-circuit", nil).is(http.StatusOK)
	require.Equal(t, http.StatusNoContent, b.do("DELETE", path, nil).Status)
	k := b.madeKey(b.key, object{})
	b.do("PATCH", k.path(), object{"scopes": []string{"read:jobs"}, "name": "somebody@example.test"}).is(http.StatusOK)

	t.Run("says_who_did_what_without_secrets", func(t *testing.T) {
		var did []any
		for _, e := range list(b.key, "?targetType=webhook&targetId="+w["id"].(string)) {
			did = append(did, e["action"])
			require.Regexp(t, "^key:", e["actor"])
			require.Equal(t, b.company.String(), e["companyId"])
		}
		require.Equal(t, []any{"deleted", "circuit_reset", "updated", "created"}, did)
		all := string(b.do("GET", "/audit", nil).Body)
		for _, secret := range []string{"sealed-4711", "4712", "secret-path", k.plain, "somebody@"} {
			require.NotContains(t, all, secret)
		}
		changed := list(b.key, "?action=updated&targetId="+k.id)[0]
		require.Equal(t, []any{"read:jobs"}, changed["after"].(object)["scopes"])
		require.Equal(t, []any{"write:api-keys", "read:api-keys"}, changed["before"].(object)["scopes"])
	})
	t.Run("a_company_sees_its_own", func(t *testing.T) {
		require.NotContains(t, string(b.as(b.otherKey, "GET", "/audit", nil).Body), w["id"])
		require.NotEmpty(t, list(b.platformKey, "?targetId="+w["id"].(string)))
		without, _ := b.newKey(&b.company, "read:api-keys")
		b.as(without, "GET", "/audit", nil).fails(http.StatusForbidden, "INSUFFICIENT_PERMISSIONS")
	})
	t.Run("pages_by_cursor", func(t *testing.T) {
		var page struct {
			Data       []object
			NextCursor *string
		}
		seen, query := map[any]bool{}, "?limit=2"
		for {
			b.do("GET", "/audit"+query, nil).into(http.StatusOK, &page)
			for _, e := range page.Data {
				require.False(t, seen[e["id"]])
				seen[e["id"]] = true
			}
			if page.NextCursor == nil {
				break
			}
			query = "?limit=2&cursor=" + *page.NextCursor
		}
		n, err := b.NewSelect().Model((*db.AuditEntry)(nil)).Where("company_id = ?", b.company).Count(b.ctx)
		require.NoError(t, err)
		require.Len(t, seen, int(n))
	})
	t.Run("deletions", func(t *testing.T) {
		job := b.do("POST", "/jobs", object{"title": "J"}).is(http.StatusCreated)["id"].(string)
		b.do("DELETE", "/jobs/"+job, nil)
		got := list(b.key, "?action=deleted&targetType=jobs&targetId="+job)
		require.Len(t, got, 1)
		require.Regexp(t, "^key:", got[0]["actor"])
	})
}
