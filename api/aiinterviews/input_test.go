package aiinterviews_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/api"
	"greenroom/api/apitest"
	"greenroom/db"
)

// What a client may get wrong is refused with a sentence that names it, and changes nothing.
func TestRefusals(t *testing.T) {
	t.Parallel()
	b := setup(t)
	long := strings.Repeat("x", 300)
	for _, row := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"POST", settings, `{}`, 400, "webhooks is required"},
		{"POST", settings, `{"webhooks":{}}`, 400, "webhooks must have start, submission or auth"},
		{"POST", settings, `{"webhooks":{"start":{"status":true}}}`, 400, "webhooks.start.url is required"},
		{"POST", settings, `{"webhooks":{"start":{"status":true,"url":""}}}`, 400, "webhooks.start.url must be a valid URL"},
		{"POST", settings, `{"webhooks":{"submission":{"url":"http://a.test"}}}`, 400, "webhooks.submission.url must use https"},
		{"POST", settings, `{"webhooks":{"start":{"url":"https://10.0.0.1"}}}`, 400, "webhooks.start.url must not point to a private, local or reserved address"},
		{"POST", settings, `{"webhooks":{"start":{"status":"yes"}}}`, 400, "webhooks.start.status must be true or false"},
		{"POST", settings, `{"webhooks":{"start":{"status":false},"updateAll":true}}`, 400, "updateAll stands beside webhooks, not inside it"},
		{"POST", settings, `{"webhooks":{"auth":{"type":"basic","basic":{"username":"u"}}}}`, 400, "webhooks.auth.basic.password is required"},
		{
			"POST", settings, `{"webhooks":{"auth":{"type":"basic","basic":{"username":"a:b","password":"p"}}}}`, 400,
			"webhooks.auth.basic.username must not contain a colon",
		},
		{
			"POST", settings, `{"webhooks":{"auth":{"type":"basic","basic":{"username":"a","password":"p\n"}}}}`, 400,
			"webhooks.auth.basic must not contain control characters",
		},
		{
			"POST", settings, `{"webhooks":{"auth":{"type":"apikey","apikey":{"header":"Content-Type","apikey":"p"}}}}`, 400,
			`webhooks.auth.apikey.header is reserved: "Content-Type"`,
		},
		{
			"POST", settings, `{"webhooks":{"auth":{"type":"apikey","apikey":{"header":"a b","apikey":"p"}}}}`, 400,
			"webhooks.auth.apikey.header must be a valid HTTP header name",
		},
		{
			"POST", settings, `{"webhooks":{"auth":{"type":"apikey","apikey":{"header":"a","apikey":"p\r\nX: y"}}}}`, 400,
			"webhooks.auth.apikey.apikey must be a valid HTTP header value",
		},
		{"POST", settings, `{"webhooks":`, 400, "The body is not valid JSON: unexpected end of JSON input"},
		{"PUT", "/ai-interviews/settings/webhooks/999999", `{"webhooks":{"start":{"url":"https://a.test"}}}`, 404, "AI interview with ID 999999 not found"},
		{"PUT", "/ai-interviews/settings/webhooks/one", `{}`, 404, "AI interview with ID one not found"},
		{"POST", "/ai-interviews/settings/general", `{"general":{"cutoff":"high"}}`, 400, "general.cutoff must be a number"},
		{"POST", "/ai-interviews/invite", `{"candidate_email":"a@b.test","ai_interview_id":1,"invite_format":"getlink"}`, 400, "candidate_name is required"},
		{
			"POST", "/ai-interviews/invite", `{"candidate_name":"A","candidate_email":"nobody","ai_interview_id":1,"invite_format":"getlink"}`, 400,
			"candidate_email must be a valid e-mail address",
		},
		{
			"POST", "/ai-interviews/invite", `{"candidate_name":" ","candidate_email":"a@b.test","ai_interview_id":1,"invite_format":"getlink"}`, 400,
			"candidate_name must not be empty",
		},
		{
			"POST", "/ai-interviews/invite", `{"candidate_name":"A","candidate_email":"a@b.test","ai_interview_id":999999,"invite_format":"getlink"}`, 404,
			"AI interview with ID 999999 not found",
		},
		{
			"POST", "/ai-interviews/invite", `{"candidate_name":"A","candidate_email":"a@b.test","ai_interview_id":"1","invite_format":"getlink"}`, 400,
			"ai_interview_id must be an integer",
		},
		{"POST", "/ai-interviews/invite", `{"candidate_name":"A","candidate_email":"a@b.test","ai_interview_id":1,"invite_format":"getlink",
			"start_date":"tomorrow"}`, 400, "start_date must be a date like 2025-07-10 11:52, in GMT"},
		{"POST", "/ai-interviews/invite", `{"candidate_name":"A","candidate_email":"a@b.test","ai_interview_id":1,"invite_format":"getlink",
			"start_date":"2020-01-01 00:00"}`, 400, "start_date must not be in the past"},
		{"POST", "/ai-interviews/invite", `{"candidate_name":"A","candidate_email":"a@b.test","ai_interview_id":1,"invite_format":"getlink",
			"expiry_date":"2020-01-01 00:00"}`, 400, "expiry_date must not be in the past"},
		{"POST", "/ai-interviews/invite", `{"candidate_name":"A","candidate_email":"a@b.test","ai_interview_id":1,"invite_format":"getlink",
			"custom_field_id":["a"]}`, 400, "custom_field_id must be a text of at most 255 bytes, or a number"},
		{"POST", "/ai-interviews/invite", `{"candidate_name":"A","candidate_email":"a@b.test","ai_interview_id":1,"invite_format":"getlink",
			"custom_field_id":"` + long + `"}`, 400, "custom_field_id must be a text of at most 255 bytes, or a number"},
		{"GET", "/ai-interviews/invited/0", "", 404, "AI interview with ID 0 not found"},
		{"GET", "/ai-interviews/report/7", "", 404, "Response with ID 7 not found"},
		{"GET", "/ai-interviews/report", "", 400, "custom_field_id is required"},
		{"GET", "/ai-interviews/report?custom_field_id=nobody", "", 404, "No response has this custom_field_id"},
		{"GET", "/ai-interviews/report?custom_field_id=a%00b", "", 400, "custom_field_id must not contain NUL characters"},
		{"GET", "/ai-interviews/generate-interview/7", "", 404, "Job with ID 7 not found"},
		{"POST", "/ai-interviews/generate-interview", `{"job_role":"` + long + `","job_description":"b"}`, 400, "job_role must be at most 200 characters"},
		{"GET", "/ai-interviews/shared/x", "", 404, "There is nothing behind this link"},
	} {
		var body any
		if row.body != "" {
			body = row.body
		}
		r := b.Do(row.method, row.path, body)
		require.Equal(t, row.status, r.Status, "%s %s %s: %s", row.method, row.path, row.body, r.Body)
		require.Equal(t, row.want, r.Is(row.status)["error"], "%s %s %s", row.method, row.path, row.body)
	}
	for _, table := range []string{"webhook_sets", "webhooks", "candidates", "interviews", "generations", "agents"} {
		n, err := b.NewSelect().Table(table).Count(b.Ctx)
		require.NoError(t, err)
		require.Zero(t, n, "nothing of %s is half made", table)
	}
}

