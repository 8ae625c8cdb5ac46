package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestCandidateChanged: a receiver of the interview suite gets one candidate_changed for each change of a candidate that
// its interview makes, and the API shows the change when it arrives.
func TestCandidateChanged(t *testing.T) {
	s := setup(t)
	r := listen(t, nil)
	refused := s.do(http.MethodPost, "/webhooks", map[string]any{
		"url": r.URL, "events": []string{"candidate_changed"}, "profile": "interview-suite",
	})
	require.Equal(t, http.StatusForbidden, refused.Status, "the operator registers")
	s.registerSuite(r, "candidate_changed")
	_, company := s.operator()
	number := s.must(http.MethodGet, "/companies/"+company, nil)["number"].(float64)
	token := "Token " + s.key
	create := func(url string, body map[string]any) map[string]any {
		t.Helper()
		_, made := s.call(http.MethodPost, url, "Authorization", token, body)
		return made.(map[string]any)
	}
	project := create(fmt.Sprintf("%s/api/v3/companies/%.0f/projects/", s.url, number), map[string]any{"name": "Engineer"})
	candidate := func(name string, fields map[string]any) map[string]any {
		t.Helper()
		body := map[string]any{"first_name": name, "last_name": "Byron", "email": name + "@mail.test"}
		for k, v := range fields {
			body[k] = v
		}
		return create(project["candidates"].(string), body)
	}
	// changed waits until n events of that candidate have arrived, and returns the candidate as the API shows it.
	changed := func(c map[string]any, n int) map[string]any {
		t.Helper()
		count := func() (found int) {
			for _, got := range r.all() {
				var body struct{ Data map[string]string }
				require.NoError(t, json.Unmarshal(got.Raw, &body))
				if body.Data["candidate"] == c["resource_uri"] {
					found++
				}
			}
			return found
		}
		s.eventually(func() bool { return count() >= n }, fmt.Sprintf("%d changes of %s", n, c["first_name"]))
		require.Equal(t, n, count())
		_, shown := s.call(http.MethodGet, c["resource_uri"].(string), "Authorization", token, nil)
		return shown.(map[string]any)
	}
	open := func(c map[string]any) string {
		t.Helper()
		link := c["interview_suite_url"].(string)
		s.call(http.MethodPost, link+"/start", "", "", nil)
		return link
	}
	interviewOf := func(c map[string]any) string {
		t.Helper()
		link := c["interview_suite_url"].(string)
		id, _, _ := strings.Cut(link[strings.LastIndex(link, "/")+1:], ".")
		return id
	}

	// Expires while the others are held.
	late := candidate("late", map[string]any{"deadline": time.Now().Add(3 * time.Second).UTC().Format(time.RFC3339)})

	held := candidate("ada", nil)
	require.Equal(t, "invited", changed(held, 1)["status"])
	link := open(held)
	shown := changed(held, 2)
	require.Equal(t, "confirmed", shown["status"])
	require.NotNil(t, shown["confirmationdate"])
	s.call(http.MethodPost, link+"/submit", "", "", map[string]any{"answers": []any{}})
	require.Equal(t, "interviewed", changed(held, 3)["status"])

	canceled := candidate("eve", nil)
	s.must(http.MethodPost, "/interviews/"+interviewOf(canceled)+"/cancel", nil)
	require.Equal(t, "canceled", changed(canceled, 2)["status"])
	s.must(http.MethodDelete, "/interviews/"+interviewOf(canceled), nil)
	require.Equal(t, "created", changed(canceled, 3)["status"], "the interview is gone")

	stopped := candidate("max", nil)
	open(stopped)
	s.must(http.MethodPost, "/interviews/"+interviewOf(stopped)+"/cancel", nil)
	require.Equal(t, "canceled", changed(stopped, 3)["status"])

	require.Equal(t, "expired", changed(late, 2)["status"])
	require.Equal(t, 11, r.count(), "one event for each change")
	for _, got := range r.all() {
		require.Equal(t, "candidate_changed", got.Body.Event)
	}
}
