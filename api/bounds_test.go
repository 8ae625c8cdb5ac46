package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/api"
	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/catalog"
)

func TestQuotas(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *api.Options) { o.Quota = surface.Quota{Webhooks: 3, EventTypes: 2, APIKeys: 4} })
	hook := func(n int) object {
		return object{"url": fmt.Sprintf("https://a.example/%d", n), "events": []string{"ping"}}
	}
	t.Run("webhooks_also_of_requests_at_once", func(t *testing.T) {
		statuses := make([]int, 8)
		var all sync.WaitGroup
		for i := range statuses {
			all.Go(func() { statuses[i] = b.Do("POST", "/webhooks", hook(i)).Status })
		}
		all.Wait()
		made := 0
		for _, status := range statuses {
			if status == http.StatusCreated {
				made++
			}
		}
		require.Equal(t, 3, made, "%v", statuses)
		e := b.do("POST", "/webhooks", hook(9)).fails(409, "QUOTA_EXCEEDED").Error
		require.Equal(t, "This company has the maximum of 3 webhooks", e.Message)
		require.Equal(t, object{"resource": "webhooks", "limit": 3.0}, object(e.Details))
	})
	t.Run("in_each_products_style", func(t *testing.T) {
		body := object{"url": "https://a.example/", "events": []string{"interview.completed"}}
		refused := b.Do("POST", "/api/app/webhooks", body).Is(409)["error"].(object)
		require.Equal(t, "QUOTA_EXCEEDED", refused["code"])
		settings := object{"webhooks": object{"start": object{"url": "https://a.example/"}}}
		require.Equal(t, object{
			"error": "limit_exceed", "message": "This company has the maximum of 3 webhooks",
		}, b.Do("POST", "/ai-interviews/settings/webhooks", settings).Is(403))
	})
	t.Run("a_deleted_webhook_makes_room", func(t *testing.T) {
		var list struct{ Data []struct{ ID string } }
		b.do("GET", "/webhooks", nil).into(200, &list)
		require.Equal(t, 204, b.do("DELETE", "/webhooks/"+list.Data[0].ID, nil).Status)
		require.Equal(t, 201, b.do("POST", "/webhooks", hook(9)).Status)
	})
	t.Run("another_company_has_its_own", func(t *testing.T) {
		require.Equal(t, 201, b.as(b.otherKey, "POST", "/webhooks", hook(1)).Status)
	})
	t.Run("event_types", func(t *testing.T) {
		body := func(n int) object { return object{"name": fmt.Sprintf("a.b%d", n), "schema": object{}} }
		require.Equal(t, 201, b.do("POST", "/event-types", body(1)).Status)
		require.Equal(t, 201, b.do("POST", "/event-types", body(2)).Status)
		b.do("POST", "/event-types", body(3)).fails(409, "QUOTA_EXCEEDED")
		require.Equal(t, 204, b.do("DELETE", "/event-types/a.b1", nil).Status)
		require.Equal(t, 201, b.do("POST", "/event-types", body(3)).Status)
	})
	t.Run("api_keys_that_can_be_used", func(t *testing.T) {
		body := object{"name": "k", "scopes": []string{"read:jobs"}}
		for range 3 { // the bundle has one
			require.Equal(t, 201, b.do("POST", "/api-keys", body).Status)
		}
		b.do("POST", "/api-keys", body).fails(409, "QUOTA_EXCEEDED")
		_, err := b.ExecContext(b.ctx, "UPDATE api_keys SET revoked_at = now() WHERE name = 'k'")
		require.NoError(t, err)
		require.Equal(t, 201, b.do("POST", "/api-keys", body).Status)
	})
}

func TestListsHavePages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	type page struct {
		Data              []object
		Total, TotalPages int
	}
	read := func(path string) (p page) {
		b.do("GET", path, nil).into(200, &p)
		return p
	}
	t.Run("webhooks", func(t *testing.T) {
		for i := range 5 {
			b.do("POST", "/webhooks", object{"url": fmt.Sprintf("https://a.example/%d", i), "events": []string{"ping"}})
		}
		require.Len(t, read("/webhooks").Data, 5, "the contract has no pages")
		second := read("/webhooks?page=2&limit=2")
		require.Equal(t, []int{5, 3}, []int{second.Total, second.TotalPages})
		require.Equal(t, "https://a.example/2", second.Data[0]["url"])
		require.Len(t, read("/webhooks?limit=4").Data, 4)
		b.do("GET", "/webhooks?limit=101", nil).fails(400, "VALIDATION_ERROR")
	})
	t.Run("versions_of_an_event_type", func(t *testing.T) {
		b.do("POST", "/event-types", object{"name": "a.b", "schema": object{}})
		for i := range db.MaxEventTypeVersions + 3 {
			body := object{"schema": object{"description": fmt.Sprint(i)}, "force": true}
			require.Equal(t, 200, b.do("PUT", "/event-types/a.b", body).Status)
		}
		first := read("/event-types/a.b/versions")
		require.Len(t, first.Data, 20)
		require.Equal(t, db.MaxEventTypeVersions, first.Total, "the oldest ones are deleted")
		require.EqualValues(t, db.MaxEventTypeVersions+4, first.Data[0]["version"])
		require.EqualValues(t, 5, read("/event-types/a.b/versions?page=5").Data[19]["version"])
		require.Empty(t, read("/event-types/ping/versions?page=2").Data)
	})
	t.Run("attempts_of_a_delivery", func(t *testing.T) {
		id := b.deliver(catalog.InterviewStarted)
		_, err := b.ExecContext(b.ctx, `INSERT INTO attempts (delivery_id, run_id, attempt, workflow_id, started_at,
			duration_ms, outcome, status_code) SELECT ?, gen_random_uuid(), n, 'w', now() + n * interval '1 s', 1, 'retry', 500
			FROM generate_series(1, 130) n`, id)
		require.NoError(t, err)
		var whole struct{ Attempts []object }
		b.do("GET", "/deliveries/"+id, nil).into(200, &whole)
		require.Len(t, whole.Attempts, 100)
		require.EqualValues(t, 31, whole.Attempts[0]["attempt"])
		require.EqualValues(t, 130, whole.Attempts[99]["attempt"])
		all := read("/deliveries/" + id + "/attempts?page=2&limit=100")
		require.Equal(t, 130, all.Total)
		require.Len(t, all.Data, 30)
		require.EqualValues(t, 30, all.Data[0]["attempt"])
	})
}

