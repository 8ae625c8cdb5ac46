package delivery_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/db/catalog"
	"greenroom/db/delivery"
)

func TestDisableAbandoned(t *testing.T) {
	t.Parallel()
	b := setup(t)
	disable := func() []uuid.UUID {
		ids, err := delivery.DisableAbandoned(b.ctx, b, 120*time.Hour, 10)
		require.NoError(t, err)
		return ids
	}
	opened := func(ago string) {
		_, err := b.ExecContext(
			b.ctx,
			"UPDATE webhooks SET circuit_opened_at = now() - ?::interval WHERE id = ?",
			ago,
			b.hook.ID,
		)
		require.NoError(t, err)
	}
	require.Empty(t, disable(), "a closed circuit")
	opened("119 hours")
	require.Empty(t, disable(), "not long enough")
	n, err := delivery.OpenCircuits(b.ctx, b, 10)
	require.NoError(t, err)
	require.Equal(t, 1, n)

	opened("121 hours")
	require.Equal(t, []uuid.UUID{b.hook.ID}, disable())
	w, err := delivery.GetWebhook(b.ctx, b, b.hook.ID)
	require.NoError(t, err)
	require.False(t, w.IsActive)
	require.Equal(t, "the circuit was open for more than 120 hours", *w.DisabledReason)
	var data string
	require.NoError(t, b.NewRaw("SELECT data FROM events WHERE type = ?", catalog.WebhookDisabled).Scan(b.ctx, &data))
	require.Contains(t, data, b.hook.ID.String())
	require.Empty(t, disable(), "once")
}
