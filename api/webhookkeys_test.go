package api_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook"
	"greenroom/activities/webhook/profiles"
	"greenroom/api"
	"greenroom/db"
	"greenroom/db/delivery"
	"greenroom/db/seal"
)

// jwks reads the public keys as a receiver does, without an API key.
func (b *bundle) jwks(path string) (keys []ed25519.PublicKey) {
	b.t.Helper()
	r := b.As("", "GET", path+"/jwks", nil)
	require.Equal(b.t, "application/jwk-set+json", r.Header.Get("Content-Type"))
	require.Equal(b.t, "public, max-age=300", r.Header.Get("Cache-Control"))
	var set struct{ Keys []map[string]string }
	r.Into(http.StatusOK, &set)
	for _, k := range set.Keys {
		require.Len(b.t, k, 6)
		require.Equal(b.t, []string{"OKP", "Ed25519", "sig", "EdDSA"}, []string{k["kty"], k["crv"], k["use"], k["alg"]})
		x, err := base64.RawURLEncoding.DecodeString(k["x"])
		require.NoError(b.t, err)
		require.Len(b.t, x, ed25519.PublicKeySize)
		keys = append(keys, x)
	}
	return keys
}

// signingKeys opens the stored private keys that sign now, as a worker does.
func (b *bundle) signingKeys(id any) (keys webhook.SigningKeys) {
	b.t.Helper()
	w := b.row(id)
	for _, live := range w.LiveSecrets(time.Now()) {
		if live.SigningKey != nil {
			raw, err := b.box.Open(live.SigningKey, w.ID, delivery.SigningKeyField)
			require.NoError(b.t, err)
			key, err := webhook.ParseSigningKey(raw)
			require.NoError(b.t, err)
			keys = append(keys, key)
		}
	}
	return keys
}

func (b *bundle) asymmetricHook() (made object, path string) {
	b.t.Helper()
	made = b.do("POST", "/webhooks", object{
		"url": hookURL, "events": []string{"interview.started"}, "profile": "standard",
		"signatureAlgorithms": []string{"v1", "v1a"},
	}).is(http.StatusCreated)
	return made, "/webhooks/" + made["id"].(string)
}

// TestWebhookKeysVerifyDeliveries: what the stored keys sign verifies with the keys of the route, through a rotation, a
// revocation and the end of the algorithm.
func TestWebhookKeysVerifyDeliveries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made, path := b.asymmetricHook()
	require.Equal(t, []any{"v1", "v1a"}, made["signatureAlgorithms"])
	require.True(t, strings.HasSuffix(made["jwksUrl"].(string), path+"/jwks"))
	// fits requires that each of the signing keys has its public key in the route's answer, in this order, and no others.
	fits := func(n int) []ed25519.PublicKey {
		t.Helper()
		keys, public := b.signingKeys(made["id"]), b.jwks(path)
		require.Len(t, keys, n)
		require.Len(t, public, n)
		for i, key := range keys {
			require.True(t, ed25519.Verify(public[i], []byte("message"), ed25519.Sign(key, []byte("message"))))
		}
		return public
	}
	first := fits(1)
	var listed []object
	b.do("GET", path+"/secrets", nil).into(200, &listed)
	require.Equal(t, webhook.PublicKeyWhpk(first[0]), listed[0]["publicKey"])
	require.Equal(t, webhook.JWKOf(first[0]).KeyID, listed[0]["keyId"])

	b.do("POST", path+"/rotate-secret", nil).is(200)
	second := fits(2)
	require.Equal(t, first[0], second[1], "the earlier key signs on")
	require.NotEqual(t, first[0], second[0])
	earlier := b.secrets(path)[1]
	require.Equal(t, http.StatusNoContent, b.do("DELETE", path+"/secrets/"+earlier, nil).Status)
	require.Equal(t, second[:1], fits(1), "a revoked key is gone at once")

	b.do("POST", path+"/rotate-secret", object{"overlapSeconds": 0}).is(200)
	third := fits(1)
	require.NotEqual(t, second[0], third[0])
	b.do("POST", path+"/rotate-secret", nil).is(200)
	fits(2)
	_, err := b.ExecContext(b.ctx, `UPDATE webhooks SET retired_secrets =
		jsonb_set(retired_secrets, '{0,expiresAt}', to_jsonb(now())) WHERE id = ?`, made["id"])
	require.NoError(t, err)
	fits(1)

	b.do("POST", path+"/rotate-secret", nil).is(200)
	got := b.do("PATCH", path, object{"signatureAlgorithms": []string{"v1", "v1a"}}).is(200)
	require.Equal(t, []any{"v1", "v1a"}, got["signatureAlgorithms"])
	before := fits(2) // no change, no new key
	got = b.do("PATCH", path, object{"signatureAlgorithms": []string{"v1"}}).is(200)
	require.Equal(t, []any{"v1"}, got["signatureAlgorithms"])
	require.Nil(t, got["jwksUrl"])
	require.Empty(t, b.signingKeys(made["id"]))
	require.Len(t, b.secrets(path), 2, "the secrets stay")
	b.as("", "GET", path+"/jwks", nil).fails(404, "RESOURCE_NOT_FOUND")
	b.do("PATCH", path, object{"signatureAlgorithms": []string{"v1a", "v1"}}).is(200)
	require.NotContains(t, before, fits(1)[0])
}

