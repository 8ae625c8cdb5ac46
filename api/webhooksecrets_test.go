package api_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook"
	"greenroom/db/delivery"
)

// secrets lists the fingerprints of the secrets in use.
func (b *bundle) secrets(path string) (fingerprints []string) {
	b.t.Helper()
	var list []object
	b.do("GET", path+"/secrets", nil).into(200, &list)
	for i, s := range list {
		require.Equal(b.t, i == 0, s["isCurrent"])
		require.Equal(b.t, i == 0, s["expiresAt"] == nil)
		fingerprints = append(fingerprints, s["fingerprint"].(string))
	}
	return fingerprints
}

func fingerprint(t *testing.T, secret any) string {
	t.Helper()
	raw, err := webhook.ParseSecret(secret.(string))
	require.NoError(t, err)
	return webhook.Fingerprint(raw)
}

func TestRotateSecret(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made := b.newHook(5)
	path := "/webhooks/" + made["id"].(string)
	first := fingerprint(t, made["signingSecret"])
	require.Equal(t, first, fingerprint(t, made["signingSecretWhsec"]))
	require.Equal(t, []string{first}, b.secrets(path))

	t.Run("keeps_the_one_before_for_a_day", func(t *testing.T) {
		got := b.do("POST", path+"/rotate-secret", nil).is(200)
		second := fingerprint(t, got["signingSecret"])
		require.Equal(t, second, fingerprint(t, got["signingSecretWhsec"]))
		require.NotEqual(t, first, second)
		require.Equal(t, []string{second, first}, b.secrets(path))
		row := b.row(made["id"])
		live := row.LiveSecrets(time.Now())
		require.WithinDuration(t, time.Now().Add(24*time.Hour), *live[1].ExpiresAt, time.Minute)
		require.WithinDuration(t, row.CreatedAt, live[1].CreatedAt, time.Millisecond)
		require.Len(t, row.LiveSecrets(time.Now().Add(25*time.Hour)), 1)
		require.NotContains(t, got, "authorizationKey")
	})
	t.Run("ends_the_one_before_at_once", func(t *testing.T) {
		b.do("POST", path+"/rotate-secret", object{"overlapSeconds": 0}).is(200)
		left := b.secrets(path)
		require.Len(t, left, 2, "an earlier one keeps its time")
		require.Equal(t, first, left[1])
	})
	t.Run("revokes_an_earlier_one", func(t *testing.T) {
		current := b.secrets(path)[0]
		b.do("DELETE", path+"/secrets/"+current, nil).fails(409, "INVALID_STATE")
		require.Equal(t, 204, b.do("DELETE", path+"/secrets/"+first, nil).Status)
		require.Equal(t, []string{current}, b.secrets(path))
		b.do("DELETE", path+"/secrets/"+first, nil).fails(404, "RESOURCE_NOT_FOUND")
	})
	t.Run("takes_one_that_the_caller_brings", func(t *testing.T) {
		brought := webhook.GenerateSecret()
		got := b.do("POST", path+"/rotate-secret", object{"secret": webhook.SecretWhsec(brought)}).is(200)
		require.Equal(t, webhook.SecretHex(brought), got["signingSecret"])
		b.do("POST", path+"/rotate-secret", object{"secret": webhook.SecretHex(brought)}).
			fails(400, "VALIDATION_ERROR", "secret")
		require.Equal(t, webhook.Fingerprint(brought), b.secrets(path)[0])
	})
	t.Run("refuses_bad_input", func(t *testing.T) {
		before := b.secrets(path)
		for field, body := range map[string]object{
			"secret":         {"secret": "whsec_AAAA"},
			"overlapSeconds": {"overlapSeconds": 604801},
			"overlapSecond":  {"overlapSecond": 1},
		} {
			b.do("POST", path+"/rotate-secret", body).fails(400, "VALIDATION_ERROR", field)
		}
		b.do("POST", path+"/rotate-secret", object{"overlapSeconds": -1}).fails(400, "VALIDATION_ERROR", "overlapSeconds")
		require.Equal(t, before, b.secrets(path))
	})
	t.Run("answers_a_repeated_request_as_before", func(t *testing.T) {
		one := b.do("POST", path+"/rotate-secret", nil, "Idempotency-Key", "rotate").is(200)
		two := b.do("POST", path+"/rotate-secret", nil, "Idempotency-Key", "rotate").is(200)
		require.Equal(t, one["signingSecret"], two["signingSecret"])
		require.Equal(t, fingerprint(t, one["signingSecret"]), b.secrets(path)[0])
	})
	t.Run("has_five_at_most", func(t *testing.T) {
		for len(b.secrets(path)) < delivery.SecretsMost {
			b.do("POST", path+"/rotate-secret", nil).is(200)
		}
		b.do("POST", path+"/rotate-secret", nil).fails(409, "INVALID_STATE")
		b.do("POST", path+"/rotate-secret", object{"overlapSeconds": 0}).is(200)
		require.Len(t, b.secrets(path), delivery.SecretsMost)
	})
	t.Run("is_in_the_audit_log", func(t *testing.T) {
		var actions []string
		err := b.NewRaw("SELECT DISTINCT action FROM audit_log WHERE target_id = ? ORDER BY 1", made["id"]).
			Scan(b.ctx, &actions)
		require.NoError(t, err)
		require.Equal(t, []string{"created", "revoked", "rotated"}, actions)
	})
	t.Run("is_the_owners_alone", func(t *testing.T) {
		for _, call := range [][2]string{
			{"GET", "/secrets"}, {"POST", "/rotate-secret"}, {"DELETE", "/secrets/" + first},
		} {
			b.as(b.otherKey, call[0], path+call[1], nil).fails(403, "RESOURCE_ACCESS_DENIED")
			missing := fmt.Sprintf("/webhooks/%s%s", uuid.New(), call[1])
			b.do(call[0], missing, nil).fails(404, "RESOURCE_NOT_FOUND")
		}
	})
	t.Run("drops_expired_ones", func(t *testing.T) {
		_, err := b.ExecContext(b.ctx, `UPDATE webhooks SET retired_secrets =
			jsonb_set(retired_secrets, '{0,expiresAt}', '"2026-01-01T00:00:00Z"') WHERE id = ?`, made["id"])
		require.NoError(t, err)
		require.Len(t, b.secrets(path), delivery.SecretsMost-1)
		b.do("POST", path+"/rotate-secret", nil).is(200)
		require.Len(t, b.row(made["id"]).RetiredSecrets, delivery.SecretsMost-1)
	})
}