// A client may write back what it has read, with everything that is only shown.
func TestSettings_can_be_written_back(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.post(settings, seed)
	read := b.get(settings)
	require.JSONEq(t, string(read.Body), string(b.post(settings, read.Body).Body))
	var password string
	require.NoError(t, b.NewRaw("SELECT (headers->0->>'name') FROM webhooks LIMIT 1").Scan(b.Ctx, &password))
	require.Equal(t, "Authorization", password, "the credentials are still there")
	b.post("/ai-interviews/settings/general", `{"general":{"cutoff":5,"voice":["american","m"],"language":"English"}}`)
	general := b.get("/ai-interviews/settings/general")
	b.post("/ai-interviews/settings/general", general.Body)
	require.JSONEq(t, string(general.Body), string(b.get("/ai-interviews/settings/general").Body))
}

// The webhooks are seen in the webhooks API too, and what happens to them there is seen here.
func TestSettings_and_the_webhooks_api(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.post(settings, seed)
	var page struct {
		Data struct {
			Data []struct{ ID, Profile, URL string }
		}
	}
	b.Do(http.MethodGet, "/webhooks", nil).Into(200, &page)
	require.Len(t, page.Data.Data, 2)
	hook := page.Data.Data[0]
	require.Equal(t, "ai-interviews", hook.Profile)
	require.Equal(
		t,
		http.StatusConflict,
		b.Do(http.MethodPatch, "/webhooks/"+hook.ID, object{"url": "https://elsewhere.test"}).Status,
	)
	require.Equal(t, http.StatusOK, b.Do(http.MethodPatch, "/webhooks/"+hook.ID, object{"rateLimit": 5}).Status)
	for _, h := range page.Data.Data {
		require.Equal(t, http.StatusNoContent, b.Do(http.MethodDelete, "/webhooks/"+h.ID, nil).Status)
	}
	o := b.get(settings).Is(200)["webhooks"].(object)
	require.Equal(t, object{"status": false, "url": "https://example.com/webhook/start"}, o["start"])
	require.JSONEq(t, seedAnswer, string(b.post(settings, seed).Body), "settings that name them make them anew")
}

