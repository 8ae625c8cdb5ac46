package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/api"
	"greenroom/db"
	"greenroom/db/token"
)

func sources(o *api.Options) { o.SourcingTimeout = time.Minute }

// flat requires an answer without an envelope.
func (r response) flat(status int) (out object) {
	r.t.Helper()
	require.Equal(r.t, status, r.Status, "body: %s", r.Body)
	require.NoError(r.t, json.Unmarshal(r.Body, &out))
	require.Equal(r.t, true, out["success"])
	require.NotContains(r.t, out, "error", "no envelope")
	return out
}

// sourcedRuns stores a completed sourcing and a completed enrichment of the first company, of one person.
func (b *bundle) sourcedRuns(name string) (sourcing, enrichment *db.ServiceRun) {
	b.t.Helper()
	person := &db.SourcedCandidate{
		ProfileID: "planted", Name: name, Skills: []string{"Go"}, Emails: []string{"planted@x.example"},
	}
	sourcing = &db.ServiceRun{CompanyID: b.company, Kind: db.RunSourcing, Request: db.RunRequest{Title: "T", Limit: 1}}
	enrichment = &db.ServiceRun{
		CompanyID: b.company, Kind: db.RunEnrichment, Request: db.RunRequest{ProfileIDs: []string{"planted"}},
	}
	b.tx(func(tx bun.Tx) error {
		if err := db.CreateRun(b.ctx, tx, sourcing, time.Minute); err != nil {
			return err
		}
		if err := db.CreateRun(b.ctx, tx, enrichment, time.Minute); err != nil {
			return err
		}
		err := db.CompleteSourcing(b.ctx, tx, sourcing.ID, 1, &db.Sourced{Candidates: []*db.SourcedCandidate{person}})
		if err != nil {
			return err
		}
		return db.CompleteEnrichment(b.ctx, tx, enrichment.ID, 1, []db.Enriched{{ProfileID: "planted", Candidate: person}})
	})
	return sourcing, enrichment
}

func runID(t *testing.T, requestID any) uuid.UUID {
	t.Helper()
	id, err := uuid.Parse(strings.TrimPrefix(strings.TrimPrefix(requestID.(string), "req_"), "enr_"))
	require.NoError(t, err)
	return id
}

// TestSourcing_profile_with_a_slash: a person can be deleted whose id no path can have.
func TestSourcing_profile_with_a_slash(t *testing.T) {
	t.Parallel()
	b := setup(t, sources)
	const id = "https://people.example/in/ann?x=1&y=%2F"
	r := &db.ServiceRun{CompanyID: b.company, Kind: db.RunSourcing, Request: db.RunRequest{Title: "T", Limit: 1}}
	b.tx(func(tx bun.Tx) error {
		if err := db.CreateRun(b.ctx, tx, r, time.Minute); err != nil {
			return err
		}
		person := &db.SourcedCandidate{ProfileID: id, Name: "Ann", Skills: []string{}}
		return db.CompleteSourcing(b.ctx, tx, r.ID, 1, &db.Sourced{Candidates: []*db.SourcedCandidate{person}})
	})
	path := "/sourcing/profiles?profileId=" + url.QueryEscape(id)
	b.as(b.otherKey, "DELETE", path, nil).fails(404, "PROFILE_NOT_FOUND")
	require.Equal(t, http.StatusOK, b.do("DELETE", path, nil).Status)
	b.do("DELETE", path, nil).fails(404, "PROFILE_NOT_FOUND")
}

