package api_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/db/token"
)

func TestCallCallbacks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	report := func(i object, body object) int {
		return b.as("", "POST", callbackPath("calls", uuid.MustParse(firstCall(i))), body).Status
	}
	t.Run("answered_and_completed_each_told_twice", func(t *testing.T) {
		b := setup(t)
		i := b.interview("PHONE")
		path := callbackPath("calls", uuid.MustParse(firstCall(i)))
		calledAt := time.Now().Add(-3 * time.Second).UTC().Truncate(time.Millisecond)
		for range 2 {
			require.Equal(t, 204, b.as("", "POST", path, object{"status": "IN_PROGRESS", "calledAt": calledAt}).Status)
		}
		got := b.get("/interviews/" + idOf(i))
		require.Equal(t, "IN_PROGRESS", got["status"])
		require.True(t, at(t, got["callAttempts"].([]any)[0].(object)["calledAt"]).Equal(calledAt), "the provider's own time")
		said := []any{object{"role": "agent", "content": "Why?"}, object{"role": "candidate", "content": "Because"}}
		for range 2 {
			require.Equal(t, 204, b.as("", "POST", path, object{
				"status": "COMPLETED", "duration": 61, "recordingUrl": "https://provider.test/r.wav", "transcript": said,
			}).Status)
		}
		got = b.get("/interviews/" + idOf(i))
		require.Equal(t, "COMPLETED", got["status"])
		require.Equal(t, "PENDING", got["analysisStatus"])
		require.Equal(t, said, got["transcript"])
		call := got["callAttempts"].([]any)[0].(object)
		require.Equal(t, "COMPLETED", call["status"])
		require.EqualValues(t, 61, call["duration"])
		require.Equal(t, "https://provider.test/r.wav", call["recordingUrl"])
		require.Equal(t, []string{
			"candidate.created",
			"interview.scheduled",
			"candidate.updated",
			"interview.started",
			"participant.joined",
			"participant.left",
			"interview.finished",
			"recording.completed",
		}, b.events())
		b.as("", "POST", path, object{"status": "FAILED"}).fails(409, "INVALID_STATE")
		b.as("", "POST", path, object{"status": "IN_PROGRESS"}).fails(409, "INVALID_STATE")
	})
	t.Run("nobody_answers", func(t *testing.T) {
		i := b.interview("PHONE")
		for range 2 {
			require.Equal(t, 204, report(i, object{"status": "FAILED", "reasonCode": "NO_ANSWER"}))
		}
		got := b.get("/interviews/" + idOf(i))
		require.Equal(t, "SCHEDULED", got["status"], "the workflow decides on another try")
		require.Equal(t, "NO_ANSWER", got["callAttempts"].([]any)[0].(object)["reasonCode"])
	})
	t.Run("technical_failure", func(t *testing.T) {
		i := b.interview("PHONE")
		require.Equal(t, 204, report(i, object{"status": "FAILED", "message": "the line broke"}))
		got := b.get("/interviews/" + idOf(i))
		require.Equal(t, "FAILED", got["status"])
		require.Equal(t, "TECHNICAL_ERROR", got["statusReason"], "a failure without a reason is a technical one")
		require.Equal(t, "the line broke", b.lastEvent("interview.failed")["errorMessage"])
	})
	t.Run("call_of_a_canceled_interview_only_ends", func(t *testing.T) {
		i := b.interview("PHONE")
		require.Equal(t, 204, report(i, object{"status": "IN_PROGRESS"}))
		b.do("POST", "/interviews/"+idOf(i)+"/cancel", nil).is(200)
		require.Equal(t, 204, report(i, object{"status": "COMPLETED"}))
		require.Equal(t, "CANCELED", b.get("/interviews/" + idOf(i))["status"])
	})
	t.Run("cancelled_call_is_a_conflict", func(t *testing.T) {
		i := b.interview("PHONE")
		b.do("POST", "/interviews/"+idOf(i)+"/cancel", nil).is(200)
		b.leaves(func() { require.Equal(t, 409, report(i, object{"status": "IN_PROGRESS"})) })
	})
	t.Run("many_at_once_are_one", func(t *testing.T) {
		i := b.interview("PHONE")
		path := callbackPath("calls", uuid.MustParse(firstCall(i)))
		var wg sync.WaitGroup
		statuses := make(chan int, 8)
		for range 8 {
			wg.Go(func() { statuses <- b.as("", "POST", path, object{"status": "COMPLETED"}).Status })
		}
		wg.Wait()
		close(statuses)
		for status := range statuses {
			require.Equal(t, 204, status)
		}
	})
}

