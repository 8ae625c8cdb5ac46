package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db"
)

// keyed is an API key as the API made it.
type keyed struct{ id, plain string }

// madeKey creates a key through another one.
func (b *bundle) madeKey(by string, body object) keyed {
	b.t.Helper()
	for name, value := range (object{"name": "x", "scopes": []string{"write:api-keys", "read:api-keys"}}) {
		if _, sent := body[name]; !sent {
			body[name] = value
		}
	}
	got := b.as(by, "POST", "/api-keys", body).is(http.StatusCreated)
	return keyed{got["id"].(string), got["key"].(string)}
}

func (k keyed) path() string { return "/api-keys/" + k.id }

// lists calls a route that every key of these tests may call.
func (b *bundle) lists(k keyed) response {
	b.t.Helper()
	return b.as(k.plain, "GET", "/api-keys", nil)
}

// local are the addresses of httptest's requests.
var local = []string{"192.0.2.0/24"}

func TestAPIKeys_a_bound_key_gives_only_what_it_has(t *testing.T) {
	t.Parallel()
	b := setup(t)
	soon := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	bound := b.madeKey(b.key, object{"allowedIPs": local, "expiresAt": soon})
	child := object{"name": "x", "scopes": []string{"read:api-keys"}}
	with := func(name string, value any) object {
		body := object{name: value}
		for k, v := range child {
			body[k] = v
		}
		return body
	}
	t.Run("what_is_left_out_is_as_the_parent_has_it", func(t *testing.T) {
		for _, body := range []object{child, with("allowedIPs", []string{}), with("expiresAt", nil)} {
			got := b.as(bound.plain, "POST", "/api-keys", body).is(http.StatusCreated)
			require.Equal(t, []any{local[0]}, got["allowedIPs"])
			require.Equal(t, soon.Format("2006-01-02T15:04:05.000Z"), got["expiresAt"])
			require.Equal(t, bound.id, got["parentId"])
		}
	})
	for name, body := range map[string]object{
		"a_wider_network":    with("allowedIPs", []string{"192.0.0.0/16"}),
		"any_address":        with("allowedIPs", []string{"0.0.0.0/0", "::/0"}),
		"one_more_network":   with("allowedIPs", []string{"192.0.2.1", "198.51.100.1"}),
		"mapped_addresses":   with("allowedIPs", []string{"::ffff:198.51.100.1"}),
		"the_other_protocol": with("allowedIPs", []string{"2001:db8::/32"}),
		"a_later_end":        with("expiresAt", soon.Add(time.Second)),
	} {
		t.Run("refuses_"+name, func(t *testing.T) {
			field := "allowedIPs"
			if body["expiresAt"] != nil {
				field = "expiresAt"
			}
			b.as(bound.plain, "POST", "/api-keys", body).fails(400, "VALIDATION_ERROR", field)
		})
	}
	got := b.as(bound.plain, "POST", "/api-keys", with("allowedIPs", []string{"192.0.2.7", "192.0.2.128/25"})).is(201)
	require.Equal(t, []any{"192.0.2.7", "192.0.2.128/25"}, got["allowedIPs"])
}

