package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/api"
	"greenroom/api/apitest"
	"greenroom/db"
	"greenroom/db/token"
)

// rotation has API processes in each step of a rotation of the secret, on one database.
type rotation struct {
	*bundle
	next []byte
	// The processes before it, and with what greenroom secret add, promote and drop print.
	before, added, promoted, dropped *bundle
}

func setupRotation(t *testing.T) *rotation {
	t.Helper()
	var o api.Options
	r := &rotation{next: []byte("another secret of the tests")}
	r.bundle = setup(t, func(of *api.Options) { o = *of })
	process := func(current, next, previous []byte) *bundle {
		o := o
		o.Metrics = nil // a registry of its own
		o.Secret, o.NextSecret, o.PreviousSecret = current, next, previous
		h, err := api.New(o)
		require.NoError(t, err)
		b, inner := *r.bundle, *r.Bundle
		inner.Handler, b.Bundle = h, &inner
		return &b
	}
	r.before, r.added = process(testSecret, nil, nil), process(testSecret, r.next, nil)
	r.promoted, r.dropped = process(r.next, nil, testSecret), process(r.next, nil, nil)
	return r
}

// signed returns a request with what a secret has signed.
type signed func(secret []byte) (method, path string)

// accepts reports whether a process accepts it: whatever comes of a valid request, it is not a 404.
func (b *bundle) accepts(request signed, secret []byte) bool {
	b.t.Helper()
	method, path := request(secret)
	body := any(nil)
	if method == http.MethodPost {
		body = object{}
	}
	return b.As("", method, path, body).Status != http.StatusNotFound
}

// TestRotationOfTheSecret_links: each process accepts what the steps beside its own sign. What the old value signed ends
// with it.
func TestRotationOfTheSecret_links(t *testing.T) {
	t.Parallel()
	r := setupRotation(t)
	online, phone := r.interview("ONLINE"), r.interview("PHONE")
	call := uuid.MustParse(firstCall(phone))
	ended := time.Now().Add(-time.Hour) // expired: 410, and 404 for a link that is not valid
	links := map[string]signed{
		"invitation": func(secret []byte) (string, string) {
			return http.MethodGet, strings.TrimPrefix(token.InviteURL(apitest.PublicURL, secret, uid(online)), apitest.PublicURL)
		},
		"callback": func(secret []byte) (string, string) { // without a body: 400
			return http.MethodPost, "/callbacks/calls/" + call.String() + "?token=" + token.For(secret, token.Callback, call)
		},
		"report": func(secret []byte) (string, string) {
			return http.MethodGet, "/ai-interviews/shared/" + phone["id"].(string) + "." +
				token.Until(secret, token.Report, uid(phone), ended)
		},
		"recording": func(secret []byte) (string, string) {
			return http.MethodGet, "/ai-interviews/recording/" + call.String() + "." +
				token.Until(secret, token.Recording, call, ended)
		},
	}
	for name, link := range links {
		for _, c := range []struct {
			step         string
			b            *bundle
			older, newer bool
		}{
			{"before", r.before, true, false},
			{"added", r.added, true, true},
			{"promoted", r.promoted, true, true},
			{"dropped", r.dropped, false, true},
		} {
			require.Equal(t, c.older, c.b.accepts(link, testSecret), "%s, %s, of the old value", name, c.step)
			require.Equal(t, c.newer, c.b.accepts(link, r.next), "%s, %s, of the new value", name, c.step)
			require.False(t, c.b.accepts(link, []byte("a stranger's secret")), "%s, %s", name, c.step)
		}
	}
	shown := func(b *bundle) any {
		return b.do("GET", "/interviews/"+idOf(online), nil).is(http.StatusOK)["inviteUrl"]
	}
	require.Equal(t, token.InviteURL(apitest.PublicURL, testSecret, uid(online)), shown(r.added))
	require.Equal(t, token.InviteURL(apitest.PublicURL, r.next, uid(online)), shown(r.promoted))
}

