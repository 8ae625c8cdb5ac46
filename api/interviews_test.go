package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/api"
	"greenroom/db"
	"greenroom/db/token"
)

// inline are the three parts of an interview as a body may bring them along.
func inlineCandidate() object {
	return object{"firstName": "Ada", "lastName": "Byron", "phoneNumber": "+421900123456", "gdprExpiryDate": "2031-12-31"}
}

func inlineJob() object { return object{"jobTitle": "Engineer", "requiredSkills": []any{"Go"}} }

func inlineAgent(kind string) object { return object{"name": "Inline", "type": kind, "duration": 20} }

func TestInterviewByIDs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	job, agent := b.job(), b.agent("ONLINE", object{"duration": 25})
	candidate := b.candidate(object{"jobId": job["id"]})
	start := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	got := b.made("/interviews", object{
		"candidateId": candidate["id"],
		"jobId":       job["id"],
		"agentId":     agent["id"],
		"scheduledAt": start,
		"metadata":    object{"a": 1.0},
	})
	t.Run("2.13_object", func(t *testing.T) {
		require.Equal(t, candidate["id"], got["candidateId"])
		require.Equal(t, job["id"], got["jobId"])
		require.Equal(t, agent["id"], got["agentId"])
		require.Equal(t, b.company.String(), got["companyId"])
		require.Equal(t, "SCHEDULED", got["status"])
		require.Equal(t, "ONLINE", got["type"])
		require.EqualValues(t, 25, got["durationMinutes"])
		require.Equal(t, object{"a": 1.0}, got["metadata"])
		require.True(t, at(t, got["scheduledAt"]).Equal(start))
		require.True(
			t,
			at(t, got["deadlineAt"]).Equal(start.Add(7*24*time.Hour)),
			"ONLINE: scheduledAt + invitation deadline",
		)
		for _, field := range []string{"finishedDate", "analysis", "statusReason", "startedAt", "analysisStatus"} {
			require.Contains(t, got, field)
			require.Nil(t, got[field], field)
		}
		require.Equal(t, []any{}, got["callAttempts"])
		require.Equal(t, []any{}, got["transcript"])
		require.Equal(t, []any{}, got["answers"])
		require.Equal(t, got, b.get("/interviews/"+idOf(got)))
	})
	t.Run("invite_url_of_online_ones", func(t *testing.T) {
		require.Equal(
			t,
			"https://greenroom.test/i/"+idOf(got)+"."+token.For(testSecret, token.Invite, uid(got)),
			got["inviteUrl"],
		)
	})
	t.Run("max_duration_is_the_rule's", func(t *testing.T) {
		var minutes int
		require.NoError(t, b.NewRaw("SELECT max_minutes FROM interviews WHERE id = ?", idOf(got)).Scan(b.ctx, &minutes))
		require.Equal(t, 60, minutes)
	})
	t.Run("events_and_workflow", func(t *testing.T) {
		require.Equal(t, []string{"job.created", "candidate.created", "interview.scheduled", "candidate.invited"}, b.events())
		var n int
		require.NoError(
			t,
			b.NewRaw("SELECT count(*) FROM commands WHERE kind = 'interview.changed' AND subject_id = ?", idOf(got)).
				Scan(b.ctx, &n),
		)
		require.Equal(t, 1, n)
	})
}

func TestPhoneInterview(t *testing.T) {
	t.Parallel()
	b := setup(t)
	before := time.Now().Add(-time.Second)
	got := b.interview("PHONE")
	require.Nil(t, got["inviteUrl"])
	require.Nil(t, got["deadlineAt"])
	require.Nil(t, got["jobId"], "GENERIC agents need no job")
	require.WithinRange(t, at(t, got["scheduledAt"]), before, time.Now(), "absent start = now")
	call := got["callAttempts"].([]any)[0].(object)
	want := object{
		"direction":    "OUTBOUND",
		"status":       "SCHEDULED",
		"retryNumber":  0.0,
		"reasonCode":   nil,
		"notes":        nil,
		"recordingUrl": nil,
		"duration":     nil,
		"calledAt":     nil,
		"scheduledAt":  got["scheduledAt"],
	}
	for field, value := range want {
		require.Contains(t, call, field)
		require.Equal(t, value, call[field], field)
	}
	t.Run("needs_a_phone_number", func(t *testing.T) {
		silent := b.made("/candidates", object{"firstName": "A", "lastName": "B"})
		b.leaves(func() {
			b.do("POST", "/interviews", object{"candidateId": silent["id"], "agentId": got["agentId"]}).
				fails(422, "VALIDATION_ERROR", "phoneNumber")
			inline := object{"firstName": "A", "lastName": "B", "gdprExpiryDate": "2031-01-01"}
			b.do("POST", "/interviews", object{"candidate": inline, "agent": inlineAgent("PHONE"), "job": inlineJob()}).
				fails(422, "VALIDATION_ERROR", "phoneNumber")
		})
	})
}

