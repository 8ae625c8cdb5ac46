package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"

	"greenroom/cmd/internal/config"
)

// dispatchModes are both ways of making first attempts, for tests of properties that must hold in either.
var dispatchModes = map[string]func(*config.Config){"a_workflow_each": eachAlone, "in_batches": inBatches}

// eachAlone gives each delivery its own workflow at any rate.
func eachAlone(c *config.Config) { c.Dispatch.BatchAbove = 0 }

// inBatches makes deliveries share a workflow from two on.
func inBatches(c *config.Config) { c.Dispatch.BatchAbove = 1 }

// publishAtOnce publishes n events in as few requests as possible, so that they wait together.
func (s *system) publishAtOnce(eventType string, n int) {
	s.t.Helper()
	for n > 0 {
		events := make([]map[string]any, min(n, 1000))
		for i := range events {
			events[i] = map[string]any{"type": eventType, "data": map[string]any{"n": n - i}}
		}
		answer := s.must(http.MethodPost, "/events", events)
		require.EqualValues(s.t, len(events), answer["accepted"])
		n -= len(events)
	}
}

// delivered is a delivery's row with the workflow of its first attempt.
type delivered struct {
	ID             uuid.UUID
	Status         string
	Attempts       int
	WorkflowID     string
	FirstAttemptBy string
}

func (d delivered) byBatch() bool { return strings.HasPrefix(d.FirstAttemptBy, "batch:") }

func (s *system) delivered(webhook any) (rows []delivered) {
	s.t.Helper()
	require.NoError(s.t, s.db.NewRaw(`SELECT d.id, d.status, d.attempts, COALESCE(d.workflow_id, '') AS workflow_id,
		COALESCE((SELECT a.workflow_id FROM attempts a WHERE a.delivery_id = d.id ORDER BY a.started_at LIMIT 1), '')
			AS first_attempt_by
		FROM deliveries d WHERE d.webhook_id = ? ORDER BY d.id`, webhook).Scan(s.t.Context(), &rows))
	return rows
}

// batchesUnderWay counts the unfinished batches.
func (s *system) batchesUnderWay() (n int) {
	s.t.Helper()
	require.NoError(s.t, s.db.NewRaw("SELECT count(*) FROM delivery_batches").Scan(s.t.Context(), &n))
	return n
}

// streams counts the streams that a worker has.
func (s *system) streams() (n int) {
	s.t.Helper()
	require.NoError(s.t, s.db.NewRaw("SELECT count(*) FROM delivery_streams WHERE ended_at IS NULL").
		Scan(s.t.Context(), &n))
	return n
}

// posts counts the POSTs by delivery, regardless of the response.
func (rc *receiver) posts() map[string]int {
	n := map[string]int{}
	for _, r := range rc.all() {
		n[r.ID()]++
	}
	return n
}

func TestManyAtOnceArriveOnceInBatches(t *testing.T) {
	const total = 500
	s := setup(t, inBatches)
	r := listen(t, nil)
	w := s.webhook(r, "instaview", 5)
	s.publishAtOnce("interview.started", total)
	s.eventually(func() bool { return s.statuses(w["id"])["succeeded"] == total }, "all are recorded")
	deliveries, extra := r.acceptedOnce()
	require.Equal(t, total, deliveries)
	require.Zero(t, extra)
	require.Equal(t, total, r.count())
	batched := 0
	for _, d := range s.delivered(w["id"]) {
		require.Equal(t, 1, d.Attempts)
		require.Equal(t, d.WorkflowID, d.FirstAttemptBy)
		if d.byBatch() || d.byStream() {
			batched++
		} else {
			require.Equal(t, fmt.Sprintf("delivery:%s:0", d.ID), d.WorkflowID)
		}
	}
	require.Greater(t, batched, total/2, "most shared a workflow")
	s.eventually(func() bool { return s.batchesUnderWay() == 0 }, "no batch is left over")
}

func TestADeliveryThatFailsInABatchContinuesInItsOwnWorkflow(t *testing.T) {
	const each = 60
	s := setup(t, inBatches)
	r := listen(t, refuseSome(5))
	w := s.webhook(r, "instaview", 5)
	failures := ""
	// On a slow machine a stream may begin before the batch, and attempt all of them.
	for total := each; failures == "" && total <= 5*each; total += each {
		s.eventually(func() bool { return s.streams() == 0 }, "no stream takes what is published now")
		s.publishAtOnce("interview.started", each)
		s.arriveOnce(r, w["id"], total)
		posts := r.posts()
		for _, d := range s.delivered(w["id"]) {
			require.Equal(t, d.Attempts, posts[d.ID.String()], "each POST is a recorded attempt")
			require.LessOrEqual(t, d.Attempts, 2)
			if d.Attempts == 2 && d.byBatch() {
				failures = d.FirstAttemptBy
				require.Equal(t, fmt.Sprintf("delivery:%s:0", d.ID), d.WorkflowID)
			}
		}
	}
	require.NotEmpty(t, failures, "a delivery of a batch failed")
	s.workflowEnds(failures)
	s.record("DeliverBatch-failures", failures)
}