func TestCallbackTokens(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.completed()
	call := uuid.MustParse(firstCall(i))
	b.leaves(func() {
		for kind, id := range map[string]uuid.UUID{"calls": call, "analyses": uid(i)} {
			for _, tok := range []string{
				"", "x", token.For(testSecret, token.Callback, uuid.New()),
				token.For(testSecret, token.Invite, id), token.For([]byte("other"), token.Callback, id),
			} {
				body := object{"status": "FAILED"}
				if kind == "analyses" {
					body = object{"error": "x"}
				}
				b.do("POST", "/callbacks/"+kind+"/"+id.String()+"?token="+tok, body).fails(404, "RESOURCE_NOT_FOUND")
			}
			b.do("POST", "/callbacks/"+kind+"/"+id.String(), object{}).fails(404, "RESOURCE_NOT_FOUND")
			b.do("POST", "/callbacks/"+kind+"/x?token=x", object{}).fails(404, "RESOURCE_NOT_FOUND")
		}
		unknown := uuid.New()
		b.as("", "POST", callbackPath("calls", unknown), object{"status": "FAILED"}).fails(404, "RESOURCE_NOT_FOUND")
		b.as("", "POST", callbackPath("analyses", unknown), object{"error": "x"}).fails(404, "RESOURCE_NOT_FOUND")
		b.as("", "POST", callbackPath("analyses", call), object{"error": "x"}).fails(404, "RESOURCE_NOT_FOUND")
	})
}

func TestCallbackRefusals(t *testing.T) {
	t.Parallel()
	b := setup(t)
	path := callbackPath("calls", uuid.MustParse(firstCall(b.interview("PHONE"))))
	b.leaves(func() {
		for field, bad := range map[string]any{
			"status": "RINGING", "reasonCode": "no answer", "message": strings.Repeat("x", 1001), "calledAt": "now", "duration": -1,
			"recordingUrl": "file", "transcript": "text",
		} {
			b.as("", "POST", path, object{"status": "FAILED", field: bad}).fails(400, "VALIDATION_ERROR", field)
		}
		b.as("", "POST", path, object{"status": "COMPLETED", "transcript": []object{{"content": "x"}}}).
			fails(400, "MISSING_REQUIRED_FIELD", "transcript[0].role")
		b.as("", "POST", path, object{"status": "SCHEDULED"}).fails(400, "VALIDATION_ERROR", "status")
		b.as("", "POST", path, object{}).fails(400, "MISSING_REQUIRED_FIELD", "status")
	})
	b.refuses("POST", path, badBodies("message"))
}

func TestAnalysisCallbacks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	t.Run("result", func(t *testing.T) {
		i := b.completed()
		require.Equal(t, 204, b.as("", "POST", callbackPath("analyses", uid(i)), fullAnalysis()).Status)
		require.EqualValues(t, 85, b.get("/interviews/" + idOf(i))["analysis"].(object)["general"].(object)["overallRating"])
		b.as("", "POST", callbackPath("analyses", uid(i)), fullAnalysis()).fails(409, "INVALID_STATE")
	})
	t.Run("error", func(t *testing.T) {
		i := b.completed()
		require.Equal(t, 204, b.as("", "POST", callbackPath("analyses", uid(i)), object{"error": "silence"}).Status)
		require.Equal(t, "FAILED", b.get("/interviews/" + idOf(i))["analysisStatus"])
	})
	t.Run("of_the_simulator_with_a_null", func(t *testing.T) {
		i := b.completed()
		body := `{"general":{"overallRating":50,"companyFitRating":"MEDIUM","summary":"x"},"specific":null}`
		require.Equal(t, 204, b.as("", "POST", callbackPath("analyses", uid(i)), body).Status)
		require.Nil(t, b.get("/interviews/" + idOf(i) + "/analysis")["specific"])
	})
}
