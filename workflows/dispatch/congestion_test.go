package dispatch_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"greenroom/activities/inflight"
	"greenroom/workflows/dispatch"
)

// slowed is a client of an overloaded Temporal: each start takes a while, and those that late accepts are not answered
// in time.
type slowed struct {
	client.Client
	takes         time.Duration
	late          func(nth int32) bool
	starts        atomic.Int32
	now, together atomic.Int32 // calls under way, and the most that there were
}

func (s *slowed) ExecuteWorkflow(
	ctx context.Context,
	o client.StartWorkflowOptions,
	w any,
	args ...any,
) (client.WorkflowRun, error) {
	if now := s.now.Add(1); now > s.together.Load() {
		s.together.Store(now)
	}
	defer s.now.Add(-1)
	if s.late(s.starts.Add(1)) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	time.Sleep(s.takes)
	return s.Client.ExecuteWorkflow(ctx, o, w, args...)
}

func setupSlowed(t *testing.T, takes time.Duration, late func(nth int32) bool) (*batching, *slowed) {
	t.Helper()
	b := setup(t)
	s := &slowed{Client: b.client, takes: takes, late: late}
	b.options.Client, b.options.BatchAbove, b.options.Endpoints = s, 1, widened(b.hook.ID)
	return &batching{b, dispatch.New(b.options)}, s
}

// widened are Endpoints where an endpoint has some 250 places.
func widened(hook uuid.UUID) *inflight.Endpoints {
	e := inflight.NewEndpoints(1000, nil)
	var ids []uuid.UUID
	for len(ids) < 250 {
		for id := uuid.New(); e.Acquire(hook, id, time.Minute); id = uuid.New() {
			ids = append(ids, id)
		}
		for range ids { // as many attempts as are in flight add a place
			e.Finish(hook, uuid.New(), time.Millisecond, inflight.Accepted)
		}
	}
	for _, id := range ids {
		e.Release(hook, id, 0)
	}
	return e
}

// Retries of slow receivers start one by one. When Temporal is slow, the batch of the others does not wait for all. A
// start takes longer than a round has for all of them, so a round makes as many as there are calls at once.
func TestABatchDoesNotWaitForManySlowStarts(t *testing.T) {
	b, _ := setupSlowed(t, 1100*time.Millisecond, func(int32) bool { return false })
	ids := b.publishMany(210)
	_, err := b.db.ExecContext(t.Context(), `UPDATE delivery_queue SET attempt = 2 WHERE delivery_id <> ALL (
		SELECT delivery_id FROM delivery_queue ORDER BY delivery_id LIMIT 10)`)
	require.NoError(t, err)
	putBack := 0
	for b.queued() > 0 {
		began := time.Now()
		r := b.round()
		require.False(t, r.Unavailable, "slow is no reason to wait")
		require.Less(t, time.Since(began), 20*time.Second)
		putBack += r.Failed
		t.Logf("taken %d, put back %d in %s", r.Taken, r.Failed, time.Since(began))
	}
	require.NotZero(t, putBack, "what a round could not start in its time is put back")
	require.Len(t, b.batches(), 1)
	alone := 0
	for _, id := range ids {
		if b.run(id) != "" {
			alone++
		}
	}
	require.Equal(t, len(ids)-10, alone)
}

func TestLateStartsAreFollowedByFewerAtOnce(t *testing.T) {
	b, s := setupSlowed(t, 50*time.Millisecond, func(nth int32) bool { return nth == 100 })
	b.publishMany(200)
	_, err := b.db.ExecContext(t.Context(), "UPDATE delivery_queue SET attempt = 2")
	require.NoError(t, err)
	for s.starts.Load() < 100 {
		require.False(t, b.round().Unavailable, "Temporal answered others")
	}
	require.EqualValues(t, 32, s.together.Load())
	s.together.Store(0)
	b.round()
	require.LessOrEqual(t, s.together.Load(), int32(20))
	for b.queued() > 0 {
		b.round()
	}
}

// Workflows of retries that are not due yet are started a few at a time, those of others as Temporal can take them.
func TestRetriesForLaterAreStartedAFewAtATime(t *testing.T) {
	for name, tt := range map[string]struct {
		due string
		few bool
	}{
		"later": {"now() + interval '1 minute'", true},
		"soon":  {"now() + interval '900 ms'", false},
		"due":   {"NULL", false},
	} {
		t.Run(name, func(t *testing.T) {
			b, s := setupSlowed(t, 20*time.Millisecond, func(int32) bool { return false })
			b.publishMany(60)
			_, err := b.db.ExecContext(t.Context(), "UPDATE delivery_queue SET attempt = 2, single = true; "+
				"UPDATE deliveries SET status = 'retrying', next_attempt_at = "+tt.due)
			require.NoError(t, err)
			for b.queued() > 0 {
				b.round()
			}
			require.GreaterOrEqual(t, s.starts.Load(), int32(60))
			require.Equal(t, tt.few, s.together.Load() <= 2)
		})
	}
}
