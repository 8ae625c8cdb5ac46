package api_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/db/delivery"
)

func TestDeliveryList(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one, two := b.newHook(0)["id"].(string), b.newHook(0, 1)["id"].(string)
	publish := func(eventType string) {
		b.do("POST", "/events", object{"type": eventType, "data": object{}}).is(202)
	}
	publish("analysis.completed") // to both
	time.Sleep(2 * time.Millisecond)
	between := time.Now()
	time.Sleep(2 * time.Millisecond)
	publish("analysis.failed") // to two alone
	list := func(query string) []object { return b.do("GET", "/deliveries?"+query, nil).items() }
	t.Run("newest_first", func(t *testing.T) {
		ds := list("")
		require.Len(t, ds, 3)
		require.Equal(t, "analysis.failed", ds[0]["eventType"])
		require.NotContains(t, ds[0], "attempts")
	})
	t.Run("filters", func(t *testing.T) {
		at := url.QueryEscape(between.Format(time.RFC3339Nano))
		for query, want := range map[string]int{
			"webhookId=" + one: 1, "webhookId=" + two: 2, "eventType=analysis.failed": 1, "eventType=ANALYSIS_COMPLETED": 2,
			"eventType=job.created": 0, "status=pending": 3, "status=failed": 0, "since=" + at: 1, "until=" + at: 2,
			"companyId=" + b.company.String(): 3, "companyId=" + b.other.String(): 0,
			"webhookId=" + two + "&eventType=analysis.completed&status=pending&until=" + at: 1,
		} {
			require.Len(t, list(query), want, query)
		}
	})
	t.Run("keyset_cursor_walks_everything_once", func(t *testing.T) {
		seen := map[any]bool{}
		query := "limit=2"
		for range 2 {
			got := b.do("GET", "/deliveries?"+query, nil).is(200)
			for _, d := range got["data"].([]any) {
				require.False(t, seen[d.(object)["id"]])
				seen[d.(object)["id"]] = true
			}
			if got["hasMore"] == false {
				require.Nil(t, got["nextCursor"])
				break
			}
			query = "limit=2&cursor=" + got["nextCursor"].(string)
			publish("analysis.failed") // deliveries that arrive between two pages move nothing
		}
		require.Len(t, seen, 3)
	})
	t.Run("bad_filters_are_named", func(t *testing.T) {
		for query, field := range map[string]string{
			"webhookId=x": "webhookId", "companyId=x": "companyId", "eventType=x": "eventType", "status=x": "status", "since=x": "since",
			"until=2024-01-01": "until", "cursor=x": "cursor", "limit=101": "limit",
			"since=2024-01-02T00:00:00Z&until=2024-01-01T00:00:00Z": "until",
		} {
			b.do("GET", "/deliveries?"+query, nil).fails(400, "VALIDATION_ERROR", field)
		}
	})
	t.Run("another_company_sees_none", func(t *testing.T) {
		require.Empty(t, b.as(b.otherKey, "GET", "/deliveries", nil).items())
	})
}

