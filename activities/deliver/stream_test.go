package deliver_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/activities/deliver"
	"greenroom/activities/inflight"
	"greenroom/db/catalog"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// open opens a stream of this process.
func (s *attempting) open() (*deliver.Stream, uuid.UUID) {
	s.t.Helper()
	s.Streams = new(deliver.Streams)
	id := pg.NewID()
	st, err := deliver.OpenStream(s.t.Context(), s.Activities, id, uuid.New())
	require.NoError(s.t, err)
	return st, id
}

// give publishes n events, takes their deliveries as the dispatcher does, and commits them as a batch of the stream,
// after which the caller hands it over.
func (s *attempting) give(n int) (part *deliver.StreamPart, batch uuid.UUID) {
	s.t.Helper()
	err := pg.InTx(s.t.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		for range n {
			e := &delivery.Event{CompanyID: &s.company, Type: catalog.InterviewStarted, Data: []byte(`{"z":1, "a":"ü"}`)}
			if _, err := delivery.RecordEvent(ctx, tx, e); err != nil {
				return err
			}
		}
		t, err := delivery.TakeDeliveries(ctx, tx, delivery.TakeOptions{Limit: 1000, PerFlow: 1000, PerFailing: 1000})
		if err != nil {
			return err
		}
		parts, rest, _ := s.Streams.Split(t.Ready)
		require.Empty(s.t, rest)
		require.Len(s.t, parts, 1)
		part = parts[0]
		b := delivery.Batch{ID: pg.NewID(), Stream: uuid.NullUUID{UUID: part.ID(), Valid: true}}
		for _, q := range part.Deliveries {
			b.Deliveries = append(b.Deliveries, q.DeliveryID)
		}
		batch = b.ID
		return delivery.AddBatch(ctx, tx, b)
	})
	require.NoError(s.t, err)
	return part, batch
}

func (s *attempting) settle(st *deliver.Stream) {
	s.t.Helper()
	require.Eventually(s.t, func() bool { return !st.Busy() }, 30*time.Second, time.Millisecond)
}

const (
	batches   = "SELECT count(*) FROM delivery_batches"
	queue     = "SELECT count(*) FROM delivery_queue"
	succeeded = "SELECT count(*) FROM deliveries WHERE status = 'succeeded'"
)

func TestStreamAttemptsWhatItIsGiven(t *testing.T) {
	s := setupAttempt(t)
	st, id := s.open()
	for range 3 {
		part, batch := s.give(4)
		part.Attempt(batch)
	}
	s.settle(st)
	require.EqualValues(t, 12, s.posts.Load())
	require.Equal(t, 12, s.number(succeeded))
	require.Equal(t, deliver.BatchResult{Succeeded: 12}, totals(st.Counts()))
	require.Equal(t, 12, s.number("SELECT count(*) FROM deliveries WHERE workflow_id = ?", "stream:"+id.String()))
	require.Equal(t, 3, s.number(batches), "finished batches go with the next renewal")
	st.Renew(t.Context(), 0)
	require.Zero(t, s.number(batches))
	s.settle(st)
	require.EqualValues(t, 12, s.posts.Load(), "nothing is sent again")
}

// TestStreamFindsItsOrphans: the commit succeeded, and its answer was lost.
func TestStreamFindsItsOrphans(t *testing.T) {
	s := setupAttempt(t)
	st, _ := s.open()
	part, _ := s.give(3)
	part.Drop()
	st.Renew(t.Context(), time.Minute)
	s.settle(st)
	require.Zero(t, s.posts.Load(), "a young batch may still be handed over")
	st.Renew(t.Context(), 0)
	s.settle(st)
	require.Equal(t, 3, s.number(succeeded))
	st.Renew(t.Context(), 0)
	require.Zero(t, s.number(batches))
}

// TestStreamAttemptsALateHandOverOnce: the dispatcher was held up between its commit and the hand-over, and the stream
// has found the batch as an orphan.
func TestStreamAttemptsALateHandOverOnce(t *testing.T) {
	s := setupAttempt(t)
	st, _ := s.open()
	part, batch := s.give(3)
	part.Age(time.Minute)
	st.Renew(t.Context(), 0)
	require.Eventually(t, func() bool { return s.number(succeeded) == 3 }, 20*time.Second, 5*time.Millisecond)
	part.Attempt(batch)
	s.settle(st)
	require.EqualValues(t, 3, s.posts.Load())

	late, _ := s.give(2) // before it is found
	late.Age(time.Minute)
	late.Attempt(pg.NewID())
	s.settle(st)
	require.EqualValues(t, 3, s.posts.Load())
	st.Renew(t.Context(), 0)
	s.settle(st)
	require.EqualValues(t, 5, s.posts.Load())
}

