package delivery_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db/delivery"
)

// TestUpdateWebhookRefreshes: what changed since the webhook was read is in the answer of an update.
func TestUpdateWebhookRefreshes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w, err := delivery.GetWebhook(b.ctx, b, b.hook.ID)
	require.NoError(t, err)
	_, err = b.ExecContext(
		b.ctx,
		"UPDATE webhooks SET consecutive_failures = 7, circuit_opened_at = now() WHERE id = ?",
		w.ID,
	)
	require.NoError(t, err)
	w.Name = "renamed"
	b.tx(func(tx bun.Tx) error { return delivery.UpdateWebhook(b.ctx, tx, w, "name") })
	require.Equal(t, "renamed", w.Name)
	require.Equal(t, 7, w.ConsecutiveFailures)
	require.NotNil(t, w.CircuitOpenedAt)
}
