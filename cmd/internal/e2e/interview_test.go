package e2e_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/config"
	"greenroom/cmd/internal/simulator"
)

// simulate configures the simulator as the call provider and, if analyser is set, as the analyser.
func simulate(t *testing.T, analyser bool) func(*config.Config) {
	t.Helper()
	return simulateTalk(t, analyser, 100*time.Millisecond)
}

func simulateTalk(t *testing.T, analyser bool, talk time.Duration) func(*config.Config) {
	t.Helper()
	sim := simulator.New(simulator.Options{Logger: discard(), CallAfter: 50 * time.Millisecond, Talk: talk})
	srv := httptest.NewServer(sim)
	t.Cleanup(func() { sim.Close(); srv.Close() })
	return func(c *config.Config) {
		c.Provider.URL = srv.URL
		if analyser {
			c.Analysis.URL = srv.URL
		}
		c.Interview.NoAnswerDelay = 200 * time.Millisecond
	}
}

// interview creates job, agent, candidate and interview and returns the interview's id.
func (s *system) interview(agentType, phone string) string {
	s.t.Helper()
	job := s.must(http.MethodPost, "/jobs", map[string]any{
		"title": "Platform engineer", "description": "Keeps it running", "requiredSkills": []string{"Go"},
	})
	agent := s.must(http.MethodPost, "/agents", map[string]any{
		"name":      "Ada",
		"type":      agentType,
		"focus":     "SCREENING",
		"language":  "EN",
		"duration":  15,
		"questions": []string{"What did you build in Go?"},
	})
	candidate := s.must(http.MethodPost, "/candidates", map[string]any{
		"firstName": "Grace", "lastName": "Hopper", "email": "grace@example.com", "phoneNumber": phone, "jobId": job["id"],
		"gdprExpiryDate": "2030-01-01",
	})
	return s.must(http.MethodPost, "/interviews", map[string]any{
		"candidateId": candidate["id"], "jobId": job["id"], "agentId": agent["id"],
	})["id"].(string)
}

func (s *system) interviewStatus(id string) string {
	s.t.Helper()
	return s.must(http.MethodGet, "/interviews/"+id, nil)["status"].(string)
}

// kinds returns the deliveries of a receiver by event type.
func (rc *receiver) kinds() map[string]received {
	kinds := map[string]received{}
	for _, r := range rc.all() {
		kinds[r.Body.Event] = r
	}
	return kinds
}

var allEvents = []any{0, 1, 3, 4, 5}

func TestPhoneInterview(t *testing.T) {
	t.Run("from_call_to_analysis", func(t *testing.T) {
		s := setup(t, simulate(t, true))
		r := listen(t, nil)
		s.webhook(r, "instaview", allEvents...)
		id := s.interview("PHONE", "+421900000100")
		s.eventually(func() bool { return r.count() == 3 }, "three webhooks arrive")
		kinds := r.kinds()
		for _, kind := range []string{"interview.started", "interview.completed", "analysis.completed"} {
			require.Equal(t, id, kinds[kind].Body.Data["interviewId"], kind)
			require.NotEmpty(t, kinds[kind].Body.Data["callAttemptId"])
		}
		require.Equal(t, "COMPLETED", kinds["analysis.completed"].Body.Data["status"])
		i := s.must(http.MethodGet, "/interviews/"+id, nil)
		require.Equal(t, "COMPLETED", i["status"])
		require.NotNil(t, i["analysis"])
		s.workflowEnds("interview:" + id)
		s.record("Interview-phone", "interview:"+id)
	})
	t.Run("nobody_answers_at_first", func(t *testing.T) {
		s := setup(t, simulate(t, true))
		id := s.interview("PHONE", "+421900000004")
		s.eventually(func() bool { return s.interviewStatus(id) == "COMPLETED" }, "the second call is answered")
		calls := s.must(http.MethodGet, "/interviews/"+id, nil)["callAttempts"].([]any)
		require.Len(t, calls, 2)
		require.Equal(t, "NO_ANSWER", calls[0].(map[string]any)["reasonCode"])
		require.EqualValues(t, 1, calls[1].(map[string]any)["retryNumber"])
		s.record("Interview-no_answer", "interview:"+id)
	})
	t.Run("nobody_ever_answers", func(t *testing.T) {
		s := setup(t, simulate(t, true))
		r := listen(t, nil)
		s.webhook(r, "instaview", allEvents...)
		id := s.interview("PHONE", "+421900000001")
		s.eventually(func() bool { return r.count() == 1 }, "it fails in the end")
		require.Equal(t, "FAILED", s.interviewStatus(id))
		require.Equal(t, "interview.failed", r.all()[0].Body.Event)
		require.Equal(t, "NO_ANSWER", r.all()[0].Body.Data["reason"])
		require.Len(t, s.must(http.MethodGet, "/interviews/"+id, nil)["callAttempts"], 3)
	})
	t.Run("the_line_breaks", func(t *testing.T) {
		s := setup(t, simulate(t, true))
		r := listen(t, nil)
		s.webhook(r, "instaview", allEvents...)
		s.interview("PHONE", "+421900000002")
		s.eventually(func() bool { _, ok := r.kinds()["interview.failed"]; return ok }, "it fails")
		require.NotEmpty(t, r.kinds()["interview.failed"].Body.Data["errorMessage"])
	})
	t.Run("deleted_while_in_progress_sends_no_more_events", func(t *testing.T) {
		s := setup(t, simulateTalk(t, true, 2*time.Second))
		r := listen(t, nil)
		s.webhook(r, "instaview", allEvents...)
		id := s.interview("PHONE", "+421900000100")
		s.eventually(func() bool { return s.interviewStatus(id) == "IN_PROGRESS" }, "it starts")
		require.Equal(t, http.StatusOK, s.do(http.MethodDelete, "/interviews/"+id, nil).Status)
		s.workflowEnds("interview:" + id)
		require.Equal(t, 1, r.count(), "the start is delivered, the end is not")
		require.Equal(t, http.StatusNotFound, s.do(http.MethodGet, "/interviews/"+id, nil).Status)
	})
}

