package e2e_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/devstack"
)

// listenUntil starts a receiver that responds after some time. The channel is closed at its n-th POST.
func listenUntil(t *testing.T, n int, takes time.Duration) (*receiver, <-chan struct{}) {
	t.Helper()
	come := make(chan struct{})
	var once sync.Once
	return listen(t, func(i int, _ received) (int, http.Header) {
		if i >= n {
			once.Do(func() { close(come) })
		}
		time.Sleep(takes)
		return http.StatusOK, nil
	}), come
}

// await waits for the channel of listenUntil.
func await(t *testing.T, come <-chan struct{}) {
	t.Helper()
	select {
	case <-come:
	case <-time.After(wait):
		t.Fatal("too few arrived")
	}
}

func TestWorkerKilledInTheMiddleOfBatchesLosesNothing(t *testing.T) {
	const total = 2000
	// Attempts that were sent but not recorded: a group of 200 being written, another waiting, and those in the endpoint's
	// 10 places. There are that many only if the database is much slower than the receiver.
	const most = 2*200 + 10
	s := prepare(t, inBatches)
	s.serve()
	r, come := listenUntil(t, total/3, time.Millisecond)
	w := s.webhook(r, "instaview", 5)
	s.publishAtOnce("interview.started", total)
	worker := s.process()
	await(t, come)
	require.NoError(t, worker.Process.Kill())
	_ = worker.Wait()
	require.Positive(t, s.batchesUnderWay(), "a batch was interrupted")
	require.Less(t, s.statuses(w["id"])["succeeded"], total)

	s.process()
	restarted := time.Now()
	s.eventually(
		func() bool { return s.statuses(w["id"])["succeeded"] == total },
		"all are delivered: %v",
		s.statuses(w["id"]),
	)
	deliveries, extra := r.acceptedOnce()
	require.Equal(t, total, deliveries)
	last := r.all()[r.count()-1].At.Sub(restarted)
	t.Logf("%d of %d arrived twice, the last %v after the restart", extra, total, last)
	require.LessOrEqual(t, extra, most)
	require.Less(t, last, 15*time.Second)
	s.eventually(func() bool { return s.batchesUnderWay() == 0 }, "no batch is left over")
}

func TestPostgresKilledInTheMiddleOfBatchesLosesNothing(t *testing.T) {
	const total = 1000
	s := prepare(t, inBatches)
	postgres, err := devstack.StartPostgres(t.Context(), devstack.PostgresOptions{Dir: openDir(t)})
	require.NoError(t, err)
	t.Cleanup(func() { _ = postgres.Stop(context.Background()) })
	s.useDatabase(postgres.URL())
	s.serve()
	r, come := listenUntil(t, total/3, time.Millisecond)
	w := s.webhook(r, "instaview", 5)
	s.work()
	s.publishAtOnce("interview.started", total)
	await(t, come)
	postgres.Kill()
	require.NoError(t, postgres.Start(t.Context()))
	s.forgetConnections()
	s.eventually(
		func() bool { return s.statuses(w["id"])["succeeded"] == total },
		"all are delivered: %v",
		s.statuses(w["id"]),
	)
	deliveries, extra := r.acceptedOnce()
	require.Equal(t, total, deliveries)
	t.Logf("%d of %d arrived twice", extra, total)
	for _, d := range s.delivered(w["id"]) {
		require.Positive(t, d.Attempts)
	}
	s.eventually(func() bool { return s.batchesUnderWay() == 0 }, "no batch is left over")
}

func TestBatchesWaitWhileAPIAndTemporalAreStopped(t *testing.T) {
	const total = 300
	s := prepare(t, inBatches)
	temporal := s.ownTemporal()
	stopAPI := s.serve()
	s.work()
	r := listen(t, nil)
	w := s.webhook(r, "instaview", 5)
	s.publish("interview.started", 1)
	s.eventually(func() bool { return s.statuses(w["id"])["succeeded"] == 1 }, "it works with Temporal")

	require.NoError(t, temporal.Stop(t.Context()))
	s.publishAtOnce("interview.started", total)
	stopAPI()
	require.Equal(t, total, s.statuses(w["id"])["pending"], "accepted and kept")
	require.NoError(t, temporal.Start(t.Context()))
	s.serve()
	s.eventually(func() bool { return s.statuses(w["id"])["succeeded"] == total+1 }, "delivered once both are back")
	deliveries, extra := r.acceptedOnce()
	require.Equal(t, total+1, deliveries)
	require.Zero(t, extra)
	require.Equal(t, total+1, r.count())
}