func TestInlineInterview(t *testing.T) {
	t.Parallel()
	b := setup(t)
	t.Run("2.13_all_parts_inline", func(t *testing.T) {
		got := b.made(
			"/interviews",
			object{"candidate": inlineCandidate(), "job": inlineJob(), "agent": inlineAgent("ONLINE")},
		)
		candidate := b.get("/candidates/" + got["candidateId"].(string))
		require.Equal(t, "2031-12-31", candidate["gdprExpiryDate"])
		require.Equal(t, []any{got["jobId"]}, candidate["jobIds"], "the candidate is considered for the job")
		job := b.get("/jobs/" + got["jobId"].(string))
		require.Equal(t, "Engineer", job["title"])
		require.Equal(t, []any{"Go"}, job["requiredSkills"])
		require.EqualValues(t, 20, b.get("/agents/" + got["agentId"].(string))["duration"])
		require.EqualValues(t, 20, got["durationMinutes"])
		require.Equal(
			t,
			[]string{"job.created", "interview.scheduled", "candidate.invited"},
			b.events(),
			"an invited candidate has the event of that",
		)
	})
	t.Run("candidate_of_a_call_is_created_without_an_invitation", func(t *testing.T) {
		b := setup(t)
		b.made("/interviews", object{"candidate": inlineCandidate(), "job": inlineJob(), "agent": inlineAgent("PHONE")})
		require.Equal(t, []string{"job.created", "candidate.created", "interview.scheduled"}, b.events())
	})
	t.Run("existing_candidate_is_added_to_the_job", func(t *testing.T) {
		candidate := b.candidate(object{"jobId": b.job()["id"]})
		got := b.made(
			"/interviews",
			object{"candidateId": candidate["id"], "job": inlineJob(), "agent": inlineAgent("PHONE")},
		)
		require.Equal(t, []any{candidate["jobId"], got["jobId"]}, b.get("/candidates/" + idOf(candidate))["jobIds"])
	})
}

// with is a complete inline body with one part changed; nil removes it.
func with(change object) object {
	body := object{"candidate": inlineCandidate(), "job": inlineJob(), "agent": inlineAgent("PHONE")}
	for name, value := range change {
		if value == nil {
			delete(body, name)
			continue
		}
		body[name] = value
	}
	return body
}

// engineer is a complete inline body whose job has these fields.
func engineer(fields object) object {
	fields["jobTitle"] = "Engineer"
	return with(object{"job": fields})
}

// person is a complete inline body whose candidate has this gdprExpiryDate.
func person(expiry any) object {
	return with(object{"candidate": object{"firstName": "A", "lastName": "B", "gdprExpiryDate": expiry}})
}