func TestOnlineInterview(t *testing.T) {
	s := setup(t, simulate(t, false))
	r := listen(t, nil)
	s.webhook(r, "instaview", allEvents...)
	id := s.interview("ONLINE", "+421900000100")
	invite := s.must(http.MethodGet, "/interviews/"+id, nil)["inviteUrl"].(string)
	path := invite[len(s.url):]
	s.key = "" // the candidate has no key
	require.Equal(t, http.StatusOK, s.do(http.MethodGet, path, nil).Status)
	s.must(http.MethodPost, path+"/start", nil)
	s.must(http.MethodPost, path+"/submit", map[string]any{"answers": []any{
		map[string]any{"question": "What did you build in Go?", "answer": "A scheduler."},
	}})
	s.serveKey()
	s.eventually(
		func() bool { return s.must(http.MethodGet, "/interviews/"+id, nil)["status"] == "COMPLETED" },
		"it is done",
	)
	_, done := r.kinds()["interview.completed"]
	require.False(t, done, "finished is not yet analysed")
	s.must(
		http.MethodPost,
		fmt.Sprintf("/interviews/%s/analysis", id),
		map[string]any{"general": map[string]any{"overallRating": 91}},
	)
	s.eventually(func() bool { return r.count() == 3 }, "three webhooks arrive")
	analysis := r.kinds()["analysis.completed"].Body.Data["analysis"].(map[string]any)
	require.EqualValues(t, 91, analysis["general"].(map[string]any)["overallRating"])
	require.Nil(t, r.kinds()["interview.started"].Body.Data["callAttemptId"])
	s.record("Interview-online", "interview:"+id)
}

func TestAnEngineerCancelsAnInterviewBySignal(t *testing.T) {
	s := setup(t, simulate(t, false))
	id := s.interview("ONLINE", "+421900000100")
	c := s.temporal()
	s.eventually(func() bool {
		return c.SignalWorkflow(t.Context(), "interview:"+id, "", "cancel", "asked by phone") == nil
	}, "the workflow is there")
	s.eventually(func() bool { return s.interviewStatus(id) == "CANCELED" }, "it is canceled")
	s.record("Interview-canceled_by_signal", "interview:"+id)
}

func TestReplayOfManyDeliveries(t *testing.T) {
	s := setup(t)
	r := listen(t, nil)
	w := s.webhook(r, "instaview", 5)
	s.publish("interview.started", 12)
	s.eventually(func() bool { return s.statuses(w["id"])["succeeded"] == 12 }, "all arrive")
	replay := s.must(http.MethodPost, fmt.Sprintf("/webhooks/%s/replays", w["id"]), map[string]any{
		"since": time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), "status": []string{"succeeded"},
	})
	s.eventually(func() bool { return r.count() == 24 }, "all arrive again")
	path := fmt.Sprintf("/webhooks/%s/replays/%s", w["id"], replay["id"])
	s.eventually(func() bool { return s.must(http.MethodGet, path, nil)["state"] == "completed" }, "the replay ends")
	require.EqualValues(t, 12, s.must(http.MethodGet, path, nil)["replayed"])
	s.record("ReplayDeliveries-all", fmt.Sprintf("replay:%s", replay["id"]))
}