// TestRotationOfTheSecret_keys: an API key is hashed again when it is used beside the new value, and works on in every
// process of the steps beside. One that is not used ends with the old value.
func TestRotationOfTheSecret_keys(t *testing.T) {
	t.Parallel()
	r := setupRotation(t)
	used, usedRow := r.newKey(&r.company)
	idle, idleRow := r.newKey(&r.company)
	status := func(b *bundle, key string) int { return b.as(key, "GET", "/webhooks", nil).Status }
	row := func(id uuid.UUID) *db.APIKey {
		k := new(db.APIKey)
		require.NoError(t, r.NewSelect().Model(k).Where("k.id = ?", id).Scan(r.ctx))
		return k
	}
	require.Equal(t, 200, status(r.before, used))
	require.Equal(t, 200, status(r.added, used))
	require.Equal(t, usedRow.Hash, row(usedRow.ID).Hash, "not yet")
	require.Equal(t, 401, status(r.dropped, used), "a step was left out")

	// Publishing relies on remembered keys.
	publish := func(b *bundle, key string) int {
		return b.as(key, "POST", "/events", object{"type": "meeting.participant_joined", "data": object{}}).Status
	}
	known := publish(r.added, used)
	require.NotEqual(t, 401, known)
	require.Equal(t, known, publish(r.promoted, used))
	hashed := row(usedRow.ID)
	version := func() (xmin string) {
		require.NoError(t, r.NewRaw("SELECT xmin FROM api_keys WHERE id = ?", usedRow.ID).Scan(r.ctx, &xmin))
		return xmin
	}
	written := version()
	require.Equal(t, db.HashKey(r.next, used), hashed.Hash)
	require.Equal(t, db.SecretID(r.next), hashed.SecretID)
	for _, b := range []*bundle{r.added, r.promoted, r.dropped, r.promoted, r.added} {
		require.Equal(t, 200, status(b, used))
		require.Equal(t, known, publish(b, used))
	}
	require.Equal(t, written, version(), "it is hashed again once, and the step before leaves it")
	require.Equal(t, 401, status(r.before, used), "a process of two steps before")

	require.Equal(t, idleRow.Hash, row(idleRow.ID).Hash)
	require.Equal(t, 401, status(r.dropped, idle))
	require.Equal(t, 200, status(r.promoted, idle))
	require.Equal(t, 200, status(r.dropped, idle))

	// Keys that each step makes and replaces, and revocation after a key was hashed again.
	for _, maker := range []*bundle{r.added, r.promoted} {
		made := maker.as(used, "POST", "/api-keys", object{"name": "made", "scopes": []string{"read:webhooks"}}).is(201)
		require.Equal(t, 200, status(r.added, made["key"].(string)))
		require.Equal(t, 200, status(r.promoted, made["key"].(string)))
		require.Equal(t, 200, status(r.dropped, made["key"].(string)))
		rotated := maker.as(used, "POST", "/api-keys/"+idOf(made)+"/rotate", nil).is(200)
		require.Equal(t, 401, status(r.added, made["key"].(string)))
		require.Equal(t, 401, status(r.promoted, made["key"].(string)))
		require.Equal(t, 200, status(r.promoted, rotated["key"].(string)))
		require.Equal(t, 200, status(r.added, rotated["key"].(string)))
		require.Equal(t, http.StatusNoContent, maker.as(used, "DELETE", "/api-keys/"+idOf(made), nil).Status)
		require.Equal(t, 401, status(r.added, rotated["key"].(string)))
		require.Equal(t, 401, status(r.promoted, rotated["key"].(string)))
	}
	require.Equal(t, 401, status(r.promoted, "sk_"+strings.Repeat("0", 43)))

	groups, err := db.KeysBySecret(r.ctx, r)
	require.NoError(t, err)
	require.Len(t, groups, 2)
	require.Nil(t, groups[0].SecretID)
	require.NotContains(t, groups[0].Keys, usedRow.ID)
	require.Equal(t, db.SecretID(r.next), groups[1].SecretID)
	require.Equal(t, []uuid.UUID{usedRow.ID, idleRow.ID}, groups[1].Keys)
}

// TestRehashOfAKeyThatWasReplaced: a rotation of the key between reading and hashing it again wins.
func TestRehashOfAKeyThatWasReplaced(t *testing.T) {
	t.Parallel()
	b := setup(t)
	plain, row := b.newKey(&b.company)
	stale := *row
	_, err := b.ExecContext(b.ctx, "UPDATE api_keys SET hash = ? WHERE id = ?", db.HashKey(testSecret, "other"), row.ID)
	require.NoError(t, err)
	require.ErrorContains(
		t,
		db.RehashKey(b.ctx, b, &stale, []byte("next"), db.HashKey([]byte("next"), plain)),
		"not found",
	)
	require.Equal(t, row.Hash, stale.Hash)
}
