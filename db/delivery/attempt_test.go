package delivery_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"greenroom/db/catalog"
	"greenroom/db/delivery"
)

// TestAttemptsBesideAnOpenCircuit covers attempts that were in flight when the circuit opened, and probes.
func TestAttemptsBesideAnOpenCircuit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	webhook := func() *delivery.Webhook {
		w, err := delivery.GetWebhook(b.ctx, b, b.hook.ID)
		require.NoError(t, err)
		return w
	}
	probe := func(r *delivery.AttemptRecord) { r.Probe = true }
	threshold := func(r *delivery.AttemptRecord) { r.Threshold = 3 }
	late, lateToo, probed, probedToo := b.lost(), b.lost(), b.lost(), b.lost()
	for i := range 3 {
		require.Equal(t, i == 2, b.attempt(b.lost(), delivery.OutcomeRetry, threshold), "failure %d", i+1)
	}
	opened := webhook().CircuitOpenedAt
	require.NotNil(t, opened)
	require.Len(t, b.commands(), 1)

	require.False(t, b.attempt(late, delivery.OutcomeRetry, threshold), "it is open already")
	require.Equal(t, opened, webhook().CircuitOpenedAt, "a further failure does not open it anew")
	require.Equal(t, 4, webhook().ConsecutiveFailures)
	b.attempt(lateToo, delivery.OutcomeSucceeded)
	require.Equal(t, opened, webhook().CircuitOpenedAt, "only a probe closes the circuit")
	require.Equal(t, 4, webhook().ConsecutiveFailures)
	b.attempt(probed, delivery.OutcomeRetry, threshold, probe)
	require.Equal(t, opened, webhook().CircuitOpenedAt, "a failed probe leaves it open")
	require.Empty(t, b.commands())

	before := time.Now().Add(-time.Minute)
	b.exec("UPDATE webhooks SET updated_at = ?", before)
	b.attempt(probedToo, delivery.OutcomeSucceeded, probe)
	require.Nil(t, webhook().CircuitOpenedAt)
	require.Zero(t, webhook().ConsecutiveFailures)
	require.True(t, webhook().UpdatedAt.After(before))
	cs := b.commands()
	require.Len(t, cs, 1, "the Circuit workflow releases what is paused")
	require.Equal(t, delivery.CircuitChanged, cs[0].Kind)
	require.Equal(t, b.hook.ID, cs[0].SubjectID)
}

func TestQueueAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(catalog.InterviewStarted)
	q := b.take()[0]
	queue := func(q delivery.QueuedDelivery) bool {
		queued, err := delivery.QueueAttempt(b.ctx, b.DB, q)
		require.NoError(t, err)
		return queued
	}
	require.False(t, queue(delivery.QueuedDelivery{DeliveryID: q.DeliveryID, Generation: 1, Attempt: 2}), "a former one")
	require.True(t, queue(delivery.QueuedDelivery{DeliveryID: q.DeliveryID, Attempt: 2, Probe: true}))
	require.True(t, queue(delivery.QueuedDelivery{DeliveryID: q.DeliveryID, Attempt: 2}), "once more changes nothing")
	queued := b.take()
	require.Len(t, queued, 1)
	require.Equal(t, 2, queued[0].Attempt)
	require.True(t, queued[0].Probe)
	require.True(t, queued[0].EnsureWorkflow, "its workflow is woken")
	b.exec("UPDATE deliveries SET status = 'succeeded'")
	require.False(t, queue(delivery.QueuedDelivery{DeliveryID: q.DeliveryID, Attempt: 2}), "it has ended")
}

func TestFailDelivery(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(catalog.InterviewStarted)
	q := b.take()[0]
	fail := func(f delivery.Failure) bool {
		f.DeliveryID, f.Reason, f.WorkflowID = q.DeliveryID, "the profile is unknown", "batch:1"
		ended, err := delivery.FailDelivery(b.ctx, b, f)
		require.NoError(t, err)
		return ended
	}
	require.False(t, fail(delivery.Failure{Generation: 1}), "of another generation")
	require.Equal(t, delivery.Pending, b.delivery(q.DeliveryID).Status)
	require.True(t, fail(delivery.Failure{NextWorkflowID: "delivery:1", Attempt: 1}))
	d := b.delivery(q.DeliveryID)
	require.Equal(t, delivery.Failed, d.Status)
	require.Equal(t, "the profile is unknown", *d.LastError)
	require.Equal(t, "delivery:1", *d.WorkflowID)
	queued := b.take()
	require.Len(t, queued, 1, "for its workflow, which shows the failure")
	require.Equal(t, 2, queued[0].Attempt)
	require.False(t, fail(delivery.Failure{}), "it has ended")

	b.exec("UPDATE deliveries SET status = 'retrying'")
	require.True(t, fail(delivery.Failure{Attempt: 2}))
	require.Equal(t, "batch:1", *b.delivery(q.DeliveryID).WorkflowID)
	require.Empty(t, b.take(), "without a next workflow nothing is queued")
}