func TestAPIKeys_no_key_loosens_itself_or_a_stronger_one(t *testing.T) {
	t.Parallel()
	b := setup(t)
	soon := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	bound := b.madeKey(b.key, object{"allowedIPs": local, "expiresAt": soon, "ratePerMinute": 50, "ratePerHour": 500})
	free := b.madeKey(b.key, object{})
	strong := b.madeKey(b.key, object{"scopes": []string{"*"}, "allowedIPs": local, "expiresAt": soon})
	sibling := b.madeKey(b.key, object{"allowedIPs": local, "expiresAt": soon})

	for name, change := range map[string]object{
		"allowedIPs": {"allowedIPs": []string{}}, "wider": {"allowedIPs": []string{"192.0.0.0/16"}},
		"never": {"expiresAt": nil}, "later": {"expiresAt": soon.Add(time.Hour)},
		"ratePerMinute": {"ratePerMinute": 51}, "ratePerHour": {"ratePerHour": 501},
	} {
		t.Run("itself_"+name, func(t *testing.T) {
			b.as(bound.plain, "PATCH", bound.path(), change).fails(400, "VALIDATION_ERROR")
		})
		t.Run("a_sibling_"+name, func(t *testing.T) {
			b.as(bound.plain, "PATCH", sibling.path(), change)
			k, err := db.GetAPIKey(b.ctx, b, uuid.MustParse(sibling.id))
			require.NoError(t, err)
			require.Equal(t, local, k.AllowedIPs)
			require.WithinDuration(t, soon, *k.ExpiresAt, 0)
		})
	}
	b.as(bound.plain, "PATCH", bound.path(), object{"scopes": []string{"*"}}).fails(403, "INSUFFICIENT_PERMISSIONS")
	for _, change := range []object{{"allowedIPs": []string{}}, {"expiresAt": nil}} {
		b.as(free.plain, "PATCH", strong.path(), change).fails(403, "INSUFFICIENT_PERMISSIONS")
		b.as(free.plain, "PATCH", sibling.path(), change).is(200) // it has all that the sibling then has
	}
	b.do("PATCH", strong.path(), object{"suspended": true}).is(200)
	b.as(free.plain, "PATCH", strong.path(), object{"suspended": false}).fails(403, "INSUFFICIENT_PERMISSIONS")
	b.as(free.plain, "POST", strong.path()+"/rotate", nil).fails(403, "INSUFFICIENT_PERMISSIONS")
	b.as(bound.plain, "PATCH", bound.path(), object{"allowedIPs": []string{"192.0.2.1"}, "ratePerMinute": 5}).is(200)

	t.Run("the_platform_neither", func(t *testing.T) {
		_, row := b.newKey(nil, "*")
		plain, hash, prefix := db.GenerateKey(testSecret)
		own := &db.APIKey{
			Name: "p", Hash: hash, Prefix: prefix, Scopes: []string{"*"}, AllowedIPs: local, RatePerMinute: 50,
			RatePerHour: 60,
		}
		b.tx(func(tx bun.Tx) error { return db.CreateAPIKey(b.ctx, tx, own, "test") })
		for _, change := range []object{{"allowedIPs": []string{}}, {"ratePerMinute": 51}} {
			b.as(plain, "PATCH", "/api-keys/"+own.ID.String(), change).fails(400, "VALIDATION_ERROR")
			b.as(plain, "PATCH", "/api-keys/"+row.ID.String(), object{"ratePerMinute": 200_000}).
				fails(400, "VALIDATION_ERROR", "ratePerMinute")
		}
		got := b.as(plain, "POST", "/api-keys", object{"name": "x", "scopes": []string{"*"}, "companyId": b.other}).is(201)
		require.Equal(t, []any{local[0]}, got["allowedIPs"])
	})
}

func TestAPIKeys_children_end_with_their_parent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	family := func() (parent, child, grandchild keyed) {
		parent = b.madeKey(b.key, object{"scopes": []string{"*"}})
		child = b.madeKey(parent.plain, object{"scopes": []string{"*"}})
		return parent, child, b.madeKey(child.plain, object{"scopes": []string{"*"}})
	}
	t.Run("suspended_and_resumed", func(t *testing.T) {
		parent, child, grandchild := family()
		b.do("PATCH", parent.path(), object{"suspended": true, "suspendedReason": "leak"}).is(200)
		for _, k := range []keyed{child, grandchild} {
			require.Equal(t, "leak", b.lists(k).fails(401, "API_KEY_SUSPENDED").Error.Details["reason"])
		}
		b.do("PATCH", parent.path(), object{"suspended": false}).is(200)
		b.lists(grandchild).is(200)
	})
	t.Run("revoked", func(t *testing.T) {
		parent, child, grandchild := family()
		b.as(grandchild.plain, "GET", "/jobs", nil).is(200)
		require.Equal(t, 204, b.do("DELETE", parent.path(), nil).Status)
		b.lists(child).fails(401, "INVALID_API_KEY")
		b.lists(grandchild).fails(401, "INVALID_API_KEY")
	})
	t.Run("expired", func(t *testing.T) {
		parent, child, grandchild := family()
		_, err := b.ExecContext(b.ctx, "UPDATE api_keys SET expires_at = now() WHERE id = ?", parent.id)
		require.NoError(t, err)
		b.lists(child).fails(401, "INVALID_API_KEY")
		b.lists(grandchild).fails(401, "INVALID_API_KEY")
	})
	t.Run("narrowed", func(t *testing.T) {
		parent, _, grandchild := family()
		b.do("PATCH", parent.path(), object{"scopes": []string{"read:jobs"}}).is(200)
		b.lists(grandchild).fails(403, "INSUFFICIENT_PERMISSIONS")
		b.as(grandchild.plain, "GET", "/jobs", nil).is(200)
		b.do("PATCH", parent.path(), object{"allowedIPs": []string{"198.51.100.1"}}).is(200)
		b.as(grandchild.plain, "GET", "/jobs", nil).fails(403, "IP_NOT_ALLOWED")
	})
	t.Run("remembered", func(t *testing.T) { // POST /events accepts a key as an earlier request has read it
		parent, _, grandchild := family()
		publish := func() response {
			return b.as(
				grandchild.plain,
				"POST",
				"/events",
				object{"type": "interview.started", "data": object{"interviewId": "42"}},
			)
		}
		require.True(t, publish().Success)
		b.do("PATCH", parent.path(), object{"suspended": true}).is(200)
		publish().fails(401, "API_KEY_SUSPENDED")
	})
	t.Run("rotated_is_not_ended", func(t *testing.T) {
		parent, child, _ := family()
		got := b.as(parent.plain, "POST", parent.path()+"/rotate", nil).is(200)
		b.lists(parent).fails(401, "INVALID_API_KEY")
		b.lists(child).is(200)
		b.lists(keyed{parent.id, got["key"].(string)}).is(200)
	})
	t.Run("depth_is_bounded", func(t *testing.T) {
		k := keyed{plain: b.key}
		for range db.MaxKeyDepth {
			k = b.madeKey(k.plain, object{})
		}
		b.as(k.plain, "POST", "/api-keys", object{"name": "x", "scopes": []string{"read:api-keys"}}).
			fails(409, "INVALID_STATE")
	})
}

