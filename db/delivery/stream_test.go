package delivery_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db/catalog"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// stream leases a new stream.
func (b *bundle) stream() delivery.StreamRenewal {
	b.t.Helper()
	id := pg.NewID()
	lease, err := delivery.LeaseStream(b.ctx, b.DB, id)
	require.NoError(b.t, err)
	return delivery.StreamRenewal{ID: id, Lease: lease}
}

// streamBatch publishes n events and gives their deliveries to a stream.
func (b *bundle) streamBatch(stream uuid.UUID, n int) delivery.Batch {
	b.t.Helper()
	for range n {
		b.publish(catalog.InterviewStarted)
	}
	batch := delivery.Batch{ID: pg.NewID(), Stream: uuid.NullUUID{UUID: stream, Valid: true}}
	for _, q := range b.take() {
		batch.Deliveries = append(batch.Deliveries, q.DeliveryID)
	}
	require.Len(b.t, batch.Deliveries, n)
	b.tx(func(tx bun.Tx) error { return delivery.AddBatch(b.ctx, tx, batch) })
	return batch
}

// age makes a stream's last renewal that old.
func (b *bundle) age(stream uuid.UUID, by time.Duration) {
	b.t.Helper()
	_, err := b.ExecContext(b.ctx, "UPDATE delivery_streams SET seen_at = seen_at - ? * interval '1 ms' WHERE id = ?",
		by.Milliseconds(), stream)
	require.NoError(b.t, err)
}

func TestAStreamHasOneOwner(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.stream()
	_, err := delivery.LeaseStream(b.ctx, b.DB, s.ID)
	require.ErrorIs(t, err, pg.ErrConflict, "its owner has just renewed it")
	b.age(s.ID, delivery.StreamStaleAfter-time.Second)
	_, err = delivery.LeaseStream(b.ctx, b.DB, s.ID)
	require.ErrorIs(t, err, pg.ErrConflict, "it is not stale yet")
	require.NoError(t, delivery.RenewStream(b.ctx, b.DB, s))
	b.age(s.ID, delivery.StreamStaleAfter-time.Second)
	_, err = delivery.LeaseStream(b.ctx, b.DB, s.ID)
	require.ErrorIs(t, err, pg.ErrConflict, "a renewal counts from now on")

	b.age(s.ID, time.Second+time.Millisecond)
	lease, err := delivery.LeaseStream(b.ctx, b.DB, s.ID)
	require.NoError(t, err)
	require.Greater(t, lease, s.Lease)
	batch := b.streamBatch(s.ID, 1)
	s.Finished = []uuid.UUID{batch.ID}
	require.ErrorIs(t, delivery.RenewStream(b.ctx, b.DB, s), pg.ErrConflict, "the former owner has lost it")
	left, err := delivery.StreamBatches(b.ctx, b.DB, s.ID, 0)
	require.NoError(t, err)
	require.Len(t, left, 1, "and deletes nothing")

	require.NoError(t, delivery.RenewStream(b.ctx, b.DB, delivery.StreamRenewal{ID: s.ID, Lease: lease, End: true}))
	_, err = delivery.LeaseStream(b.ctx, b.DB, s.ID)
	require.NoError(t, err, "an ended stream has no owner")
	require.ErrorIs(t, delivery.RenewStream(b.ctx, b.DB, delivery.StreamRenewal{ID: pg.NewID(), Lease: 1}), pg.ErrConflict)
}

func TestBatchesOfAStream(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s, other := b.stream(), b.stream()
	done, open, others := b.streamBatch(s.ID, 2), b.streamBatch(s.ID, 1), b.streamBatch(other.ID, 1)
	s.Finished = []uuid.UUID{done.ID}
	require.NoError(t, delivery.RenewStream(b.ctx, b.DB, s))
	batches := func(stream uuid.UUID, age time.Duration) (ids []uuid.UUID) {
		found, err := delivery.StreamBatches(b.ctx, b.DB, stream, age)
		require.NoError(t, err)
		for _, f := range found {
			ids = append(append(ids, f.ID), f.Deliveries...)
		}
		return ids
	}
	require.Equal(t, append([]uuid.UUID{open.ID}, open.Deliveries...), batches(s.ID, 0))
	require.Equal(t, append([]uuid.UUID{others.ID}, others.Deliveries...), batches(other.ID, 0))
	require.Empty(t, batches(s.ID, time.Minute), "it is younger")
}

