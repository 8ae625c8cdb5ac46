package delivery_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/db/delivery"
)

func TestLease(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one, other := uuid.New(), uuid.New()
	acquire := func(holder uuid.UUID) bool {
		held, err := delivery.AcquireLease(b.ctx, b, "leader", holder, time.Minute)
		require.NoError(t, err)
		return held
	}
	require.True(t, acquire(one))
	require.True(t, acquire(one), "its holder renews it")
	require.False(t, acquire(other))
	b.exec("UPDATE leases SET expires_at = now() - interval '1 ms'")
	require.True(t, acquire(other), "a holder that is gone or frozen loses it")
	require.False(t, acquire(one))
	require.NoError(t, delivery.ReleaseLease(b.ctx, b, "leader", one))
	require.False(t, acquire(one), "what it does not have it cannot give back")
	require.NoError(t, delivery.ReleaseLease(b.ctx, b, "leader", other))
	require.True(t, acquire(one))
}