// deliver publishes an event to a webhook of its own and returns the id of its delivery.
func (b *bundle) deliver(eventType string) string {
	b.t.Helper()
	b.do("POST", "/webhooks", object{"url": "https://d.example/", "events": []string{eventType}})
	b.do("POST", "/events", object{"type": eventType, "data": object{}})
	var list struct{ Data []struct{ ID string } }
	b.do("GET", "/deliveries?limit=1", nil).into(200, &list)
	return list.Data[0].ID
}

func TestAnswersAreNotCached(t *testing.T) {
	t.Parallel()
	b := setup(t)
	company, err := db.GetCompany(b.ctx, b, b.company)
	require.NoError(t, err)
	for _, path := range []string{
		"/candidates", "/api/app/positions", "/ai-interviews/settings/general", "/companies", "/nothing", "/healthz",
		fmt.Sprintf("/api/v3/companies/%d/", company.Number),
	} {
		require.Equal(t, "no-store", b.Do("GET", path, nil).Header.Get("Cache-Control"), path)
		require.Equal(t, "no-store", b.As("", "GET", path, nil).Header.Get("Cache-Control"), path)
	}
}

func TestLinksWithoutAKeyAreLimitedByNetwork(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *api.Options) { o.PublicPerMinute = 3; o.TrustedProxies = []string{"192.0.2.1"} })
	get := func(path, address string) int {
		return b.As("", "GET", path, nil, "X-Forwarded-For", address).Status
	}
	links := []string{"/i/x", "/ai-interviews/shared/x", "/ai-interviews/shared/x/download", "/cfev3/register/x"}
	for i, path := range links[:3] {
		require.NotEqual(t, 429, get(path, fmt.Sprintf("2001:db8::%d", i)))
	}
	for _, path := range links {
		require.Equal(t, 429, get(path, "2001:db8::ffff"), "the /64 has used up its requests: "+path)
		require.Equal(t, 404, get(path, "2001:db8:0:1::"+fmt.Sprint(len(path))), path)
		if path == links[2] {
			break // this network too
		}
	}
	r := b.as("", "GET", "/i/x", nil, "X-Forwarded-For", "2001:db8::1")
	require.NotEmpty(t, r.Header.Get("Retry-After"))
	require.Equal(t, 200, b.do("GET", "/webhooks", nil, "X-Forwarded-For", "2001:db8::1").Status)
	require.Equal(t, 200, get("/healthz", "2001:db8::1"))
}

func TestTestsOfWebhooksAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var made struct{ ID string }
	b.do("POST", "/webhooks", object{"url": "https://a.example/", "events": []string{"ping"}}).into(201, &made)
	_, err := b.ExecContext(b.ctx, "UPDATE webhooks SET timeout_ms = 1") // a test waits for 5 s more
	require.NoError(t, err)
	statuses := make(chan int, 12)
	for range 12 {
		go func() { statuses <- b.Do("POST", "/webhooks/"+made.ID+"/test", nil).Status }()
	}
	count := map[int]int{}
	for range 12 {
		count[<-statuses]++
	}
	require.Equal(t, map[int]int{200: 10, 429: 2}, count)
}

func TestBodiesAreBoundedByRoute(t *testing.T) {
	t.Parallel()
	b := setup(t)
	long := func(kib int) string { return `{"x":"` + strings.Repeat("x", kib<<10) + `"}` }
	for path, kib := range map[string]int{"/api-keys": 64, "/jobs": 1024} {
		b.do("POST", path, long(kib)).fails(413, "PAYLOAD_TOO_LARGE")
		require.NotEqual(t, 413, b.do("POST", path, long(kib-1)).Status, path)
	}
	array := func(kib int) string { return "[" + strings.Repeat(" ", kib<<10-2) + "]" }
	require.Equal(t, 400, b.do("POST", "/events", array(4096)).Status, "the array is empty")
	b.do("POST", "/events", array(4097)).fails(413, "PAYLOAD_TOO_LARGE")
	r := b.As("", "POST", "/api/v3/api-token-auth/", long(16))
	require.Equal(t, "The body must be at most 16 KiB.", r.Is(413)["detail"])
}

func TestMetricsCanBeElsewhere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.Equal(t, 200, b.as("", "GET", "/metrics", nil).Status)
	b = setup(t, func(o *api.Options) { o.MetricsElsewhere = true })
	require.Equal(t, 404, b.As("", "GET", "/metricsx", nil).Status)
	rec := b.Handler.Of("/metrics")
	require.False(t, hasRoute(rec, "/metrics"))
	require.True(t, hasRoute(rec, "/healthz"))
}

func hasRoute(s *surface.Surface, path string) bool {
	for _, r := range s.Routes {
		if r.Path == path {
			return true
		}
	}
	return false
}
