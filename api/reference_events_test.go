package api_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db/delivery"
)

// TestReferenceEvents is the table of 1.8, with the payloads of §2.5 as they are recorded.
func TestReferenceEvents(t *testing.T) {
	calling := func(b *bundle, bodies ...object) object {
		b.t.Helper()
		i := b.made("/interviews", object{
			"candidateId": b.candidate()["id"], "jobId": b.job()["id"], "agentId": b.agent("PHONE")["id"],
		})
		for _, body := range bodies {
			require.Equal(
				b.t,
				http.StatusNoContent,
				b.as("", "POST", callbackPath("calls", uuid.MustParse(firstCall(i))), body).Status,
			)
		}
		return i
	}
	has := func(b *bundle, event string, i object, status string) object {
		b.t.Helper()
		data := b.lastEvent(event)
		want := map[string]any{
			"interviewId":   i["id"],
			"callAttemptId": firstCall(i),
			"candidateId":   i["candidateId"],
			"jobId":         i["jobId"],
			"status":        status,
		}
		for field, value := range want {
			require.Equal(b.t, value, data[field], "%s of %s", field, event)
		}
		return data
	}
	held := object{"status": "COMPLETED", "duration": 61, "transcript": []object{{"role": "agent", "content": "Why?"}}}
	rows := []row{
		{"1.8_suggested_subscriptions", func(b *bundle) {
			require.Len(b.t, b.newHook(3, 0)["events"], 2)
			require.Len(b.t, b.newHook(0, 1, 3, 4)["events"], 4)
			require.Len(b.t, b.newHook(0, 1, 2, 3, 4, 5)["events"], 6)
		}},
		{"1.8_interview_started_has_the_four_ids", func(b *bundle) {
			has(b, "interview.started", calling(b, object{"status": "IN_PROGRESS"}), "IN_PROGRESS")
		}},
		{"1.8_interview_completed_when_its_analysis_is_there", func(b *bundle) {
			i := calling(b, object{"status": "IN_PROGRESS"}, held)
			require.NotContains(b.t, b.events(), "interview.completed")
			b.made("/interviews/"+idOf(i)+"/analysis", fullAnalysis())
			has(b, "interview.completed", i, "COMPLETED")
		}},
		{"1.8_analysis_completed_has_the_four_ids_and_the_results", func(b *bundle) { // §2.5, the newer edition
			i := calling(b, object{"status": "IN_PROGRESS"}, held)
			b.made("/interviews/"+idOf(i)+"/analysis", fullAnalysis())
			data := has(b, "analysis.completed", i, "COMPLETED")
			require.Contains(b.t, fmt.Sprint(data), "85")
		}},
		{"1.8_analysis_failed_has_an_error_message", func(b *bundle) {
			i := calling(b, object{"status": "IN_PROGRESS"}, held)
			b.made("/interviews/"+idOf(i)+"/analysis", object{"error": "the recording is silent"})
			require.Equal(b.t, "the recording is silent", has(b, "analysis.failed", i, "COMPLETED")["errorMessage"])
		}},
		{"1.8_interview_failed_has_an_error_message", func(b *bundle) {
			i := calling(b, object{"status": "FAILED", "message": "the line broke"})
			require.Equal(b.t, "the line broke", has(b, "interview.failed", i, "FAILED")["errorMessage"])
		}},
		{"1.8_ping_is_a_connectivity_test_with_a_message", func(b *bundle) {
			b.worker(delivery.Attempt{Outcome: delivery.OutcomeSucceeded, StatusCode: ptr(200), DurationMS: 1})
			_, path := b.hook(object{"events": []int{2}})
			b.do("POST", path+"/test", nil).is(200)
			require.NotEmpty(b.t, b.lastEvent("ping")["message"])
			b.do("POST", "/events", object{"type": "ping", "data": object{}}).fails(400, "VALIDATION_ERROR", "type")
		}},
	}
	for id, label := range []string{
		"analysis.completed", "analysis.failed", "ping", "interview.completed", "interview.failed", "interview.started",
	} {
		rows = append(rows, row{fmt.Sprintf("1.8_%d_is_%s", id, label), func(b *bundle) {
			for _, name := range []any{id, label, strings.ToUpper(strings.ReplaceAll(label, ".", "_"))} { // §3.2
				require.Equal(b.t, []any{label}, b.newHook(name)["events"], "%v", name)
			}
		}})
	}
	holds(t, rows)
}

