package simulator_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/simulator"
)

const patience = 5 * time.Second

type bundle struct {
	t         *testing.T
	sim       *simulator.Simulator
	url       string
	callback  string
	callbacks chan map[string]any // bodies posted to callback, in order
	refuse    chan int            // statuses for the next call-backs; empty = 204
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{t: t, callbacks: make(chan map[string]any, 16), refuse: make(chan int, 16)}
	b.sim = simulator.New(simulator.Options{CallAfter: time.Millisecond, Talk: 20 * time.Millisecond})
	srv := httptest.NewServer(b.sim)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case status := <-b.refuse:
			w.WriteHeader(status)
			return
		default:
		}
		var body map[string]any
		if assert.NoError(t, json.NewDecoder(r.Body).Decode(&body)) {
			b.callbacks <- body
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(func() { b.sim.Close(); srv.Close(); receiver.Close() })
	b.url, b.callback = srv.URL, receiver.URL+"/callbacks/calls/a1?token=t"
	return b
}

func (b *bundle) do(method, path string, body any) (int, map[string]any) {
	b.t.Helper()
	raw, err := json.Marshal(body)
	require.NoError(b.t, err)
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, bytes.NewReader(raw))
	require.NoError(b.t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(b.t, err)
	defer resp.Body.Close()
	var out map[string]any
	answer, err := io.ReadAll(resp.Body)
	require.NoError(b.t, err)
	if len(answer) > 0 {
		require.NoError(b.t, json.Unmarshal(answer, &out))
	}
	return resp.StatusCode, out
}

func (b *bundle) call(attempt, number string) string {
	b.t.Helper()
	status, out := b.do(http.MethodPost, "/calls", map[string]any{
		"callAttemptId": attempt, "interviewId": "i1", "phoneNumber": number, "language": "EN", "durationMinutes": 15,
		"questions": []string{"How do you use Go?", "And PostgreSQL?"}, "callbackUrl": b.callback,
	})
	require.Equal(b.t, http.StatusAccepted, status)
	return out["callId"].(string)
}

func (b *bundle) next() map[string]any {
	b.t.Helper()
	select {
	case body := <-b.callbacks:
		return body
	case <-time.After(patience):
		require.Fail(b.t, "no call-back arrived")
		return nil
	}
}

// silent closes the simulator and asserts that nothing more was posted.
func (b *bundle) silent() {
	b.t.Helper()
	b.sim.Close()
	assert.Empty(b.t, b.callbacks)
}

func TestCalls(t *testing.T) {
	t.Parallel()

	t.Run("answered", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.call("a1", "+421900000000")
		started := b.next()
		assert.Equal(t, "IN_PROGRESS", started["status"])
		_, err := time.Parse(time.RFC3339, started["calledAt"].(string))
		require.NoError(t, err)
		ended := b.next()
		assert.Equal(t, "COMPLETED", ended["status"])
		assert.InDelta(t, 1, ended["duration"], 0)
		said := ended["transcript"].([]any)
		assert.Equal(t, map[string]any{"role": "agent", "content": "How do you use Go?"}, said[0])
		assert.Equal(t, "candidate", said[1].(map[string]any)["role"])
		requireWAV(t, ended["recordingUrl"].(string))
	})
	t.Run("no_answer", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.call("a1", "+421900000001")
		assert.Equal(t, map[string]any{"status": "FAILED", "reasonCode": "NO_ANSWER"}, b.next())
		b.silent()
	})
	t.Run("technical_failure", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.call("a1", "+421900000002")
		failed := b.next()
		assert.Equal(t, "TECHNICAL_ERROR", failed["reasonCode"])
		assert.NotEmpty(t, failed["message"])
		b.silent()
	})
	t.Run("never_ends", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.call("a1", "+421900000003")
		assert.Equal(t, "IN_PROGRESS", b.next()["status"])
		time.Sleep(60 * time.Millisecond) // three times the talk, in which no call-back must come
		b.silent()
	})
	t.Run("second_call_is_answered", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.call("a1", "+421900000004")
		assert.Equal(t, "NO_ANSWER", b.next()["reasonCode"])
		b.call("a2", "+421900000004")
		assert.Equal(t, "IN_PROGRESS", b.next()["status"])
		assert.Equal(t, "COMPLETED", b.next()["status"])
	})
	t.Run("same_attempt_is_the_same_call", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		id := b.call("a1", "+421900000001")
		assert.Equal(t, id, b.call("a1", "+421900000001"))
		b.next()
		assert.Equal(t, id, b.call("a1", "+421900000001"))
		b.silent()
	})
	t.Run("hang_up_silences_the_call", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.call("a1", "+421900000000")
		assert.Equal(t, "IN_PROGRESS", b.next()["status"])
		status, _ := b.do(http.MethodDelete, "/calls/a1", nil)
		assert.Equal(t, http.StatusNoContent, status)
		time.Sleep(60 * time.Millisecond)
		b.silent()
	})
	t.Run("call_back_is_repeated_until_taken", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.refuse <- http.StatusBadGateway
		b.call("a1", "+421900000001")
		assert.Equal(t, "NO_ANSWER", b.next()["reasonCode"])
	})
	t.Run("refused_call_back_ends_the_call", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.refuse <- http.StatusNotFound
		b.call("a1", "+421900000000")
		require.Eventually(t, func() bool { return len(b.refuse) == 0 }, patience, time.Millisecond)
		time.Sleep(60 * time.Millisecond)
		b.silent()
	})
	t.Run("incomplete_or_broken_body_is_refused", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		status, out := b.do(http.MethodPost, "/calls", map[string]any{"callAttemptId": "a1"})
		assert.Equal(t, http.StatusBadRequest, status)
		assert.Contains(t, out["error"], "phoneNumber")
		status, _ = b.do(http.MethodPost, "/calls", "no object")
		assert.Equal(t, http.StatusBadRequest, status)
	})
	t.Run("closed_takes_no_calls", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.sim.Close()
		status, _ := b.do(http.MethodPost, "/calls", map[string]any{
			"callAttemptId": "a1", "phoneNumber": "1", "callbackUrl": b.callback,
		})
		assert.Equal(t, http.StatusServiceUnavailable, status)
	})
}