func TestInterviewRefusals(t *testing.T) {
	t.Parallel()
	b := setup(t)
	candidate, job, agent := b.candidate(), b.job(), b.agent("PHONE")
	eleven := make([]any, 11)
	for i := range eleven {
		eleven[i] = fmt.Sprint("skill ", i)
	}
	b.leaves(func() {
		for name, tc := range map[string]struct {
			body        object
			code, field string
		}{
			"both_candidates":       {with(object{"candidateId": candidate["id"]}), "VALIDATION_ERROR", "candidate"},
			"both_jobs":             {with(object{"jobId": job["id"]}), "VALIDATION_ERROR", "job"},
			"both_agents":           {with(object{"agentId": agent["id"]}), "VALIDATION_ERROR", "agent"},
			"no_candidate":          {with(object{"candidate": nil}), "MISSING_REQUIRED_FIELD", "candidateId"},
			"no_agent":              {with(object{"agent": nil}), "MISSING_REQUIRED_FIELD", "agentId"},
			"2.13_no_job":           {with(object{"job": nil}), "MISSING_REQUIRED_FIELD", "jobId"},
			"2.12_gdpr_of_inline":   {person(nil), "MISSING_REQUIRED_FIELD", "candidate.gdprExpiryDate"},
			"gdpr_not_a_date":       {person("0001-01-01"), "VALIDATION_ERROR", "candidate.gdprExpiryDate"},
			"2.11_title_required":   {with(object{"job": object{"requiredSkills": []any{"Go"}}}), "MISSING_REQUIRED_FIELD", "job.jobTitle"},
			"2.11_title_4":          {with(object{"job": object{"jobTitle": "Four"}}), "VALIDATION_ERROR", "job.jobTitle"},
			"2.11_title_201":        {with(object{"job": object{"jobTitle": strings.Repeat("x", 201)}}), "VALIDATION_ERROR", "job.jobTitle"},
			"2.11_11_skills":        {engineer(object{"requiredSkills": eleven}), "VALIDATION_ERROR", "job.requiredSkills"},
			"2.11_11_in_two":        {engineer(object{"requiredSkills": eleven[:6], "niceToHaveSkills": eleven[6:]}), "VALIDATION_ERROR", "job.requiredSkills"},
			"2.11_skill_129":        {engineer(object{"niceToHaveSkills": []any{strings.Repeat("x", 129)}}), "VALIDATION_ERROR", "job.niceToHaveSkills[0]"},
			"salary_upside_down":    {engineer(object{"salary": object{"min": 2, "max": 1}}), "VALIDATION_ERROR", "job.salary.max"},
			"inline_unknown_field":  {with(object{"candidate": object{"jobId": job["id"]}}), "VALIDATION_ERROR", "candidate.jobId"},
			"inline_not_an_object":  {with(object{"agent": "PHONE"}), "VALIDATION_ERROR", "agent"},
			"agent_type":            {with(object{"agent": object{"name": "A", "type": "FAX"}}), "VALIDATION_ERROR", "agent.type"},
			"id_not_a_uuid":         {with(object{"candidate": nil, "candidateId": "x"}), "VALIDATION_ERROR", "candidateId"},
			"metadata":              {with(object{"metadata": []any{}}), "VALIDATION_ERROR", "metadata"},
			"times_differ":          {with(object{"scheduledAt": soon(1), "scheduleTime": soon(2)}), "VALIDATION_ERROR", "scheduleTime"},
			"in_the_past":           {with(object{"scheduledAt": time.Now().Add(-2 * time.Minute)}), "VALIDATION_ERROR", "scheduledAt"},
			"in_the_past_other":     {with(object{"scheduleTime": "2024-01-15T10:30:00Z"}), "VALIDATION_ERROR", "scheduleTime"},
			"too_far_ahead":         {with(object{"scheduledAt": time.Now().AddDate(2, 0, 0)}), "VALIDATION_ERROR", "scheduledAt"},
			"date_only":             {with(object{"scheduledAt": "2031-01-15"}), "VALIDATION_ERROR", "scheduledAt"},
			"no_offset":             {with(object{"scheduledAt": "2031-01-15T10:30:00"}), "VALIDATION_ERROR", "scheduledAt"},
			"impossible_date":       {with(object{"scheduledAt": "2031-02-30T10:30:00Z"}), "VALIDATION_ERROR", "scheduledAt"},
			"number_as_time":        {with(object{"scheduledAt": 1768471800}), "VALIDATION_ERROR", "scheduledAt"},
			"empty_time":            {with(object{"scheduleTime": ""}), "VALIDATION_ERROR", "scheduleTime"},
			"year_zero":             {with(object{"scheduleTime": "0000-01-01T00:00:00Z"}), "VALIDATION_ERROR", "scheduleTime"},
			"unknown_field":         {with(object{"when": "now"}), "VALIDATION_ERROR", "when"},
			"null_candidate_is_not": {object{"candidate": nil, "agent": inlineAgent("PHONE")}, "MISSING_REQUIRED_FIELD", "candidateId"},
		} {
			r := b.do("POST", "/interviews", tc.body)
			require.Equal(t, 400, r.Status, "%s: %s", name, r.Body)
			r.fails(400, tc.code, tc.field)
		}
		for part, resource := range map[string]string{"candidate": "Candidate", "job": "Job", "agent": "Agent"} {
			unknown := uuid.NewString()
			e := b.do("POST", "/interviews", with(object{part: nil, part + "Id": unknown})).fails(404, "RESOURCE_NOT_FOUND")
			require.Equal(t, object{"resourceType": resource, "resourceId": unknown}, e.Error.Details)
		}
	})
	b.refuses("POST", "/interviews", badBodies("scheduledAt"))
}

