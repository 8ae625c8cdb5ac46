package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"

	"greenroom/activities/deliver"
	"greenroom/workflows"
)

func (d delivered) byStream() bool { return strings.HasPrefix(d.FirstAttemptBy, "stream:") }

// stream publishes two events, which makes a worker start a stream, and returns its workflow id once a worker has it.
func (s *system) stream() (workflowID string) {
	s.t.Helper()
	s.publishAtOnce("interview.started", 2)
	var id uuid.UUID
	s.eventually(func() bool {
		return s.db.NewRaw("SELECT id FROM delivery_streams WHERE ended_at IS NULL LIMIT 1").Scan(s.t.Context(), &id) == nil
	}, "a stream begins")
	return workflows.DeliverStreamWorkflowID(id)
}

// publishSteadily publishes n events, a few at a time.
func (s *system) publishSteadily(n int) {
	s.t.Helper()
	for ; n > 0; n -= 5 {
		s.publishAtOnce("interview.started", min(n, 5))
		time.Sleep(20 * time.Millisecond)
	}
}

// unrecorded bounds the attempts that a worker that does nothing any more had sent, or was about to send, and not
// recorded: another worker must send them again.
func (s *system) unrecorded(r *receiver, webhook any) int {
	s.t.Helper()
	time.Sleep(time.Second) // what was under way arrives
	return r.count() - s.statuses(webhook)["succeeded"] + s.cfg.Dispatch.MaxInFlightPerEndpoint
}

// arriveOnce waits until total deliveries succeeded, and requires that none was sent twice.
func (s *system) arriveOnce(r *receiver, webhook any, total int) {
	s.t.Helper()
	s.eventually(func() bool { return s.statuses(webhook)["succeeded"] == total }, "all are recorded")
	deliveries, extra := r.acceptedOnce()
	require.Equal(s.t, total, deliveries)
	require.Zero(s.t, extra)
	s.eventually(func() bool { return s.batchesUnderWay() == 0 }, "no batch is left over")
}

// TestDeliveriesAtARateGoThroughAStream also has its workflow found by a webhook while it runs, shown with counts when
// it has ended, and reset by an operator.
func TestDeliveriesAtARateGoThroughAStream(t *testing.T) {
	const total = 302
	s := setup(t, inBatches)
	r := listen(t, nil)
	w := s.webhook(r, "instaview", 5)
	id := s.stream()
	s.publishSteadily(total - 2)
	s.eventually(func() bool {
		n, err := s.temporal().CountWorkflow(t.Context(), &workflowservice.CountWorkflowExecutionsRequest{
			Namespace: "default", Query: "WorkflowType = 'DeliverStream' AND WebhookId = '" + w["id"].(string) + "'",
		})
		require.NoError(t, err)
		return n.Count > 0
	}, "the stream is found by its webhook")
	s.arriveOnce(r, w["id"], total)
	streamed := 0
	for _, d := range s.delivered(w["id"]) {
		require.Equal(t, 1, d.Attempts)
		require.Equal(t, d.WorkflowID, d.FirstAttemptBy)
		if d.WorkflowID == id {
			streamed++
		}
	}
	require.Greater(t, streamed, total*3/4, "the stream was used")

	var result deliver.StreamResult
	require.NoError(t, s.temporal().GetWorkflow(t.Context(), id, "").Get(t.Context(), &result), "an idle stream ends")
	require.Equal(t, streamed, result.Succeeded)
	require.Equal(t, streamed, result.ByWebhook[w["id"].(string)].Succeeded)
	s.record("DeliverStream-succeeds", id)

	s.resetToFirstTask(id)
	s.eventually(func() bool { return r.count() == total+streamed }, "what the stream sent arrives again")
	s.workflowEnds(id)
	for delivery, n := range r.posts() {
		require.LessOrEqual(t, n, 2, delivery)
	}
}

func TestADeliveryThatFailsInAStreamContinuesInItsOwnWorkflow(t *testing.T) {
	const total = 62
	s := setup(t, inBatches)
	r := listen(t, refuseSome(5))
	w := s.webhook(r, "instaview", 5)
	s.stream()
	s.publishSteadily(total - 2)
	s.arriveOnce(r, w["id"], total)
	failedInStream := false
	for _, d := range s.delivered(w["id"]) {
		if d.byStream() && d.Attempts == 2 {
			failedInStream = true
			require.Equal(t, workflows.DeliverWebhookWorkflowID(d.ID, 0), d.WorkflowID)
		}
	}
	require.True(t, failedInStream)
}

