package dispatch_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

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
	b.options.Client, b.options.BatchAbove, b.options.Endpoints = s, 1, inflight.NewEndpoints(1000, nil)
	return &batching{b, dispatch.New(b.options)}, s
}

// Retries of slow receivers start one by one. When Temporal is slow, the batch of the others does not wait for all.
func TestABatchDoesNotWaitForManySlowStarts(t *testing.T) {
	b, _ := setupSlowed(t, 800*time.Millisecond, func(int32) bool { return false })
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