func TestAPIKeys_what_the_platform_suspends_only_the_platform_resumes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	k := b.madeKey(b.key, object{})
	suspended := func(want any) {
		t.Helper()
		require.Equal(t, want, b.do("GET", k.path(), nil).is(200)["suspendedBy"])
	}
	suspended(nil)
	b.as(b.platformKey, "PATCH", k.path(), object{"suspended": true, "suspendedReason": "abuse"}).is(200)
	suspended("platform")
	for _, change := range []object{
		{"suspended": false}, {"suspendedReason": nil}, {"suspended": false, "suspendedReason": "mine"},
	} {
		b.do("PATCH", k.path(), change).fails(409, "INVALID_STATE")
	}
	b.do("PATCH", k.path(), object{"suspended": true, "suspendedReason": "ours too"}).is(200)
	b.lists(k).fails(401, "API_KEY_SUSPENDED")
	require.Equal(t, "abuse", b.do("GET", k.path(), nil).is(200)["suspendedReason"])
	b.as(b.platformKey, "PATCH", k.path(), object{"suspended": false}).is(200)
	suspended("company") // the company's own suspension stays
	b.lists(k).fails(401, "API_KEY_SUSPENDED")
	b.do("PATCH", k.path(), object{"suspended": false}).is(200)
	suspended(nil)
	b.lists(k).is(200)
}

func TestAPIKeys_a_staff_token_cannot_be_changed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	user := &db.Staff{CompanyID: b.company, Username: "ada", AccountType: db.HiringManager, IsActive: true}
	require.NoError(t, db.CreateStaff(b.ctx, b, user))
	var token string
	b.tx(func(tx bun.Tx) (err error) {
		token, err = db.CreateToken(b.ctx, tx, db.TokenRequest{
			Staff: user.ID, Secret: testSecret, IdleDays: 1, RatePerMinute: 60, RatePerHour: 60, Actor: "test",
		})
		return err
	})
	row, err := db.FindAPIKey(b.ctx, b, db.HashKey(testSecret, token))
	require.NoError(t, err)
	path := "/api-keys/" + row.ID.String()
	for _, change := range []object{
		{"scopes": []string{"*"}}, {"expiresAt": nil}, {"allowedIPs": []string{}}, {"ratePerMinute": 1000}, {"name": "x"},
	} {
		b.do("PATCH", path, change).fails(409, "INVALID_STATE")
	}
	b.do("POST", path+"/rotate", nil).fails(409, "INVALID_STATE")
	b.do("PATCH", path, object{"suspended": true}).is(200)
	b.as(token, "GET", "/jobs", nil).fails(401, "API_KEY_SUSPENDED")
}