func TestStreamContinuesFailuresInTheirOwnWorkflows(t *testing.T) {
	s := setupAttempt(t)
	s.answer = func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) }
	st, _ := s.open()
	part, batch := s.give(2)
	part.Attempt(batch)
	s.settle(st)
	require.Equal(t, 2, s.number(queue+" WHERE attempt = 2"))
	require.Equal(t, deliver.BatchResult{Failed: 2}, totals(st.Counts()))
	require.Len(t, st.Counts().FailedDeliveries, 2)
}

// TestStreamThatMayBeTakenOverBeginsNothing: another worker may have it, and attempts the batch.
func TestStreamThatMayBeTakenOverBeginsNothing(t *testing.T) {
	s := setupAttempt(t)
	st, _ := s.open()
	part, batch := s.give(3)
	st.Lapse(delivery.StreamRenewWithin)
	part.Attempt(batch)
	s.settle(st)
	require.Zero(t, s.posts.Load())
	require.Equal(t, 1, s.number(batches), "the batch is there for its next owner")
	require.Zero(t, s.number(queue))

	st.Renew(t.Context(), 0)
	s.settle(st)
	require.Equal(t, 3, s.number(succeeded), "nobody took it, so it continues")
}

func TestStreamTakenOverAttemptsNothingAnyMore(t *testing.T) {
	s := setupAttempt(t)
	st, id := s.open()
	part, batch := s.give(3)
	s.exec("UPDATE delivery_streams SET lease = lease + 1 WHERE id = ?", id)
	st.Renew(t.Context(), time.Hour)
	part.Attempt(batch)
	s.settle(st)
	require.Zero(t, s.posts.Load())
	require.Equal(t, 1, s.number(batches))
}

// TestClosedStreamGivesBackWhatItHasNotBegun: its worker stops. The attempts under way end.
func TestClosedStreamGivesBackWhatItHasNotBegun(t *testing.T) {
	s := setupAttempt(t)
	st, _ := s.open()
	begun, goOn := make(chan struct{}, 100), make(chan struct{})
	s.answer = func(http.ResponseWriter) {
		begun <- struct{}{}
		<-goOn
	}
	part, batch := s.give(15)
	part.Attempt(batch)
	for range 10 { // the endpoint's places
		<-begun
	}
	st.Close()
	require.Eventually(t, func() bool { return s.number(queue) == 5 }, 20*time.Second, 5*time.Millisecond)
	require.True(t, st.Busy(), "the others are under way")
	close(goOn)
	s.settle(st)
	require.Equal(t, 10, s.number(succeeded))
	require.EqualValues(t, 10, s.posts.Load())
	require.Equal(t, deliver.BatchResult{Succeeded: 10, Left: 5}, totals(st.Counts()))
}

// TestStreamGetsNoReplays: the record of the first attempt, by the same run, would count as the replay's.
func TestStreamGetsNoReplays(t *testing.T) {
	s := setupAttempt(t)
	st, _ := s.open()
	part, batch := s.give(1)
	id := part.Deliveries[0].DeliveryID
	part.Attempt(batch)
	s.settle(st)
	require.NoError(t, delivery.ResendDeliveries(t.Context(), s.DB, part.Deliveries))
	err := pg.InTx(t.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		taken, err := delivery.TakeDeliveries(ctx, tx, delivery.TakeOptions{Limit: 10, PerFlow: 10, PerFailing: 10})
		require.NoError(t, err)
		parts, rest, wanted := s.Streams.Split(taken.Ready)
		require.Empty(t, parts)
		require.False(t, wanted)
		require.Len(t, rest, 1)
		require.Equal(t, id, rest[0].DeliveryID)
		require.Equal(t, 1, rest[0].Generation)
		return err
	})
	require.NoError(t, err)
}