// TestBatchesOfALostStreamAreStale: the reconciler leaves a batch to its stream while a worker renews it, or Temporal
// may still give it to another one.
func TestBatchesOfALostStreamAreStale(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.stream()
	batch := b.streamBatch(s.ID, 1)
	settled := false
	stale := func() (ids []uuid.UUID) {
		_, err := b.ExecContext(b.ctx, "UPDATE delivery_batches SET checked_at = now() - interval '1 hour'")
		require.NoError(t, err)
		found, err := delivery.StaleBatches(b.ctx, b.DB, time.Second, 10, settled)
		require.NoError(t, err)
		for _, f := range found {
			ids = append(ids, f.ID)
		}
		return ids
	}
	require.Empty(t, stale())
	b.age(s.ID, 29*time.Second)
	require.Empty(t, stale())
	b.age(s.ID, time.Second)
	require.Empty(t, stale(), "nor was it renewed while the database was unavailable")
	settled = true
	require.Equal(t, []uuid.UUID{batch.ID}, stale())
	_, err := b.ExecContext(b.ctx, "DELETE FROM delivery_streams")
	require.NoError(t, err)
	require.Equal(t, []uuid.UUID{batch.ID}, stale(), "a stream without a row is lost")
}

func TestResendStream(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.stream()
	batch := b.streamBatch(s.ID, 5)
	const workflow = "stream:test"
	set := func(i int, status delivery.Status, by string) {
		_, err := b.ExecContext(b.ctx, "UPDATE deliveries SET status = ?, attempts = 1 WHERE id = ?",
			status, batch.Deliveries[i])
		require.NoError(t, err)
		_, err = b.ExecContext(b.ctx, `INSERT INTO attempts
			(delivery_id, run_id, attempt, generation, workflow_id, started_at, duration_ms, outcome)
			VALUES (?, ?, 1, 0, ?, now(), 1, 'retry')`, batch.Deliveries[i], uuid.New(), by)
		require.NoError(t, err)
	}
	set(0, delivery.Succeeded, workflow)
	set(1, delivery.Succeeded, "stream:another")
	set(2, delivery.Canceled, workflow)
	set(3, delivery.Succeeded, workflow)
	set(4, delivery.Failed, workflow)
	resend := func(after uuid.UUID, limit int) (uuid.UUID, int) {
		last, n, err := delivery.ResendStream(b.ctx, b.DB, s.ID, workflow, after, limit)
		require.NoError(t, err)
		return last, n
	}
	_, n := resend(uuid.Nil, 2)
	require.Zero(t, n, "the range of its deliveries is not known yet")
	s.First, s.Last = batch.Deliveries[0], batch.Deliveries[3]
	require.NoError(t, delivery.RenewStream(b.ctx, b.DB, s))
	s.First, s.Last = batch.Deliveries[2], batch.Deliveries[4]
	require.NoError(t, delivery.RenewStream(b.ctx, b.DB, s), "the range only grows")
	s.First, s.Last = uuid.Nil, uuid.Nil
	require.NoError(t, delivery.RenewStream(b.ctx, b.DB, s), "also when nothing was given since")

	last, n := resend(uuid.Nil, 2)
	require.Equal(t, 2, n)
	require.Equal(t, batch.Deliveries[3], last)
	last, n = resend(last, 2)
	require.Equal(t, 1, n, "no more are left")
	require.Equal(t, batch.Deliveries[4], last)
	_, err := b.ExecContext(b.ctx, "UPDATE deliveries SET status = 'succeeded' WHERE status = 'pending'")
	require.NoError(t, err)
	_, n = resend(uuid.Nil, 10)
	require.Zero(t, n, "what was sent again is not sent a third time when the activity is retried")
	_, err = b.ExecContext(b.ctx, "UPDATE deliveries SET status = 'pending' WHERE generation = 1")
	require.NoError(t, err)
	queued := map[uuid.UUID]int{}
	for _, q := range b.take() {
		queued[q.DeliveryID] = q.Generation
	}
	require.Equal(t, map[uuid.UUID]int{batch.Deliveries[0]: 1, batch.Deliveries[3]: 1, batch.Deliveries[4]: 1}, queued)
}

func TestDropStreams(t *testing.T) {
	t.Parallel()
	b := setup(t)
	old, young, used := b.stream(), b.stream(), b.stream()
	b.age(old.ID, time.Hour)
	b.age(used.ID, time.Hour)
	b.streamBatch(used.ID, 1)
	require.NoError(t, delivery.DropStreams(b.ctx, b, time.Now().Add(-time.Minute)))
	var left []uuid.UUID
	require.NoError(t, b.NewRaw("SELECT id FROM delivery_streams ORDER BY id").Scan(b.ctx, &left))
	require.Equal(t, []uuid.UUID{young.ID, used.ID}, left, "one with a batch is still needed")
}
