package api_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/api"
	"greenroom/db"
	"greenroom/db/pg"
)

func imports(o *api.Options) { o.Imports = true }

// importing lets a goroutine end each import of a job as a worker would.
func (b *bundle) importing(end func(ctx context.Context, tx bun.Tx, r *db.ServiceRun) error) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.ctx)
	ended := make(chan struct{})
	b.t.Cleanup(func() { cancel(); <-ended })
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			var id uuid.UUID
			err := b.NewRaw("SELECT id FROM service_runs WHERE status = 'processing' LIMIT 1").Scan(ctx, &id)
			if err == nil {
				_ = pg.InTx(ctx, b, func(ctx context.Context, tx bun.Tx) error {
					return end(ctx, tx, &db.ServiceRun{ID: id})
				})
				continue
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
}

func extracts(job string) func(ctx context.Context, tx bun.Tx, r *db.ServiceRun) error {
	return func(ctx context.Context, tx bun.Tx, r *db.ServiceRun) error {
		return db.CompleteImport(ctx, tx, r.ID, 1, json.RawMessage(job))
	}
}

func failsWith(code, message string) func(ctx context.Context, tx bun.Tx, r *db.ServiceRun) error {
	return func(ctx context.Context, tx bun.Tx, r *db.ServiceRun) error {
		return db.EndRun(ctx, tx, r.ID, 1, code, message)
	}
}

const posting = "https://jobs.example.com/careers/1"

func TestJobFromURL(t *testing.T) {
	t.Parallel()
	b := setup(t, imports)
	b.importing(extracts(`{"title":"Engineer","description":"Builds","requiredSkills":["Go"],"seniority":"ignored",
		"salary":{"min":1,"max":2,"currency":"EUR","period":"YEARLY"}}`))
	r := b.do("POST", "/jobs/url", object{"jobUrl": posting, "createJob": false})
	preview := r.is(200)
	require.Empty(t, preview["id"])
	require.Empty(t, preview["createdAt"])
	require.Empty(t, preview["updatedAt"])
	require.Equal(t, "Engineer", preview["title"])
	require.Equal(t, "OPEN", preview["status"])
	require.Equal(t, []any{}, preview["niceToHaveSkills"])
	require.Empty(t, b.do("GET", "/jobs", nil).items(), "a preview creates none")

	r = b.do("POST", "/jobs/url", object{"jobUrl": posting}, "Idempotency-Key", "i1")
	job := r.is(201)
	require.Equal(t, posting, job["jobUrl"])
	require.Equal(t, b.company.String(), job["companyId"])
	var body object
	require.NoError(t, json.Unmarshal(r.Body, &body))
	require.Equal(t, posting, body["sourceUrl"])
	require.Equal(t, job, b.get("/jobs/"+idOf(job)))
	require.Equal(t, job, b.do("POST", "/jobs/url", object{"jobUrl": posting}, "Idempotency-Key", "i1").is(201))
	require.Len(t, b.do("GET", "/jobs", nil).items(), 1)
	require.Equal(t, 2, b.count("service_runs"), "a repeated request reads no posting")
	for range 5 { // more than the limit of imports
		require.Equal(t, job, b.do("POST", "/jobs/url", object{"jobUrl": posting}, "Idempotency-Key", "i1").is(201))
	}
	b.do("POST", "/jobs/url", object{"jobUrl": posting + "0"}, "Idempotency-Key", "i1").fails(409, "IDEMPOTENCY_CONFLICT")
}

