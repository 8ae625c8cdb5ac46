package seal_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/db/seal"
)

func TestRotation(t *testing.T) {
	t.Parallel()
	first, err := seal.NewKeyset()
	require.NoError(t, err)
	added, key, err := seal.AddKey(first)
	require.NoError(t, err)
	promoted, newest, err := seal.PromoteNewest(added)
	require.NoError(t, err)
	require.Equal(t, key, newest)
	kept, removed, err := seal.KeepPrimary(promoted)
	require.NoError(t, err)

	boxes := make([]*seal.Box, 4)
	for i, keyset := range []string{first, added, promoted, kept} {
		boxes[i], err = seal.New(keyset)
		require.NoError(t, err)
	}
	old := boxes[0].Primary()
	require.Equal(t, []uint32{old}, removed)
	require.Equal(t, []uint32{old, key}, boxes[1].Keys())
	require.Equal(t, old, boxes[1].Primary(), "an added key does not seal")
	require.Equal(t, key, boxes[2].Primary())
	require.Equal(t, []uint32{key}, boxes[3].Keys())

	// Each value opens with the keyset of its step, and of the steps beside it.
	opens := [4][4]bool{
		{true, true, true, false}, // sealed with the first keyset, opened with each
		{true, true, true, false},
		{false, true, true, true},
		{false, true, true, true},
	}
	id := uuid.New()
	for i, sealer := range boxes {
		sealed, err := sealer.Seal([]byte("secret"), id, "secret")
		require.NoError(t, err)
		for j, opener := range boxes {
			_, err := opener.Open(sealed, id, "secret")
			require.Equal(t, opens[i][j], err == nil, "sealed in step %d, opened in step %d", i, j)
		}
	}
}

func TestRotationRefuses(t *testing.T) {
	t.Parallel()
	keyset, err := seal.NewKeyset()
	require.NoError(t, err)
	_, _, err = seal.PromoteNewest(keyset)
	require.ErrorIs(t, err, seal.ErrNothingToPromote)
	_, _, err = seal.KeepPrimary(keyset)
	require.ErrorIs(t, err, seal.ErrOneKey)
	_, _, err = seal.AddKey("{}")
	require.Error(t, err)
}
