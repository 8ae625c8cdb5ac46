package delivery_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/catalog"
	"greenroom/db/delivery"
)

// sweep is one walk over all that is overdue, with a grace of a minute; the webhook's time-out comes on top.
func (b *bundle) sweep() (requeued int) {
	b.t.Helper()
	for after := (delivery.SweepCursor{}); ; {
		p, err := delivery.SweepDeliveries(b.ctx, b, after, time.Minute, 3)
		require.NoError(b.t, err)
		requeued += p.Requeued
		if p.Looked < 3 {
			return requeued
		}
		require.NotEqual(b.t, after, p.Next)
		after = p.Next
	}
}

func (b *bundle) lost() delivery.QueuedDelivery {
	b.t.Helper()
	b.publish(catalog.InterviewStarted)
	return b.take()[0] // and its workflow is never started
}

func TestSweepFindsLostDeliveries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	q := b.lost()
	require.Zero(t, b.sweep(), "within the grace")
	b.exec("UPDATE deliveries SET updated_at = now() - interval '80 seconds'")
	require.Zero(t, b.sweep(), "its attempt may still be in flight")
	b.exec("UPDATE deliveries SET updated_at = now() - interval '2 minutes'")
	require.Equal(t, 1, b.sweep())
	again := b.take()
	require.Len(t, again, 1)
	require.True(t, again[0].EnsureWorkflow)
	require.Equal(t, 1, again[0].Attempt)
	require.Equal(t, q.DeliveryID, again[0].DeliveryID)
	require.Zero(t, b.sweep(), "it is looked at again later, whatever became of it")
	b.exec("UPDATE deliveries SET reconcile_at = now() - interval '2 minutes'")
	require.Equal(t, 1, b.sweep(), "and found again, if nothing has")
}

func TestSweepBacksOff(t *testing.T) {
	t.Parallel()
	b := setup(t)
	q := b.lost()
	for overdue, want := range map[time.Duration]time.Duration{
		4 * time.Minute: 2 * time.Minute, time.Hour: 10 * time.Minute,
	} {
		b.exec("UPDATE deliveries SET reconcile_at = NULL, updated_at = now() - ? * interval '1 second'", overdue.Seconds())
		b.exec("DELETE FROM delivery_queue")
		require.Equal(t, 1, b.sweep())
		var wait float64
		require.NoError(
			t,
			b.NewRaw("SELECT extract(epoch FROM reconcile_at - now()) FROM deliveries WHERE id = ?", q.DeliveryID).
				Scan(b.ctx, &wait),
		)
		require.InDelta(t, want.Seconds(), wait, 15, "overdue for %s", overdue)
	}
}

func TestSweepCountsFromTheHighestAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	q := b.lost()
	b.attempt(q, delivery.OutcomeRetry)
	b.exec("UPDATE attempts SET attempt = 3")
	b.exec("UPDATE deliveries SET next_attempt_at = now() - interval '2 minutes'")
	require.Equal(t, 1, b.sweep())
	require.Equal(t, 4, b.take()[0].Attempt, "attempts of a workflow that was reset have the same numbers")
}

// Rows that cannot progress must not hide one that is lost: here ten wait in the queue, and pages are of three.
func TestSweepFindsTheLostOneBehindOthers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	lost := b.lost()
	for range 10 {
		b.publish(catalog.InterviewStarted)
	}
	b.exec("UPDATE deliveries SET updated_at = now() - interval '1 hour'")
	b.exec("UPDATE deliveries SET updated_at = now() - interval '2 minutes' WHERE id = ?", lost.DeliveryID)
	require.Equal(t, 1, b.sweep())
	var redone []uuid.UUID
	require.NoError(t, b.NewRaw("SELECT delivery_id FROM delivery_queue WHERE redo").Scan(b.ctx, &redone))
	require.Equal(t, []uuid.UUID{lost.DeliveryID}, redone)
}

func TestSweepLeavesAloneWhatIsPausedOrEnded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, status := range []string{"paused", "succeeded", "failed", "canceled"} {
		q := b.lost()
		b.exec("UPDATE deliveries SET status = ?, updated_at = now() - interval '1 hour' WHERE id = ?", status, q.DeliveryID)
	}
	p, err := delivery.SweepDeliveries(b.ctx, b, delivery.SweepCursor{}, time.Minute, 10)
	require.NoError(t, err)
	require.Zero(t, p.Looked, "they are not even read")
}

func TestRequeueLostKeepsTheProbe(t *testing.T) {
	t.Parallel()
	b := setup(t)
	q := b.lost()
	b.attempt(q, delivery.OutcomeRetry)
	b.exec("UPDATE webhooks SET circuit_opened_at = now()")
	requeue := func(probe bool) (did bool) {
		b.tx(func(tx bun.Tx) (err error) {
			did, err = delivery.RequeueLost(b.ctx, tx, q.DeliveryID, probe)
			return err
		})
		return did
	}
	require.True(t, requeue(false))
	require.True(t, requeue(true), "also when it waits in the queue already")
	out := b.take()
	require.Len(t, out, 1, "a probe is let out although the circuit is open")
	require.True(t, out[0].Probe)
	require.True(t, out[0].EnsureWorkflow)
	require.Equal(t, 2, out[0].Attempt)
	b.attempt(out[0], delivery.OutcomeSucceeded)
	require.False(t, requeue(true), "one that has ended stays so")
}