func requireWAV(t *testing.T, url string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Len(t, raw, 44+8000)
	assert.Equal(t, "audio/wav", resp.Header.Get("Content-Type"))
}

func TestAnalyses(t *testing.T) {
	t.Parallel()
	request := func(b *bundle, said string) map[string]any {
		return map[string]any{
			"interviewId": "i1", "jobTitle": "Engineer", "requiredSkills": []string{"Go", "PostgreSQL"},
			"transcript":  []map[string]string{{"role": "agent", "content": "Which?"}, {"role": "candidate", "content": said}},
			"callbackUrl": b.callback,
		}
	}

	t.Run("rates_by_the_stated_rule", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		status, out := b.do(http.MethodPost, "/analyses", request(b, "go "+strings.Repeat("word ", 19)))
		require.Equal(t, http.StatusOK, status)
		assert.Contains(t, out, "specific")
		assert.Nil(t, out["specific"])
		general := out["general"].(map[string]any)
		assert.InDelta(t, 50, general["overallRating"], 0, "half of the skills and half of a full answer")
		assert.Equal(t, "MEDIUM", general["companyFitRating"])
		assert.Equal(t, []any{"Named Go"}, general["strongPoints"])
		assert.Equal(t, []any{"Did not name PostgreSQL"}, general["weakPoints"])
		assert.Equal(t, []any{map[string]any{"question": "Which?", "rating": 50.0, "comment": "Simulated: 20 words."}},
			general["evaluation"])
		_, again := b.do(http.MethodPost, "/analyses", request(b, "go "+strings.Repeat("word ", 19)))
		assert.Equal(t, out, again)
	})
	t.Run("online_answers_as_objects_or_strings", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		status, out := b.do(http.MethodPost, "/analyses", map[string]any{
			"answers": []any{map[string]string{"question": "Q", "answer": "one two"}, "three"},
		})
		require.Equal(t, http.StatusOK, status)
		assert.Len(t, out["general"].(map[string]any)["evaluation"], 2)
	})
	t.Run("nothing_said_rates_zero", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		_, out := b.do(http.MethodPost, "/analyses", map[string]any{"interviewId": "i1"})
		assert.InDelta(t, 0, out["general"].(map[string]any)["overallRating"], 0)
	})
	t.Run("async_calls_back", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		status, _ := b.do(http.MethodPost, "/analyses", request(b, "[async] go"))
		assert.Equal(t, http.StatusAccepted, status)
		assert.Contains(t, b.next(), "general")
	})
	t.Run("fail_is_refused", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		status, out := b.do(http.MethodPost, "/analyses", request(b, "[fail]"))
		assert.Equal(t, http.StatusUnprocessableEntity, status)
		assert.NotEmpty(t, out["error"])
	})
}

func TestGenerations(t *testing.T) {
	t.Parallel()
	request := func(role, description string) map[string]any {
		return map[string]any{"generationId": "g1", "jobRole": role, "jobDescription": description}
	}

	t.Run("questions_say_that_they_are_simulated", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		status, out := b.do(http.MethodPost, "/generations", request("Baker", "Bread."))
		require.Equal(t, http.StatusOK, status)
		questions := out["questions"].([]any)
		require.NotEmpty(t, questions)
		for _, q := range questions {
			assert.Contains(t, q, "Simulated question")
			assert.Contains(t, q, "Baker")
		}
		_, again := b.do(http.MethodPost, "/generations", request("Baker", "Cake."))
		assert.Equal(t, out, again)
	})
	t.Run("fail_is_refused", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		status, out := b.do(http.MethodPost, "/generations", request("Baker", "[fail]"))
		assert.Equal(t, http.StatusUnprocessableEntity, status)
		assert.Contains(t, out["error"], "simulated")
	})
	t.Run("incomplete_or_broken_body_is_refused", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		for _, body := range []any{request("", "Bread."), "no object"} {
			status, out := b.do(http.MethodPost, "/generations", body)
			assert.Equal(t, http.StatusBadRequest, status)
			assert.NotEmpty(t, out["error"])
		}
	})
}
