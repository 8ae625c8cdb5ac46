package api_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestAPIKeys(t *testing.T) {
	t.Parallel()
	b := setup(t)
	create := func(key string, body object) response { return b.as(key, "POST", "/api-keys", body) }
	audit := func(id string) (actions []string) {
		require.NoError(
			t,
			b.NewRaw("SELECT action FROM audit_log WHERE target_id = ? ORDER BY id", id).Scan(b.ctx, &actions),
		)
		return actions
	}
	t.Run("2.7_the_plain_key_is_in_the_create_answer_alone", func(t *testing.T) {
		expires := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
		got := create(b.key, object{
			"name":       "CI",
			"scopes":     []string{"read:jobs", "read:jobs", "write:webhooks"},
			"allowedIPs": []string{"192.0.2.1", "10.0.0.0/8"},
			"expiresAt":  expires,
		}).is(201)
		require.Equal(t, []any{"read:jobs", "write:webhooks"}, got["scopes"])
		require.Equal(t, expires.Format("2006-01-02T15:04:05.000Z"), got["expiresAt"])
		require.EqualValues(t, 60, got["ratePerMinute"], "2.9: the default")
		require.EqualValues(t, 2000, got["ratePerHour"])
		key := got["key"].(string)
		b.as(key, "GET", "/webhooks", nil).fails(403, "INSUFFICIENT_PERMISSIONS")
		b.as(key, "POST", "/webhooks", object{"url": hookURL, "events": []int{0}}).is(201)
		again := b.do("GET", "/api-keys/"+got["id"].(string), nil)
		require.NotContains(t, string(again.Body), key)
		require.NotContains(t, again.is(200), "key")
		require.NotContains(t, string(b.do("GET", "/api-keys", nil).Body), key)
		require.Equal(t, []string{"created"}, audit(got["id"].(string)))
	})
	t.Run("a_key_gives_only_what_it_has", func(t *testing.T) {
		small, row := b.newKey(&b.company, "write:api-keys", "read:jobs")
		_, err := b.ExecContext(b.ctx, "UPDATE api_keys SET rate_per_minute = 10, rate_per_hour = 100 WHERE id = ?", row.ID)
		require.NoError(t, err)
		for _, scope := range []string{"*", "write:jobs"} {
			e := create(small, object{"name": "x", "scopes": []string{scope}}).fails(403, "INSUFFICIENT_PERMISSIONS").Error
			require.Equal(t, scope, e.Details["requiredScope"])
		}
		create(
			small,
			object{"name": "x", "scopes": []string{"read:jobs"}, "ratePerMinute": 11},
		).fails(400, "VALIDATION_ERROR", "ratePerMinute")
		got := create(small, object{"name": "x", "scopes": []string{"read:jobs"}}).is(201)
		require.EqualValues(t, 10, got["ratePerMinute"])
		b.as(small, "PATCH", "/api-keys/"+got["id"].(string), object{"scopes": []string{"*"}}).
			fails(403, "INSUFFICIENT_PERMISSIONS")
		b.as(small, "PATCH", "/api-keys/"+got["id"].(string), object{"ratePerHour": 101}).
			fails(400, "VALIDATION_ERROR", "ratePerHour")
	})
	t.Run("company", func(t *testing.T) {
		body := func(id any) object { return object{"name": "x", "scopes": []string{"read:jobs"}, "companyId": id} }
		create(b.key, body(b.other)).fails(403, "RESOURCE_ACCESS_DENIED")
		create(b.platformKey, body(nil)).fails(400, "MISSING_REQUIRED_FIELD", "companyId")
		create(b.platformKey, body(uuid.New())).fails(404, "RESOURCE_NOT_FOUND")
		got := create(b.platformKey, body(b.other)).is(201)
		require.Equal(t, b.other.String(), got["companyId"])
		b.do("GET", "/api-keys/"+got["id"].(string), nil).fails(403, "RESOURCE_ACCESS_DENIED")
		for _, k := range b.do("GET", "/api-keys", nil).items() {
			require.Equal(t, b.company.String(), k["companyId"])
		}
		require.Len(t, b.as(b.platformKey, "GET", "/api-keys?companyId="+b.other.String(), nil).items(), 2)
	})
	t.Run("bad_input_is_named", func(t *testing.T) {
		for field, value := range map[string]any{
			"scopes": []string{"read:everything"}, "allowedIPs": []string{"10.0.0.0/99"}, "expiresAt": "2020-01-01T00:00:00Z",
			"ratePerMinute": 0, "name": "",
		} {
			body := object{"name": "x", "scopes": []string{"read:jobs"}, field: value}
			create(b.key, body).fails(400, "VALIDATION_ERROR", field)
		}
		create(b.key, object{"name": "x", "scopes": []string{}}).fails(400, "VALIDATION_ERROR", "scopes")
		create(b.key, object{"name": "x"}).fails(400, "MISSING_REQUIRED_FIELD", "scopes")
	})
	t.Run("suspend_resume_change_revoke_from_the_next_request_on", func(t *testing.T) {
		got := create(b.key, object{"name": "x", "scopes": []string{"read:webhooks"}}).is(201)
		key, path := got["key"].(string), "/api-keys/"+got["id"].(string)
		b.as(key, "GET", "/webhooks", nil).is(200)
		require.NotNil(t, b.do("PATCH", path, object{"suspended": true, "suspendedReason": "leak"}).is(200)["suspendedAt"])
		require.Equal(t, "leak", b.as(key, "GET", "/webhooks", nil).fails(401, "API_KEY_SUSPENDED").Error.Details["reason"])
		require.Nil(t, b.do("PATCH", path, object{"suspended": false}).is(200)["suspendedReason"])
		b.as(key, "GET", "/webhooks", nil).is(200)
		require.Equal(t, "y", b.do("PATCH", path, object{"name": "y", "scopes": []string{"read:jobs"}}).is(200)["name"])
		b.as(key, "GET", "/webhooks", nil).fails(403, "INSUFFICIENT_PERMISSIONS")
		for range 2 {
			require.Equal(t, 204, b.do("DELETE", path, nil).Status)
		}
		b.as(key, "GET", "/webhooks", nil).fails(401, "INVALID_API_KEY")
		require.NotNil(t, b.do("GET", path, nil).is(200)["revokedAt"])
		b.do("PATCH", path, object{"name": "z"}).fails(409, "INVALID_STATE")
		require.Equal(t, []string{"created", "suspended", "resumed", "updated", "revoked"}, audit(got["id"].(string)))
	})
}