// TestAStreamBesideOtherKindsOfDeliveries: replays, tests, retries and deliveries with a rate limit come between those
// that the stream attempts, and none is lost or sent twice.
func TestAStreamBesideOtherKindsOfDeliveries(t *testing.T) {
	const first, second = 62, 120
	s := setup(t, inBatches)
	plain, limited, refuses := listen(t, nil), listen(t, nil), listen(t, refuseSome(10))
	w := s.webhook(plain, "instaview", 5, 2)
	id := s.stream()
	s.publishSteadily(first - 2)
	s.arriveOnce(plain, w["id"], first)
	l := s.must(http.MethodPost, "/webhooks", map[string]any{"url": limited.URL, "events": []any{5}, "rateLimit": 20})
	f := s.webhook(refuses, "instaview", 5)

	s.replay(w["id"])
	for range second / 20 {
		s.publishSteadily(20)
		tested := s.must(http.MethodPost, fmt.Sprintf("/webhooks/%s/test", w["id"]), nil)
		require.Equal(t, true, tested["success"], tested)
	}
	s.eventually(
		func() bool { return s.statuses(w["id"])["succeeded"] == first+second+second/20 },
		"the plain ones arrive",
	)
	s.eventually(func() bool { return plain.count() == 2*first+second+second/20 }, "and so do the replays")
	for delivery, n := range plain.posts() {
		require.LessOrEqual(t, n, 2, delivery)
	}
	s.arriveOnce(limited, l["id"], second)
	s.arriveOnce(refuses, f["id"], second)
	streamed := 0
	for _, d := range s.delivered(w["id"]) {
		if d.byStream() {
			streamed++
		}
	}
	require.Positive(t, streamed)
	s.workflowEnds(id)
}

// TestAStoppedWorkerGivesBackItsStream: what was not begun goes back to the queue before the worker ends.
func TestAStoppedWorkerGivesBackItsStream(t *testing.T) {
	const total = 402
	s := prepare(t, inBatches)
	s.serve()
	stop := s.work()
	r, come := listenUntil(t, 30, 50*time.Millisecond)
	w := s.webhook(r, "instaview", 5)
	id := s.stream()
	s.publishAtOnce("interview.started", total-2)
	await(t, come)
	stop()
	stopped := r.count()
	require.Less(t, stopped, total*3/4, "it stopped in the middle")
	require.Zero(t, s.batchesUnderWay(), "nothing waits for another worker to notice")
	s.work()
	s.arriveOnce(r, w["id"], total)
	require.Equal(t, total, r.count(), "none was sent twice")
	s.workflowEnds(id)
}

// TestOperatorsActOnAStream applies every operation to a stream that is used.
func TestOperatorsActOnAStream(t *testing.T) {
	const total = 162
	for _, op := range operations {
		t.Run(string(op), func(t *testing.T) {
			s := setup(t, inBatches)
			r := listen(t, nil)
			w := s.webhook(r, "instaview", 5)
			id := s.stream()
			s.publishSteadily(80)
			s.eventually(func() bool { return s.statuses(w["id"])["succeeded"] > 40 }, "it is used")
			o := &operated{system: s, op: op, c: s.temporal(), eventType: uuid.NewString()}
			o.mustOperate(id, "unknown", nil)
			s.publishSteadily(total - 82)
			s.eventually(func() bool { return s.statuses(w["id"])["succeeded"] == total }, "all arrive")
			if op == reset {
				s.eventually(func() bool { return r.count() > total }, "what it had sent arrives again")
				s.eventually(func() bool { return s.statuses(w["id"])["succeeded"] == total }, "and is recorded")
				for delivery, n := range r.posts() {
					require.LessOrEqual(t, n, 2, delivery)
				}
			} else {
				s.arriveOnce(r, w["id"], total)
			}
			if op == cancel || op == signal {
				require.True(t, o.runs(id), "it has no effect")
			}
		})
	}
}

