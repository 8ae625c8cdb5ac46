package api_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCancelDelivery(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.newHook(0)
	publish := func() string {
		b.do("POST", "/events", object{"type": "analysis.completed", "data": object{}}).is(202)
		return "/deliveries/" + idOf(b.do("GET", "/deliveries?limit=1", nil).items()[0])
	}
	state := func(path, status string) {
		_, err := b.ExecContext(b.ctx, "UPDATE deliveries SET status = ? WHERE id = ?", status, path[len("/deliveries/"):])
		require.NoError(t, err)
	}
	for _, status := range []string{"pending", "retrying", "paused"} {
		path := publish()
		state(path, status)
		d := b.do("POST", path+"/cancel", nil).is(200)
		require.Equal(t, "canceled", d["status"])
		require.Nil(t, d["nextAttemptAt"])
		require.Equal(t, "it was canceled", d["explanation"].(object)["why"])
		require.Contains(t, d["explanation"].(object)["next"], path+"/retry")
	}
	path := publish()
	for _, status := range []string{"succeeded", "failed", "canceled"} {
		state(path, status)
		got := b.do("POST", path+"/cancel", nil).fails(409, "INVALID_STATE")
		require.Equal(t, status, got.Error.Details["state"])
	}
	b.as(b.otherKey, "POST", path+"/cancel", nil).fails(403, "RESOURCE_ACCESS_DENIED")
	b.do("POST", "/deliveries/x/cancel", nil).fails(404, "RESOURCE_NOT_FOUND")
	reader, _ := b.newKey(&b.company, "read:deliveries", "read:webhooks")
	b.as(reader, "POST", path+"/cancel", nil).fails(403, "INSUFFICIENT_PERMISSIONS")
	writer, _ := b.newKey(&b.company, "write:webhooks")
	b.as(writer, "POST", path+"/cancel", nil).fails(409, "INVALID_STATE")
}

// A delivery that is held back by an open circuit has no workflow of its own: the circuit's is the one to look into.
func TestPausedDeliveryNamesTheCircuit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hook := idOf(b.newHook(0))
	b.do("POST", "/events", object{"type": "analysis.completed", "data": object{}}).is(202)
	set := func(query string) {
		_, err := b.ExecContext(b.ctx, query)
		require.NoError(t, err)
	}
	workflow := func() any {
		d := b.do("GET", "/deliveries", nil).items()[0]
		require.Equal(t, d["workflowId"], b.get("/deliveries/" + idOf(d))["workflowId"])
		return d["workflowId"]
	}
	set("UPDATE webhooks SET circuit_opened_at = now()")
	require.Nil(t, workflow(), "pending")
	set("UPDATE deliveries SET status = 'paused'")
	require.Equal(t, "circuit:"+hook, workflow())
	set("UPDATE deliveries SET workflow_id = 'delivery:x:0'")
	require.Equal(t, "delivery:x:0", workflow(), "it has its own")
	set("UPDATE deliveries SET workflow_id = NULL")
	set("UPDATE webhooks SET circuit_opened_at = NULL, is_active = false")
	require.Nil(t, workflow(), "only inactive")
}