// TestSourcing_in_progress: a company has a bounded number of requests in progress, and no other company notices.
func TestSourcing_in_progress(t *testing.T) {
	t.Parallel()
	b := setup(t, sources)
	first := b.do("POST", "/sourcing", sourcingBody, "Idempotency-Key", "first").flat(202)
	hook := idOf(b.made("/webhooks", object{"url": hookURL, "events": []string{"SOURCING_COMPLETED"}}))
	named := object{"title": "T", "jobDescription": "D", "webhookId": hook}
	second := b.do("POST", "/sourcing", named, "Idempotency-Key", "second").flat(202)
	b.do("DELETE", "/webhooks/"+hook, nil)
	require.Equal(t, second, b.do("POST", "/sourcing", named, "Idempotency-Key", "second").flat(202))
	b.do("POST", "/sourcing", named, "Idempotency-Key", "third").fails(404, "RESOURCE_NOT_FOUND")
	var runs []*db.ServiceRun
	b.tx(func(tx bun.Tx) error {
		for i := range db.MostRuns + 8 {
			kind := db.RunJobImport // which are limited otherwise
			if i > 9 {
				kind = db.RunEnrichment
			}
			r := &db.ServiceRun{CompanyID: b.company, Kind: kind}
			if err := db.CreateRun(b.ctx, tx, r, time.Minute); err != nil {
				return err
			}
			runs = append(runs, r)
		}
		return nil
	})
	for _, path := range []string{"/sourcing", "/sourcing/enrich"} {
		body := sourcingBody
		if path != "/sourcing" {
			body = object{"profileIds": []string{"p"}}
		}
		refused := b.do("POST", path, body)
		require.Equal(t, http.StatusTooManyRequests, refused.Status, "%s", refused.Body)
		require.Equal(t, "10", refused.Header.Get("Retry-After"))
	}
	require.Equal(t, first, b.do("POST", "/sourcing", sourcingBody, "Idempotency-Key", "first").flat(202))
	b.as(b.otherKey, "POST", "/sourcing", sourcingBody).flat(202)
	b.tx(func(tx bun.Tx) error {
		return db.EndRun(b.ctx, tx, runs[len(runs)-1].ID, 1, db.RunRefused, "no")
	})
	b.do("POST", "/sourcing", sourcingBody).flat(202)
}

var sourcingBody = object{"title": "Senior engineers", "jobDescription": "Builds services"}

func TestSourcing(t *testing.T) {
	t.Parallel()
	b := setup(t, sources)
	hook := idOf(b.made("/webhooks", object{"url": hookURL, "events": []string{"SOURCING_COMPLETED"}}))
	got := b.do("POST", "/sourcing", object{
		"title": "Senior engineers", "jobDescription": "Builds services", "location": "Košice", "query": "Go", "limit": 2,
		"webhookId": hook,
	}).flat(202)
	require.Regexp(t, `^req_[0-9a-f-]{36}$`, got["requestId"])
	require.Equal(t, "processing", got["status"])
	require.Equal(t, hook, got["webhookId"])
	path := "/sourcing/" + got["requestId"].(string)
	id := runID(t, got["requestId"])

	waits := b.do("GET", path+"/results", nil).flat(202)
	require.Equal(t, "processing", waits["status"])
	require.EqualValues(t, 0, waits["candidatesSourcedCount"])
	require.NotEmpty(t, waits["message"])
	require.NotContains(t, waits, "candidates")
	b.do("PATCH", path, object{"limit": 5}).fails(409, "INVALID_STATE")

	score := 87
	b.tx(func(tx bun.Tx) error {
		return db.CompleteSourcing(b.ctx, tx, id, 1, &db.Sourced{
			FoundCount: 42, ScoredCount: 30,
			Candidates: []*db.SourcedCandidate{{ProfileID: "a", Name: "A", MatchScore: &score, Skills: []string{"Go"}}},
		})
	})
	done := b.do("GET", path+"/results", nil).flat(200)
	require.Equal(t, "completed", done["status"])
	require.EqualValues(t, 42, done["foundCount"])
	require.EqualValues(t, 30, done["scoredCount"])
	require.NotEmpty(t, done["completedAt"])
	require.Equal(
		t,
		[]any{object{"profileId": "a", "name": "A", "matchScore": 87.0, "skills": []any{"Go"}}},
		done["candidates"],
	)
	require.Equal(t, done, b.do("GET", "/v1"+path+"/results", nil).flat(200))

	require.Equal(t, "processing", b.do("PATCH", path, object{"query": "with Temporal"}).flat(202)["status"])
	b.tx(func(tx bun.Tx) error { return db.EndRun(b.ctx, tx, id, 2, db.RunRefused, "no more") })
	failed := b.do("GET", path+"/results", nil).flat(200)
	require.Equal(t, "failed", failed["status"])
	require.Equal(t, "AGENT_ERROR", failed["errorCode"])
	require.Equal(t, "no more", failed["errorMessage"])
	require.Len(t, failed["candidates"], 1, "those of the first pass stay")
}

