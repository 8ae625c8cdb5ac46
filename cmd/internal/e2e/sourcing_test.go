package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/config"
	"greenroom/cmd/internal/service"
)

// flat calls a route whose answers are not in the envelope.
func (s *system) flat(method, path string, body any) (status int, out map[string]any) {
	s.t.Helper()
	var in io.Reader = http.NoBody
	if body != nil {
		raw, err := json.Marshal(body)
		require.NoError(s.t, err)
		in = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, in)
	require.NoError(s.t, err)
	req.Header.Set("Authorization", "Bearer "+s.key)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	require.NoError(s.t, json.NewDecoder(resp.Body).Decode(&out))
	return resp.StatusCode, out
}

// requested posts a request to a service and returns its id.
func (s *system) requested(method, path string, body any) string {
	s.t.Helper()
	status, out := s.flat(method, path, body)
	require.Equal(s.t, http.StatusAccepted, status, "%v", out)
	return out["requestId"].(string)
}

// ended waits until a request has ended and returns its results.
func (s *system) ended(path string) (out map[string]any) {
	s.t.Helper()
	s.eventually(func() bool {
		var status int
		status, out = s.flat(http.MethodGet, path, nil)
		return status == http.StatusOK
	}, "%s ends", path)
	return out
}

// gets waits for the event of a request at the receiver and returns its data.
func (r *receiver) gets(s *system, event, request string) (data map[string]any) {
	s.t.Helper()
	s.eventually(func() bool {
		for _, got := range r.all() {
			if got.Body.Event == event && got.Body.Data["requestId"] == request {
				data = got.Body.Data
				return true
			}
		}
		return false
	}, "%s of %s arrives", event, request)
	return data
}

func workflowOfRun(request string) string {
	return "run:" + strings.TrimPrefix(strings.TrimPrefix(request, "req_"), "enr_")
}

// simulated starts the simulator for every service that is not configured.
func simulated(t *testing.T) func(*config.Config) {
	return func(c *config.Config) {
		sim, err := service.StartSimulator(t.Context(), discard())
		require.NoError(t, err)
		t.Cleanup(sim.Close)
		sim.Use(c)
	}
}

var engineers = map[string]any{"title": "Senior engineers", "jobDescription": "Builds services", "limit": 8}

func sourcingEvents() []any {
	return []any{"SOURCING_COMPLETED", "SOURCING_FAILED", "ENRICH_COMPLETED", "ENRICH_FAILED"}
}

// TestSourcing is the whole of it: candidates are found, more are found, some are enriched and shown, with the
// simulator, and a receiver gets the event of each end.
func TestSourcing(t *testing.T) {
	s := setup(t, simulated(t))
	r := listen(t, nil)
	hook := s.webhook(r, "instaview", sourcingEvents()...)
	body := map[string]any{"webhookId": hook["id"]}
	for k, v := range engineers {
		body[k] = v
	}
	request := s.requested(http.MethodPost, "/sourcing", body)
	results := "/sourcing/" + request + "/results"
	done := s.ended(results)
	require.Equal(t, "completed", done["status"])
	require.EqualValues(t, 42, done["foundCount"])
	require.Len(t, done["candidates"], 8)
	event := r.gets(s, "sourcing.completed", request)
	require.EqualValues(t, 8, event["candidatesCount"])
	require.Equal(t, hook["id"], event["webhookId"])
	require.NotContains(t, fmt.Sprint(event), "Simulated", "nothing of the persons")
	s.record("ServiceRun-sourcing", workflowOfRun(request))

	refined := s.requested(http.MethodPatch, "/sourcing/"+request, map[string]any{"query": "[async]", "limit": 3})
	require.Equal(t, request, refined)
	s.eventually(func() bool {
		status, out := s.flat(http.MethodGet, results, nil)
		candidates, _ := out["candidates"].([]any)
		return status == http.StatusOK && len(candidates) == 11
	}, "a later report adds candidates")
	candidates := s.ended(results)["candidates"].([]any)
	seen := map[any]bool{}
	for _, c := range candidates {
		seen[c.(map[string]any)["profileId"]] = true
	}
	require.Len(t, seen, 11, "no profile is found twice")

	first, seventh := candidates[0].(map[string]any)["profileId"], candidates[6].(map[string]any)["profileId"]
	enrichment := s.requested(http.MethodPost, "/sourcing/enrich", map[string]any{
		"profileIds": []any{first, seventh, "stranger"}, "webhookId": hook["id"],
	})
	enriched := s.ended("/sourcing/enrich/" + enrichment + "/results")
	require.EqualValues(t, 1, enriched["enrichedCount"])
	require.EqualValues(t, 2, enriched["failureCount"], "the simulator fails the seventh, and nobody sourced the stranger")
	require.Contains(t, fmt.Sprint(enriched["data"]), "profile1@example.com")
	require.EqualValues(t, 2, r.gets(s, "enrich.completed", enrichment)["failureCount"])
	s.record("ServiceRun-enrichment", workflowOfRun(enrichment))

	_, cards := s.flat(http.MethodPost, "/sourcing/render-html", map[string]any{"profileIds": []any{first, seventh}})
	require.EqualValues(t, 2, cards["renderedCount"])
	usage := s.must(http.MethodGet, "/billing/usage", nil)
	require.Contains(t, fmt.Sprint(usage["breakdownByCostKey"]), "events:11")
}

