package e2e_test

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
)

// TestErasureLeavesNothingOfThePerson erases a candidate after a telephone interview whose events were delivered to a
// receiver that repeats what it gets, refused by one that does too, and published with the person's data.
func TestErasureLeavesNothingOfThePerson(t *testing.T) {
	needles := []string{"zdenka", "quillfeather", "zdenka.quillfeather@erase.test", "421987654100"}
	s := setup(t, simulate(t, true))
	echo, refusing := repeater(t, http.StatusOK), repeater(t, http.StatusInternalServerError)
	events := []any{
		"candidate.created", "candidate.updated", "interview.scheduled", "interview.started", "interview.completed",
		"analysis.completed",
	}
	webhook := s.must(http.MethodPost, "/webhooks", map[string]any{
		"url": echo.URL, "events": events, "profile": "standard",
	})["id"]
	failed := s.must(http.MethodPost, "/webhooks", map[string]any{
		"url": refusing.URL, "events": []any{5},
	})["id"]
	_, err := s.db.ExecContext(t.Context(), "UPDATE webhooks SET max_retries = 0 WHERE id = ?", failed)
	require.NoError(t, err)

	job := s.must(http.MethodPost, "/jobs", map[string]any{
		"title": "Platform engineer", "description": "Keeps it running", "requiredSkills": []string{"Go"},
	})
	agent := s.must(http.MethodPost, "/agents", map[string]any{
		"name": "Ada", "type": "PHONE", "focus": "SCREENING", "language": "EN", "duration": 15, "questions": []string{"Why?"},
	})
	candidate := s.must(http.MethodPost, "/candidates", map[string]any{
		"firstName": "Zdenka", "lastName": "Quillfeather", "email": "zdenka.quillfeather@erase.test",
		"phoneNumber": "+421987654100", "jobId": job["id"],
	})["id"].(string)
	interview := s.must(http.MethodPost, "/interviews", map[string]any{
		"candidateId": candidate, "jobId": job["id"], "agentId": agent["id"],
	})["id"].(string)
	s.must(http.MethodPost, "/events", map[string]any{
		"type": "interview.started",
		"data": map[string]any{"who": "Zdenka Quillfeather", "email": "ZDENKA.quillfeather@erase.test"},
	})
	s.eventually(func() bool { return s.interviewStatus(interview) == "COMPLETED" }, "the interview is held")
	s.eventually(func() bool { return s.statuses(webhook)["succeeded"] >= 4 }, "events arrive: %v", s.statuses(webhook))
	s.eventually(func() bool { return s.statuses(failed)["failed"] >= 1 }, "one is refused: %v", s.statuses(failed))
	s.workflowEnds("interview:" + interview)
	require.NotEmpty(t, s.rowsWith(needles), "the person is there before")

	a := s.do(http.MethodDelete, "/candidates/"+candidate+"?erase=true", nil)
	require.Equal(t, http.StatusAccepted, a.Status)
	path := "/candidates/" + candidate + "/erasure"
	s.eventually(func() bool { // without the wait for attempts in flight, of which there are none
		_, err := s.db.ExecContext(t.Context(), "UPDATE erasures SET not_before = now() WHERE done_at IS NULL")
		require.NoError(t, err)
		return s.must(http.MethodGet, path, nil)["status"] == "done"
	}, "it ends")
	confirmed := map[any]bool{}
	s.eventually(func() bool {
		for _, r := range s.must(http.MethodGet, path, nil)["receivers"].([]any) {
			receiver := r.(map[string]any)
			confirmed[receiver["webhookId"]] = receiver["confirmedAt"] != nil
		}
		return confirmed[webhook]
	}, "candidate.erased arrives")
	require.Equal(t, map[any]bool{webhook: true, failed: false}, confirmed)
	require.Empty(t, s.rowsWith(needles))
	require.Empty(t, s.historiesWith(needles))
	require.Empty(t, s.filesWith(needles))
}

// repeater answers with what it gets.
func repeater(t *testing.T, status int) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		_, _ = io.Copy(w, r.Body)
	}))
	t.Cleanup(srv.Close)
	return srv
}

// needlesIn returns the needles in text, in any case and as PostgreSQL writes binary data.
func needlesIn(text string, needles []string) (in []string) {
	text = strings.ToLower(text)
	for _, n := range needles {
		if strings.Contains(text, n) || strings.Contains(text, hex.EncodeToString([]byte(n))) {
			in = append(in, n)
		}
	}
	return in
}

// rowsWith returns the rows of the system's database that have one of the needles.
func (s *system) rowsWith(needles []string) (rows []string) {
	s.t.Helper()
	var tables []string
	require.NoError(s.t, s.db.NewRaw(`SELECT quote_ident(relname) FROM pg_class
		WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition`).Scan(s.t.Context(), &tables))
	require.Greater(s.t, len(tables), 20)
	for _, table := range tables {
		var texts []string
		require.NoError(s.t, s.db.NewRaw("SELECT t::text FROM "+table+" t").Scan(s.t.Context(), &texts))
		for _, text := range texts {
			if in := needlesIn(text, needles); in != nil {
				rows = append(rows, fmt.Sprintf("%s: %v in %.300s", table, in, text))
			}
		}
	}
	return rows
}

// historiesWith returns the events in Temporal that have one of the needles.
func (s *system) historiesWith(needles []string) (events []string) {
	s.t.Helper()
	c := s.temporal()
	read := 0
	list, err := c.ListWorkflow(s.t.Context(), &workflowservice.ListWorkflowExecutionsRequest{
		Query: fmt.Sprintf("TaskQueue = '%s'", s.cfg.Temporal.TaskQueue),
	})
	require.NoError(s.t, err)
	for _, x := range list.GetExecutions() {
		history := c.GetWorkflowHistory(s.t.Context(), x.GetExecution().GetWorkflowId(), x.GetExecution().GetRunId(), false,
			enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for history.HasNext() {
			event, err := history.Next()
			require.NoError(s.t, err)
			read++
			if in := needlesIn(event.String(), needles); in != nil {
				events = append(events, fmt.Sprintf("%s: %v in %.300s", x.GetExecution().GetWorkflowId(), in, event))
			}
		}
	}
	require.Greater(s.t, read, 20, "histories are read")
	return events
}

// filesWith returns the files of the media store that have one of the needles.
func (s *system) filesWith(needles []string) (files []string) {
	s.t.Helper()
	require.NoError(s.t, filepath.WalkDir(s.cfg.Media.Dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if needlesIn(path+string(content), needles) != nil {
			files = append(files, path)
		}
		return err
	}))
	return files
}
