package db_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"greenroom/db"
	"greenroom/db/delivery"
	"greenroom/db/seal"
)

// keysetOf returns the keyset of m as it stands.
func keysetOf(t *testing.T, m *keyset.Manager) *seal.Box {
	t.Helper()
	h, err := m.Handle()
	require.NoError(t, err)
	var text strings.Builder
	require.NoError(t, insecurecleartextkeyset.Write(h, keyset.NewJSONWriter(&text)))
	box, err := seal.New(text.String())
	require.NoError(t, err)
	return box
}

func newKeyset(t *testing.T) (*keyset.Manager, *seal.Box) {
	t.Helper()
	m := keyset.NewManager()
	id, err := m.Add(aead.AES256GCMKeyTemplate())
	require.NoError(t, err)
	require.NoError(t, m.SetPrimary(id))
	return m, keysetOf(t, m)
}

func TestCheckKeyset(t *testing.T) {
	t.Parallel()
	t.Run("the first process decides in a new installation", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.exec("DELETE FROM webhooks")
		_, first := newKeyset(t)
		_, second := newKeyset(t)
		require.NoError(t, db.CheckKeyset(b.ctx, b, first))
		require.ErrorIs(t, db.CheckKeyset(b.ctx, b, second), db.ErrOtherKeyset)
		require.NoError(t, db.CheckKeyset(b.ctx, b, first))
	})
	t.Run("the newest secret decides in an older installation", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		_, own := newKeyset(t)
		_, other := newKeyset(t)
		secret, err := own.Seal([]byte("secret"), b.hook.ID, delivery.SecretField)
		require.NoError(t, err)
		b.exec("UPDATE webhooks SET secret = ? WHERE id = ?", secret, b.hook.ID)
		require.ErrorIs(t, db.CheckKeyset(b.ctx, b, other), db.ErrOtherKeyset)
		require.NoError(t, db.CheckKeyset(b.ctx, b, own))
	})
	t.Run("a rotation locks out who lacks the new key", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		m, before := newKeyset(t)
		require.NoError(t, db.CheckKeyset(b.ctx, b, before))
		id, err := m.Add(aead.AES256GCMKeyTemplate())
		require.NoError(t, err)
		added := keysetOf(t, m)
		require.NoError(t, db.CheckKeyset(b.ctx, b, added))
		require.NoError(t, db.CheckKeyset(b.ctx, b, before), "the new key seals nothing yet")
		require.NoError(t, m.SetPrimary(id))
		rotated := keysetOf(t, m)
		require.NoError(t, db.CheckKeyset(b.ctx, b, rotated))
		require.NoError(t, db.CheckKeyset(b.ctx, b, added))
		require.ErrorIs(t, db.CheckKeyset(b.ctx, b, before), db.ErrOtherKeyset)
	})
	t.Run("a lost key is adopted as the message says", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		_, lost := newKeyset(t)
		_, fresh := newKeyset(t)
		secret, err := lost.Seal([]byte("secret"), b.hook.ID, delivery.SecretField)
		require.NoError(t, err)
		b.exec("UPDATE webhooks SET secret = ? WHERE id = ?", secret, b.hook.ID)
		require.NoError(t, db.CheckKeyset(b.ctx, b, lost))
		require.ErrorContains(t, db.CheckKeyset(b.ctx, b, fresh), "UPDATE keyset_check SET sealed = ''")
		b.exec("UPDATE keyset_check SET sealed = ''")
		require.NoError(t, db.CheckKeyset(b.ctx, b, fresh))
		require.ErrorIs(t, db.CheckKeyset(b.ctx, b, lost), db.ErrOtherKeyset)
	})
}
