package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/admin"
)

// TestInterviewSuiteSession: a client with a cookie and no token works through a project: it invites a candidate, who is
// held, objects to the candidate and reads the result. The receiver gets the changes.
func TestInterviewSuiteSession(t *testing.T) {
	s := setup(t)
	r := listen(t, nil)
	s.registerSuite(r, "project_changed", "candidate_changed")
	operator, company := s.operator()
	user, err := operator.CreateStaff(t.Context(), admin.StaffRequest{
		Company: company, Username: "ada", Password: "correct horse", AccountType: "recruiter",
	})
	require.NoError(t, err)
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	client := &http.Client{Jar: jar}
	do := func(method, url string, body any, status int) (answer map[string]any) {
		t.Helper()
		raw, err := json.Marshal(body)
		require.NoError(t, err)
		req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(raw))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, status, resp.StatusCode, "%s %s: %s", method, url, got)
		if len(got) > 0 {
			require.NoError(t, json.Unmarshal(got, &answer))
		}
		return answer
	}
	session := s.url + "/api/v3/session/"
	begun := do(http.MethodPost, session, map[string]any{
		"username": "ada", "password": "correct horse", "company": user.CompanyIdentifier,
	}, http.StatusOK)
	projects := begun["company"].(string) + "projects/"
	project := do(http.MethodPost, projects, map[string]any{"name": "Cook", "veto_enabled": true}, http.StatusCreated)
	candidate := do(http.MethodPost, project["candidates"].(string), map[string]any{
		"first_name": "Grace", "last_name": "Hopper", "email": "grace@example.com",
	}, http.StatusCreated)
	link := candidate["interview_suite_url"].(string)
	s.call(http.MethodPost, link+"/start", "", "", nil)
	s.call(http.MethodPost, link+"/submit", "", "", map[string]any{"answers": []any{}})
	veto := do(http.MethodPost, candidate["resource_uri"].(string)+"vetos/", map[string]any{"comment": "No"},
		http.StatusCreated)
	delete(veto, "creationdate")
	results := do(http.MethodGet, project["results"].(string), nil, http.StatusOK)["objects"].([]any)
	require.Equal(t, []any{veto}, results[0].(map[string]any)["vetos"])
	require.Equal(t, begun["customer"], veto["evaluator"])
	s.eventually(func() bool { return r.count() == 4 }, "project, invitation, begin and end")
	do(http.MethodDelete, session, nil, http.StatusNoContent)
	do(http.MethodGet, projects, nil, http.StatusUnauthorized)
	require.Equal(t, 4, r.count(), fmt.Sprint(r.bodies(t, byEvent)))
}