func TestSourcingRefusals(t *testing.T) {
	t.Parallel()
	b := setup(t, sources)
	with := func(name string, value any) object {
		body := object{"title": "T", "jobDescription": "D"}
		body[name] = value
		return body
	}
	for name, c := range map[string]struct {
		method, path string
		body         any
		status       int
		code, field  string
	}{
		"no_title":            {"POST", "/sourcing", object{"jobDescription": "D"}, 400, "MISSING_REQUIRED_FIELD", "title"},
		"no_description":      {"POST", "/sourcing", object{"title": "T"}, 400, "MISSING_REQUIRED_FIELD", "jobDescription"},
		"long_title":          {"POST", "/sourcing", with("title", strings.Repeat("x", 201)), 400, "VALIDATION_ERROR", "title"},
		"long_description":    {"POST", "/sourcing", with("jobDescription", strings.Repeat("x", 10_001)), 400, "VALIDATION_ERROR", "jobDescription"},
		"long_query":          {"POST", "/sourcing", with("query", strings.Repeat("x", 501)), 400, "VALIDATION_ERROR", "query"},
		"limit_zero":          {"POST", "/sourcing", with("limit", 0), 400, "VALIDATION_ERROR", "limit"},
		"limit_101":           {"POST", "/sourcing", with("limit", 101), 400, "VALIDATION_ERROR", "limit"},
		"limit_text":          {"POST", "/sourcing", with("limit", "many"), 400, "VALIDATION_ERROR", "limit"},
		"unknown_field":       {"POST", "/sourcing", with("more", 1), 400, "VALIDATION_ERROR", "more"},
		"webhook_no_uuid":     {"POST", "/sourcing", with("webhookId", "x"), 400, "VALIDATION_ERROR", "webhookId"},
		"webhook_unknown":     {"POST", "/sourcing", with("webhookId", uuid.NewString()), 404, "RESOURCE_NOT_FOUND", ""},
		"refine_nothing":      {"PATCH", "/sourcing/{run}", object{}, 400, "VALIDATION_ERROR", ""},
		"refine_limit_51":     {"PATCH", "/sourcing/{run}", object{"limit": 51}, 400, "VALIDATION_ERROR", "limit"},
		"refine_long_query":   {"PATCH", "/sourcing/{run}", object{"query": strings.Repeat("x", 501)}, 400, "VALIDATION_ERROR", "query"},
		"refine_unknown":      {"PATCH", "/sourcing/req_" + uuid.NewString(), object{"limit": 1}, 404, "REQUEST_NOT_FOUND", ""},
		"results_unknown":     {"GET", "/sourcing/req_" + uuid.NewString() + "/results", nil, 404, "REQUEST_NOT_FOUND", ""},
		"results_no_prefix":   {"GET", "/sourcing/{bare}/results", nil, 404, "REQUEST_NOT_FOUND", ""},
		"results_other_kind":  {"GET", "/sourcing/enrich/enr_{bare}/results", nil, 404, "REQUEST_NOT_FOUND", ""},
		"results_no_uuid":     {"GET", "/sourcing/req_x/results", nil, 404, "REQUEST_NOT_FOUND", ""},
		"enrich_none":         {"POST", "/sourcing/enrich", object{"profileIds": []string{}}, 400, "VALIDATION_ERROR", "profileIds"},
		"enrich_eleven":       {"POST", "/sourcing/enrich", object{"profileIds": ids(11)}, 400, "VALIDATION_ERROR", "profileIds"},
		"enrich_twice":        {"POST", "/sourcing/enrich", object{"profileIds": []string{"a", "a"}}, 400, "VALIDATION_ERROR", "profileIds"},
		"enrich_empty_id":     {"POST", "/sourcing/enrich", object{"profileIds": []string{""}}, 400, "VALIDATION_ERROR", "profileIds[0]"},
		"cards_theme":         {"POST", "/sourcing/render-html", object{"profileIds": []string{"a"}, "theme": "blue"}, 400, "VALIDATION_ERROR", "theme"},
		"cards_eleven":        {"POST", "/sourcing/render-html", object{"profileIds": ids(11)}, 400, "VALIDATION_ERROR", "profileIds"},
		"profile_unknown":     {"DELETE", "/sourcing/profiles/nobody", nil, 404, "PROFILE_NOT_FOUND", ""},
		"profile_of_no_query": {"DELETE", "/sourcing/profiles", nil, 400, "MISSING_REQUIRED_FIELD", "profileId"},
		"profile_of_query":    {"DELETE", "/sourcing/profiles?profileId=a%2Fb", nil, 404, "PROFILE_NOT_FOUND", ""},
		"preview_not_allowed": {"GET", "/sourcing", nil, 405, "METHOD_NOT_ALLOWED", ""},
	} {
		t.Run(name, func(t *testing.T) {
			run := b.do("POST", "/sourcing", sourcingBody).flat(202)["requestId"].(string)
			b.tx(func(tx bun.Tx) error { return db.EndRun(b.ctx, tx, runID(t, run), 1, db.RunRefused, "x") })
			path := strings.ReplaceAll(strings.ReplaceAll(c.path, "{run}", run), "{bare}", run[4:])
			before := b.sourcingRows()
			r := b.do(c.method, path, c.body).fails(c.status, c.code)
			if c.field != "" {
				require.Equal(t, c.field, r.Error.Details["field"])
			}
			require.Equal(t, before, b.sourcingRows(), "a refusal leaves nothing behind")
		})
	}
}

