package api_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// worker takes deliveries as a worker would and records the same attempt for each. It ends with the test.
func (b *bundle) worker(a delivery.Attempt) {
	ctx, cancel := context.WithCancel(b.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			b.work(ctx, a)
			time.Sleep(5 * time.Millisecond)
		}
	}()
	b.t.Cleanup(func() { cancel(); <-done })
}

func (b *bundle) work(ctx context.Context, a delivery.Attempt) {
	var taken delivery.TakeResult
	err := pg.InTx(ctx, b, func(ctx context.Context, tx bun.Tx) (err error) {
		taken, err = delivery.TakeDeliveries(ctx, tx, delivery.TakeOptions{Limit: 100, PerFlow: 10, PerFailing: 10})
		return err
	})
	if err != nil && ctx.Err() == nil {
		b.t.Errorf("take: %v", err)
	}
	for _, q := range taken.Ready {
		a.DeliveryID, a.RunID, a.Attempt, a.Generation = q.DeliveryID, uuid.New(), q.Attempt, q.Generation
		a.WorkflowID, a.StartedAt = "delivery:"+q.DeliveryID.String(), time.Now()
		_, err := delivery.RecordAttempt(ctx, b, delivery.AttemptRecord{
			Attempt: a, WebhookID: q.WebhookID, Body: []byte(`{"event":"ping"}`), Counts: !q.IsTest, Threshold: 10,
		})
		if err != nil && ctx.Err() == nil {
			b.t.Errorf("record: %v", err)
		}
	}
}

func ptr[T any](v T) *T { return &v }

func TestWebhookTest(t *testing.T) {
	t.Parallel()
	ok := delivery.Attempt{Outcome: delivery.OutcomeSucceeded, StatusCode: ptr(200), DurationMS: 156}
	t.Run("1.10_success", func(t *testing.T) {
		b := setup(t)
		b.worker(ok)
		id := b.newHook(2)["id"].(string)
		got := b.do("POST", "/webhooks/"+id+"/test", nil).is(200)
		d := b.do("GET", "/deliveries/"+got["deliveryId"].(string), nil).is(200)
		require.Equal(t, true, d["isTest"])
		delete(got, "deliveryId")
		require.Equal(
			t,
			object{"success": true, "httpStatus": 200.0, "durationMs": 156.0, "message": "Webhook test successful!"},
			got,
		)
		e := b.do("GET", "/events/"+d["eventId"].(string), nil)
		require.Contains(t, string(e.Data), `"message":"This is a test ping from Greenroom"`)
		require.Contains(t, string(e.Data), id)
	})
	t.Run("1.10_failure_has_the_reason_and_nothing_else", func(t *testing.T) {
		b := setup(t)
		b.worker(
			delivery.Attempt{Outcome: delivery.OutcomeFailed, ErrorKind: ptr("timeout"), Error: ptr("Connection timeout")},
		)
		id := b.newHook(2)["id"].(string)
		got := b.do("POST", "/webhooks/"+id+"/test", nil).is(200)
		require.Equal(t, object{"success": false, "message": "Webhook test failed: Connection timeout"}, got)
		require.EqualValues(
			t,
			0,
			b.do("GET", "/webhooks/"+id, nil).is(200)["consecutiveFailures"],
			"a test does not move the circuit",
		)
	})
	t.Run("1.10_not_subscribed", func(t *testing.T) {
		b := setup(t)
		id := b.newHook(3, 0)["id"].(string)
		require.Equal(t, object{
			"success": false,
			"message": "Webhook is not subscribed to ping events. Add event type 2 (ping) to the webhook configuration.",
		}, b.do("POST", "/webhooks/"+id+"/test", nil).is(200))
		other := b.made("/webhooks", object{"url": hookURL, "profile": "standard", "events": []string{"job.created"}})
		require.Equal(t, object{
			"success": false,
			"message": "Webhook is not subscribed to ping events. Add the ping event to the webhook configuration.",
		}, b.do("POST", "/webhooks/"+idOf(other)+"/test", nil).is(200), "a profile whose events have no numbers (3.2)")
	})
	t.Run("2.4_disabled_or_open_creates_no_delivery", func(t *testing.T) {
		b := setup(t)
		id := b.newHook(2)["id"].(string)
		for _, state := range []string{"is_active = false", "is_active = true, circuit_opened_at = now()"} {
			_, err := b.ExecContext(b.ctx, "UPDATE webhooks SET ? WHERE id = ?", bun.Safe(state), id)
			require.NoError(t, err)
			got := b.do("POST", "/webhooks/"+id+"/test", nil).is(200)
			require.Equal(t, false, got["success"])
			require.Regexp(
				t,
				"^No delivery was created. This may indicate the webhook is disabled or circuit breaker is open",
				got["message"],
			)
		}
		require.Empty(t, b.do("GET", "/deliveries", nil).items())
	})
	t.Run("no_worker_takes_it_in_time", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		id := b.newHook(2)["id"].(string)
		_, err := b.ExecContext(b.ctx, "UPDATE webhooks SET timeout_ms = 100 WHERE id = ?", id)
		require.NoError(t, err)
		got := b.do("POST", "/webhooks/"+id+"/test", nil).is(200)
		require.Equal(
			t,
			object{"success": false, "message": "Webhook test failed: no worker took the delivery within 5.1 s"},
			got,
		)
	})
}

