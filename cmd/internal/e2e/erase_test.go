package e2e_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"

	"greenroom/cmd/internal/config"
	"greenroom/db"
	"greenroom/db/pg"
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

// TestErasureGoesOnAfterKills kills the worker while it is in the middle of an erasure's page of deliveries, of events
// and of a late step. The test holds the lock that the page waits for, so each kill is in the middle of a page.
func TestErasureGoesOnAfterKills(t *testing.T) {
	needles := []string{"marek", "featherstone", "marek.featherstone@erase.test"}
	s := prepare(t)
	s.serve()
	echo := repeater(t, http.StatusOK)
	webhook := s.must(http.MethodPost, "/webhooks", map[string]any{
		"url": echo.URL, "events": []any{"note.created"}, "profile": "standard",
	})["id"]
	job := s.must(http.MethodPost, "/jobs", map[string]any{
		"title": "Platform engineer", "description": "Keeps it running", "requiredSkills": []string{"Go"},
	})
	candidate := s.must(http.MethodPost, "/candidates", map[string]any{
		"firstName": "Marek", "lastName": "Featherstone", "email": "marek.featherstone@erase.test", "jobId": job["id"],
	})["id"].(string)
	s.must(http.MethodPost, "/events", map[string]any{
		"type": "note.created", "data": map[string]any{"by": "marek.featherstone@erase.test"},
	})
	// More than two pages of each.
	s.exec(`INSERT INTO events (id, company_id, type, data, occurred_at)
		SELECT uuid_v7(), company_id, type, data, occurred_at FROM events, generate_series(1, 2500)
		WHERE type = 'note.created'`)
	s.exec(`INSERT INTO deliveries
		(id, event_id, webhook_id, company_id, event_type, status, attempts, body, created_at, updated_at)
		SELECT uuid_v7(), e.id, w.id, e.company_id, e.type, 'succeeded', 1, convert_to(e.data, 'UTF8'), now(), now()
		FROM events e, webhooks w WHERE e.type = 'note.created' AND NOT EXISTS
			(SELECT FROM deliveries d WHERE d.event_id = e.id)`)
	require.Equal(t, http.StatusAccepted, s.do(http.MethodDelete, "/candidates/"+candidate+"?erase=true", nil).Status)

	for _, locked := range []string{
		`SELECT 1 FROM deliveries WHERE id = (SELECT id FROM deliveries ORDER BY id OFFSET 1500 LIMIT 1) FOR UPDATE`,
		`SELECT 1 FROM events WHERE id = (SELECT id FROM events ORDER BY id OFFSET 1500 LIMIT 1) FOR UPDATE`,
		`LOCK TABLE erasure_webhooks IN ACCESS EXCLUSIVE MODE`,
	} {
		s.killWaiting(locked)
	}
	s.process()
	path := "/candidates/" + candidate + "/erasure"
	s.eventually(func() bool {
		s.exec("UPDATE erasures SET not_before = now() WHERE done_at IS NULL")
		return s.must(http.MethodGet, path, nil)["status"] == "done"
	}, "it ends")
	require.Empty(t, s.rowsWith(needles))
	removed := s.must(http.MethodGet, path, nil)["removed"].(map[string]any)
	require.GreaterOrEqual(t, removed["events"], 2501.0, "each is counted once: a page that was cut off left nothing")
	require.Less(t, removed["events"], 2510.0)
	s.eventually(func() bool {
		for _, r := range s.must(http.MethodGet, path, nil)["receivers"].([]any) {
			if receiver := r.(map[string]any); receiver["webhookId"] == webhook {
				return receiver["confirmedAt"] != nil
			}
		}
		return false
	}, "candidate.erased arrives")
}

// killWaiting takes a lock, starts a worker, waits until a page of an erasure waits for the lock, and kills the worker
// there.
func (s *system) killWaiting(lock string) {
	s.t.Helper()
	tx, err := s.db.BeginTx(s.t.Context(), nil)
	require.NoError(s.t, err)
	defer func() { _ = tx.Rollback() }()
	var holder int
	require.NoError(s.t, tx.NewRaw("SELECT pg_backend_pid()").Scan(s.t.Context(), &holder))
	_, err = tx.ExecContext(s.t.Context(), "SET LOCAL idle_in_transaction_session_timeout = 0; "+lock)
	require.NoError(s.t, err)
	worker := s.process()
	s.eventually(func() bool {
		s.exec("UPDATE erasures SET not_before = now() WHERE done_at IS NULL AND not_before > now()")
		var waits bool
		require.NoError(s.t, s.db.NewRaw(`SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE ? = ANY (pg_blocking_pids(pid)))`, holder).Scan(s.t.Context(), &waits))
		return waits
	}, "a page waits for %s", lock)
	require.NoError(s.t, worker.Process.Kill())
	_ = worker.Wait()
}

func (s *system) exec(query string, args ...any) {
	s.t.Helper()
	_, err := s.db.ExecContext(s.t.Context(), query, args...)
	require.NoError(s.t, err)
}

// TestErasureDeletesFilesInABucket has the file of a CV in a bucket that refuses to delete it at first.
func TestErasureDeletesFilesInABucket(t *testing.T) {
	const bucket, file = "files", "cv-of-the-candidate"
	backend := s3mem.New()
	require.NoError(t, backend.CreateBucket(bucket))
	store := gofakes3.New(backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
	var refused atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if (r.Method == http.MethodDelete || r.URL.Query().Has("delete")) && refused.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		store.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s := prepare(t, func(cfg *config.Config) {
		cfg.Media.S3 = config.S3{Endpoint: server.URL, Bucket: bucket, Region: "eu-central-1", AccessKey: "k", SecretKey: "s"}
	})
	s.serve()
	_, err := backend.PutObject(bucket, file, nil, strings.NewReader("Zdenka Quillfeather"), 19, nil)
	require.NoError(t, err)
	candidate := uuid.MustParse(s.must(http.MethodPost, "/candidates", map[string]any{
		"firstName": "Zdenka", "lastName": "Quillfeather", "email": "zdenka@bucket.test",
	})["id"].(string))
	require.NoError(t, db.ReserveFile(t.Context(), s.db, file, time.Now().Add(time.Hour)))
	require.NoError(t, pg.InTx(t.Context(), s.db, func(ctx context.Context, tx bun.Tx) error {
		return db.PutAttachment(ctx, tx, db.CandidatePerson(candidate), &db.Attachment{
			Kind: db.CV, File: file, ContentType: "application/pdf", Size: 19,
		})
	}))
	require.Equal(t, http.StatusAccepted,
		s.do(http.MethodDelete, "/candidates/"+candidate.String()+"?erase=true", nil).Status)
	s.work()
	s.eventually(func() bool {
		s.exec("UPDATE erasures SET not_before = now() WHERE done_at IS NULL")
		s.exec("UPDATE stray_files SET not_before = now(), due_at = now()")
		return s.must(http.MethodGet, "/candidates/"+candidate.String()+"/erasure", nil)["status"] == "done"
	}, "it ends")
	require.Greater(t, refused.Load(), int32(1), "the bucket refused once")
	objects, err := backend.ListBucket(bucket, nil, gofakes3.ListBucketPage{})
	require.NoError(t, err)
	require.Empty(t, objects.Contents)
	require.Empty(t, s.rowsWith([]string{"zdenka", "quillfeather"}))
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