// TestSourcingReportedLater records what a service does that needs long.
func TestSourcingReportedLater(t *testing.T) {
	s := setup(t, simulated(t))
	r := listen(t, nil)
	s.webhook(r, "instaview", sourcingEvents()...)
	request := s.requested(http.MethodPost, "/sourcing", map[string]any{"title": "T", "jobDescription": "[async]"})
	require.Equal(t, "completed", s.ended("/sourcing/" + request + "/results")["status"])
	r.gets(s, "sourcing.completed", request)
	s.workflowEnds(workflowOfRun(request))
	s.record("ServiceRun-reported_later", workflowOfRun(request))
}

// TestSourcingServiceFails in every way: each ends the request with its reason, and the event.
func TestSourcingServiceFails(t *testing.T) {
	for name, c := range map[string]struct {
		answer  http.HandlerFunc
		timeout time.Duration
		code    string
		message string
	}{
		"refuses": {
			says(http.StatusUnprocessableEntity, `{"error":"no such place"}`), time.Hour, "AGENT_ERROR",
			"the sourcing service refused with 422: no such place",
		},
		"answers_garbage": {
			says(http.StatusOK, `<html>`), time.Hour, "AGENT_ERROR",
			`the sourcing service's answer has no list "candidates"`,
		},
		"answers_too_much": {
			says(http.StatusOK, `{"candidates":[],"more":"`+strings.Repeat("x", 1<<20)+`"}`), time.Hour,
			"AGENT_ERROR", "the sourcing service's answer is longer than 1048576 bytes",
		},
		"is_down":         {says(http.StatusServiceUnavailable, ""), 3 * time.Second, "SERVICE_UNAVAILABLE", "the service could not be reached"},
		"hangs":           {hangs, 3 * time.Second, "SERVICE_UNAVAILABLE", "the service could not be reached"},
		"never_reports":   {says(http.StatusAccepted, "{}"), 3 * time.Second, "TIMEOUT", "the service did not report its result in time"},
		"has_no_good_one": {says(http.StatusOK, `{"candidates":[{"name":"A"}]}`), time.Hour, "AGENT_ERROR", "the sourcing service's answer has a candidate [0] without a profileId of 1 to 128 characters"},
	} {
		t.Run(name, func(t *testing.T) {
			sourcing := httptest.NewServer(c.answer)
			t.Cleanup(sourcing.CloseClientConnections)
			s := setup(t, func(cfg *config.Config) {
				cfg.Sourcing = config.Service{URL: sourcing.URL}
				cfg.SourcingTimeout = c.timeout
			})
			r := listen(t, nil)
			s.webhook(r, "instaview", sourcingEvents()...)
			request := s.requested(http.MethodPost, "/sourcing", engineers)
			failed := s.ended("/sourcing/" + request + "/results")
			require.Equal(t, "failed", failed["status"])
			require.Equal(t, c.code, failed["errorCode"])
			require.Equal(t, c.message, failed["errorMessage"])
			require.Equal(t, c.code, r.gets(s, "sourcing.failed", request)["errorCode"])
			s.workflowEnds(workflowOfRun(request))
			if name == "never_reports" {
				s.record("ServiceRun-never_reported", workflowOfRun(request))
			}
		})
	}
}

func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// hangs answers when the client has gone.
func hangs(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // else the server does not notice
	<-r.Context().Done()
}

