package deliver_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/activities/deliver"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

func (s *attempting) circuit() deliver.CircuitState {
	s.t.Helper()
	c, err := s.LoadCircuit(s.t.Context(), s.hook.ID)
	require.NoError(s.t, err)
	return c
}

func TestLoadCircuit(t *testing.T) {
	s := setupAttempt(t)
	want := deliver.CircuitState{Active: true, WebhookID: s.hook.ID, CompanyID: s.company}
	require.Equal(t, want, s.circuit())

	opened := time.Now().Truncate(time.Microsecond)
	s.exec("UPDATE webhooks SET circuit_opened_at = ?, circuit_recovery = 'manual', rate_limit = 7", opened)
	for range 2 {
		s.attempt(deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}, uuid.New())
	}
	c := s.circuit()
	require.WithinDuration(t, opened, c.OpenedAt, 0)
	c.OpenedAt = time.Time{}
	want.Open, want.Recovery, want.RateLimit, want.Waiting, want.WaitingCount = true, "manual", 7, true, 2
	require.Equal(t, want, c)

	s.exec("UPDATE webhooks SET deleted_at = now(), company_id = NULL")
	c = s.circuit()
	require.True(t, c.Deleted)
	require.True(t, c.ToCancel)
	require.False(t, c.Missing)
	require.Zero(t, c.CompanyID, "a webhook of the platform")

	c, err := s.LoadCircuit(t.Context(), uuid.New())
	require.NoError(t, err)
	require.Equal(t, deliver.CircuitState{Deleted: true, Missing: true}, c)
	_, err = s.LoadCircuit(ended(t), s.hook.ID)
	require.Error(t, err, "an unavailable database does not delete a webhook")
}

func TestCloseCircuit(t *testing.T) {
	s := setupAttempt(t)
	log := new(lockedBuffer)
	s.Logger = slog.New(slog.NewTextHandler(log, nil))
	s.exec("UPDATE webhooks SET circuit_opened_at = now(), consecutive_failures = 10")
	require.ErrorContains(t, s.CloseCircuit(ended(t), s.hook.ID), "close circuit")
	require.True(t, s.circuit().Open)
	require.Empty(t, log.String())
	for range 2 {
		require.NoError(t, s.CloseCircuit(t.Context(), s.hook.ID))
		require.False(t, s.circuit().Open)
	}
	require.Contains(t, log.String(), "circuit closed by the signal reset")
	require.Zero(t, s.number("SELECT consecutive_failures FROM webhooks"))

	s.exec("UPDATE webhooks SET deleted_at = now(), is_active = false")
	require.NoError(t, s.CloseCircuit(t.Context(), s.hook.ID))
	require.False(t, s.circuit().Active, "a deleted webhook is unchanged")
}

func TestReleaseAndCancelPaused(t *testing.T) {
	s := setupAttempt(t)
	s.exec("UPDATE webhooks SET circuit_opened_at = now()")
	for range 4 {
		s.attempt(deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}, uuid.New())
	}
	release := func(limit int, probe bool) int {
		t.Helper()
		n, err := s.ReleasePaused(t.Context(), deliver.ReleaseInput{WebhookID: s.hook.ID, Limit: limit, Probe: probe})
		require.NoError(t, err)
		return n
	}
	require.Zero(t, release(3, false), "the circuit is open")
	require.Equal(t, 1, release(3, true), "a probe is one delivery")
	require.NoError(t, s.CloseCircuit(t.Context(), s.hook.ID))
	require.Equal(t, 2, release(2, false))

	cancel := func(limit int) int {
		t.Helper()
		n, err := s.CancelDeleted(t.Context(), deliver.CancelDeletedInput{WebhookID: s.hook.ID, Limit: limit})
		require.NoError(t, err)
		return n
	}
	require.NoError(t, pg.InTx(t.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		return delivery.DeleteWebhook(ctx, tx, s.hook.ID)
	}))
	s.exec("UPDATE deliveries SET status = 'paused'") // as if there were too many to cancel with the webhook
	require.Equal(t, 3, cancel(3))
	require.Equal(t, 1, cancel(3))
	require.Equal(t, 4, s.withStatus(delivery.Canceled))
	require.False(t, s.circuit().ToCancel)
}