// TestReferenceCircuit is 1.9: its numbered statements in turn, with attempts recorded as a worker does.
func TestReferenceCircuit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, path := b.hook(object{"events": []int{5}})
	failed := delivery.Attempt{Outcome: delivery.OutcomeFailed, StatusCode: ptr(500), Error: ptr("HTTP 500")}
	fail := func() object {
		b.do("POST", "/events", object{"type": "interview.started", "data": object{}}).is(202)
		b.work(b.ctx, failed)
		return b.get(path)
	}
	t.Run("1.9_1_each_failed_delivery_raises_consecutiveFailures_by_one", func(t *testing.T) {
		for n := 1; n < 10; n++ {
			w := fail()
			require.EqualValues(t, n, w["consecutiveFailures"])
			require.Nil(t, w["circuitOpenedAt"])
		}
	})
	t.Run("1.9_2_at_the_threshold_circuitOpenedAt_is_set", func(t *testing.T) {
		w := fail()
		require.EqualValues(t, 10, w["consecutiveFailures"])
		opened := at(t, w["circuitOpenedAt"])
		require.WithinDuration(t, time.Now(), opened, time.Minute)
	})
	t.Run("1.9_3_while_open_no_delivery_is_attempted", func(t *testing.T) {
		require.EqualValues(t, 10, fail()["consecutiveFailures"])
		require.Equal(t, "paused", b.do("GET", "/deliveries", nil).items()[0]["status"])
	})
	t.Run("1.9_4_the_reset_alone_closes_it_and_answers_the_webhook", func(t *testing.T) {
		require.NotNil(t, b.do("PATCH", path, object{"isActive": true}).is(200)["circuitOpenedAt"])
		got := b.do("POST", path+"/reset-circuit", nil).is(200)
		require.Equal(t, true, got["isActive"])
		require.EqualValues(t, 0, got["consecutiveFailures"])
		require.Nil(t, got["circuitOpenedAt"])
		require.Equal(t, got, b.get(path))
	})
}

// TestReferenceTestAndDelete is 1.10 and 1.11.
func TestReferenceTestAndDelete(t *testing.T) {
	holds(t, []row{
		{"1.10_success", func(b *bundle) {
			b.worker(delivery.Attempt{Outcome: delivery.OutcomeSucceeded, StatusCode: ptr(200), DurationMS: 156})
			_, path := b.hook(object{"events": []int{2}})
			got := b.do("POST", path+"/test", nil).is(200)
			require.NoError(b.t, uuid.Validate(fmt.Sprint(got["deliveryId"])))
			delete(got, "deliveryId")
			require.Equal(
				b.t,
				object{"success": true, "httpStatus": 200.0, "durationMs": 156.0, "message": "Webhook test successful!"},
				got,
			)
		}},
		{"1.10_failure_has_the_reason_alone", func(b *bundle) {
			b.worker(
				delivery.Attempt{Outcome: delivery.OutcomeFailed, ErrorKind: ptr("timeout"), Error: ptr("Connection timeout")},
			)
			_, path := b.hook(object{"events": []int{2}})
			require.Equal(
				b.t,
				object{"success": false, "message": "Webhook test failed: Connection timeout"},
				b.do("POST", path+"/test", nil).is(200),
			)
		}},
		{"1.10_the_webhook_must_be_subscribed_to_ping", func(b *bundle) {
			_, path := b.hook(nil)
			require.Equal(b.t, object{
				"success": false,
				"message": "Webhook is not subscribed to ping events. Add event type 2 (ping) to the webhook configuration.",
			}, b.do("POST", path+"/test", nil).is(200))
		}},
		{"1.11_delete_is_204_and_what_is_pending_is_not_sent", func(b *bundle) {
			_, path := b.hook(object{"events": []int{5}})
			b.do("POST", "/events", object{"type": "interview.started", "data": object{}}).is(202)
			r := b.do("DELETE", path, nil)
			require.Equal(b.t, http.StatusNoContent, r.Status)
			require.Empty(b.t, r.Body)
			b.do("POST", "/events", object{"type": "interview.started", "data": object{}}).is(202)
			taken := b.take(b.ctx)
			require.Empty(b.t, taken.Ready)
			b.do("GET", path, nil).fails(404, "RESOURCE_NOT_FOUND")
			list := b.do("GET", "/deliveries", nil).items()
			require.Len(b.t, list, 1, "later events send nothing")
			require.Equal(b.t, "canceled", list[0]["status"])
		}},
	})
}

// take takes deliveries as a worker would.
func (b *bundle) take(ctx context.Context) (taken delivery.TakeResult) {
	b.t.Helper()
	b.tx(func(tx bun.Tx) (err error) {
		taken, err = delivery.TakeDeliveries(ctx, tx, delivery.TakeOptions{Limit: 100, PerFlow: 10, PerFailing: 10})
		return err
	})
	return taken
}