// TestSourcingSurvivesItsWorker: the request is asked for again when the worker was killed while the service worked.
func TestSourcingSurvivesItsWorker(t *testing.T) {
	asked := make(chan string, 10)
	var n atomic.Int32
	sourcing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct{ RequestID string }
		_ = json.NewDecoder(r.Body).Decode(&body)
		asked <- body.RequestID
		if n.Add(1) == 1 {
			<-r.Context().Done()
			return
		}
		_, _ = io.WriteString(w, `{"candidates":[{"profileId":"a","name":"A"}]}`)
	}))
	t.Cleanup(sourcing.CloseClientConnections)
	s := prepare(t, func(c *config.Config) { c.Sourcing = config.Service{URL: sourcing.URL} })
	s.serve()
	r := listen(t, nil)
	s.webhook(r, "instaview", sourcingEvents()...)
	request := s.requested(http.MethodPost, "/sourcing", engineers)
	worker := s.process()
	require.Equal(t, request, <-asked)
	require.NoError(t, worker.Process.Kill())
	_ = worker.Wait()
	s.process()
	require.Equal(t, request, <-asked, "with the same id: the service can know it")
	require.Equal(t, "completed", s.ended("/sourcing/" + request + "/results")["status"])
	r.gets(s, "sourcing.completed", request)
	deliveries, _ := r.acceptedOnce()
	require.Equal(t, 1, deliveries)
}

// TestSourcingCanceledInTemporal fails the request.
func TestSourcingCanceledInTemporal(t *testing.T) {
	sourcing := httptest.NewServer(says(http.StatusAccepted, "{}"))
	t.Cleanup(sourcing.Close)
	s := setup(t, func(c *config.Config) { c.Sourcing = config.Service{URL: sourcing.URL} })
	request := s.requested(http.MethodPost, "/sourcing", engineers)
	s.eventually(func() bool {
		return s.temporal().CancelWorkflow(t.Context(), workflowOfRun(request), "") == nil
	}, "the workflow is there")
	require.Equal(t, "CANCELED", s.ended("/sourcing/" + request + "/results")["errorCode"])
	s.record("ServiceRun-canceled_in_temporal", workflowOfRun(request))
}

// TestJobFromURL with the simulator and a page over HTTP.
func TestJobFromURL(t *testing.T) {
	site := http.NewServeMux()
	site.HandleFunc("GET /job", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=iso-8859-2")
		_, _ = io.WriteString(
			w,
			"<html><head><title>In\xbeinier</title></head><body><p>Builds &amp; runs</p><script>x</script></body></html>",
		)
	})
	site.HandleFunc(
		"GET /moved",
		func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/job", http.StatusFound) },
	)
	site.HandleFunc(
		"GET /loop",
		func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) },
	)
	site.HandleFunc("GET /inside", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://169.254.169.254/latest/meta-data", http.StatusFound)
	})
	site.HandleFunc("GET /large", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, strings.Repeat("x", 3<<20))
	})
	site.HandleFunc(
		"GET /pdf",
		func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "application/pdf") },
	)
	site.HandleFunc("GET /untitled", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<p>Hello")
	})
	var tries atomic.Int32
	site.HandleFunc("GET /busy", func(w http.ResponseWriter, r *http.Request) {
		if tries.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		http.Redirect(w, r, "/job", http.StatusFound)
	})
	pages := httptest.NewServer(site)
	t.Cleanup(pages.Close)
	s := setup(t, simulated(t))
	unlimited := func() {
		_, err := s.db.ExecContext(t.Context(), "DELETE FROM request_windows")
		require.NoError(t, err)
	}
	imported := func(path string, create bool) answer {
		unlimited()
		return s.do(http.MethodPost, "/jobs/url", map[string]any{"jobUrl": pages.URL + path, "createJob": create})
	}
	preview := imported("/moved", false)
	require.Equal(t, http.StatusOK, preview.Status)
	require.Empty(t, preview.object(t)["id"])
	created := imported("/busy", true)
	require.Equal(t, http.StatusCreated, created.Status, "%+v", created.Error)
	job := created.object(t)
	require.Equal(t, "Inžinier", job["title"])
	require.Equal(t, "Builds & runs", job["description"])
	require.Equal(t, job, s.must(http.MethodGet, fmt.Sprintf("/jobs/%s", job["id"]), nil))
	var run string
	require.NoError(t, s.db.NewRaw("SELECT id FROM service_runs ORDER BY id DESC LIMIT 1").Scan(t.Context(), &run))
	s.record("ServiceRun-job_import", "run:"+run)
	for path, want := range map[string]struct {
		status int
		code   string
	}{
		"/gone": {422, "EXTRACTION_FAILED"}, "/pdf": {422, "EXTRACTION_FAILED"}, "/large": {422, "EXTRACTION_FAILED"},
		"/loop": {422, "EXTRACTION_FAILED"}, "/untitled": {422, "EXTRACTION_FAILED"}, "/inside": {400, "VALIDATION_ERROR"},
	} {
		got := imported(path, true)
		require.Equal(t, want.status, got.Status, "%s: %+v", path, got.Error)
		require.Equal(t, want.code, got.Error.Code, path)
	}
	var jobs int
	require.NoError(t, s.db.NewRaw("SELECT count(*) FROM jobs").Scan(t.Context(), &jobs))
	require.Equal(t, 1, jobs, "a refusal leaves no job")
}