// TestStreamGivesBackReplaysOfItsOwn: the dispatcher took them for it and died before it gave them back.
func TestStreamGivesBackReplaysOfItsOwn(t *testing.T) {
	s := setupAttempt(t)
	st, id := s.open()
	part, batch := s.give(1)
	part.Attempt(batch)
	s.settle(st)
	st.Renew(t.Context(), 0)
	require.NoError(t, delivery.ResendDeliveries(t.Context(), s.DB, part.Deliveries))
	taken, others, err := delivery.TakeForStream(t.Context(), s.DB, delivery.TakeOptions{Limit: 10, PerFlow: 10},
		delivery.Batch{ID: pg.NewID(), Stream: uuid.NullUUID{UUID: id, Valid: true}})
	require.NoError(t, err)
	require.False(t, others)
	require.Equal(t, part.Deliveries[0].DeliveryID, taken.Ready[0].DeliveryID)
	part = s.Streams.Single()
	require.Equal(t, taken.Ready, part.Fill(taken.Ready), "the stream has recorded its first attempt")
	part.Drop()

	st.Renew(t.Context(), 0)
	s.settle(st)
	require.EqualValues(t, 1, s.posts.Load())
	require.Equal(t, 1, s.number(queue+" WHERE attempt = 1"))
	st.Renew(t.Context(), 0)
	require.Zero(t, s.number(batches))
}

// TestStreamSeesAChangedWebhook: a webhook that it knows is read again once its row has changed.
func TestStreamSeesAChangedWebhook(t *testing.T) {
	s := setupAttempt(t)
	st, _ := s.open()
	attempt := func() (path string) {
		t.Helper()
		part, batch := s.give(1)
		part.Attempt(batch)
		s.settle(st)
		return s.last.Load().URL.Path
	}
	require.Equal(t, "/", attempt())
	require.Equal(t, "/", attempt())
	s.exec("UPDATE webhooks SET url = url || '/moved'")
	require.Equal(t, "/moved", attempt())
}

// TestStreamLeavesABatchToItsNewOwner: it must not give back, or abandon, what another worker attempts.
func TestStreamLeavesABatchToItsNewOwner(t *testing.T) {
	s := setupAttempt(t)
	s.Endpoints = inflight.NewEndpoints(1, nil)
	st, _ := s.open()
	begun, end := make(chan struct{}, 10), make(chan struct{})
	s.answer = func(http.ResponseWriter) {
		begun <- struct{}{}
		<-end
	}
	part, batch := s.give(3)
	part.Attempt(batch)
	<-begun // the others wait for its place
	lease, err := delivery.LeaseBatch(t.Context(), s.DB, batch)
	require.NoError(t, err)
	require.Equal(t, 1, lease)
	st.Close()
	time.Sleep(100 * time.Millisecond) // it would give back
	close(end)
	s.settle(st)
	require.EqualValues(t, 1, s.posts.Load())
	require.Equal(t, 1, s.number(batches), "the batch is its new owner's")
	require.Zero(t, s.number(queue))
}

// TestStreamAbandonsABatchWithAFault: an attempt that cannot be recorded would be sent again with each try.
func TestStreamAbandonsABatchWithAFault(t *testing.T) {
	s := setupAttempt(t)
	st, _ := s.open()
	part, batch := s.give(3)
	s.refuseSuccess(part.Deliveries[1].DeliveryID)
	part.Attempt(batch)
	s.settle(st)
	require.EqualValues(t, 3, s.posts.Load())
	require.Equal(t, 2, s.number(succeeded))
	require.Zero(t, s.number(batches))
	require.Equal(t, 1, s.number(queue+" WHERE redo AND delivery_id = ?", part.Deliveries[1].DeliveryID),
		"it gets a workflow of its own")
	require.Equal(t, deliver.BatchResult{Succeeded: 2}, totals(st.Counts()))
	st.Renew(t.Context(), 0)
	s.settle(st)
	require.EqualValues(t, 3, s.posts.Load())
}

// TestStreamWaitsForTheDatabase: a batch whose rows cannot be read yet is attempted once they can.
func TestStreamWaitsForTheDatabase(t *testing.T) {
	s := setupAttempt(t)
	st, _ := s.open()
	part, batch := s.give(3)
	s.exec("ALTER TABLE events RENAME TO away")
	s.exec("CREATE VIEW events AS SELECT * FROM away WHERE pg_terminate_backend(pg_backend_pid())")
	part.Attempt(batch)
	s.settle(st)
	require.Zero(t, s.posts.Load())
	require.Equal(t, 1, s.number(batches))
	s.exec("DROP VIEW events")
	s.exec("ALTER TABLE away RENAME TO events")
	st.Renew(t.Context(), 0)
	s.settle(st)
	require.Equal(t, 3, s.number(succeeded))
}