func TestInvite_knows_the_candidate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.interview(b.invite(nil)["response_id"])
	again := b.invite(object{"candidate_email": "ADA@mail.test", "candidate_name": "Somebody Else"})
	second := b.interview(again["response_id"])
	require.Equal(t, first.CandidateID, second.CandidateID)
	require.NotEqual(t, first.ID, second.ID)
	require.Equal(t, "Ada King Byron", again["name"], "who is known keeps the name")
	require.Equal(t, first.AgentID, second.AgentID)
	c, err := db.GetCandidate(b.Ctx, b.DB, first.CandidateID)
	require.NoError(t, err)
	require.Equal(t, []string{"Ada", "King Byron"}, []string{c.FirstName, c.LastName})
	require.Equal(t, b.job.ID, c.JobIDs[0])
}

func TestInvite_is_idempotent_with_a_key(t *testing.T) {
	t.Parallel()
	b := setup(t)
	body := b.invitation(nil)
	first := b.Do(http.MethodPost, "/ai-interviews/invite", body, "Idempotency-Key", "one")
	again := b.Do(http.MethodPost, "/ai-interviews/invite", body, "Idempotency-Key", "one")
	require.Equal(t, string(first.Body), string(again.Body))
	require.Equal(t, "true", again.Header.Get("Idempotency-Replayed"))
}

func TestInvite_queues_the_mail(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *api.Options) { o.Mails = true })
	o := b.invite(object{"invite_format": "sendlink"})
	require.Equal(t, "Link created, e-mail queued", o["status"])
	require.True(t, b.interview(o["response_id"]).InviteMail)
	require.False(t, b.interview(b.invite(nil)["response_id"]).InviteMail, "getlink only makes the link")
}

// A platform key acts for a company that it names.
func TestPlatformKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fails(
		b.As(b.PlatformKey, http.MethodGet, settings, nil),
		400,
		"companyId is required in the query: this key acts for many companies",
	)
	r := b.As(b.PlatformKey, http.MethodPost, settings+"?companyId="+b.Company.String(), seed)
	require.JSONEq(t, seedAnswer, string(r.Body))
	require.JSONEq(t, seedAnswer, string(b.get(settings).Body))
}

func TestScopes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key, _ := b.NewKey(&b.Company, "read:webhooks")
	require.Equal(t, http.StatusOK, b.As(key, http.MethodGet, settings, nil).Status)
	b.fails(
		b.As(key, http.MethodPost, settings, seed),
		403,
		"This API key does not have the required scope: write:webhooks",
	)
}

// A company neither sees nor changes the rows of another.
func TestForeignKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.job = b.newJob(apitest.Marker)
	b.post(settings, seed)
	b.Do(
		http.MethodPut,
		path("/settings/webhooks/%d", b.job.Number),
		strings.Replace(seed, "example.com", "example.com/"+strings.ReplaceAll(apitest.Marker, " ", "%20"), 1),
	)
	response := path("%.0f", b.invite(object{"custom_field_id": "theirs"})["response_id"])[len("/ai-interviews"):]
	generation, _ := b.post("/ai-interviews/generate-interview", object{"job_role": apitest.Marker, "job_description": "x"}).Is(202)["job_id"].(string)
	number := path("%d", b.job.Number)[len("/ai-interviews"):]
	share, _ := b.post(path("/report/%s/share", response), nil).Is(200)["signed_url"].(string)
	require.NotEmpty(t, share)
	apitest.WalkForeign(t, b.Bundle, "ai-interviews", apitest.Foreign{
		Rows: map[string]string{
			"/ai-interviews/settings/webhooks/:id":      number,
			"/ai-interviews/invited/:id":                number,
			"/ai-interviews/report/:id":                 response,
			"/ai-interviews/generate-interview/:job_id": generation,
			"/ai-interviews/shared/:token":              "x",
			"/ai-interviews/recording/:token":           "x",
		},
		Textless: []string{
			"/ai-interviews/settings/webhooks/:id", "/ai-interviews/invited/:id", "/ai-interviews/report/:id/download",
			"/ai-interviews/generate-interview/:job_id",
		},
		Also: []apitest.Call{
			{Method: http.MethodGet, Target: "/ai-interviews/report?custom_field_id=theirs"},
			{Method: http.MethodPost, Target: "/ai-interviews/invite", Body: b.invitation(nil)},
		},
	})
	// A deleted AI interview is not there any more.
	b.Tx(func(tx bun.Tx) error { return db.DeleteJob(b.Ctx, tx, b.job.ID) })
	require.Equal(t, http.StatusNotFound, b.get(path("/invited/%d", b.job.Number)).Status)
}

// As the original does: one sentence names all faults.
func TestBodies_have_all_faults_named(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fails(b.post(settings, `{"webhooks":{"start":{"status":"yes"},"submission":{"status":5}}}`), 400,
		"webhooks.start.status must be true or false; webhooks.submission.status must be true or false")
}