func soon(hours int) string {
	return time.Now().Add(time.Duration(hours) * time.Hour).Format(time.RFC3339)
}

func TestInterviewStart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	start := time.Now().Add(3 * time.Hour).UTC().Truncate(time.Second)
	elsewhere := start.In(time.FixedZone("", 5*3600+1800)).Format(time.RFC3339)
	require.Contains(t, elsewhere, "+05:30")
	for name, body := range map[string]object{
		"2.13_scheduledAt": {"scheduledAt": start}, "2.13_scheduleTime": {"scheduleTime": start}, "2.13_offset_is_honoured": {"scheduledAt": elsewhere},
		"both_the_same": {"scheduledAt": start, "scheduleTime": elsewhere}, "one_null": {"scheduledAt": nil, "scheduleTime": start},
	} {
		got := b.made(
			"/interviews",
			object{"candidate": inlineCandidate(), "job": inlineJob(), "agent": inlineAgent("PHONE")},
			body,
		)
		require.True(t, at(t, got["scheduledAt"]).Equal(start), name)
		require.Equal(t, got["scheduledAt"], got["callAttempts"].([]any)[0].(object)["scheduledAt"], name)
	}
}

func TestJobOfAnInterview(t *testing.T) {
	t.Parallel()
	b := setup(t)
	open, closed, gone := b.job(), b.job(object{"status": "CLOSED"}), b.job()
	agent := b.agent("ONLINE")
	candidate := b.candidate(object{"jobIds": []any{closed["id"], gone["id"], open["id"]}})
	require.Equal(t, 200, b.do("DELETE", "/jobs/"+idOf(gone), nil).Status)
	body := object{"candidateId": candidate["id"], "agentId": agent["id"]}
	t.Run("2.13_the_only_active_one_is_taken", func(t *testing.T) {
		require.Equal(t, open["id"], b.made("/interviews", body)["jobId"])
	})
	t.Run("2.13_several_are_a_clear_error", func(t *testing.T) {
		second := b.job()
		b.do("PATCH", "/candidates/"+idOf(candidate), object{"jobIds": []any{open["id"], second["id"]}}).is(200)
		b.leaves(func() {
			e := b.do("POST", "/interviews", body).fails(400, "VALIDATION_ERROR", "jobId")
			require.Equal(t, []any{open["id"], second["id"]}, e.Error.Details["activeJobIds"])
			require.Contains(t, e.Error.Message, "several active jobs")
		})
	})
	t.Run("none_is_an_error_too", func(t *testing.T) {
		b.do("PATCH", "/candidates/"+idOf(candidate), object{"jobIds": []any{closed["id"]}}).is(200)
		b.leaves(func() { b.do("POST", "/interviews", body).fails(400, "MISSING_REQUIRED_FIELD", "jobId") })
	})
	t.Run("2.13_GENERIC_needs_none_and_resolves_none", func(t *testing.T) {
		b.do("PATCH", "/candidates/"+idOf(candidate), object{"jobIds": []any{open["id"]}}).is(200)
		generic := b.agent("ONLINE", object{"focus": "GENERIC"})
		require.Nil(t, b.made("/interviews", object{"candidateId": candidate["id"], "agentId": generic["id"]})["jobId"])
	})
}

func TestInterviewList(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second := b.completed(), b.interview("ONLINE")
	b.made("/interviews/"+idOf(first)+"/analysis", object{"general": object{"overallRating": 50}})
	first = b.get("/interviews/" + idOf(first))
	for query, want := range map[string][]object{
		"": {second, first}, "status=COMPLETED": {first}, "candidateId=" + second["candidateId"].(string): {second},
		"agentId=" + first["agentId"].(string): {first}, "jobId=" + uuid.NewString(): {}, "limit=1&page=2": {first}, "status=FAILED": {},
	} {
		items := b.do("GET", "/interviews?"+query, nil).items()
		require.Len(t, items, len(want), query)
		for i, item := range items {
			require.NotContains(t, item, "transcript", "only of a single interview")
			require.NotContains(t, item, "answers")
			item["transcript"], item["answers"] = want[i]["transcript"], want[i]["answers"]
			require.Equal(t, want[i], item, "%s: analysis and calls as in a single one", query)
		}
	}
	for query, field := range map[string]string{
		"status=DONE": "status", "status=": "status", "candidateId=x": "candidateId", "jobId=%00": "jobId", "agentId=": "agentId", "page=x": "page",
	} {
		b.do("GET", "/interviews?"+query, nil).fails(400, "VALIDATION_ERROR", field)
	}
}