func TestProbesAreShared(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 3 {
		b.attempt(b.lost(), delivery.OutcomeRetry)
	}
	b.exec("UPDATE deliveries SET status = 'paused'")
	b.exec("UPDATE webhooks SET circuit_opened_at = now(), is_active = false")
	probe := func() int {
		n, err := delivery.ReleasePaused(b.ctx, b, b.hook.ID, 1, true)
		require.NoError(t, err)
		return n
	}
	require.Zero(t, probe(), "an inactive webhook is not probed")
	b.exec("UPDATE webhooks SET is_active = true")
	seen := map[uuid.UUID]bool{}
	for range 3 {
		require.Equal(t, 1, probe())
		q := b.take()[0]
		require.True(t, q.Probe)
		require.Equal(t, 2, q.Attempt)
		b.attempt(q, delivery.OutcomeRetry)
		b.exec("UPDATE deliveries SET status = 'paused' WHERE status = 'retrying'")
		seen[q.DeliveryID] = true
	}
	require.Len(t, seen, 3, "each outage costs each delivery as little as may be")
}

func (b *bundle) due(r delivery.Reconciled) map[uuid.UUID]delivery.Due {
	b.t.Helper()
	due, err := delivery.LookForDue(b.ctx, b, r, time.Minute, 100)
	require.NoError(b.t, err)
	byID := map[uuid.UUID]delivery.Due{}
	for _, d := range due {
		byID[d.ID] = d
	}
	require.Len(b.t, byID, len(due))
	return byID
}

// looked notes that all that is due was looked at, so that nothing is.
func (b *bundle) looked(r delivery.Reconciled) {
	b.t.Helper()
	due, err := delivery.LookForDue(b.ctx, b, r, time.Minute, 100)
	require.NoError(b.t, err)
	require.NotEmpty(b.t, due)
	require.NoError(b.t, delivery.NoteLooked(b.ctx, b, r, due))
	require.Empty(b.t, b.due(r))
}

// looksWithinAMinute: what needs its workflow at any time has one again within a minute after it was lost, however
// old the row is.
func (b *bundle) looksWithinAMinute(table string, id uuid.UUID) {
	b.t.Helper()
	var soon bool
	require.NoError(
		b.t,
		b.NewRaw("SELECT reconcile_at < now() + interval '31 seconds' FROM ? WHERE id = ?", bun.Ident(table), id).
			Scan(b.ctx, &soon),
	)
	require.True(b.t, soon)
}

func TestCircuitsThatNeedAWorkflow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	paused := func(w *delivery.Webhook) {
		q := b.lost()
		b.exec("UPDATE deliveries SET status = 'paused', webhook_id = ? WHERE id = ?", w.ID, q.DeliveryID)
	}
	const none = catalog.JobCreated
	open, released, inactive, deleted, idle := b.webhook(
		none,
	), b.webhook(
		none,
	), b.webhook(
		none,
	), b.webhook(
		none,
	), b.webhook(
		none,
	)
	for _, w := range []*delivery.Webhook{open, released, inactive, deleted} {
		paused(w)
		paused(w)
	}
	b.exec("UPDATE webhooks SET circuit_opened_at = now() - interval '2 hours' WHERE id = ?", open.ID)
	b.exec("UPDATE webhooks SET is_active = false WHERE id = ?", inactive.ID)
	require.Empty(t, b.due(delivery.ReconciledReleases), "they were changed just now")
	b.exec("UPDATE webhooks SET updated_at = now() - interval '2 minutes'")
	b.exec("UPDATE webhooks SET deleted_at = now() - interval '2 minutes' WHERE id = ?", deleted.ID)

	due := b.due(delivery.ReconciledReleases)
	require.Len(t, due, 2)
	require.True(t, due[released.ID].Overdue)
	require.True(t, due[deleted.ID].Overdue)
	require.NotContains(t, due, idle.ID)
	b.looked(delivery.ReconciledReleases)

	circuits := b.due(delivery.ReconciledCircuits)
	require.Equal(t, map[uuid.UUID]delivery.Due{open.ID: {ID: open.ID, Needed: true}}, circuits)
	b.looked(delivery.ReconciledCircuits)
	b.looksWithinAMinute("webhooks", open.ID)
}

func TestReplaysAndGenerationsThatStand(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := &delivery.Replay{WebhookID: b.hook.ID, Since: time.Now(), Until: time.Now(), Statuses: []string{"failed"}}
	g := &db.Generation{CompanyID: b.company, JobRole: "x", JobDescription: "y"}
	b.tx(func(tx bun.Tx) error { return delivery.CreateReplay(b.ctx, tx, r) })
	b.tx(func(tx bun.Tx) error { return db.CreateGeneration(b.ctx, tx, g) })
	require.Empty(t, b.due(delivery.ReconciledReplays))
	require.Empty(t, b.due(db.ReconciledGenerations))
	b.exec("UPDATE replays SET updated_at = now() - interval '2 minutes'")
	b.exec("UPDATE generations SET updated_at = now() - interval '2 hours'")
	require.True(t, b.due(delivery.ReconciledReplays)[r.ID].Overdue)
	require.True(t, b.due(db.ReconciledGenerations)[g.ID].Needed)
	b.looked(delivery.ReconciledReplays)
	b.looked(db.ReconciledGenerations)
	b.looksWithinAMinute("generations", g.ID)
	b.exec("UPDATE replays SET state = 'paused', reconcile_at = NULL")
	b.exec("UPDATE generations SET status = 'completed', reconcile_at = NULL")
	require.Empty(t, b.due(delivery.ReconciledReplays))
	require.Empty(t, b.due(db.ReconciledGenerations))
}
