package seal_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/db/seal"
)

func newBox(t *testing.T) *seal.Box {
	t.Helper()
	keyset, err := seal.NewKeyset()
	require.NoError(t, err)
	box, err := seal.New(keyset)
	require.NoError(t, err)
	return box
}

func TestBox(t *testing.T) {
	t.Parallel()
	box, id := newBox(t), uuid.New()
	sealed, err := box.Seal([]byte("secret"), id, "secret")
	require.NoError(t, err)
	require.NotContains(t, string(sealed), "secret")
	plain, err := box.Open(sealed, id, "secret")
	require.NoError(t, err)
	require.Equal(t, "secret", string(plain))

	t.Run("opens_for_its_own_row_and_field_only", func(t *testing.T) {
		t.Parallel()
		_, err := box.Open(sealed, uuid.New(), "secret")
		require.Error(t, err)
		_, err = box.Open(sealed, id, "header:Authorization")
		require.Error(t, err)
		_, err = newBox(t).Open(sealed, id, "secret")
		require.Error(t, err)
	})
	t.Run("sealing_twice_gives_different_values", func(t *testing.T) {
		t.Parallel()
		again, err := box.Seal([]byte("secret"), id, "secret")
		require.NoError(t, err)
		require.NotEqual(t, sealed, again)
	})
	t.Run("refuses_an_invalid_keyset", func(t *testing.T) {
		t.Parallel()
		_, err := seal.New(`{"primaryKeyId": 1}`)
		require.Error(t, err)
	})
}
