package deliver

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/db/delivery"
)

func TestKnownHooks(t *testing.T) {
	t.Parallel()
	one, two := uuid.New(), uuid.New()
	var k knownHooks
	want := map[uuid.UUID]*delivery.Webhook{one: {ID: one}}
	require.False(t, k.fill(map[uuid.UUID]*delivery.Webhook{one: nil}, map[uuid.UUID]string{one: "7"}))
	k.put(want, map[uuid.UUID]string{one: "7"})
	got := map[uuid.UUID]*delivery.Webhook{one: nil}
	require.True(t, k.fill(got, map[uuid.UUID]string{one: "7"}))
	require.Equal(t, want, got)
	require.False(t, k.fill(got, map[uuid.UUID]string{one: "8"}), "its row has changed")
	require.False(t, k.fill(map[uuid.UUID]*delivery.Webhook{one: nil, two: nil}, map[uuid.UUID]string{one: "7", two: "7"}))

	for range knownMost + 1 {
		id := uuid.New()
		k.put(map[uuid.UUID]*delivery.Webhook{id: {}}, map[uuid.UUID]string{id: "1"})
	}
	require.LessOrEqual(t, len(k.m), knownMost)
}