func TestResetOfABatchSendsItAgain(t *testing.T) {
	const total = 8
	s := setup(t, inBatches)
	r := listen(t, nil)
	w := s.webhook(r, "instaview", 5)
	s.publishAtOnce("interview.started", total)
	s.eventually(func() bool { return s.statuses(w["id"])["succeeded"] == total }, "all arrive")
	batch := s.delivered(w["id"])[0].WorkflowID
	require.True(t, strings.HasPrefix(batch, "batch:"), batch)
	s.workflowEnds(batch)
	s.record("DeliverBatch-succeeds", batch)

	s.resetToFirstTask(batch)
	s.eventually(func() bool { return r.count() == 2*total }, "all arrive again")
	s.workflowEnds(batch)
	for id, n := range r.posts() {
		require.Equal(t, 2, n, id)
	}
	bodies := map[string]string{}
	for _, got := range r.all() {
		if first, seen := bodies[got.ID()]; seen {
			require.Equal(t, first, string(got.Raw), "the same bytes")
		}
		bodies[got.ID()] = string(got.Raw)
	}
	for _, d := range s.delivered(w["id"]) {
		require.Equal(t, "succeeded", d.Status)
		require.Equal(t, 2, d.Attempts, "both attempts are recorded")
	}
}

// resetToFirstTask does what an operator's Reset in Temporal's UI does.
func (s *system) resetToFirstTask(workflowID string) {
	s.t.Helper()
	c := s.temporal()
	events := c.GetWorkflowHistory(s.t.Context(), workflowID, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	first := int64(0)
	for first == 0 {
		e, err := events.Next()
		require.NoError(s.t, err)
		if e.EventType == enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED {
			first = e.EventId
		}
	}
	_, err := c.ResetWorkflowExecution(s.t.Context(), &workflowservice.ResetWorkflowExecutionRequest{
		Namespace: s.cfg.Temporal.Namespace, WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: workflowID},
		Reason: "send again", WorkflowTaskFinishEventId: first, RequestId: uuid.NewString(),
	})
	require.NoError(s.t, err)
}

func TestCircuitOpensInTheMiddleOfABatch(t *testing.T) {
	const total, good = 300, 60
	s := setup(t, inBatches, func(c *config.Config) { c.Circuit.ReleaseLimit = 1000 })
	r := listen(t, func(n int, _ received) (int, http.Header) {
		if n > good {
			return http.StatusInternalServerError, nil
		}
		return http.StatusOK, nil
	})
	w := s.webhook(r, "instaview", 5)
	s.publishAtOnce("interview.started", total)
	s.openCircuit(w["id"])
	s.eventually(func() bool {
		n := s.statuses(w["id"])
		return n["paused"]+n["succeeded"] == total
	}, "the rest comes to wait: %v", s.statuses(w["id"]))
	accepted, _ := r.acceptedOnce()
	// More attempts than the threshold can fail: those in flight when it was reached, in each mode, and those
	// recorded before the last concurrent success, which resets the count.
	failed, most := r.count()-accepted, s.cfg.Circuit.Threshold+3*s.cfg.Dispatch.MaxInFlightPerEndpoint
	require.LessOrEqual(t, failed, most, "an open circuit stops the batch")
	require.Less(t, accepted, total/2)

	sent := r.count()
	r.turn(nil)
	s.must(http.MethodPost, fmt.Sprintf("/webhooks/%s/reset-circuit", w["id"]), nil)
	s.eventually(func() bool { return s.statuses(w["id"])["succeeded"] == total }, "the rest is released")
	deliveries, extra := r.acceptedOnce()
	require.Equal(t, total, deliveries)
	require.Zero(t, extra)
	require.Equal(t, sent+total-accepted, r.count(), "nothing is sent twice")
}

func TestDeletingAWebhookStopsItsBatch(t *testing.T) {
	const total = 1000
	s := setup(t, inBatches)
	r, come := listenUntil(t, 100, 5*time.Millisecond) // slow, so that many deliveries are left to cancel
	w := s.webhook(r, "instaview", 5)
	s.publishAtOnce("interview.started", total)
	await(t, come)
	require.Equal(t, http.StatusNoContent, s.do(http.MethodDelete, fmt.Sprintf("/webhooks/%s", w["id"]), nil).Status)
	deleted := time.Now()
	s.eventually(func() bool {
		n := s.statuses(w["id"])
		return n["canceled"]+n["succeeded"] == total && s.batchesUnderWay() == 0
	}, "the batches end and the rest is canceled: %v", s.statuses(w["id"]))
	require.Greater(t, s.statuses(w["id"])["canceled"], total/4, "it was deleted in the middle")
	late := deleted.Add(100 * time.Millisecond)
	for _, got := range r.all() {
		require.False(t, got.At.After(late), "sent %v after the response", got.At.Sub(deleted))
	}
	posts := r.posts()
	for _, d := range s.delivered(w["id"]) {
		require.LessOrEqual(t, d.Attempts, 1)
		require.Equal(t, d.Attempts, posts[d.ID.String()], "each POST is a recorded attempt")
	}
}