// TestAStreamContinuesWhileTemporalIsStopped: first attempts need no Temporal.
func TestAStreamContinuesWhileTemporalIsStopped(t *testing.T) {
	const total = 102
	s := prepare(t, inBatches)
	temporal := s.ownTemporal()
	s.serve()
	s.work()
	r := listen(t, nil)
	w := s.webhook(r, "instaview", 5)
	s.stream()
	s.publishSteadily(20)
	require.NoError(t, temporal.Stop(t.Context()))
	s.publishSteadily(60)
	s.eventually(func() bool { return s.statuses(w["id"])["succeeded"] == 82 }, "they arrive without Temporal")
	require.NoError(t, temporal.Start(t.Context()))
	s.publishSteadily(total - 82)
	s.arriveOnce(r, w["id"], total)
}

// TestAStreamDoesNotWaitForTheWorkflowsOfOthers: while Temporal does not answer, deliveries that need a workflow of their
// own wait, and those of a stream do not wait for them.
func TestAStreamDoesNotWaitForTheWorkflowsOfOthers(t *testing.T) {
	s := prepare(t, inBatches)
	temporal := s.ownTemporal()
	s.serve()
	s.work()
	r, other := listen(t, nil), listen(t, nil)
	w, failing := s.webhook(r, "instaview", "interview.started"), s.webhook(other, "instaview", "interview.completed")
	s.stream()
	s.publishSteadily(20)
	_, err := s.db.NewRaw("UPDATE webhooks SET consecutive_failures = 1 WHERE id = ?", failing["id"]).Exec(t.Context())
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(temporal.PID(), syscall.SIGSTOP))
	published := time.Now()
	for range 5 {
		s.publishAtOnce("interview.completed", 2)
		s.publishSteadily(10)
	}
	s.eventually(func() bool { return s.statuses(w["id"])["succeeded"] == 72 }, "they arrive without Temporal")
	require.Less(t, time.Since(published), 4*time.Second, "a call that Temporal does not answer takes five")
	require.Zero(t, other.count())
	require.NoError(t, syscall.Kill(temporal.PID(), syscall.SIGCONT))
	s.arriveOnce(other, failing["id"], 10)
	s.arriveOnce(r, w["id"], 72)
}

// TestAFrozenWorkersStreamIsTakenOver also thaws the worker, which then must not attempt what it lost.
func TestAFrozenWorkersStreamIsTakenOver(t *testing.T) {
	const total = 302
	s := prepare(t, inBatches)
	s.serve()
	r, come := listenUntil(t, 60, 10*time.Millisecond)
	w := s.webhook(r, "instaview", 5)
	frozen := s.process()
	s.stream()
	s.publishAtOnce("interview.started", total-2)
	await(t, come)
	require.NoError(t, frozen.Process.Signal(syscall.SIGSTOP))
	require.Positive(t, s.batchesUnderWay(), "it was frozen in the middle")
	unrecorded := s.unrecorded(r, w["id"])
	s.process()
	s.eventually(func() bool { return s.statuses(w["id"])["succeeded"] == total }, "another worker continues")
	require.NoError(t, frozen.Process.Signal(syscall.SIGCONT))
	time.Sleep(3 * time.Second)
	deliveries, extra := r.acceptedOnce()
	require.Equal(t, total, deliveries)
	require.LessOrEqual(t, extra, unrecorded)
	s.eventually(func() bool { return s.batchesUnderWay() == 0 }, "no batch is left over")
}

// TestAStreamWithoutAWorkflowIsReconciled: its worker was killed and its workflow terminated.
func TestAStreamWithoutAWorkflowIsReconciled(t *testing.T) {
	const total = 302
	s := prepare(t, inBatches)
	s.serve()
	r, come := listenUntil(t, 60, 10*time.Millisecond)
	w := s.webhook(r, "instaview", 5)
	killed := s.process()
	id := s.stream()
	s.publishAtOnce("interview.started", total-2)
	await(t, come)
	require.NoError(t, killed.Process.Kill())
	_ = killed.Wait()
	require.Positive(t, s.batchesUnderWay())
	unrecorded := s.unrecorded(r, w["id"])
	s.terminate(id)
	s.process()
	s.eventually(func() bool { return s.statuses(w["id"])["succeeded"] == total }, "its deliveries get workflows")
	deliveries, extra := r.acceptedOnce()
	require.Equal(t, total, deliveries)
	require.LessOrEqual(t, extra, unrecorded)
	s.eventually(func() bool { return s.batchesUnderWay() == 0 }, "no batch is left over")
}