// TestWebhookClient walks through what the reference's JavaScript client relies on (§3.1), point by point.
func TestWebhookClient(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.worker(delivery.Attempt{Outcome: delivery.OutcomeSucceeded, StatusCode: ptr(204), DurationMS: 7})
	id := b.newHook(2, 3, 0)["id"].(string)
	t.Run("3.1.1_list_is_nested_and_needs_authorization_only", func(t *testing.T) {
		got := b.do("GET", "/webhooks", nil).is(200)
		require.IsType(t, []any{}, got["data"])
		require.EqualValues(t, 1, got["total"])
	})
	t.Run("3.1.2_list_items_have_what_callers_read", func(t *testing.T) {
		for _, k := range []string{"name", "id", "isActive", "consecutiveFailures", "circuitOpenedAt", "url"} {
			require.Contains(t, b.do("GET", "/webhooks", nil).items()[0], k)
		}
	})
	t.Run("3.1.3_create_has_id_and_secret_in_data", func(t *testing.T) {
		got := b.newHook(0)
		require.NotEmpty(t, got["id"])
		require.NotEmpty(t, got["signingSecret"])
	})
	t.Run("3.1.4_name_and_headers_are_optional", func(t *testing.T) {
		b.do("POST", "/webhooks", `{"url":"https://a.example/","events":[2,3,0]}`).is(201)
	})
	t.Run("3.1.5_update_answers_the_whole_envelope", func(t *testing.T) {
		r := b.do("PATCH", "/webhooks/"+id, object{"name": "n"})
		require.Equal(t, "n", r.is(200)["name"])
		require.True(t, r.Success)
	})
	t.Run("3.1.6_reset_without_body_and_content_type", func(t *testing.T) {
		require.Equal(t, true, b.do("POST", "/webhooks/"+id+"/reset-circuit", nil).is(200)["isActive"])
		b.do("POST", "/webhooks/"+id+"/reset-circuit", "not json", "Content-Type", "text/plain").is(200)
	})
	t.Run("3.1.7_test_without_body_and_content_type", func(t *testing.T) {
		got := b.do("POST", "/webhooks/"+id+"/test", nil).is(200)
		for _, k := range []string{"success", "deliveryId", "httpStatus", "durationMs", "message"} {
			require.Contains(t, got, k)
		}
	})
	t.Run("3.1.8_delete_is_exactly_204", func(t *testing.T) {
		require.Equal(t, 204, b.do("DELETE", "/webhooks/"+b.newHook(0)["id"].(string), nil).Status)
	})
	t.Run("3.1.9_setup_flow", func(t *testing.T) {
		made := b.do("POST", "/webhooks", object{"url": hookURL, "events": []int{2, 3, 0}}).is(201)
		path := "/webhooks/" + made["id"].(string)
		require.Equal(t, true, b.do("POST", path+"/test", nil).is(200)["success"], "testable at once, outcome in the answer")
		require.Equal(
			t,
			[]any{"interview.completed", "analysis.completed"},
			b.do("PATCH", path, object{"events": []int{3, 0}}).is(200)["events"],
		)
	})
	t.Run("3.1.10_failures_show_before_the_circuit_opens", func(t *testing.T) {
		_, err := b.ExecContext(b.ctx, "UPDATE webhooks SET consecutive_failures = 6 WHERE id = ?", id)
		require.NoError(t, err)
		got := b.do("GET", "/webhooks/"+id, nil).is(200)
		require.EqualValues(t, 6, got["consecutiveFailures"])
		require.Nil(t, got["circuitOpenedAt"])
	})
	t.Run("3.1.11_companyId_as_it_is_in_the_url", func(t *testing.T) {
		require.Empty(t, b.do("GET", "/webhooks?companyId="+b.company.String(), nil).items())
	})
	t.Run("3.1.12_inactive_and_open_are_separate_and_listed", func(t *testing.T) {
		state := func(set string) object {
			_, err := b.ExecContext(b.ctx, "UPDATE webhooks SET ? WHERE id = ?", bun.Safe(set), id)
			require.NoError(t, err)
			for _, w := range b.do("GET", "/webhooks", nil).items() {
				if w["id"] == id {
					return w
				}
			}
			t.Fatal("not listed")
			return nil
		}
		w := state("is_active = false, circuit_opened_at = NULL")
		require.Equal(t, false, w["isActive"])
		require.Nil(t, w["circuitOpenedAt"])
		w = state("is_active = true, circuit_opened_at = now()")
		require.Equal(t, true, w["isActive"])
		require.NotNil(t, w["circuitOpenedAt"])
	})
	t.Run("3.1.13_closed_circuit_is_json_null", func(t *testing.T) {
		b.do("POST", "/webhooks/"+id+"/reset-circuit", nil).is(200)
		require.Contains(t, string(b.do("GET", "/webhooks/"+id, nil).Body), `"circuitOpenedAt":null`)
	})
}