func TestJobFromURLRefusals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end    func(ctx context.Context, tx bun.Tx, r *db.ServiceRun) error
		status int
		code   string
	}{
		"no_title":          {extracts(`{"description":"x"}`), 422, "INVALID_JOB_TITLE"},
		"title_no_text":     {extracts(`{"title":7}`), 422, "INVALID_JOB_TITLE"},
		"invalid_job":       {extracts(`{"title":"T","salary":{"min":9,"max":1}}`), 422, "EXTRACTION_FAILED"},
		"invalid_currency":  {extracts(`{"title":"T","salary":{"currency":"Euros"}}`), 422, "EXTRACTION_FAILED"},
		"page_not_found":    {failsWith(db.RunRefused, "the page answered 404"), 422, "EXTRACTION_FAILED"},
		"address_forbidden": {failsWith(db.RunForbiddenURL, "the host is private"), 400, "VALIDATION_ERROR"},
		"unavailable":       {failsWith(db.RunUnavailable, "not reached"), 504, "SERVICE_UNAVAILABLE"},
		"canceled":          {failsWith(db.RunStopped, "canceled"), 504, "SERVICE_UNAVAILABLE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, imports)
			b.importing(c.end)
			b.do("POST", "/jobs/url", object{"jobUrl": posting}).fails(c.status, c.code)
			require.Empty(t, b.do("GET", "/jobs", nil).items())
		})
	}
	b := setup(t, imports)
	before := b.count("service_runs")
	for body, field := range map[string]string{
		`{}`: "jobUrl", `{"jobUrl":"no url"}`: "jobUrl", `{"jobUrl":"ftp://x.example/"}`: "jobUrl",
		`{"jobUrl":"http://x.example/"}`: "jobUrl", `{"jobUrl":"https://127.0.0.1/"}`: "jobUrl",
		`{"jobUrl":"https://169.254.169.254/latest/meta-data"}`: "jobUrl",
		`{"jobUrl":"https://x.example/","createJob":"yes"}`:     "createJob",
		`{"jobUrl":"https://x.example/","url":"x"}`:             "url",
	} {
		r := b.do("POST", "/jobs/url", body)
		require.Equal(t, 400, r.Status, body)
		require.Equal(t, field, r.Error.Details["field"], body)
	}
	require.Equal(t, before, b.count("service_runs"))
}

// TestJobFromURLIsLimited to 5 per minute, for all keys of a company together.
func TestJobFromURLIsLimited(t *testing.T) {
	t.Parallel()
	b := setup(t, imports)
	b.importing(extracts(`{"title":"Engineer"}`))
	second, _ := b.newKey(&b.company, "write:jobs")
	for i := range 5 {
		b.as([]string{b.key, second}[i%2], "POST", "/jobs/url", object{"jobUrl": posting}).is(201)
	}
	r := b.as(second, "POST", "/jobs/url", object{"jobUrl": posting})
	require.Equal(t, 429, r.Status)
	require.NotEmpty(t, r.Header.Get("Retry-After"))
	b.as(b.otherKey, "POST", "/jobs/url", object{"jobUrl": posting}).is(201)
}

// TestJobNamesItsCompany as the webhooks do.
func TestJobNamesItsCompany(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.Equal(t, b.company.String(), b.made("/jobs", object{"title": "T", "companyId": b.company})["companyId"])
	b.do("POST", "/jobs", object{"title": "T", "companyId": b.other}).fails(403, "RESOURCE_ACCESS_DENIED")
	b.do("POST", "/jobs", object{"title": "T", "companyId": "x"}).fails(400, "VALIDATION_ERROR", "companyId")
	got := b.as(b.platformKey, "POST", "/jobs", object{"title": "T", "companyId": b.other}).is(201)
	require.Equal(t, b.other.String(), got["companyId"])
	b.as(b.platformKey, "POST", "/jobs", object{"title": "T", "companyId": uuid.New()}).fails(404, "RESOURCE_NOT_FOUND")
	b.as(b.platformKey, "POST", "/jobs", object{"title": "T"}).fails(400, "MISSING_REQUIRED_FIELD", "companyId")
}

// TestPagesHaveItems for clients of the guide (reference §2.10), and data for those of the reference.
func TestPagesHaveItems(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.job()
	b.candidate(nil)
	for _, path := range []string{"/jobs", "/candidates", "/agents", "/interviews", "/companies", "/webhooks?page=1", "/api-keys"} {
		got := b.get(path)
		require.Equal(t, got["data"], got["items"], path)
		require.Contains(t, got, "pagination", path)
	}
	require.Len(t, b.get("/jobs")["items"], 1)
}
