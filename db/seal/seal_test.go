package seal_test

import (
	"bytes"
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
	})
	t.Run("names_the_key_that_another_keyset_lacks", func(t *testing.T) {
		t.Parallel()
		_, err := newBox(t).Open(sealed, id, "secret")
		require.ErrorIs(t, err, seal.ErrUnknownKey)
	})
	t.Run("a_damaged_value_is_not_of_an_unknown_key", func(t *testing.T) {
		t.Parallel()
		damaged := bytes.Clone(sealed)
		damaged[len(damaged)-1] ^= 1
		for _, value := range [][]byte{damaged, sealed[:4], {0}, {}, nil} {
			_, err := box.Open(value, id, "secret")
			require.Error(t, err)
			require.NotErrorIs(t, err, seal.ErrUnknownKey)
			require.False(t, box.IsOutdated(value))
		}
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