// TestWebhookKeysBesideAnEarlierVersion: a process of the version before replaces the secret. It does not know the
// private keys, so the current one stays.
func TestWebhookKeysBesideAnEarlierVersion(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made, path := b.asymmetricHook()
	b.do("POST", path+"/rotate-secret", nil).is(200)
	current := b.jwks(path)[0]
	_, err := b.ExecContext(b.ctx, `UPDATE webhooks SET secret_created_at = now(), retired_secrets =
		jsonb_build_array(jsonb_build_object('sealed', encode(secret, 'base64'), 'createdAt', now(),
			'expiresAt', now() + interval '1 hour')) || (retired_secrets #- '{0,signingKey}') WHERE id = ?`, made["id"])
	require.NoError(t, err)
	require.Equal(t, []ed25519.PublicKey{current}, b.jwks(path))
	b.do("POST", path+"/rotate-secret", nil).is(200)
	require.Len(t, b.jwks(path), 2)
	require.Equal(t, current, b.jwks(path)[1])
}

// TestWebhookKeysTellNothingElse: the answer is the same for a webhook without v1a, one that was deleted, and none; and
// the routes with a key stay the owner's.
func TestWebhookKeysTellNothingElse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made, path := b.asymmetricHook()
	plain := b.newHook(5)
	require.Equal(t, []any{"v1"}, plain["signatureAlgorithms"])
	_, deleted := b.asymmetricHook()
	require.Equal(t, http.StatusNoContent, b.do("DELETE", deleted, nil).Status)
	for _, id := range []string{plain["id"].(string), strings.TrimPrefix(deleted, "/webhooks/"), uuid.NewString(), "x"} {
		r := b.as("", "GET", "/webhooks/"+id+"/jwks", nil).fails(404, "RESOURCE_NOT_FOUND")
		require.Equal(t, "WebhookKeys with ID "+id+" not found", r.Error.Message)
	}
	require.Len(t, b.jwks("/v1"+path), 1)
	b.as(b.otherKey, "PATCH", path, object{"signatureAlgorithms": []string{"v1"}}).fails(403, "RESOURCE_ACCESS_DENIED")
	b.as(b.otherKey, "POST", path+"/rotate-secret", nil).fails(403, "RESOURCE_ACCESS_DENIED")
	require.Len(t, b.jwks(path), 1)

	// The private key opens for its own webhook and field only.
	row := b.row(made["id"])
	_, err := b.box.Open(row.SigningKey, uuid.New(), delivery.SigningKeyField)
	require.Error(t, err)
	_, err = b.box.Open(row.SigningKey, row.ID, delivery.SecretField)
	require.Error(t, err)
}

func TestWebhookKeysRefuseBadInput(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *api.Options) { o.SelfService = true })
	_, path := b.asymmetricHook()
	before := b.jwks(path)
	for _, algorithms := range []any{[]string{"v1a"}, []string{"v2"}, []string{"v1", "v1", "v1a"}, "v1a", []any{1}} {
		b.do("POST", "/webhooks", object{
			"url": hookURL, "events": []string{"ping"}, "signatureAlgorithms": algorithms,
		}).fails(400, "VALIDATION_ERROR")
		b.do("PATCH", path, object{"signatureAlgorithms": algorithms}).fails(400, "VALIDATION_ERROR")
	}
	require.Equal(t, before, b.jwks(path))
	for _, profile := range profiles.Names() { // none has v1a unless it is asked for
		p, err := profiles.ByName(profile)
		require.NoError(t, err)
		made := b.do("POST", "/webhooks", object{
			"url": hookURL, "profile": profile, "events": []string{p.Names()[0]},
		}).is(http.StatusCreated)
		require.Nil(t, b.row(made["id"]).SigningKey, profile)
	}
}

// TestWebhookKeysWithARotatedKeyset: the keyset of the installation changes, the webhook's keys do not.
func TestWebhookKeysWithARotatedKeyset(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made, path := b.asymmetricHook()
	b.do("POST", path+"/rotate-secret", nil).is(200)
	before := b.jwks(path)
	w := b.row(made["id"])
	keyset, err := seal.NewKeyset()
	require.NoError(t, err)
	other, err := seal.New(keyset)
	require.NoError(t, err)
	// The values were sealed with a key of another keyset that has the new one too.
	added, _, err := seal.AddKey(keyset)
	require.NoError(t, err)
	promoted, _, err := seal.PromoteNewest(added)
	require.NoError(t, err)
	after, err := seal.New(promoted)
	require.NoError(t, err)
	move := func(sealed []byte, field string) []byte {
		plain, err := b.box.Open(sealed, w.ID, field)
		require.NoError(t, err)
		again, err := other.Seal(plain, w.ID, field)
		require.NoError(t, err)
		return again
	}
	w.Secret, w.SigningKey = move(w.Secret, delivery.SecretField), move(w.SigningKey, delivery.SigningKeyField)
	w.RetiredSecrets[0].Sealed = move(w.RetiredSecrets[0].Sealed, delivery.SecretField)
	w.RetiredSecrets[0].SigningKey = move(w.RetiredSecrets[0].SigningKey, delivery.SigningKeyField)
	_, err = b.NewUpdate().Model(w).Column("secret", "signing_key", "retired_secrets").WherePK().Exec(b.ctx)
	require.NoError(t, err)
	n, err := db.Reseal(b.ctx, b, after)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	kept, _, err := seal.KeepPrimary(promoted)
	require.NoError(t, err)
	last, err := seal.New(kept)
	require.NoError(t, err)
	w = b.row(made["id"])
	for i, live := range w.LiveSecrets(time.Now()) {
		raw, err := last.Open(live.SigningKey, w.ID, delivery.SigningKeyField)
		require.NoError(t, err)
		require.Equal(t, before[i], webhook.PublicKey(raw))
	}
	require.Equal(t, http.StatusInternalServerError, b.as("", "GET", path+"/jwks", nil).Status,
		"a process without the key does not answer with fewer keys")
}