func (b *bundle) sourcingRows() (n int) {
	b.t.Helper()
	require.NoError(b.t, b.NewRaw(`SELECT (SELECT count(*) FROM service_runs) + (SELECT count(*) FROM sourced_profiles) +
		(SELECT count(*) FROM commands) + (SELECT count(*) FROM jobs) + (SELECT sum(pass) FROM service_runs)`).Scan(b.ctx, &n))
	return n
}

func ids(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprint("p", i)
	}
	return out
}

// TestSourcingWebhook: a named webhook must be the company's (403) and subscribed to an event of the end (422).
func TestSourcingWebhook(t *testing.T) {
	t.Parallel()
	b := setup(t, sources)
	foreign := idOf(
		b.as(b.otherKey, "POST", "/webhooks", object{"url": hookURL, "events": []string{"sourcing.completed"}}).is(201),
	)
	global := idOf(
		b.as(b.platformKey, "POST", "/webhooks", object{"url": hookURL, "events": []string{"sourcing.completed"}}).is(201),
	)
	unsubscribed := idOf(b.made("/webhooks", object{"url": hookURL, "events": []string{"enrich.failed"}}))
	wildcard := idOf(b.made("/webhooks", object{"url": hookURL, "profile": "standard", "events": []string{"sourcing.*"}}))
	for id, c := range map[string]struct {
		status int
		code   string
	}{foreign: {403, "RESOURCE_ACCESS_DENIED"}, global: {403, "RESOURCE_ACCESS_DENIED"}, unsubscribed: {422, "VALIDATION_ERROR"}} {
		b.do("POST", "/sourcing", object{"title": "T", "jobDescription": "D", "webhookId": id}).fails(c.status, c.code)
	}
	b.do("POST", "/sourcing", object{"title": "T", "jobDescription": "D", "webhookId": wildcard}).flat(202)
	b.do("POST", "/sourcing/enrich", object{"profileIds": []string{"a"}, "webhookId": wildcard}).
		fails(422, "VALIDATION_ERROR", "webhookId")
	b.do("POST", "/sourcing/enrich", object{"profileIds": []string{"a"}, "webhookId": unsubscribed}).flat(202)
}