// TestKeyOfAProfileWithAKey: its deliveries carry a key that is derived from the secret, so that who reads it cannot
// sign. A webhook of an earlier version keeps the secret as its key until the secret is replaced, by whichever version.
func TestKeyOfAProfileWithAKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made := b.do("POST", "/webhooks", object{
		"url": hookURL, "events": []string{"SessionsUpdatedEvent"}, "profile": "wise",
	}).is(201)
	path := "/webhooks/" + made["id"].(string)
	keyIs := func(shown object, derived bool) {
		t.Helper()
		secret, err := webhook.ParseSecret(shown["signingSecret"].(string))
		require.NoError(t, err)
		require.Equal(t, webhook.KeyOf(secret, derived), shown["authorizationKey"])
		require.Equal(t, derived, b.row(made["id"]).HasDerivedKey())
	}
	keyIs(made, true)
	require.NotContains(t, b.do("GET", path, nil).is(200), "authorizationKey")
	rotated := b.do("POST", path+"/rotate-secret", nil).is(200)
	keyIs(rotated, true)
	require.NotEqual(t, made["authorizationKey"], rotated["authorizationKey"])
	moved := b.do("PATCH", path, object{"url": "https://elsewhere.example/"}).is(200)
	keyIs(moved, true)

	// A process of an earlier version replaces the secret: it knows the columns that it had, and shows the secret as key.
	secret := webhook.GenerateSecret()
	row := b.row(made["id"])
	sealed, err := b.box.Seal(secret, row.ID, delivery.SecretField)
	require.NoError(t, err)
	_, err = b.ExecContext(b.ctx, "UPDATE webhooks SET secret = ?, secret_created_at = now() WHERE id = ?", sealed, row.ID)
	require.NoError(t, err)
	keyIs(object{"signingSecret": webhook.SecretHex(secret), "authorizationKey": webhook.SecretHex(secret)}, false)
	_, err = b.ExecContext(b.ctx, "UPDATE webhooks SET is_active = false WHERE id = ?", row.ID)
	require.NoError(t, err)
	tested := b.do("POST", path+"/test", nil).is(200)
	require.Equal(t, webhook.SecretHex(secret), tested["authorizationKey"])
	keyIs(b.do("POST", path+"/rotate-secret", nil).is(200), true)

	// A webhook that was made by an earlier version.
	_, err = b.ExecContext(
		b.ctx,
		"UPDATE webhooks SET secret_created_at = NULL, key_derived_at = NULL WHERE id = ?",
		row.ID,
	)
	require.NoError(t, err)
	require.False(t, b.row(made["id"]).HasDerivedKey())
}
