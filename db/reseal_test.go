package db_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/db"
	"greenroom/db/delivery"
	"greenroom/db/pg"
	"greenroom/db/seal"
)

// TestReseal covers every place where a value is sealed, more than one page of each, a value of a key that the keyset
// lacks, and one that is damaged.
func TestReseal(t *testing.T) {
	t.Parallel()
	const each = 101
	s := setupSets(t)
	first, err := seal.NewKeyset()
	require.NoError(t, err)
	added, newKey, err := seal.AddKey(first)
	require.NoError(t, err)
	promoted, _, err := seal.PromoteNewest(added)
	require.NoError(t, err)
	box := func(keyset string) *seal.Box {
		b, err := seal.New(keyset)
		require.NoError(t, err)
		return b
	}
	before, after := box(first), box(promoted)
	sealIn := func(b *seal.Box, id uuid.UUID, field string) []byte {
		sealed, err := b.Seal([]byte(field), id, field)
		require.NoError(t, err)
		return sealed
	}
	// The webhook of the bundle has a damaged secret, and other's was sealed with a key that the keyset lacks.
	otherKeyset, err := seal.NewKeyset()
	require.NoError(t, err)
	other := s.webhook("interview.started")
	s.exec("UPDATE webhooks SET secret = ? WHERE id = ?",
		sealIn(box(otherKeyset), other.ID, delivery.SecretField), other.ID)
	authed := 0 // webhooks with credentials; the others have NULL
	for i := range each {
		w, err := s.kit().NewWebhook("", "")
		require.NoError(t, err)
		w.URL, w.Events = "https://b.test", []string{}
		w.Secret = sealIn(before, w.ID, delivery.SecretField)
		w.SigningKey = sealIn(before, w.ID, delivery.SigningKeyField)
		w.RetiredSecrets = []delivery.RetiredSecret{{
			Sealed: sealIn(before, w.ID, delivery.SecretField), SigningKey: sealIn(before, w.ID, delivery.SigningKeyField),
			CreatedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour),
		}}
		w.Headers = []delivery.WebhookHeader{
			{Name: "Cookie", Sealed: sealIn(before, w.ID, delivery.HeaderField("Cookie"))}, {Name: "X-Plain", Value: "clear"},
		}
		if i%2 == 0 {
			w.Auth = &delivery.WebhookAuth{
				Type: "oauth2", User: "client", TokenURL: "https://a.test/token", Scopes: []string{"a", "b"},
				Sealed: sealIn(before, w.ID, delivery.AuthField),
			}
			authed++
		}
		require.NoError(t, delivery.CreateWebhook(s.ctx, s, w))
		s.exec("UPDATE webhooks SET retired_secrets = ? WHERE id = ?", w.RetiredSecrets, w.ID)
		set := pg.NewID()
		s.exec(`INSERT INTO webhook_sets (id, company_id, auth_type, basic_username, basic_password, apikey_value)
			VALUES (?, ?, 'basic', 'user', ?, ?)`, set, s.company,
			sealIn(before, set, "basic.password"), sealIn(before, set, "apikey.value"))
		key := fmt.Sprint("key-", i)
		s.exec(`INSERT INTO idempotency_keys (api_key_id, key, request_hash, status_code, response, sealed)
			VALUES (?, ?, '', 201, '', ?)`, s.company, key, sealIn(before, s.company, db.IdempotencyField(key)))
	}
	s.exec(`INSERT INTO idempotency_keys (api_key_id, key, request_hash, status_code, response)
		VALUES (?, 'plain', '', 201, '{}')`, s.company)

	sealed := 8*each + authed // by an old key
	require.Equal(t, authed, s.count("SELECT count(*) FROM webhooks WHERE auth IS NOT NULL"))
	counts, err := db.SealedValues(s.ctx, s)
	require.NoError(t, err)
	require.Equal(t, sealed, counts[before.Primary()])
	n, err := db.Reseal(s.ctx, s, before)
	require.NoError(t, err)
	require.Zero(t, n, "the key that seals has sealed all")
	n, err = db.Reseal(s.ctx, s, after)
	require.NoError(t, err)
	require.Equal(t, 3*each, n)
	counts, err = db.SealedValues(s.ctx, s)
	require.NoError(t, err)
	require.Equal(t, map[uint32]int{newKey: sealed, box(otherKeyset).Primary(): 1}, counts)
	n, err = db.Reseal(s.ctx, s, after)
	require.NoError(t, err)
	require.Zero(t, n)

	kept, _, err := seal.KeepPrimary(promoted)
	require.NoError(t, err)
	opened := 0
	open := func(id uuid.UUID, field string, value []byte) {
		plain, err := box(kept).Open(value, id, field)
		require.NoError(t, err)
		require.Equal(t, field, string(plain))
		opened++
	}
	var hooks []delivery.Webhook
	require.NoError(t, s.NewSelect().Model(&hooks).Where("w.headers <> '[]'").Scan(s.ctx))
	for _, w := range hooks {
		open(w.ID, delivery.SecretField, w.Secret)
		open(w.ID, delivery.SigningKeyField, w.SigningKey)
		open(w.ID, delivery.SecretField, w.RetiredSecrets[0].Sealed)
		open(w.ID, delivery.SigningKeyField, w.RetiredSecrets[0].SigningKey)
		open(w.ID, delivery.HeaderField("Cookie"), w.Headers[0].Sealed)
		require.Equal(t, "clear", w.Headers[1].Value)
		if w.Auth != nil {
			open(w.ID, delivery.AuthField, w.Auth.Sealed)
			w.Auth.Sealed = nil
			require.Equal(t, &delivery.WebhookAuth{
				Type: "oauth2", User: "client", TokenURL: "https://a.test/token", Scopes: []string{"a", "b"},
			}, w.Auth)
		}
	}
	var sets []struct{ ID, Password, Key []byte }
	require.NoError(t, s.NewRaw(`SELECT uuid_send(id) AS id, basic_password AS password, apikey_value AS key
		FROM webhook_sets`).Scan(s.ctx, &sets))
	for _, set := range sets {
		open(uuid.UUID(set.ID), "basic.password", set.Password)
		open(uuid.UUID(set.ID), "apikey.value", set.Key)
	}
	var answers []struct {
		Key    string
		Sealed []byte
	}
	require.NoError(t, s.NewRaw("SELECT key, sealed FROM idempotency_keys WHERE sealed IS NOT NULL").Scan(s.ctx, &answers))
	for _, a := range answers {
		open(s.company, db.IdempotencyField(a.Key), a.Sealed)
	}
	require.Equal(t, sealed, opened)
}

// TestSealedValuesHasTheKeyOfTheProcesses, before they have sealed anything else with it: it must not be dropped by
// somebody who still has the keyset of the step before.
func TestSealedValuesHasTheKeyOfTheProcesses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	keyset, err := seal.NewKeyset()
	require.NoError(t, err)
	first, err := seal.New(keyset)
	require.NoError(t, err)
	require.NoError(t, db.CheckKeyset(b.ctx, b, first))
	added, key, err := seal.AddKey(keyset)
	require.NoError(t, err)
	promoted, _, err := seal.PromoteNewest(added)
	require.NoError(t, err)
	process, err := seal.New(promoted)
	require.NoError(t, err)
	require.NoError(t, db.CheckKeyset(b.ctx, b, process))
	values, err := db.SealedValues(b.ctx, b)
	require.NoError(t, err)
	require.Equal(t, map[uint32]int{key: 1}, values)
}