func TestDelivery(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hook := b.newHook(0)["id"].(string)
	b.do("POST", "/events", object{"type": "analysis.completed", "data": object{}}).is(202)
	path := "/deliveries/" + b.do("GET", "/deliveries", nil).items()[0]["id"].(string)
	t.Run("before_the_first_attempt", func(t *testing.T) {
		d := b.do("GET", path, nil).is(200)
		require.Nil(t, d["body"])
		require.Equal(t, []any{}, d["attempts"])
		require.Equal(t, object{
			"state":  "pending",
			"why":    "waiting for a worker to claim it",
			"next":   "attempt 1, as soon as a worker claims it",
			"nextAt": nil,
		}, d["explanation"])
		b.do("POST", path+"/retry", nil).fails(409, "INVALID_STATE")
	})
	t.Run("with_its_attempts_the_body_and_an_explanation", func(t *testing.T) {
		next := time.Now().Add(time.Minute).UTC()
		b.work(b.ctx, delivery.Attempt{
			Outcome:       delivery.OutcomeRetry,
			StatusCode:    ptr(503),
			DurationMS:    12,
			Response:      ptr("busy"),
			NextAttemptAt: &next,
			Error:         ptr("HTTP 503"),
		})
		d := b.do("GET", path, nil).is(200)
		require.Equal(t, object{"event": "ping"}, d["body"])
		at := next.Format("2006-01-02T15:04:05.000Z")
		attempt := d["attempts"].([]any)[0].(object)
		require.Equal(t, "busy", attempt["response"])
		require.EqualValues(t, 503, attempt["statusCode"])
		require.Equal(t, object{
			"state": "retrying", "why": "attempt 1 failed: HTTP 503", "next": "attempt 2 at " + at, "nextAt": at,
		}, d["explanation"])
		require.EqualValues(
			t,
			1,
			b.do("GET", "/webhooks/"+hook, nil).is(200)["consecutiveFailures"],
			"1.9: each failure counts",
		)
	})
	t.Run("retry_of_one_that_waits_wakes_it", func(t *testing.T) {
		b.do("POST", path+"/retry", nil).is(202)
		require.Equal(t, 1, b.count("commands"))
	})
	t.Run("retry_of_an_ended_one_starts_anew", func(t *testing.T) {
		_, err := b.ExecContext(b.ctx, "UPDATE deliveries SET status = 'failed'")
		require.NoError(t, err)
		d := b.do("POST", path+"/retry", nil).is(202)
		require.Equal(t, "pending", d["status"])
		require.EqualValues(t, 1, d["generation"])
		require.Contains(t, d["explanation"].(object)["why"], "sent again on request")
	})
	t.Run("scopes_of_webhooks_are_enough", func(t *testing.T) {
		key, _ := b.newKey(&b.company, "read:webhooks")
		b.as(key, "GET", path, nil).is(200)
		b.as(key, "POST", path+"/retry", nil).fails(403, "INSUFFICIENT_PERMISSIONS")
		key, _ = b.newKey(&b.company, "write:webhooks")
		b.as(key, "GET", path, nil).fails(403, "INSUFFICIENT_PERMISSIONS")
	})
	t.Run("foreign_and_unknown", func(t *testing.T) {
		b.as(b.otherKey, "GET", path, nil).fails(403, "RESOURCE_ACCESS_DENIED")
		b.as(b.otherKey, "POST", path+"/retry", nil).fails(403, "RESOURCE_ACCESS_DENIED")
		b.do("GET", "/deliveries/"+uuid.NewString(), nil).fails(404, "RESOURCE_NOT_FOUND")
		b.do("POST", "/deliveries/x/retry", nil).fails(404, "RESOURCE_NOT_FOUND")
	})
	t.Run("of_a_deleted_webhook_it_cannot_be_retried", func(t *testing.T) {
		require.Equal(t, 204, b.do("DELETE", "/webhooks/"+hook, nil).Status)
		require.Equal(t, "its webhook was deleted", b.do("GET", path, nil).is(200)["explanation"].(object)["why"])
		b.do("POST", path+"/retry", nil).fails(409, "INVALID_STATE")
		require.Len(t, b.do("GET", "/deliveries", nil).items(), 1, "its owner still sees it")
	})
}

// What the receiver of a platform's webhook answers is not a company's, though the event is.
func TestDeliveriesToPlatformWebhooksNeedAPlatformKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.as(b.platformKey, "POST", "/webhooks", object{"url": "https://platform.test/", "events": []int{0}}).is(201)
	mine := b.newHook(0)["id"]
	b.do("POST", "/events", object{"type": "analysis.completed", "data": object{}}).is(202)
	own := b.do("GET", "/deliveries", nil).items()
	require.Len(t, own, 1)
	require.Equal(t, mine, own[0]["webhookId"])
	all := b.as(b.platformKey, "GET", "/deliveries", nil).items()
	require.Len(t, all, 2)
	for _, d := range all {
		path := "/deliveries/" + d["id"].(string)
		b.as(b.platformKey, "GET", path, nil).is(200)
		if d["webhookId"] != mine {
			b.do("GET", path, nil).fails(403, "RESOURCE_ACCESS_DENIED")
			b.do("POST", path+"/retry", nil).fails(403, "RESOURCE_ACCESS_DENIED")
		}
	}
}