func TestDeleteInterview(t *testing.T) {
	t.Parallel()
	b := setup(t)
	t.Run("2.13_allowed_in_every_status_answers_true", func(t *testing.T) {
		for _, status := range []db.InterviewStatus{
			db.InterviewScheduled, db.InterviewInProgress, db.InterviewCompleted, db.InterviewFailed, db.InterviewCanceled,
		} {
			i := b.interview("PHONE")
			b.setStatus(i, status)
			var answer bool
			b.do("DELETE", "/interviews/"+idOf(i), nil).into(http.StatusOK, &answer)
			require.True(t, answer)
			for _, method := range []string{"GET", "DELETE"} {
				b.do(method, "/interviews/"+idOf(i), nil).fails(404, "RESOURCE_NOT_FOUND")
			}
		}
	})
	t.Run("2.13_scheduled_attempts_become_cancelled", func(t *testing.T) {
		i := b.interview("PHONE")
		require.Equal(t, 200, b.do("DELETE", "/interviews/"+idOf(i), nil).Status)
		call, err := db.GetCall(b.ctx, b, uuid.MustParse(firstCall(i)))
		require.NoError(t, err)
		require.Equal(t, db.CallCancelled, call.Status)
	})
	t.Run("2.13_a_call_in_progress_goes_on_but_tells_nothing", func(t *testing.T) {
		i := b.interview("PHONE")
		path := callbackPath("calls", uuid.MustParse(firstCall(i)))
		require.Equal(t, 204, b.as("", "POST", path, object{"status": "IN_PROGRESS"}).Status)
		require.Equal(t, 200, b.do("DELETE", "/interviews/"+idOf(i), nil).Status)
		before := b.events()
		ended := object{"status": "COMPLETED", "transcript": []object{{"role": "candidate", "content": "secret"}}}
		require.Equal(t, 204, b.as("", "POST", path, ended).Status)
		require.Equal(t, before, b.events(), "no completion webhook")
		var transcript string
		require.NoError(t, b.NewRaw("SELECT transcript::text FROM interviews WHERE id = ?", idOf(i)).Scan(b.ctx, &transcript))
		require.Equal(t, "[]", transcript)
		b.as("", "POST", callbackPath("analyses", uid(i)), object{"general": object{}}).fails(404, "RESOURCE_NOT_FOUND")
	})
}

func TestCancelInterview(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.interview("PHONE")
	got := b.do("POST", "/interviews/"+idOf(i)+"/cancel", nil).is(http.StatusOK)
	require.Equal(t, "CANCELED", got["status"])
	require.Equal(t, "CANCELED_BY_CLIENT", got["statusReason"])
	require.NotNil(t, got["finishedDate"])
	require.Equal(t, "CANCELLED", got["callAttempts"].([]any)[0].(object)["status"], "3.2: the other spelling")
	require.Equal(t, "interview.canceled", b.events()[len(b.events())-1])
	for _, status := range []db.InterviewStatus{db.InterviewCompleted, db.InterviewFailed, db.InterviewCanceled} {
		b.setStatus(i, status)
		b.leaves(func() {
			e := b.do("POST", "/interviews/"+idOf(i)+"/cancel", nil).fails(409, "INVALID_STATE")
			require.Equal(t, string(status), e.Error.Details["state"])
		})
	}
}

func TestInterviewRulesLeftOut(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *api.Options) { o.InvitationDeadline, o.MaxDuration, o.AnalysisTimeout = 0, 90*time.Second, 0 })
	i := b.interview("ONLINE")
	require.Nil(t, i["deadlineAt"], "no rule, no deadline")
	var minutes int
	require.NoError(t, b.NewRaw("SELECT max_minutes FROM interviews WHERE id = ?", idOf(i)).Scan(b.ctx, &minutes))
	require.Equal(t, 2, minutes, "whole minutes, rounded up")
}