func TestSourcingScopes(t *testing.T) {
	t.Parallel()
	b := setup(t, sources)
	sourcing, enrichment := b.sourcedRuns("A")
	results, enriched := "/sourcing/"+sourcing.RequestID()+"/results", "/sourcing/enrich/"+enrichment.RequestID()+"/results"
	reader, _ := b.newKey(&b.company, "sourcing:read")
	enricher, _ := b.newKey(&b.company, "enrich:write")
	b.as(reader, "GET", results, nil).flat(200)
	b.as(reader, "POST", "/sourcing", sourcingBody).fails(403, "INSUFFICIENT_PERMISSIONS")
	b.as(reader, "GET", enriched, nil).fails(403, "INSUFFICIENT_PERMISSIONS")
	b.as(enricher, "GET", enriched, nil).flat(200)
	b.as(enricher, "GET", results, nil).fails(403, "INSUFFICIENT_PERMISSIONS")
	b.as(enricher, "GET", "/billing/usage", nil).fails(403, "INSUFFICIENT_PERMISSIONS")
	b.as(b.platformKey, "GET", results, nil).flat(200)
	b.as(b.platformKey, "GET", results+"?companyId="+b.other.String(), nil).fails(404, "REQUEST_NOT_FOUND")
	b.as(b.platformKey, "POST", "/sourcing", sourcingBody).fails(400, "MISSING_REQUIRED_FIELD", "companyId")
	b.as(b.platformKey, "POST", "/sourcing?companyId="+b.company.String(), sourcingBody).flat(202)
}

func TestSourcingWithoutAService(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for path, body := range map[string]object{
		"/sourcing": sourcingBody, "/sourcing/enrich": {"profileIds": []string{"a"}},
		"/jobs/url": {"jobUrl": "https://jobs.example.com/1"},
	} {
		r := b.do("POST", path, body).fails(503, "SERVICE_UNAVAILABLE")
		require.Contains(t, r.Error.Message, ".url", path)
	}
}

func TestSourcingIsIdempotent(t *testing.T) {
	t.Parallel()
	b := setup(t, sources)
	first := b.do("POST", "/sourcing", sourcingBody, "Idempotency-Key", "s1").flat(202)
	require.Equal(t, first, b.do("POST", "/sourcing", sourcingBody, "Idempotency-Key", "s1").flat(202))
	b.do("POST", "/sourcing", object{"title": "T", "jobDescription": "D"}, "Idempotency-Key", "s1").
		fails(409, "IDEMPOTENCY_CONFLICT")
}

func TestEnrichmentResults(t *testing.T) {
	t.Parallel()
	b := setup(t, sources)
	got := b.do("POST", "/sourcing/enrich", object{"profileIds": []string{"b", "a"}}).flat(202)
	path, id := "/sourcing/enrich/"+got["requestId"].(string)+"/results", runID(t, got["requestId"])
	require.Regexp(t, `^enr_`, got["requestId"])
	require.NotEmpty(t, b.do("GET", path, nil).flat(202)["message"])
	b.tx(func(tx bun.Tx) error {
		return db.CompleteEnrichment(b.ctx, tx, id, 1, []db.Enriched{
			{ProfileID: "a", Candidate: &db.SourcedCandidate{ProfileID: "a", Name: "A", Skills: []string{}}},
			{ProfileID: "b", ErrorCode: "TIMEOUT", ErrorMessage: "slow"},
		})
	})
	done := b.do("GET", path, nil).flat(200)
	require.EqualValues(t, 1, done["enrichedCount"])
	require.EqualValues(t, 1, done["failureCount"])
	require.EqualValues(t, 1, done["creditsConsumed"])
	require.Equal(t, []any{
		object{"profileId": "b", "success": false, "errorCode": "TIMEOUT", "errorMessage": "slow"},
		object{"profileId": "a", "success": true, "candidate": object{"profileId": "a", "name": "A", "skills": []any{}}},
	}, done["data"], "in the order of the request")
}

