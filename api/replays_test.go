package api_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/db/delivery"
)

func TestReplays(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hook := b.newHook(0, 1)["id"].(string)
	path := "/webhooks/" + hook + "/replays"
	hour := func(n int) string { return time.Now().Add(time.Duration(n) * time.Hour).UTC().Format(time.RFC3339) }
	t.Run("created_running_with_a_command_to_its_workflow", func(t *testing.T) {
		got := b.do("POST", path, object{"since": hour(-1), "until": hour(1), "status": []string{"failed", "canceled", "failed"}, "events": []any{0}}).
			is(202)
		require.Equal(t, "running", got["state"])
		require.Equal(t, []any{"canceled", "failed"}, got["status"])
		require.Equal(t, []any{"analysis.completed"}, got["events"])
		require.LessOrEqual(
			t,
			got["until"],
			time.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
			"what is made later is not part of it",
		)
		require.EqualValues(t, 0, got["replayed"])
		var kind delivery.CommandKind
		require.NoError(t, b.NewRaw("SELECT kind FROM commands WHERE subject_id = ?", got["id"]).Scan(b.ctx, &kind))
		require.Equal(t, delivery.ReplayChanged, kind)
		require.Equal(t, got, b.do("GET", path+"/"+got["id"].(string), nil).is(200))
		require.Len(t, b.do("GET", path, nil).items(), 1)
	})
	t.Run("a_dry_run_counts_and_starts_nothing", func(t *testing.T) {
		for range 2 {
			b.do("POST", "/events", object{"type": "analysis.completed", "data": object{}}).is(202)
		}
		_, err := b.ExecContext(b.ctx, "UPDATE deliveries SET status = 'failed' WHERE webhook_id = ?", hook)
		require.NoError(t, err)
		replays := len(b.do("GET", path, nil).items())
		got := b.do("POST", path, object{"since": hour(-1), "dryRun": true}).is(200)
		require.EqualValues(t, 2, got["matching"])
		require.EqualValues(t, 2, got["estimated"])
		require.Equal(t, true, got["isExact"])
		require.Nil(t, got["seconds"], "the pace is not configured here")
		require.EqualValues(
			t,
			0,
			b.do("POST", path, object{"since": hour(-1), "status": []string{"succeeded"}, "dryRun": true}).is(200)["matching"],
		)
		b.do("POST", path, object{"since": hour(1), "dryRun": true}).fails(400, "VALIDATION_ERROR", "since")
		require.Len(t, b.do("GET", path, nil).items(), replays)
	})
	t.Run("pause_resume_cancel", func(t *testing.T) {
		one := path + "/" + b.do("POST", path, object{"since": hour(-1)}).is(202)["id"].(string)
		require.Equal(t, []any{"failed"}, b.do("GET", one, nil).is(200)["status"], "the default")
		b.do("POST", one+"/resume", nil).fails(409, "INVALID_STATE")
		require.Equal(t, "paused", b.do("POST", one+"/pause", nil).is(200)["state"])
		require.Equal(t, "running", b.do("POST", one+"/resume", nil).is(200)["state"])
		require.Equal(t, "canceled", b.do("POST", one+"/cancel", nil).is(200)["state"])
		e := b.do("POST", one+"/pause", nil).fails(409, "INVALID_STATE").Error
		require.Equal(t, "canceled", e.Details["state"])
	})
	t.Run("bad_input_is_named", func(t *testing.T) {
		b.do("POST", path, object{}).fails(400, "MISSING_REQUIRED_FIELD", "since")
		for _, c := range []struct {
			field string
			body  object
		}{
			{"since", object{"since": "yesterday"}},
			{"since", object{"since": hour(1)}},
			{"since", object{"since": hour(-1), "until": hour(-2)}},
			{"status[1]", object{"since": hour(-1), "status": []string{"failed", "pending"}}},
			{"events", object{"since": hour(-1), "events": []any{77}}},
		} {
			b.do("POST", path, c.body).fails(400, "VALIDATION_ERROR", c.field)
		}
	})
	t.Run("foreign_and_unknown", func(t *testing.T) {
		one := path + "/" + b.do("POST", path, object{"since": hour(-1)}).is(202)["id"].(string)
		b.as(b.otherKey, "GET", one, nil).fails(403, "RESOURCE_ACCESS_DENIED")
		b.as(b.otherKey, "POST", one+"/cancel", nil).fails(403, "RESOURCE_ACCESS_DENIED")
		b.do("GET", path+"/"+uuid.NewString(), nil).fails(404, "RESOURCE_NOT_FOUND")
		other := "/webhooks/" + b.newHook(0)["id"].(string) + "/replays/" + one[len(path)+1:]
		b.do("GET", other, nil).fails(404, "RESOURCE_NOT_FOUND")

		id := one[len(path)+1:]
		require.Equal(t, b.get(one), b.get("/replays/"+id))
		b.as(b.otherKey, "GET", "/replays/"+id, nil).fails(403, "RESOURCE_ACCESS_DENIED")
		b.do("GET", "/replays/"+uuid.NewString(), nil).fails(404, "RESOURCE_NOT_FOUND")
		b.do("GET", "/replays/x", nil).fails(404, "RESOURCE_NOT_FOUND")
	})
}

func TestCatchUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hook := b.newHook(0)["id"].(string)
	path := "/webhooks/" + hook + "/catch-up"
	b.do("PATCH", "/webhooks/"+hook, object{"isActive": false}).is(200)
	for range 2 {
		b.publishes(b.key, object{}, "/events")
	}
	since := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	require.Eventually(t, func() bool { // transactions of other tests' databases may be open
		return b.do("POST", path, object{"since": since, "dryRun": true}).is(200)["deliveries"] == 2.0
	}, time.Minute, 10*time.Millisecond)
	b.do("POST", path, object{"since": since}).fails(409, "INVALID_STATE")
	b.do("PATCH", "/webhooks/"+hook, object{"isActive": true}).is(200)
	require.Empty(t, b.do("GET", "/webhooks/"+hook+"/replays", nil).items(), "nothing was left behind")
	started := b.do("POST", path, object{"since": since}).is(202)
	require.Equal(t, "catch-up", started["kind"])
	require.Equal(t, started, b.get("/webhooks/"+hook+"/replays/"+idOf(started)))
	require.Equal(t, "paused", b.do("POST", "/webhooks/"+hook+"/replays/"+idOf(started)+"/pause", nil).is(200)["state"])

	b.do("POST", path, object{}).fails(400, "MISSING_REQUIRED_FIELD", "since")
	b.do("POST", path, object{"since": "yesterday"}).fails(400, "VALIDATION_ERROR", "since")
	b.do("POST", path, object{"since": time.Now().Add(time.Hour)}).fails(400, "VALIDATION_ERROR", "since")
	b.do("POST", path, object{"since": since, "until": since}).fails(400, "VALIDATION_ERROR", "until")
	b.as(b.otherKey, "POST", path, object{"since": since}).fails(403, "RESOURCE_ACCESS_DENIED")
}
