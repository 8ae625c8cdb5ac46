package api_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/db"
)

func (b *bundle) calls(interview object) []object {
	b.t.Helper()
	var out []object
	for _, c := range b.get("/interviews/" + idOf(interview))["callAttempts"].([]any) {
		out = append(out, c.(object))
	}
	return out
}

func TestInvokeCall(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.interview("PHONE")
	path := "/interviews/" + idOf(i) + "/call-attempts"
	t.Run("2.13_without_a_time_as_soon_as_possible", func(t *testing.T) {
		for n, body := range []any{nil, object{}, object{"scheduledAt": nil}} {
			got := b.do("POST", path, body).is(201)
			require.Equal(t, true, got["success"])
			require.Equal(t, "The call is made as soon as possible", got["message"])
			calls := b.calls(i)
			require.Len(t, calls, n+2)
			require.Equal(t, "CANCELLED", calls[n]["status"], "2.13: replaces the pending one")
			require.Equal(t, "SCHEDULED", calls[n+1]["status"])
			require.WithinDuration(t, time.Now(), at(t, calls[n+1]["scheduledAt"]), 10*time.Second)
		}
	})
	t.Run("at_a_time", func(t *testing.T) {
		later := time.Now().Add(2 * time.Hour).UTC().Truncate(time.Second)
		got := b.do("POST", path, object{"scheduledAt": later.In(time.FixedZone("", -3600)).Format(time.RFC3339)}).is(201)
		require.Contains(t, got["message"], later.Format(time.DateOnly))
		calls := b.calls(i)
		require.True(t, at(t, calls[len(calls)-1]["scheduledAt"]).Equal(later))
		require.True(t, at(t, b.get("/interviews/" + idOf(i))["scheduledAt"]).Equal(later))
		require.Equal(t, "interview.rescheduled", b.events()[len(b.events())-1])
	})
	t.Run("a_minute_ago_is_now", func(t *testing.T) {
		b.do("POST", path, object{"scheduledAt": time.Now().Add(-30 * time.Second)}).is(201)
		b.do("POST", path, object{"scheduledAt": time.Now().Add(-2 * time.Minute)}).
			fails(400, "VALIDATION_ERROR", "scheduledAt")
	})
	t.Run("bad_input", func(t *testing.T) {
		bad := badBodies("scheduledAt")
		delete(bad, "empty") // no body is fine
		b.refuses("POST", path, bad)
	})
	t.Run("2.13_refused_while_one_is_in_progress", func(t *testing.T) {
		calls := b.calls(i)
		call := uuid.MustParse(idOf(calls[len(calls)-1]))
		require.Equal(t, 204, b.as("", "POST", callbackPath("calls", call), object{"status": "IN_PROGRESS"}).Status)
		b.leaves(func() { b.do("POST", path, nil).fails(409, "INVALID_STATE") })
	})
}

func TestRescheduleCall(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.interview("PHONE")
	path := "/interviews/" + idOf(i) + "/call-attempts/" + firstCall(i)
	t.Run("2.13_answers_204", func(t *testing.T) {
		later := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
		r := b.do("PATCH", path, object{"scheduledAt": later})
		require.Equal(t, 204, r.Status)
		require.Empty(t, r.Body)
		require.True(t, at(t, b.calls(i)[0]["scheduledAt"]).Equal(later))
	})
	t.Run("2.13_future_time_only", func(t *testing.T) {
		for _, when := range []any{time.Now().Add(-time.Second), "2020-01-01T00:00:00Z", time.Now().AddDate(3, 0, 0), "tomorrow"} {
			b.leaves(func() { b.do("PATCH", path, object{"scheduledAt": when}).fails(400, "VALIDATION_ERROR", "scheduledAt") })
		}
		b.do("PATCH", path, object{}).fails(400, "MISSING_REQUIRED_FIELD", "scheduledAt")
		b.do("PATCH", path, object{"scheduledAt": nil}).fails(400, "MISSING_REQUIRED_FIELD", "scheduledAt")
		b.refuses("PATCH", path, badBodies("scheduledAt"))
	})
	t.Run("2.13_only_SCHEDULED", func(t *testing.T) {
		for _, status := range []db.CallStatus{db.CallInProgress, db.CallCompleted, db.CallFailed, db.CallCancelled} {
			_, err := b.ExecContext(b.ctx, "UPDATE call_attempts SET status = ? WHERE id = ?", status, firstCall(i))
			require.NoError(t, err)
			b.leaves(func() {
				e := b.do("PATCH", path, object{"scheduledAt": soon(1)}).fails(409, "INVALID_STATE")
				require.Equal(t, string(status), e.Error.Details["state"])
			})
		}
	})
}

func TestDeleteCall(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.interview("PHONE")
	path := "/interviews/" + idOf(i) + "/call-attempts/"
	t.Run("2.13_blocked_in_progress", func(t *testing.T) {
		require.Equal(
			t,
			204,
			b.as("", "POST", callbackPath("calls", uuid.MustParse(firstCall(i))), object{"status": "IN_PROGRESS"}).Status,
		)
		b.leaves(func() { b.do("DELETE", path+firstCall(i), nil).fails(409, "INVALID_STATE") })
	})
	t.Run("2.13_answers_204", func(t *testing.T) {
		i := b.interview("PHONE")
		path := fmt.Sprintf("/interviews/%s/call-attempts/%s", idOf(i), firstCall(i))
		require.Equal(t, 204, b.do("DELETE", path, nil).Status)
		require.Empty(t, b.calls(i))
		e := b.do("DELETE", path, nil).fails(404, "RESOURCE_NOT_FOUND")
		require.Equal(t, object{"resourceType": "CallAttempt", "resourceId": firstCall(i)}, e.Error.Details)
	})
	t.Run("a_call_of_another_interview_is_not_found", func(t *testing.T) {
		other := b.interview("PHONE")
		b.leaves(func() {
			b.do("DELETE", path+firstCall(other), nil).fails(404, "RESOURCE_NOT_FOUND")
			b.do("PATCH", path+firstCall(other), object{"scheduledAt": soon(1)}).fails(404, "RESOURCE_NOT_FOUND")
		})
	})
}

func TestCallsOfOnlineInterviewsAreForbidden(t *testing.T) {
	t.Parallel()
	b := setup(t)
	path := "/interviews/" + idOf(b.interview("ONLINE")) + "/call-attempts"
	b.leaves(func() {
		for method, p := range map[string]string{"POST": path, "PATCH": path + "/" + uuid.NewString(), "DELETE": path + "/" + uuid.NewString()} {
			e := b.do(method, p, object{"scheduledAt": soon(1)}).fails(409, "INVALID_STATE")
			require.Equal(t, "An ONLINE interview has no call attempts", e.Error.Message)
		}
	})
}