func TestProfileCards(t *testing.T) {
	t.Parallel()
	b := setup(t)
	run := &db.ServiceRun{CompanyID: b.company, Kind: db.RunSourcing, Request: db.RunRequest{Limit: 1}}
	score := 87
	b.tx(func(tx bun.Tx) error {
		if err := db.CreateRun(b.ctx, tx, run, time.Minute); err != nil {
			return err
		}
		return db.CompleteSourcing(b.ctx, tx, run.ID, 1, &db.Sourced{Candidates: []*db.SourcedCandidate{{
			ProfileID: "x", Name: `<script>alert("x")</script>`, MatchScore: &score, Rationale: "Knows <b>Go</b>",
			Skills: []string{"Go", `"><img src=x onerror=alert(1)>`}, CurrentRole: "Engineer", CurrentCompany: "Acme & Co",
			LinkedinURL: "https://www.linkedin.com/in/x",
		}}})
	})
	cards := func(key, theme string) object {
		body := object{"profileIds": []string{"unknown", "x"}}
		if theme != "" {
			body["theme"] = theme
		}
		return b.as(key, "POST", "/sourcing/render-html", body).flat(200)
	}
	got := cards(b.key, "")
	require.EqualValues(t, 1, got["renderedCount"])
	data := got["data"].([]any)
	require.Equal(t, object{"profileId": "unknown", "success": false, "errorCode": "PROFILE_NOT_FOUND"}, data[0])
	html := data[1].(object)["htmlContent"].(string)
	for _, part := range []string{
		"&lt;script&gt;", "87 % match", "Knows &lt;b&gt;Go&lt;/b&gt;", "Acme &amp; Co", `href="https://www.linkedin.com/in/x"`,
		"background:#0f172a",
	} {
		require.Contains(t, html, part)
	}
	for _, part := range []string{"<script", "<img", "<b>", "<style", "ZgotmplZ"} {
		require.NotContains(t, html, part)
	}
	require.Equal(t, got, cards(b.key, "dark"))
	light := cards(b.key, "light")["data"].([]any)[1].(object)["htmlContent"].(string)
	require.Contains(t, light, "background:#ffffff")
	require.EqualValues(t, 0, cards(b.otherKey, "")["renderedCount"], "another company has not sourced the person")
	b.do("DELETE", "/sourcing/profiles/x", nil)
	require.EqualValues(t, 0, cards(b.key, "")["renderedCount"])
}

func TestSourcingReports(t *testing.T) {
	t.Parallel()
	b := setup(t, sources)
	run := b.do("POST", "/sourcing", sourcingBody).flat(202)["requestId"].(string)
	id := runID(t, run)
	report := func(pass string, body any) response {
		return b.as(
			"",
			"POST",
			"/callbacks/runs/"+id.String()+"?token="+token.For([]byte(testSecret), token.Callback, id)+pass,
			body,
		)
	}
	person := object{"candidates": []object{{"profileId": "a", "name": "A", "skills": []string{}}}}
	b.as("", "POST", "/callbacks/runs/"+id.String()+"?token=x", person).fails(404, "RESOURCE_NOT_FOUND")
	for _, body := range []any{object{}, object{"candidates": "none"}, object{"candidates": []object{{"name": "A"}}}, "[]", ""} {
		report("&pass=1", body).fails(400, "VALIDATION_ERROR")
	}
	report("&pass=0", person).fails(400, "VALIDATION_ERROR")
	report("&pass=2", person).fails(409, "INVALID_STATE")
	b.do("GET", "/sourcing/"+run+"/results", nil).flat(202)
	require.Equal(t, http.StatusNoContent, report("&pass=1", person).Status)
	require.Len(t, b.do("GET", "/sourcing/"+run+"/results", nil).flat(200)["candidates"], 1)
	report("&pass=1", person).fails(409, "INVALID_STATE")
	b.do("PATCH", "/sourcing/"+run, object{"limit": 1}).flat(202)
	report("&pass=1", person).fails(409, "INVALID_STATE")
	require.Equal(t, http.StatusNoContent, report("&pass=2", object{"error": "nobody left"}).Status)
	require.Equal(t, "nobody left", b.do("GET", "/sourcing/"+run+"/results", nil).flat(200)["errorMessage"])
}
